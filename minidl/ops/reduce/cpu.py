"""CPU kernels of the reductions; ranges are the parts of a stage (see `layout.py`).

Rows are sliced before they are looped over, so that the compiler sees indices that count from 0
and uses vectors. One row after the other: the processor fetches early what is read in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, inline, kernel, ranges, run_ranges, run_slots, run_ufunc
from .layout import CHUNK, Layout, layout

# ---- sums of one stage ---------------------------------------------------------------------


@inline
def _part(x, y):
    """Return the rows of a part; the last parts may be shorter, or empty."""
    return (x.shape[1] + y.shape[1] - 1) // y.shape[1]


@inline
def _next(i, p, parts):
    """Return the place of the next part."""
    return (i, p + 1) if p + 1 < parts else (i + 1, 0)


@kernel
def _row_sums(start, stop, slot, x, y, totals, count):
    """Write the sums of the parts of x (outer, rows) into y (outer, parts), divided by count."""
    parts, length = y.shape[1], _part(x, y)
    i, p = start // parts, start % parts
    for _ in range(start, stop):
        row = x[i, p * length:(p + 1) * length]
        total = 0.0
        for j in range(row.size):
            total += np.float64(row[j])
        y[i, p] = total / count
        i, p = _next(i, p, parts)


@kernel
def _row_squares(start, stop, slot, x, middle, y, totals, count):
    """Write sums like `_row_sums`, of the squared distances from middle (outer, 1)."""
    parts, length = y.shape[1], _part(x, y)
    i, p = start // parts, start % parts
    for _ in range(start, stop):
        row = x[i, p * length:(p + 1) * length]
        total = 0.0
        for j in range(row.size):
            distance = np.float64(row[j]) - middle[i, 0]
            total += distance * distance
        y[i, p] = total / count
        i, p = _next(i, p, parts)


@kernel
def _column_sums(start, stop, slot, x, y, totals, count):
    """Write the sums of the parts of x (outer, rows, columns) into y (outer, parts, columns)."""
    rows, parts, length = x.shape[1], y.shape[1], _part(x, y)
    chunks = (x.shape[2] + CHUNK - 1) // CHUNK
    for task in range(start, stop):
        i, p, first = task // chunks // parts, task // chunks % parts, task % chunks * CHUNK
        target = y[i, p, first:first + CHUNK]
        total = totals[slot, :target.size]
        total[:] = 0
        for j in range(p * length, min((p + 1) * length, rows)):
            row = x[i, j, first:]
            for k in range(total.size):
                total[k] += np.float64(row[k])
        for k in range(total.size):
            target[k] = total[k] / count


@kernel
def _column_squares(start, stop, slot, x, middle, y, totals, count):
    """Write sums like `_column_sums`, of the squared distances from middle (outer, 1, columns)."""
    rows, parts, length = x.shape[1], y.shape[1], _part(x, y)
    chunks = (x.shape[2] + CHUNK - 1) // CHUNK
    for task in range(start, stop):
        i, p, first = task // chunks // parts, task // chunks % parts, task % chunks * CHUNK
        target, center = y[i, p, first:first + CHUNK], middle[i, 0, first:]
        total = totals[slot, :target.size]
        total[:] = 0
        for j in range(p * length, min((p + 1) * length, rows)):
            row = x[i, j, first:]
            for k in range(total.size):
                distance = np.float64(row[k]) - center[k]
                total[k] += distance * distance
        for k in range(total.size):
            target[k] = total[k] / count


# ---- stages --------------------------------------------------------------------------------


def _stage(kernels: tuple[Callable, Callable], work: dict, count: float,
           *arrays: np.ndarray) -> None:
    """Sum (outer, rows, columns), the first array, into (outer, parts, columns), the last."""
    x, y = arrays[0], arrays[-1]
    single = x.shape[2] == 1
    if single:
        arrays = tuple(a.reshape(a.shape[:2]) for a in arrays)
    tasks = y.shape[0] * y.shape[1] * -(-y.shape[2] // CHUNK)
    grain = max(1, round(POINTWISE_GRAIN * tasks / max(x.size, 1)))
    run_slots(kernels[not single], ranges(tasks, grain), *arrays, work["totals"], count)


_SUMS = (_row_sums, _column_sums)
_SQUARES = (_row_squares, _column_squares)


def _arranged(x: np.ndarray, plan: Layout, work: dict) -> np.ndarray:
    """Return x as (outer, rows, columns)."""
    if plan.order is not None:
        # (axes that stay, axes that go)
        run_ufunc(lambda x, out: np.copyto(out, x), (x.transpose(plan.order),), work["moved"])
        x = work["moved"]
    return x.reshape(plan.outer, plan.rows, plan.columns)


def _total(kernels: tuple[Callable, Callable], plan: Layout, count: float, work: dict,
           *arrays: np.ndarray) -> None:
    """Sum the first array over its rows into the last, (outer, 1, columns before folding)."""
    y = arrays[-1]
    if not plan.staged:
        _stage(kernels, work, count, *arrays)
        return
    _stage(kernels, work, 1.0, *arrays[:-1], work["partial"])
    rest = work["partial"].reshape(plan.outer, plan.parts * plan.fold, plan.inner)
    np.add.reduce(rest, axis=1, out=work["whole"], keepdims=True)
    np.divide(work["whole"], count, out=y, casting="same_kind")


def _sum(x: np.ndarray, out: np.ndarray, work: dict, axis: Sequence[int], mean: bool) -> None:
    plan = layout(x.shape, axis).folded()
    _total(_SUMS, plan, float(plan.summed if mean else 1), work, _arranged(x, plan, work),
           out.reshape(plan.outer, 1, plan.inner))


# ---- the kernels ---------------------------------------------------------------------------


def sum_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the sums over the axes."""
    if x.dtype.kind == "f":
        _sum(x, out, work, axis, mean=False)
    else:
        np.sum(x, axis=tuple(axis), dtype=out.dtype, keepdims=keepdims, out=out)


def mean_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
          keepdims: bool) -> None:
    """Write the means over the axes."""
    _sum(x, out, work, axis, mean=True)


def var_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the mean squares of the distances from the mean, in two passes."""
    plan = layout(x.shape, axis)
    arranged, count = _arranged(x, plan, work), float(plan.summed)
    _total(_SUMS, plan, count, work, arranged, work["middle"])
    _total(_SQUARES, plan, count, work, arranged, work["middle"],
           out.reshape(plan.outer, 1, plan.columns))


def _extreme(ufunc: np.ufunc, x: np.ndarray, out: np.ndarray, work: dict,
             axis: Sequence[int]) -> None:
    """Write the extremes by NumPy's own loops, which use vectors and let NaN through."""
    plan = layout(x.shape, axis).folded()
    arranged, parts, rows = _arranged(x, plan, work), plan.parts, plan.rows
    y = out.reshape(plan.outer, plan.inner)
    if not plan.staged:
        run_ranges(lambda a, b: ufunc.reduce(arranged[a:b], axis=1, out=y[a:b]), plan.outer,
                   max(1, POINTWISE_GRAIN * plan.outer // max(x.size, 1)))
        return
    partial = work["partial"]

    def part(start: int, stop: int) -> None:
        for task in range(start, stop):
            i, p = divmod(task, parts)
            ufunc.reduce(arranged[i, rows * p // parts:rows * (p + 1) // parts], axis=0,
                         out=partial[i, p])

    run_ranges(part, plan.outer * parts, 1)
    ufunc.reduce(partial.reshape(plan.outer, parts * plan.fold, plan.inner), axis=1, out=y)


def max_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the largest elements along the axes."""
    _extreme(np.maximum, x, out, work, axis)


def min_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the smallest elements along the axes."""
    _extreme(np.minimum, x, out, work, axis)


@kernel
def _places(start, stop, x, y):
    """Write the first place of the largest, or of a NaN, in x (outer, rows, columns)."""
    for i in range(start, stop):
        for k in range(x.shape[2]):
            best, place = x[i, 0, k], 0
            for j in range(1, x.shape[1]):
                value = x[i, j, k]
                if best == best and (value > best or value != value):
                    best, place = value, j
            y[i, k] = place


def argmax(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: int | None) -> None:
    """Write the positions of the largest elements."""
    rows = x.size if axis is None else x.shape[axis]
    outer = 1 if axis is None else math.prod(x.shape[:axis])
    columns = 1 if axis is None else math.prod(x.shape[axis + 1:])
    three, y = x.reshape(outer, rows, columns), out.reshape(outer, columns)
    run_ranges(_places, outer, max(1, POINTWISE_GRAIN * outer // max(x.size, 1)), three, y)
