"""Many arrays in one launch: tables that `update.cu` takes by value, as many as it needs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...backend.arrays import address
from ...backend.device import Source
from ...spec import Spec
from .cpu_rows import by_type

CODE = Source(__file__, "update.cu")
THREADS = 256
ROOM = 480                          # numbers of a table
LEAST, MOST = 1 << 11, 1 << 14      # elements that a block takes
BLOCKS = 1056                       # that keep a GPU of 132 multiprocessors busy
VECTOR = 16                         # bytes that a thread loads at once

Pulls = Sequence[tuple[float, float]]


class Cut(NamedTuple):
    """How arrays are shared out among launches and blocks.

    Attributes:
        chunk: elements of a block.
        launches: per launch its blocks, and per row the array, its first block and its size.
    """

    chunk: int
    launches: tuple[tuple[int, tuple[tuple[int, int, int], ...]], ...]

    @property
    def blocks(self) -> int:
        """Number of blocks of all launches."""
        return sum(blocks for blocks, _ in self.launches)


@lru_cache(256)
def cut(sizes: tuple[int, ...], fields: int) -> Cut:
    """Share out arrays of these sizes.

    >>> cut((100, 0, 5000), 4)
    Cut(chunk=2048, launches=((4, ((0, 0, 100), (2, 1, 5000))),))
    """
    chunk = LEAST
    while chunk < MOST and chunk * BLOCKS < sum(sizes):
        chunk *= 2
    launches: list[tuple[int, tuple[tuple[int, int, int], ...]]] = []
    full = [(i, size) for i, size in enumerate(sizes) if size]
    for start in range(0, len(full), ROOM // fields):
        rows, first = [], 0
        for i, size in full[start:start + ROOM // fields]:
            rows.append((i, first, size))
            first += -(-size // chunk)
        launches.append((first, tuple(rows)))
    return Cut(chunk, tuple(launches))


def blocks_of(arrays: Sequence[Spec], fields: int) -> int:
    """Return the number of blocks that arrays take, all types together."""
    return sum(cut(tuple([arrays[i].size for i in group]), fields).blocks
               for group in by_type(arrays))


def fields_of(columns: int, pulls: Pulls) -> int:
    """Return the number of fields of a row."""
    return 2 + columns + (2 if pulls else 0)


def launch(kernel: str, columns: Sequence[Sequence[np.ndarray]], pulls: Pulls,
           defines: Mapping[str, str], before: Sequence[Any], *after: Any,
           sums: np.ndarray | None = None, at: int = 0) -> int:
    """Run a kernel of `update.cu` on all rows.

    Args:
        columns: per column the arrays of one type, all columns alike.
        pulls: two factors for each array, or none.
        before: arguments of the kernel before the table; `after` comes behind `chunk`.
        sums: gets one number per block from `at` on.

    Returns:
        Where the next number in `sums` belongs.
    """
    dtype, fields = columns[0][0].dtype, fields_of(len(columns), pulls)
    places = [[address(a) for a in column] for column in columns]
    plan = cut(tuple([a.size for a in columns[0]]), fields)
    width = _width(places, dtype)
    all_defines = {"FIELDS": str(fields), "WIDTH": str(width), **defines}
    for blocks, rows in plan.launches:
        table = b"".join(struct.pack(f"{2 + len(places)}q", first, size, *[p[i] for p in places])
                         + (struct.pack("2d", *pulls[i]) if pulls else b"")
                         for i, first, size in rows)
        out = () if sums is None else (sums, at)
        CODE.launch(kernel, dtype, blocks, THREADS, *before, table.ljust(ROOM * 8, b"\0"),
                    len(rows), plan.chunk, *out, *after, defines=all_defines)
        at += blocks
    return at


def _width(places: Sequence[Sequence[int]], dtype: np.dtype) -> int:
    """Return how many elements may be loaded at once, whichever the array."""
    width = VECTOR // dtype.itemsize
    while any(place % (width * dtype.itemsize) for column in places for place in column):
        width //= 2
    return width
