"""Many arrays in one kernel call: a table of their pieces.

An optimizer changes tens to hundreds of arrays, most of them small. One call of a loop for each
would cost more than the work; gathering them in one flat array would read and write every gradient
once more. So the loops get a table instead: a row has the length of a piece of a parameter, and the
addresses of this piece in the parameter, in its gradient and in its slots. Rows are grouped into
parts of about GRAIN elements, which threads take in turn.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from ...backend.cpu import ranges
from ...spec import Spec

GRAIN = 1 << 15  # elements per part: some 20 microseconds of memory-bound work


class Pieces(NamedTuple):
    """How arrays are cut.

    Attributes:
        firsts: first row of each part, and the number of rows; (parts + 1,).
        owners: which array each row is a piece of.
        starts: where in its array each row begins.
        sizes: elements of each row.
    """

    firsts: np.ndarray
    owners: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray

    @property
    def parts(self) -> int:
        """Number of parts."""
        return len(self.firsts) - 1


@lru_cache(256)
def pieces(sizes: tuple[int, ...]) -> Pieces:
    """Cut arrays of these sizes."""
    rows = [(i, a, b - a) for i, size in enumerate(sizes) for a, b in ranges(size, GRAIN)]
    firsts, held = [0], 0
    for number, (_, _, size) in enumerate(rows):
        if held and held + size > GRAIN:
            firsts.append(number)
            held = 0
        held += size
    owners, starts, lengths = np.array(rows, np.int64).reshape(-1, 3).T.copy()
    return Pieces(np.array([*firsts, len(rows)] if rows else [0]), owners, starts, lengths)


def by_type(arrays: Sequence[np.ndarray | Spec]) -> list[list[int]]:
    """Return the positions of the arrays of each element type: a loop is compiled for one."""
    found: dict[np.dtype, list[int]] = {}
    for at, array in enumerate(arrays):
        found.setdefault(array.dtype, []).append(at)
    return list(found.values())


def parts_of(arrays: Sequence[Spec]) -> int:
    """Return the number of parts that arrays are cut into, all types together."""
    return sum(pieces(tuple(arrays[i].size for i in group)).parts for group in by_type(arrays))


def table(cut: Pieces, columns: Sequence[Sequence[np.ndarray] | None]) -> np.ndarray:
    """Return per row its size, and its address in every column; 0 in a column that is None."""
    rows = np.zeros((len(cut.sizes), 1 + len(columns)), np.int64)
    rows[:, 0] = cut.sizes
    for k, column in enumerate(columns, 1):
        if column is not None:
            places = np.array([_address(a) for a in column], np.int64)
            rows[:, k] = places[cut.owners] + cut.starts * column[0].itemsize
    return rows


def _address(array: Any) -> int:
    # array.ctypes.data takes four times as long
    return ctypes.addressof(ctypes.c_char.from_buffer(array)) if array.size else 0


@intrinsic
def piece(typing: Any, rows: Any, row: Any, column: Any, like: Any) -> Any:
    """Return what a row and a column of a table stand for, a flat array of the type of `like`."""
    kind = types.Array(like.dtype, 1, "C")

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole, array = make_array(rows)(context, builder, args[0]), make_array(kind)(
            context, builder)
        width = cgutils.unpack_tuple(builder, whole.shape)[1]
        line = builder.gep(whole.data, [builder.mul(args[1], width)])
        size, place = builder.load(line), builder.load(builder.gep(line, [args[2]]))
        item = context.get_constant(
            types.intp, context.get_abi_sizeof(context.get_data_type(like.dtype)))
        populate_array(array, builder.inttoptr(place, array.data.type),
                       cgutils.pack_array(builder, [size]), cgutils.pack_array(builder, [item]),
                       item, None)
        return array._getvalue()

    return kind(rows, types.intp, types.intp, like), emit
