"""GPU kernels of the reductions; `reduce.cu` says how the threads of a block lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from ...backend.arrays import address
from ...backend.device import CTYPES, Source, integers
from ...spec import Shape, Spec
from ..pointwise.cuda import joined
from ..registry import kernel_for

CODE = Source(__file__, "reduce.cu")
THREADS = 256
VECTOR, MOST_WIDTH = 16, 8   # bytes and elements of a unit at most
MOST_COLUMNS = 64            # units of a block side by side: 1 KiB of each row
FEW_ROWS = 8                 # of a thread: below that, others join it rather than idle
MANY_ROWS = 16               # of a thread, at least, where rows are cut into parts
BLOCKS = 1056                # that keep a GPU of 132 multiprocessors busy
SINGLES = ("float32", "float16", "bfloat16")
STATES = {"Total": 8, "Mean": 8, "Squares": 8, "Variance": 16, "Place": 16}
"""Bytes of what a kind of reduction keeps; the extremes keep one number."""


# ---- layout --------------------------------------------------------------------------------


class Grid(NamedTuple):
    """How a reduction is shared out; `columns` and `rows` count units.

    Attributes:
        parts: of the rows, each of `length`, reduced by blocks of their own.
        outer_lanes: a block's threads are these times `row_lanes` times `column_lanes`.
    """

    outer: int
    rows: int
    columns: int
    parts: int
    length: int
    outer_lanes: int
    row_lanes: int
    column_lanes: int

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.outer // self.outer_lanes) * self.parts * -(
            -self.columns // self.column_lanes)


def grid(outer: int, rows: int, columns: int, staged: bool = True) -> Grid:
    """Share a reduction out among threads and blocks.

    >>> grid(1, 10_000_000, 16)[3:]
    (1056, 9470, 1, 16, 16)
    >>> grid(100_000, 10, 1)[3:]
    (1, 10, 128, 2, 1)
    """
    chunks = -(-columns // MOST_COLUMNS)
    side = max(1, -(-columns // max(chunks, 1)))
    wanted = max(-(-rows // FEW_ROWS), THREADS // (side * max(outer, 1)))
    lanes = max(1, min(wanted, rows, THREADS // side))
    own = max(1, min(THREADS // (side * lanes), outer))
    blocks = max(1, -(-outer // own) * chunks)
    parts = max(1, min(rows // (lanes * MANY_ROWS), -(-BLOCKS // blocks))) if staged else 1
    length = max(1, -(-rows // parts))
    return Grid(outer, rows, columns, max(1, -(-rows // length)), length, own, lanes, side)


class Layout(NamedTuple):
    """A reduction over (outer, rows, columns) and how it is computed.

    Attributes:
        width: elements of a unit.
        summed: elements that make one result.
        folded: units lie along the rows; `tail` elements are left over.
        axes: (shape, strides) of outer and of rows where they are no single axes.
        second: the second stage, None where the first has one part.
    """

    first: Grid
    second: Grid | None
    summed: int
    width: int
    folded: bool
    tail: int
    axes: tuple[tuple[Shape, Shape], tuple[Shape, Shape]] | None


@lru_cache(1 << 12)
def layout(shape: Shape, axis: Sequence[int], itemsize: int) -> Layout:
    """Return the layout of a reduction over axes in ascending order."""
    steps = [math.prod(shape[a + 1:]) for a in range(len(shape))]
    gone = [a for a in axis if shape[a] != 1]
    last = gone[-1] if gone else -1
    columns = math.prod(n for a, n in enumerate(shape) if a > last)
    groups = [[a for a in range(last + 1) if a not in axis], gone]
    sizes = [math.prod(shape[a] for a in group) for group in groups]
    axes = []
    for group in groups:
        lengths, (strides,) = joined(tuple([shape[a] for a in group]), [[steps[a] for a in group]])
        axes.append((lengths, strides))
    return _laid_out(sizes[0], sizes[1], columns, axes, itemsize)


def _laid_out(outer: int, rows: int, columns: int, axes: Sequence[tuple[Shape, Shape]],
              itemsize: int) -> Layout:
    steps = ((rows * columns,), (columns,))
    plain = all(strides in ((), step) for (_, strides), step in zip(axes, steps, strict=True))
    folded = columns == 1 and plain
    along = columns if columns > 1 else 0 if outer == 1 and plain else rows if plain else 1
    width = min(VECTOR // itemsize, MOST_WIDTH)
    while width > 1 and (along % width or (folded and rows < width)):
        width //= 2
    first = (grid(outer, rows // width, 1) if folded else grid(outer, rows, columns // width))
    second = None if first.parts == 1 else grid(outer, first.parts, columns, staged=False)
    return Layout(first, second, rows, width, folded, rows % width if folded else 0,
                  None if plain else (axes[0], axes[1]))


def _state(kind: str, dtype: np.dtype) -> int:
    return STATES.get(kind, 4 if dtype.name in SINGLES else 8)


def workspace_of(kind: str, x: Spec, axis: Sequence[int]) -> dict[str, Spec]:
    """Return the work array of a reduction of a kind."""
    plan = layout(x.shape, tuple(axis), x.dtype.itemsize)
    if plan.second is None:
        return {}
    states = plan.second.outer * plan.second.rows * plan.second.columns
    return {"partial": Spec((states * _state(kind, x.dtype),), np.dtype("uint8"))}


# ---- launches ------------------------------------------------------------------------------


def reduce(kind: str, x: np.ndarray, out: np.ndarray, work: Mapping[str, np.ndarray],
           axis: Sequence[int]) -> None:
    """Write what a kind of reduction, a struct of `reduce.cu`, finds along axes of x into out."""
    plan = layout(x.shape, tuple(axis), x.dtype.itemsize)
    aligned = address(x) % (plan.width * x.dtype.itemsize) == 0
    defines = {"KIND": kind, "RESULT": CTYPES[out.dtype.name], "WIDTH": str(plan.width),
               "FOLDED": str(int(plan.folded)), "PLAIN": str(int(plan.axes is None)),
               "ALIGNED": str(int(aligned)),
               "INDEX": "unsigned" if x.size < 1 << 32 else "Int"}
    axes = [integers((len(shape),), 1) + integers(shape) + integers(strides)
            for shape, strides in plan.axes or (((), ()),) * 2]
    CODE.launch("first", x.dtype, plan.first.blocks, THREADS, x, work.get("partial"), out,
                integers(plan.first), plan.tail, float(plan.summed), *axes, defines=defines)
    if plan.second is not None:
        CODE.launch("second", x.dtype, plan.second.blocks, THREADS, work["partial"], out,
                    integers(plan.second), float(plan.summed), defines=defines)


def _workspace(kind: str) -> Callable[..., Mapping[str, Spec]]:
    return partial(_work, kind)


def _work(kind: str, x: Spec, axis: Sequence[int], keepdims: bool) -> Mapping[str, Spec]:
    return workspace_of(kind, x, axis)


# ---- kernels -------------------------------------------------------------------------------


@kernel_for("sum", workspace=_workspace("Total"))
def sum_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the sums over the axes."""
    reduce("Total", x, out, work, axis)


@kernel_for("mean", workspace=_workspace("Mean"))
def mean_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
          keepdims: bool) -> None:
    """Write the means over the axes."""
    reduce("Mean", x, out, work, axis)


@kernel_for("var", workspace=_workspace("Variance"))
def var_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the mean squares of the distances from the mean, in one pass."""
    reduce("Variance", x, out, work, axis)


@kernel_for("max", workspace=_workspace("Largest"))
def max_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the largest elements along the axes."""
    reduce("Largest", x, out, work, axis)


@kernel_for("min", workspace=_workspace("Smallest"))
def min_(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: Sequence[int],
         keepdims: bool) -> None:
    """Write the smallest elements along the axes."""
    reduce("Smallest", x, out, work, axis)


def _argmax_workspace(x: Spec, axis: int | None) -> Mapping[str, Spec]:
    return workspace_of("Place", x, range(x.ndim) if axis is None else (axis,))


@kernel_for("argmax", workspace=_argmax_workspace)
def argmax(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, axis: int | None) -> None:
    """Write the positions of the largest elements."""
    reduce("Place", x, out, work, range(x.ndim) if axis is None else (axis,))
