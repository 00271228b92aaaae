"""Optimizers and learning rate schedules.

>>> get("adam").learning_rate
0.001
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError
from ..ops.update.op import define_update
from . import schedules
from .optimizer import Optimizer
from .optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Nadam, RMSprop
from .settings import deserialize, serialize

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Nadam", "Optimizer", "RMSprop",
           "define_update", "get", "schedules", "serialize"]

_CLASSES: dict[str, type[Optimizer]] = {
    c.__name__: c for c in (SGD, RMSprop, Adam, AdamW, Nadam, Adagrad, Adadelta)}


def get(value: Any, custom_objects: Mapping[str, Any] | None = None) -> Optimizer:
    """Return an optimizer.

    Args:
        value: an optimizer, a name such as "sgd" (any case, with the defaults), or what
            `serialize` returned.
        custom_objects: classes and functions of your own that a configuration names.

    Raises:
        ArgumentError: there is none of that name.

    >>> get(serialize(SGD(0.1, momentum=0.9))).settings
    {'momentum': 0.9, 'nesterov': False}
    """
    if isinstance(value, Optimizer):
        return value
    if isinstance(value, Mapping):
        return deserialize("optimizer", value, _CLASSES, custom_objects)
    by_name = {name.lower(): c for name, c in _CLASSES.items()}
    if isinstance(value, str) and value.lower() in by_name:
        return by_name[value.lower()]()  # type: ignore[call-arg]
    raise ArgumentError("optimizer", f"got {value!r}", f"there are {', '.join(sorted(by_name))}",
                        "Give one of these names or an optimizer object.")
