"""CPU kernel of max_norm: w as (before, reduced, after), a block of columns of `after` at a time.

A block is read twice, for the squares and to be scaled, and lies in the cache in between as far as
it fits. Squares add up in float64, row by row.
"""

from __future__ import annotations

import math

import numpy as np

from ...backend.cpu import kernel, run_ranges
from .op import EPSILON

COLUMNS = 128  # of a block: 512 bytes of each row
GRAIN = 1 << 15  # elements per range, about


@kernel
def _max_norm(start, stop, w, y, norms, max_value, epsilon):
    blocks = -(-w.shape[2] // COLUMNS)
    for task in range(start, stop):
        a, first = task // blocks, task % blocks * COLUMNS
        last = min(first + COLUMNS, w.shape[2])
        sums = norms[a, first:last]
        sums[:] = 0.0
        for r in range(w.shape[1]):
            row = w[a, r, first:last]
            for j in range(sums.size):
                sums[j] += np.float64(row[j]) * np.float64(row[j])
        for j in range(sums.size):
            norm = math.sqrt(sums[j])
            sums[j] = min(norm, max_value) / (epsilon + norm)
        for r in range(w.shape[1]):
            row, result = w[a, r, first:last], y[a, r, first:last]
            for j in range(sums.size):
                result[j] = row[j] * row.dtype.type(sums[j])


def max_norm(w: np.ndarray, *, out: np.ndarray, saved: dict[str, np.ndarray],
             work: dict[str, np.ndarray], max_value: float, axis: tuple[int, ...]) -> None:
    """Write w with its vectors along `axis` scaled down into out."""
    before, reduced = math.prod(w.shape[:axis[0]]), math.prod(w.shape[axis[0]:axis[-1] + 1])
    shape = before, reduced, math.prod(w.shape[axis[-1] + 1:])
    tasks = before * -(-shape[2] // COLUMNS)
    run_ranges(_max_norm, tasks, max(1, GRAIN // max(1, reduced * COLUMNS)), w.reshape(shape),
               out.reshape(shape), work["norms"].reshape(before, shape[2]), max_value, EPSILON)
