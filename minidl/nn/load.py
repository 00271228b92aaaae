"""Reading back what `model.save` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError, MinidlError
from ..train import checkpoint
from .module import Module
from .serialization import deserialize


def load_model(path: checkpoint.PathLike, custom_objects: Mapping[str, Any] | None = None,
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
    file = str(checkpoint.file_of(path))
    try:
        model = deserialize(saved["architecture"], custom_objects)
        model.load_state_dict(saved["weights"])
        if compile and saved["compiled"] is not None:
            model._restore_compiled(saved["compiled"], custom_objects)
    except MinidlError as error:
        raise error.inside(file) from error
    except KeyError as error:
        raise CheckpointError(file, f"has no entry {error}", "",
                              "It was saved by another version of minidl.") from error
    except (AttributeError, IndexError, OverflowError, RecursionError, TypeError, ValueError,
            ZeroDivisionError) as error:
        raise CheckpointError(file, f"its contents make no model ({error!r})", "",
                              "It was not written by minidl, or by another version.") from error
    return model
