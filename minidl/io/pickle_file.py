"""Pickles of plain NumPy arrays: {layer: [kernel, bias]} and the like, nested as they come."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..data.unpickle import load_pickle
from ..errors import DataError, FormatError
from .layout import Layout
from .match import Weights

MOST, DEPTH = 100_000, 16
"""Values that a file may hold, lists and dicts included, and how many of these in one another."""


def read_pickle(path: str | os.PathLike[str], layout: Layout = "channels_last") -> Weights:
    """Return the arrays of a pickle of dicts and lists; nothing that it names is executed.

    An array is named by the way to it: "conv1/0" is the first of the list under "conv1".

    Args:
        layout: how kernels lie in it, which such a file does not say.

    Raises:
        FormatError: the file is missing, damaged, asks for a foreign class, or holds something else
            than arrays, or none.

    >>> read_pickle("squeezenet_weights.pkl").arrays["conv1/0"].shape  # doctest: +SKIP
    (3, 3, 3, 64)
    """
    try:
        arrays = _arrays(str(path), load_pickle(path))
    except DataError as error:
        raise FormatError(error.where, error.got, error.expected, error.remedy) from error
    if not arrays:
        raise FormatError(str(path), "holds no arrays", "expected a pickle of a dict of arrays",
                          "Name another file.")
    return Weights(arrays, layout, f"{os.fspath(path)} (pickle of NumPy arrays)")


def _arrays(file: str, tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of dicts and lists; mere numbers and None are passed over."""
    found: dict[str, np.ndarray] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    for _ in range(MOST):  # a list may hold itself
        if not waiting:
            return found
        way, value = waiting.pop()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            found["/".join(way)] = value
        elif isinstance(value, (Mapping, list, tuple)):
            if len(waiting) + len(value) > MOST or len(way) == DEPTH:
                break
            waiting += reversed([((*way, name), inner) for name, inner in _items(value)])
        elif value is not None and not isinstance(value, (int, float)):
            place = "/".join(way) or "its top"
            raise FormatError(file, f"holds a {type(value).__name__} at {place}",
                              "expected arrays in dicts and lists", "Save the arrays alone.")
    raise FormatError(file, f"holds more than {MOST:,} values, or lists in {DEPTH} others",
                      "expected arrays in dicts and lists", "Save the arrays alone.")


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, inner in items:
        yield key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key), inner
