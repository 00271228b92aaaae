"""Functions of tensors: reductions over axes."""

from __future__ import annotations

from ..errors import ShapeError
from .arguments import Axis, floating, hashable
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor


def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum over axes, over all by default."""
    return apply("sum", as_tensor(x), axis=hashable(axis), keepdims=keepdims)


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean over axes, over all by default."""
    return apply("mean", floating(x), axis=hashable(axis), keepdims=keepdims)


def var(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the variance over axes, divided by the count (not count - 1)."""
    return apply("var", floating(x), axis=hashable(axis), keepdims=keepdims)


def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest elements along axes; equal ones share the gradient."""
    return apply("max", as_tensor(x), axis=hashable(axis), keepdims=keepdims)


def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest elements along axes; equal ones share the gradient."""
    return apply("min", as_tensor(x), axis=hashable(axis), keepdims=keepdims)


def argmax(x: TensorLike, axis: int | None = None) -> Tensor:
    """Return the positions (int64) of the largest elements along an axis."""
    return apply("argmax", as_tensor(x), axis=axis)


def global_average_pool(x: TensorLike, keepdims: bool = False) -> Tensor:
    """Return the mean of each channel of x (N, ..., C) over all places (Lin et al. 2013).

    >>> from minidl import empty
    >>> global_average_pool(empty((2, 4, 4, 3))).shape
    (2, 3)
    """
    x = floating(x)
    return mean(x, _places("global_average_pool", x), keepdims)


def global_max_pool(x: TensorLike, keepdims: bool = False) -> Tensor:
    """Return the largest element of each channel of x (N, ..., C) over all places."""
    x = as_tensor(x)
    return max(x, _places("global_max_pool", x), keepdims)


def _places(name: str, x: Tensor) -> tuple[int, ...]:
    if x.ndim < 3:
        raise ShapeError(name, f"got x of shape {x.shape}", "expected (N, ..., C)",
                         "Give x at least one axis of places, between samples and channels.")
    return tuple(range(1, x.ndim - 1))
