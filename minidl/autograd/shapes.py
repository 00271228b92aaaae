"""Functions of tensors: other shapes, parts, tensors put together, warped images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..ops.view import Index
from ..spec import Shape, normal_axes, normal_axis
from .arguments import Axis
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor


def reshape(x: TensorLike, shape: int | Sequence[int]) -> Tensor:
    """Return the elements in another shape, C order; one length may be -1."""
    wanted = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    return apply("reshape", as_tensor(x), shape=wanted)


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """Return a view with the axes in another order, reversed by default."""
    x = as_tensor(x)
    order = (range(x.ndim)[::-1] if axes is None
             else (normal_axis("transpose", a, x.ndim) for a in axes))
    return apply("transpose", x, axes=tuple(order))


def broadcast_to(x: TensorLike, shape: Shape) -> Tensor:
    """Return x repeated along axes of length 1 and new leading axes; a view."""
    return apply("broadcast_to", as_tensor(x), shape=tuple(shape))


def getitem(x: TensorLike, index: Any) -> Tensor:
    """Return x[index]; slices and integers give views, arrays of integers or booleans copies."""
    parts = index if isinstance(index, tuple) else (index,)
    found = Index(tuple(p.array if isinstance(p, Tensor) else p for p in parts))
    return apply("getitem" if found.basic else "take", as_tensor(x), index=found)


def concat(xs: Sequence[TensorLike], axis: int = -1) -> Tensor:
    """Return tensors one after another along an axis."""
    _check_axis("concat", axis)
    return apply("concat", *map(as_tensor, xs), axis=axis)


def stack(xs: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Return tensors of one shape along a new axis."""
    _check_axis("stack", axis)
    xs = [as_tensor(x) for x in xs]
    if not xs:
        raise ArgumentError("stack", "got no arrays", "expected at least one", "Give some.")
    at = normal_axis("stack", axis, xs[0].ndim + 1)
    return concat([reshape(x, (*x.shape[:at], 1, *x.shape[at:])) for x in xs], axis=at)


def _check_axis(where: str, axis: Any) -> None:
    if hasattr(axis, "shape") and axis.shape:
        raise ArgumentError(where, "got a second tensor as the axis",
                            "expected all tensors in one list", f"Write {where}([a, b]).")


def split(x: TensorLike, parts: int | Sequence[int], axis: int = -1) -> list[Tensor]:
    """Return views of equal parts, or of parts of the given lengths, along an axis."""
    x = as_tensor(x)
    at = normal_axis("split", axis, x.ndim)
    if isinstance(parts, int):
        parts = [x.shape[at] // parts] * parts if parts > 0 else []
    ends = np.cumsum(parts).tolist()
    if not ends or ends[-1] != x.shape[at] or min(parts) < 0:
        raise ShapeError("split", f"got parts {parts} of axis {at} of shape {x.shape}",
                         f"they must add up to {x.shape[at]}", "Change the parts.")
    starts = [0, *ends[:-1]]
    return [getitem(x, (slice(None),) * at + (slice(a, b),))
            for a, b in zip(starts, ends, strict=True)]


def pad(x: TensorLike, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Return x with `pads` (before, after) elements of a constant along each axis."""
    return apply("pad", as_tensor(x), pads=tuple(map(tuple, pads)), value=float(value))


def flatten(x: TensorLike) -> Tensor:
    """Return x with all axes but the first made one."""
    x = as_tensor(x)
    return reshape(x, (x.shape[0], math.prod(x.shape[1:])))  # -1 is ambiguous for an empty batch


def flip(x: TensorLike, axis: Axis = None) -> Tensor:
    """Return a view with the elements in reverse order along axes, along all by default.

    >>> flip([1.0, 2.0, 3.0]).tolist()
    [3.0, 2.0, 1.0]
    """
    x = as_tensor(x)
    axes = normal_axes("flip", axis, x.ndim)
    return getitem(x, tuple(slice(None, None, -1 if a in axes else None) for a in range(x.ndim)))


def affine_warp(x: TensorLike, matrix: TensorLike, fill_mode: str = "nearest",
                fill_value: float = 0.0, interpolation: str = "bilinear") -> Tensor:
    """Return images (N, H, W, C) in which pixel (i, j) is taken from place (u, v) of the image.

    Args:
        matrix: (N, 6), no gradient reaches it; u = m0 i + m1 j + m2 and v = m3 i + m4 j + m5 for
            row i and column j.
        fill_mode: "nearest", "reflect" (the edge's pixel comes twice), "wrap" or "constant": what
            is beyond the edges.
        fill_value: the constant.
        interpolation: between pixels, "bilinear" or "nearest".

    >>> x, matrix = [[[[1.0], [2.0], [3.0]]]], [[1.0, 0, 0, 0, 1, 0.5]]
    >>> affine_warp(x, matrix).reshape(-1).tolist()
    [1.5, 2.5, 3.0]
    >>> affine_warp(x, matrix, interpolation="nearest").reshape(-1).tolist()
    [2.0, 3.0, 3.0]
    """
    return apply("affine_warp", as_tensor(x), as_tensor(matrix), fill_mode=fill_mode,
                 fill_value=float(fill_value), interpolation=interpolation)
