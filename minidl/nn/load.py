"""Reading back what `model.save` wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError, MinidlError
from ..train import checkpoint
from .module import Module
from .serialization import deserialize


def load_model(path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None = None,
               compile: bool = True) -> Module:
    """Return a saved model: architecture, weights, and optimizer, loss and metrics.

    Args:
        path: as it was given to `model.save`; ".safetensors" may be left out.
        custom_objects: classes and functions of your own by name, of layers, losses, metrics
            and schedules.
        compile: False leaves the model without optimizer, loss and metrics.

    Raises:
        CheckpointError: the file is missing, damaged, or no saved model.
        ArgumentError: it names a class or function that is not known here.

    >>> model = load_model("runs/demo/model")  # doctest: +SKIP
    >>> model.predict(images).argmax(axis=-1)  # doctest: +SKIP
    """
    saved = checkpoint.load_tree(path, "model")
    try:
        model = deserialize(saved["architecture"], _classes(custom_objects))
        model.load_state_dict(saved["weights"])
        if compile and saved["compiled"] is not None:
            model._restore_compiled(saved["compiled"], custom_objects)
    except KeyError as error:
        raise CheckpointError(str(checkpoint.file_of(path)), f"has no entry {error}", "",
                              "It was saved by another version of minidl.") from error
    except MinidlError as error:
        raise error.inside(str(checkpoint.file_of(path))) from error
    return model


def _classes(custom_objects: Mapping[str, Any] | None) -> dict[str, type]:
    return {name: c for name, c in (custom_objects or {}).items() if isinstance(c, type)}
