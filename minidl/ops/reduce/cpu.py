"""CPU kernels of the reductions.

Every reduction is brought to x of shape (outer, reduced, inner) and out of shape (outer, inner);
reduced axes that are not neighbours are moved together first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, kernel, ranges, run_ranges, run_slots

BLOCK = 1 << 15  # elements summed into one partial result; fixes the order of the additions


def _three_axes(x: np.ndarray, axis: Sequence[int]) -> np.ndarray:
    """Return x as (outer, reduced, inner)."""
    if not axis:
        return x.reshape(-1, 1, 1)
    first, last = min(axis), max(axis)
    if len(axis) != last - first + 1:
        # (..., reduced axes last)
        x = np.moveaxis(x, axis, range(x.ndim - len(axis), x.ndim))
        first, last = x.ndim - len(axis), x.ndim - 1
    outer, reduced = x.shape[:first], x.shape[first:last + 1]
    return np.ascontiguousarray(x).reshape(int(np.prod(outer, dtype=np.int64)),
                                           int(np.prod(reduced, dtype=np.int64)), -1 if x.size else 1)


@kernel
def _row_sums(start, stop, x, out):
    for i in range(start, stop):
        total = 0.0
        for j in range(x.shape[1]):
            total += np.float64(x[i, j])
        out[i] = total


@kernel
def _column_sums(start, stop, x, out):
    for k in range(x.shape[1]):
        out[k] = 0.0
    for j in range(start, stop):
        for k in range(x.shape[1]):
            out[k] += np.float64(x[j, k])


def _sums(x: np.ndarray) -> np.ndarray:
    """Return float64 sums (outer, inner) of x (outer, reduced, inner)."""
    outer, reduced, inner = x.shape
    if inner == 1 and outer > 1:
        total = np.zeros((outer, 1))
        run_ranges(lambda a, b: _row_sums(a, b, x.reshape(outer, reduced), total[:, 0]),
                   outer, max(1, POINTWISE_GRAIN // max(reduced, 1)))
        return total
    total = np.empty((outer, inner))
    for i in range(outer):
        total[i] = _column_total(x[i])
    return total


def _column_total(x: np.ndarray) -> np.ndarray:
    """Return the sums of the columns of x (reduced, inner), in a fixed order."""
    parts = ranges(x.shape[0], max(1, BLOCK // max(x.shape[1], 1)))
    partial = np.zeros((max(len(parts), 1), x.shape[1]))
    numbered = {a: i for i, (a, _) in enumerate(parts)}
    run_slots(lambda a, b, slot: _part_sum(a, b, x, partial[numbered[a]]), parts)
    return partial.sum(axis=0)


def _part_sum(start: int, stop: int, x: np.ndarray, out: np.ndarray) -> None:
    if x.shape[1] == 1:
        _row_sums(0, 1, x[start:stop].reshape(1, -1), out)
    else:
        _column_sums(start, stop, x, out)


def sum_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the sums over the axes."""
    if x.dtype.kind != "f":
        np.sum(x, axis=tuple(axis), keepdims=keepdims, out=out)
        return
    out[...] = _sums(_three_axes(x, axis)).reshape(out.shape)


def mean_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
          keepdims: bool) -> None:
    """Write the means over the axes."""
    three = _three_axes(x, axis)
    out[...] = (_sums(three) / three.shape[1]).reshape(out.shape)


def var_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the mean squares of the distances from the mean, in two passes."""
    three = _three_axes(x, axis)
    middle = (_sums(three) / three.shape[1])[:, None, :]
    out[...] = (_sums(np.square(three - middle)) / three.shape[1]).reshape(out.shape)


def _extreme(ufunc: np.ufunc, x: np.ndarray, out: np.ndarray, axis: Sequence[int]) -> None:
    three = _three_axes(x, axis)
    ufunc.reduce(three, axis=1, out=out.reshape(three.shape[0], three.shape[2]))


def max_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the largest elements along the axes."""
    _extreme(np.maximum, x, out, axis)


def min_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the smallest elements along the axes."""
    _extreme(np.minimum, x, out, axis)


def argmax(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: int | None) -> None:
    """Write the positions of the largest elements."""
    np.argmax(x, axis=axis, out=out)
