"""Limits that weights are brought back to after each step, by name or as objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dispatch
from .configurable import Configurable, lookup

EPSILON = 1e-7  # keeps a norm of 0 from dividing


class Constraint(Configurable):
    """Base of constraints: `constraint(array)` returns the values that the weight shall have.

    One that has a method `write(array)` changes the weight in place, by ops alone.
    """

    def __call__(self, values: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def _norm(values: np.ndarray, axis: int | Sequence[int]) -> np.ndarray:
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return np.sqrt(np.sum(np.square(values), axis=axes, keepdims=True))


class MaxNorm(Constraint):
    """Scale each vector along `axis` down to a norm of at most `max_value`.

    Source: Srivastava et al. 2014, section 5.1.

    Args:
        axis: the axis or neighbouring axes that make a vector: 0 for the inputs of each unit of
            `Dense`, (0, 1, 2) for the whole filter of `Conv2D`; 0 by default, as in Keras.

    >>> MaxNorm(1.0)(np.array([[3.0], [4.0]])).round(4).tolist()
    [[0.6], [0.8]]
    """

    def __init__(self, max_value: float = 2.0, axis: int | Sequence[int] = 0) -> None:
        self.max_value = max_value
        self.axis = tuple(axis) if isinstance(axis, (list, tuple)) else axis

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return dispatch.run("max_norm", values, max_value=self.max_value, axis=self.axis)

    def write(self, values: np.ndarray) -> None:
        """Scale the vectors of an array in place."""
        dispatch.run("max_norm", values, max_value=self.max_value, axis=self.axis, out=[values])


class NonNeg(Constraint):
    """Make negative values 0."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.maximum(values, 0)


class UnitNorm(Constraint):
    """Scale each vector along `axis` to norm 1."""

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = axis

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values / (EPSILON + _norm(values, self.axis)).astype(values.dtype)


TABLE: dict[str, Callable[[], Constraint]] = {
    "max_norm": MaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm}


def get(value: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return a constraint by name; objects and functions pass, None stays None."""
    return lookup("constraint", TABLE, value)
