"""Values in configs of Keras as ours: numbers, activations, initializers, penalties, limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError
from ..nn import activations, constraints, initializers, regularizers
from ..nn.configurable import arguments_of
from ..spec import Shape

LARGEST = 2 ** 31  # of whole numbers
LONGEST = 4096     # of lists


def plain(value: Any) -> Any:
    """Return numbers, short texts, and lists of numbers as they are; lists become tuples.

    Raises:
        ArgumentError: it is anything else.
    """
    if value is None or isinstance(value, bool) or (isinstance(value, str) and len(value) < 100):
        return value
    if isinstance(value, (int, float)) and math.isfinite(value) and abs(value) <= LARGEST:
        return value
    if isinstance(value, (list, tuple)) and len(value) <= LONGEST:
        return tuple(_part(part) for part in value)
    raise _unknown(value, "numbers, texts or lists of numbers")


def _part(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and any(isinstance(v, (list, tuple)) for v in value):
        raise _unknown(value, "at most lists of lists of numbers")
    return plain(value)


def _unknown(value: Any, expected: str) -> ArgumentError:
    text = repr(value)
    return ArgumentError("", f"got {text if len(text) < 80 else text[:77] + '...'}",
                         f"expected {expected}", "")


def number(value: Any) -> int | float:
    """Return a number; None stands for 0, as in old files."""
    value = 0 if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _unknown(value, "a number")
    return plain(value)


def activation(value: Any) -> Any:
    """Return the name of an activation function that minidl has."""
    if isinstance(value, Mapping) and value.get("class_name") == "function":
        value = value.get("config")
    if value is not None and not (isinstance(value, str) and value in activations.TABLE):
        raise _unknown(value, f"one of {', '.join(activations.TABLE)}")
    return value


# ---- objects -------------------------------------------------------------------------------


def _made(module: Any, base: type, value: Any, passed_over: tuple[str, ...] = ()) -> Any:
    """Return an object from its class and config in a module of minidl."""
    if value is None:
        return None
    entry = value if isinstance(value, Mapping) else {"class_name": value, "config": {}}
    name, config = entry.get("class_name"), entry.get("config") or {}
    cls = getattr(module, name, None) if isinstance(name, str) else None
    cls = module.TABLE.get(name) if cls is None and isinstance(name, str) else cls
    if not (isinstance(cls, type) and issubclass(cls, base)) or not isinstance(config, Mapping):
        raise _unknown(name, f"one of {', '.join(sorted(module.TABLE))}")
    given = {k: plain(v) for k, v in config.items() if k not in passed_over}
    if set(given) - set(arguments_of(cls)):
        raise _unknown(config, f"{', '.join(arguments_of(cls))} of {name}")
    return cls(**given)


def initializer(value: Any) -> Any:
    """Return an initializer, or None for one that minidl lacks: the file has the values."""
    try:
        return _made(initializers, initializers.Initializer, value,
                     ("seed", "dtype", "input_axes", "output_axes"))
    except (ArgumentError, TypeError, ValueError):
        return None


def regularizer(value: Any) -> Any:
    """Return a penalty."""
    return _made(regularizers, regularizers.Regularizer, value)


def constraint(value: Any) -> Any:
    """Return a limit of weights."""
    return _made(constraints, constraints.Constraint, value)


WEIGHT_KEYS: dict[str, Callable[[Any], Any]] = {
    "initializer": initializer, "regularizer": regularizer, "constraint": constraint}
"""What is known about the values of a weight, by the end of its key."""


class Room:
    """Stands in for an initializer while a model is built whose weights a file has.

    It gives zeros, which cost no time, and no more elements in all than the file has.
    """

    def __init__(self, elements: int) -> None:
        self.left = elements

    def __call__(self, shape: Shape, dtype: np.dtype | str = "float32", fan: Any = None
                 ) -> np.ndarray:
        self.left -= math.prod(shape)
        if self.left < 0:
            raise FormatError("", f"a weight of shape {tuple(shape)} is more than what is left in "
                              "the file", "expected a file with all weights",
                              "Give the file that has both architecture and weights.")
        return np.zeros(shape, dtype)


def dtype(value: Any) -> str:
    """Return the element type of weights by a type or a policy of Keras; mixed ones keep float32.

    >>> dtype({"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}})
    'float32'
    """
    while isinstance(value, Mapping):
        value = value.get("config", {}).get("name") if "config" in value else None
    known = {None: "float32", "float32": "float32", "mixed_float16": "float32",
             "mixed_bfloat16": "float32", "float16": "float32", "bfloat16": "float32",
             "float64": "float64"}
    if value not in known:
        raise _unknown(value, "float32 or float64")
    return known[value]
