"""GPU kernels of the ops that rearrange; a thread moves as many bytes at once as it can."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backend import device as devices
from ...backend.arrays import address
from ...backend.device import Source, blocks_for, integers
from ...spec import Shape
from ..pointwise.cuda import joined
from ..registry import kernel_for
from .op import Index
from .places import Chosen, Run, chosen, offsets, run_strides

CODE = Source(__file__, "view.cu")
THREADS = 256
VECTOR = 16    # bytes that a thread moves at once
MOST_COPIES = 16
UNITS = {1: "unsigned char", 2: "unsigned short", 4: "unsigned", 8: "uint2", 16: "uint4"}


# ---- units ---------------------------------------------------------------------------------


class Moves(NamedTuple):
    """Elements as a shape, with a row of numbers per axis for each purpose.

    Attributes:
        rows: strides and the like, in elements; those of the last axis may be 1.
        table: the axis that a table speaks for, -1 for none.
    """

    shape: Shape
    rows: list[tuple[int, ...]]
    table: int = -1

    def width(self, itemsize: int, addresses: Sequence[int], *numbers: int) -> int:
        """Return how many elements can be moved at once.

        Args:
            numbers: others that must be multiples of it.
        """
        last = len(self.shape) - 1
        if last < 0 or last == self.table or any(row[-1] != 1 for row in self.rows):
            return 1
        whole = [self.shape[-1], *numbers, *(n for row in self.rows for n in row[:-1])]
        width = VECTOR // itemsize
        while width > 1 and (any(n % width for n in whole)
                             or any(a % (width * itemsize) for a in addresses)):
            width //= 2
        return width

    def in_units(self, width: int) -> Moves:
        """Return the same in units of several elements."""
        if width == 1:
            return self
        return Moves((*self.shape[:-1], self.shape[-1] // width),
                     [(*[n // width for n in row[:-1]], 1) for row in self.rows], self.table)


def _defines(size: int, unit: int, width: int = 1) -> dict[str, str]:
    return {"UNIT": UNITS[unit], "INDEX": "unsigned" if size < 1 << 32 else "Int",
            "WIDTH": str(width)}


def _strides(array: np.ndarray) -> tuple[int, ...]:
    """Return an array's strides in elements."""
    return tuple([s // array.dtype.itemsize for s in array.strides])


def _packed_strides(shape: Shape) -> tuple[int, ...]:
    return tuple([math.prod(shape[a + 1:]) for a in range(len(shape))])


def _around_table(found: Chosen, length: int, *rows: Sequence[int]) -> Moves:
    """Return the runs of an index, and between them one axis of a length for a table.

    Args:
        rows: strides of the runs.
    """
    counts, at = tuple([r.length for r in found.runs]), found.at
    before, own = joined(counts[:at], [tuple(r[:at]) for r in rows])
    after, others = joined(counts[at:], [tuple(r[at:]) for r in rows])
    return Moves((*before, length, *after),
                 [(*a, 0, *b) for a, b in zip(own, others, strict=True)], len(before))


# ---- constants -----------------------------------------------------------------------------


def _uploaded(index: Index, key: Any, make: Any) -> Any:
    """Return what `make` computes from an index, (arrays, rest), with the arrays on the GPU.

    The arrays are kept with the index: a step that is captured may not upload them again.
    """
    device = devices.get("cuda")
    key = (id(device), *key)
    if key not in index.uploaded:
        arrays, rest = make()
        there = []
        for array in arrays:
            there.append(devices.pool("cuda").empty(array.shape, array.dtype))
            device.upload(np.ascontiguousarray(array), there[-1])
        index.uploaded[key] = (there, rest)
    return index.uploaded[key]


def _divisor(array: np.ndarray) -> int:
    """Return the greatest number that divides all, 0 if they are all 0."""
    return int(np.gcd.reduce(array)) if array.size else 0


# ---- take ----------------------------------------------------------------------------------


@kernel_for("take")
def take(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, index: Index) -> None:
    """Write x[index]."""
    if not out.size:
        return
    strides, itemsize = _strides(x), x.dtype.itemsize
    places = (address(x), address(out))
    aligned = math.gcd(*places, VECTOR)

    def make() -> tuple[list[np.ndarray], Any]:
        found = chosen(index.parts, x.shape)
        table = offsets(found, strides)
        moves = _around_table(found, table.size, run_strides(found, strides))
        width = moves.width(itemsize, [aligned], _divisor(table))
        return [table // width], (moves.in_units(width), width)

    (table,), (moves, width) = _uploaded(index, ("take", x.shape, strides, itemsize, aligned), make)
    count = out.size // width
    CODE.launch("take", "float32", blocks_for(count, THREADS), THREADS, x, table, out, count,
                len(moves.shape), integers(moves.shape), integers(moves.rows[0]), moves.table,
                defines=_defines(x.size, itemsize * width))


# ---- getitem_gradient ----------------------------------------------------------------------


@kernel_for("getitem_gradient")
def getitem_gradient(gy: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, index: Index,
                     shape: Shape) -> None:
    """Write gx: 0 but for gx[index], which adds up gy."""
    if not index.basic:
        _add_back(gy, out, index)
        return
    found, strides = chosen(index.parts, out.shape), _strides(gy)
    runs = {r.axis: (r, s) for r, s in zip(found.runs, strides, strict=True)}
    ones = {axis: (Run(axis, place, 1, 1), 0) for axis, place in found.fixed}
    along = runs | ones
    _inlay(gy, out, [along[axis] for axis in range(out.ndim)], 0.0)


def _add_back(gy: np.ndarray, gx: np.ndarray, index: Index) -> None:
    """Add up the gradients of every element that index arrays choose."""
    _zero(gx)
    if not gy.size:
        return
    strides, itemsize = _strides(gy), gy.dtype.itemsize
    aligned = math.gcd(address(gy), address(gx), VECTOR)

    def make() -> tuple[list[np.ndarray], Any]:
        found = chosen(index.parts, gx.shape)
        to = _packed_strides(gx.shape)
        places, own = offsets(found, to), found.at + len(found.shape)
        grid = np.indices(found.shape, np.int64).reshape(len(found.shape), -1)
        sources = np.zeros(places.size, np.int64)
        for coordinates, step in zip(grid, strides[found.at:own], strict=True):
            sources += coordinates * step
        order = np.argsort(places, kind="stable")
        targets, firsts = np.unique(places[order], return_index=True)
        moves = _around_table(found, targets.size, run_strides(found, to),
                              (*strides[:found.at], *strides[own:]))
        width = moves.width(itemsize, [aligned], _divisor(targets), _divisor(sources))
        return [targets // width, np.append(firsts, places.size), sources[order] // width], (
            moves.in_units(width), width)

    key = ("added", gx.shape, strides, itemsize, aligned)
    tables, (moves, width) = _uploaded(index, key, make)
    count = math.prod(moves.shape)
    CODE.launch("added", gy.dtype, blocks_for(count, THREADS), THREADS, gy, gx, *tables, count,
                len(moves.shape), integers(moves.shape), *map(integers, moves.rows), moves.table,
                defines=_defines(count, itemsize, width))


def _zero(array: np.ndarray) -> None:
    """Fill an array with 0."""
    unit = VECTOR
    while array.nbytes % unit or address(array) % unit:
        unit //= 2
    CODE.launch("zeros", "float32", blocks_for(array.nbytes // unit, THREADS), THREADS, array,
                array.nbytes // unit, defines=_defines(array.nbytes, unit))


# ---- pad -----------------------------------------------------------------------------------


@kernel_for("pad")
def pad(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
        pads: Sequence[tuple[int, int]], value: float) -> None:
    """Write x with a border of one value."""
    runs = [Run(a, before, 1, n) for a, ((before, _), n) in enumerate(
        zip(pads, x.shape, strict=True))]
    _inlay(x, out, list(zip(runs, _strides(x), strict=True)), value)


def _inlay(x: np.ndarray, y: np.ndarray, along: Sequence[tuple[Run, int]], value: float) -> None:
    """Write a value into y, but x where the runs of all axes meet.

    Args:
        along: per axis of y the run, and the stride of x on it.
    """
    lengths, runs, strides = _merged(y.shape, along)
    starts, counts = [r.start for r in runs], [r.length for r in runs]
    moves = Moves(tuple(lengths), [tuple(strides)])
    numbers = (starts[-1], counts[-1]) if runs and runs[-1].step == 1 else (1,)
    width = moves.width(x.dtype.itemsize, [address(x), address(y)], *numbers)
    moves, count = moves.in_units(width), y.size // width
    if width > 1:
        starts[-1], counts[-1] = starts[-1] // width, counts[-1] // width
    fill = np.full(VECTOR // x.dtype.itemsize, value, x.dtype).tobytes()
    CODE.launch("inlaid", "float32", blocks_for(count, THREADS), THREADS, x, y, count, len(runs),
                integers(moves.shape), integers(starts), integers([r.step for r in runs]),
                integers(counts), integers(moves.rows[0]), fill,
                defines=_defines(y.size, x.dtype.itemsize * width))


def _merged(shape: Shape, along: Sequence[tuple[Run, int]]
            ) -> tuple[list[int], list[Run], list[int]]:
    """Return lengths, runs and strides with axes that follow on as one."""
    lengths: list[int] = []
    runs: list[Run] = []
    strides: list[int] = []
    for n, (run, stride) in zip(shape, along, strict=True):
        if n == 1 and run.length == 1:
            continue
        whole = run.length == n and run.step == 1
        last = runs[-1] if runs else None
        if last and whole and (last.length == 1 or (last.step == 1 and strides[-1] == n * stride)):
            runs[-1] = Run(None, last.start * n, 1, last.length * n)
            lengths[-1], strides[-1] = lengths[-1] * n, stride
        else:
            runs.append(run)
            lengths.append(n)
            strides.append(stride)
    return lengths, runs, strides


# ---- concat --------------------------------------------------------------------------------


@kernel_for("concat")
def concat(*xs: np.ndarray, out: np.ndarray, saved: dict, work: dict, axis: int) -> None:
    """Write the arrays one after another."""
    itemsize, to, at = out.dtype.itemsize, _strides(out), address(out)
    parts: list[tuple[int, int, Moves]] = []  # address in x and in y
    for x in xs:
        if x.size:
            shape, rows = joined(x.shape, [_strides(x), to])
            parts.append((address(x), at, Moves(shape, list(rows))))
        at += x.shape[axis] * to[axis] * itemsize
    width = min((m.width(itemsize, [x, y]) for x, y, m in parts), default=1)
    defines = _defines(out.size, itemsize * width)
    for first in range(0, len(parts), MOST_COPIES):
        some = [(x, y, m.in_units(width)) for x, y, m in parts[first:first + MOST_COPIES]]
        counts = [math.prod(m.shape) for _, _, m in some]
        table = b"".join(struct.pack("4q", x, y, n, len(m.shape)) + integers(m.shape)
                         + b"".join(map(integers, m.rows))
                         for (x, y, m), n in zip(some, counts, strict=True))
        room = len(table) // len(some) * MOST_COPIES
        CODE.launch("concat", "float32", (blocks_for(max(counts), THREADS), len(some)), THREADS,
                    table.ljust(room, b"\0"), defines=defines)
