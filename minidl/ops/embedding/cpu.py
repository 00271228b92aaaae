"""CPU kernels of embedding and one_hot; ranges are ids, or rows of the table."""

from __future__ import annotations

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, kernel, ranges, run_ranges, run_slots

PARTS = 8  # of the table's rows in its gradient; each part reads all ids


def _grain(row: int) -> int:
    return max(1, POINTWISE_GRAIN // max(row, 1))


@kernel
def _rows(start, stop, ids, table, y):
    for i in range(start, stop):
        target = y[i]
        if 0 <= ids[i] < table.shape[0]:
            source = table[ids[i]]
            for k in range(target.size):
                target[k] = source[k]
        else:
            target[:] = 0


def embedding(ids: np.ndarray, table: np.ndarray, *, out: np.ndarray, saved: dict, work: dict
              ) -> None:
    """Write the rows of the table that the ids name."""
    flat, y = ids.reshape(-1), out.reshape(ids.size, table.shape[1])
    run_ranges(lambda a, b: _rows(a, b, flat, table, y), flat.size, _grain(table.shape[1]))


@kernel
def _add_rows(start, stop, gy, ids, table):
    """Add the rows of gy whose id lies in [start, stop), in order."""
    table[start:stop] = 0
    for i in range(ids.size):
        if start <= ids[i] < stop:
            source, target = gy[i], table[ids[i]]
            for k in range(target.size):
                target[k] += source[k]


def embedding_gradient(gy: np.ndarray, ids: np.ndarray, *, out: np.ndarray, saved: dict,
                       work: dict, rows: int) -> None:
    """Write the gradient of the table; threads take parts of its rows."""
    flat, g = ids.reshape(-1), gy.reshape(ids.size, out.shape[1])
    run_slots(lambda a, b, slot: _add_rows(a, b, g, flat, out),
              ranges(rows, max(_grain(out.shape[1]), -(-rows // PARTS))))


@kernel
def _hot(start, stop, ids, y):
    y[start:stop] = 0
    for i in range(start, stop):
        if 0 <= ids[i] < y.shape[1]:
            y[i, ids[i]] = 1


def one_hot(ids: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, classes: int, dtype: str
            ) -> None:
    """Write 1 at the place of each id, and 0 elsewhere."""
    flat, y = ids.reshape(-1), out.reshape(ids.size, classes)
    run_ranges(lambda a, b: _hot(a, b, flat, y), flat.size, _grain(classes))
