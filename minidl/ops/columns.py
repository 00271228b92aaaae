"""How a GPU's blocks share x (samples, rows, channels) whose columns are summed or scaled.

Neighbouring rows are laid side by side (`fold`) until 16 bytes fit into a row evenly; rows are cut
into parts, a block each, whose sums lie in workspace (samples, count, width, parts), double. All of
this follows from shapes alone; `columns.cuh` has the passes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend.device import integers
from ..spec import Shape, Spec
from .packs import VECTOR, pack_width, widest

BLOCKS = 528     # four for each of 132 multiprocessors, so that all are there at once
THREADS = 256
ROWS = 8         # that a thread takes at least, before there are more parts
FEW = 2048       # rows: so many or fewer are no more than one part
FEW_THREADS, FEW_LANES = 512, 4
WARP = 32


class Columns(NamedTuple):
    """The cut of one array; `rows` and `length` count rows that lie side by side as one."""

    samples: int
    rows: int
    channels: int
    size: int
    fold: int
    length: int
    whole: bool  # a block sees all rows of its channels

    @property
    def width(self) -> int:
        """Length of a row."""
        return self.fold * self.channels

    @property
    def parts(self) -> int:
        """Number of parts of a sample's rows."""
        return max(1, -(-self.rows // self.length))

    def sums(self, count: int) -> dict[str, Spec]:
        """Return the workspace for `count` sums per column, where parts are to be added up."""
        shape = (self.samples, count, self.width, self.parts)
        return {} if self.whole else {"sums": Spec(shape, np.dtype("float64"))}

    def launch(self, *arrays: Any) -> tuple[tuple[int, int], int, bytes, str]:
        """Return blocks, threads, the struct Plan and WIDTH for passes over these arrays."""
        width = pack_width(self.width, *arrays)
        packs = self.width // width
        lanes = _lanes(packs, self.whole)
        most = FEW_THREADS if self.whole else THREADS
        threads = min(most, -(-lanes * max(self.rows, 1) // WARP) * WARP)
        plan = integers((self.rows, self.width, self.channels, self.size, self.length, self.parts,
                         lanes), 7)
        return (self.samples * self.parts, -(-packs // lanes)), threads, plan, str(width)


def columns(shape: Shape, itemsize: int, groups: int | None = None, *, few: int = FEW,
            least: int = ROWS, beside: bool = True) -> Columns:
    """Return the cut of x (N, ..., C); without groups the batch is one sample.

    Args:
        few: up to so many rows of the batch are one part.
        least: rows that a thread takes before there are more parts.
        beside: whether rows may be laid side by side.
    """
    channels = shape[-1]
    samples = 1 if groups is None else shape[0]
    size = channels // (groups or channels or 1)
    rows = math.prod(shape[:-1]) // max(samples, 1)
    if groups is None and rows <= few:
        return Columns(1, rows, channels, size, 1, max(rows, 1), True)
    fold = _fold(rows, channels, VECTOR // itemsize) if beside else 1
    rows, width = rows // fold, fold * channels
    packs = width // widest(width, itemsize)
    lanes = _lanes(packs, False)
    lines = THREADS // lanes
    wanted = max(1, BLOCKS // max(1, samples * -(-packs // lanes)))
    parts = max(1, min(wanted, rows // (lines * least)))
    length = -(-rows // (parts * lines)) * lines
    return Columns(samples, rows, channels, size, fold, max(length, 1), False)


def second_threads(count: int) -> int:
    """Return how many threads add up `count` sums of parts."""
    return min(THREADS, -(-count // WARP) * WARP)


def _fold(rows: int, channels: int, width: int) -> int:
    """Return how many rows are laid side by side, so that `width` elements fit in evenly."""
    fold = width // math.gcd(channels, width)
    while rows % fold:
        fold //= 2
    return fold


def _lanes(packs: int, few: bool) -> int:
    """Return how many threads, a power of two, lie along a row: few of them are idle."""
    most = min(FEW_LANES if few else WARP, 1 << (packs - 1).bit_length())
    return min((lanes for lanes in (32, 16, 8, 4, 2, 1) if min(most, 8) <= lanes <= most),
               key=lambda lanes: -(-packs // lanes) * lanes)
