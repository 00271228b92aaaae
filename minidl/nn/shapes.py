"""Running a module for its shapes alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import config
from ..spec import Spec
from .graph import BATCHES, LENGTHS
from .holder import shapes_only
from .module import Module, stand_in
from .tree import leaves, map_tree


def is_shape(value: Any) -> bool:
    """Say whether a value is one shape: a list or tuple of lengths or None."""
    return isinstance(value, (list, tuple)) and all(
        n is None or isinstance(n, (int, np.integer)) for n in value)


def map_shapes(function: Any, shapes: Any) -> Any:
    """Apply a function to every shape in a nesting of shapes."""
    if is_shape(shapes):
        return function(tuple(shapes))
    return [map_shapes(function, shape) for shape in shapes]


def output_shape(module: Module, input_shape: Any, dtype: str) -> Any:
    """Return the shape of a module's output; see `Module.compute_output_shape`."""
    def run(which: int) -> Any:
        def spec(shape: tuple[int | None, ...]) -> Any:
            sizes = (BATCHES[which], *(LENGTHS[which],) * (len(shape) - 1))
            lengths = (size if n is None else n for n, size in zip(shape, sizes, strict=True))
            return stand_in(Spec(tuple(lengths), np.dtype(dtype)))

        with shapes_only(module, False), config.no_grad():
            return module(map_shapes(spec, input_shape))

    first, second = run(0), run(1)
    others = leaves(second)
    return map_tree(lambda t: _merged(t.shape, next(others).shape), first)


def _merged(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int | None, ...]:
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
