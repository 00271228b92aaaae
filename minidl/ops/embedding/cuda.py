"""GPU kernels of embedding, its gradient and one_hot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...backend.arrays import address
from ...backend.device import CTYPES, Source, blocks_for
from ...spec import Spec
from ..registry import kernel_for

CODE = Source(__file__, "embedding.cu")
THREADS, SORTERS, ADDERS, JOINERS = 256, 1024, 128, 256
VECTOR = 16            # bytes that a thread loads at once
SORTING_BLOCKS = 132   # each of them reads all ids
MOST_OWN = 320         # rows of the table that one of them sorts: 40 KiB of counters
ENTRY = 16             # bytes of the sorted list per id
PIECE = 64             # ids that a group of threads adds up, at least
PIECES = 4096          # that they are cut into, about, where there are many


def _launch(kernel: str, arrays: Sequence[np.ndarray], width: int, ids: np.ndarray,
            blocks: int | tuple[int, int], threads: int, *arguments: object, shared: int = 0
            ) -> None:
    """Run a kernel on arrays of rows that are `width` units of elements."""
    like = arrays[0]
    size = max(a.size for a in (*arrays, ids))
    defines = {"IDS": CTYPES[ids.dtype.name], "WIDTH": str(width),
               "INDEX": "unsigned" if size < 1 << 32 else "Int"}
    CODE.launch(kernel, like.dtype, blocks, threads, *arguments, shared=shared, defines=defines)


def _width(columns: int, *arrays: np.ndarray) -> int:
    """Return how many elements of a row may be loaded at once."""
    itemsize = arrays[0].dtype.itemsize
    width = VECTOR // itemsize
    while columns % width or any(address(a) % (width * itemsize) for a in arrays):
        width //= 2
    return width


@kernel_for("embedding")
def embedding(ids: np.ndarray, table: np.ndarray, *, out: np.ndarray, saved: dict, work: dict
              ) -> None:
    """Write the rows of the table that the ids name."""
    width = _width(table.shape[1], table, out)
    units = table.shape[1] // width
    _launch("embedding", (out, table), width, ids, blocks_for(ids.size * units), THREADS, ids,
            table, out, ids.size, table.shape[0], units)


@kernel_for("one_hot")
def one_hot(ids: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, classes: int, dtype: str
            ) -> None:
    """Write 1 at the place of each id, and 0 elsewhere."""
    width = _width(classes, out)
    _launch("one_hot", (out,), width, ids, blocks_for(ids.size * classes // width), THREADS, ids,
            out, ids.size, classes // width)


# ---- gradient ------------------------------------------------------------------------------


def _piece(count: int) -> int:
    """Return how many ids make a piece.

    >>> _piece(1000), _piece(1 << 20)
    (64, 256)
    """
    return max(PIECE, -(-count // PIECES))


def _workspace(gy: Spec, ids: Spec, rows: int) -> dict[str, Spec]:
    count, byte = ids.size, np.dtype("uint8")
    pieces = -(-count // _piece(count))
    return {"entries": Spec((count * ENTRY,), byte), "starts": Spec((rows + 1,), np.dtype("int64")),
            "partial": Spec((pieces * 2 * gy.shape[-1] * max(gy.dtype.itemsize, 4),), byte)}


@kernel_for("embedding_gradient", workspace=_workspace)
def embedding_gradient(gy: np.ndarray, ids: np.ndarray, *, out: np.ndarray, saved: dict,
                       work: dict, rows: int) -> None:
    """Write the gradient of the table; rows chosen several times add up in a fixed order."""
    columns, count = out.shape[1], ids.size
    if not out.size:
        return
    width = _width(columns, gy, out)
    units, length = columns // width, _piece(count)
    own = min(MOST_OWN, -(-rows // SORTING_BLOCKS))
    lanes = min(ADDERS, 1 << (units - 1).bit_length())
    beyond, pieces = -(-units // lanes), -(-count // length)
    entries, starts, partial = work["entries"], work["starts"], work["partial"]
    _launch("sort", (gy, out), width, ids, -(-rows // own), SORTERS, ids, entries, starts, out,
            count, rows, own, columns, shared=SORTERS // 32 * own * 4)
    _launch("pieces", (gy, out), width, ids, (-(-pieces * lanes // ADDERS), beyond), ADDERS, gy,
            entries, starts, out, partial, rows, units, length, lanes)
    _launch("joints", (gy, out), width, ids, (max(pieces - 1, 0), beyond), JOINERS, partial,
            entries, starts, out, rows, units, length, lanes)
