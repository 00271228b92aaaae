"""CPU kernels of dropout: Philox words compared with a threshold.

BLOCK counters are drawn at a time into a row of words that stays in the first-level cache, one
counter per lane of the registers; then the words choose among the elements, neighbour by neighbour.
"""

from __future__ import annotations

import math

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, inline, kernel, ranges, run_ranges, run_slots
from ...backend.simd import lanes_of, load_up_to, store_up_to
from ...spec import Shape
from .op import BLOCK, threshold

GRAIN = 1 << 14  # elements per range
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@inline
def _philox(c0, c2, k0, k1):
    """Return the four words of counter (c0, 0, c2, 0)."""
    c1 = c3 = np.uint64(0)
    for _ in range(10):
        a, b = c0 * M0, c2 * M1
        c0, c1, c2, c3 = (b >> HALF) ^ c1 ^ k0, b & LOW, (a >> HALF) ^ c3 ^ k1, a & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@kernel
def _dropout(start, stop, slot, x, key, limit, scale, words, y):
    """Write x times scale where a word is below limit, else times 0, for groups of 4 elements."""
    count, low, high, row = key[1] & LOW, key[0] & LOW, key[0] >> HALF, words[slot]
    zero = x.dtype.type(0)
    for first in range(start, stop, BLOCK):
        for i in range(np.uint64(BLOCK)):
            a, b, c, d = _philox((np.uint64(first) + i) & LOW, count, low, high)
            at = np.uint64(4) * i
            row[at], row[at + np.uint64(1)] = a, b
            row[at + np.uint64(2)], row[at + np.uint64(3)] = c, d
        last = 4 * min(first + BLOCK, stop)
        values, results = x[4 * first:last], y[4 * first:last]
        for i in range(results.size):
            results[i] = values[i] * (scale if row[i] < limit else zero)


@kernel
def _scale_rows(start, stop, x, mask, y, rows, width):
    """Write rows of x (groups, rows, width) times mask (groups, width); all arrays are flat."""
    lanes = lanes_of(x)
    for row in range(start, stop):
        group = row // rows
        for some in range(0, width, lanes):
            k = max(0, min(some, width - lanes))  # the last vector overlaps the one before
            product = (load_up_to(x, row * width + k, width)
                       * load_up_to(mask, group * width + k, width))
            store_up_to(y, row * width + k, product, width)


def dropout(x: np.ndarray, key: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
            rate: float, mask_shape: Shape) -> None:
    """Write x with a share of its elements, or of its groups of elements, set to 0."""
    limit, scale = np.uint32(threshold(rate)), x.dtype.type(1 / (1 - rate))
    whole = tuple(mask_shape) == x.shape
    values, target = (x, out) if whole else (work["ones"], work["mask"])
    if not whole:
        values.fill(1)
    run_slots(_dropout, ranges(-(-values.size // 4), GRAIN // 4), values.reshape(-1), key, limit,
              scale, work["words"], target.reshape(-1))
    if not whole:
        _apply(x, work["mask"], out)


def _apply(x: np.ndarray, mask: np.ndarray, out: np.ndarray) -> None:
    """Write x times a mask that is broadcast along some axes, neighbours as a rule."""
    shared = [i for i, (n, m) in enumerate(zip(x.shape, mask.shape, strict=True)) if n != m]
    first, last = shared[0], shared[-1] + 1
    if any(n > 1 for n in mask.shape[first:last]):
        np.multiply(x, mask, out=out)
        return
    groups, rows, width = (math.prod(x.shape[a:b]) for a, b in (
        (0, first), (first, last), (last, x.ndim)))
    run_ranges(_scale_rows, groups * rows, max(1, POINTWISE_GRAIN // max(width, 1)), x.reshape(-1),
               mask.reshape(-1), out.reshape(-1), rows, width)
