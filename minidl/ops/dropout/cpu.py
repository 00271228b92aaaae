"""CPU kernel of dropout: Philox words compared with a threshold."""

from __future__ import annotations

import numpy as np

from ...backend.cpu import inline, kernel, run_ranges
from ...spec import Shape
from .op import threshold

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
def _mask(start, stop, key, limit, scale, mask):
    """Write scale where kept and 0 elsewhere, for groups [start, stop) of four elements."""
    count = mask.size
    for group in range(start, stop):
        words = _philox(np.uint64(group), key[1] & LOW, key[0] & LOW, key[0] >> HALF)
        at = 4 * group
        for k in range(min(4, count - at)):
            mask[at + k] = scale if words[k] < limit else 0


def dropout(x: np.ndarray, key: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
            rate: float, mask_shape: Shape) -> None:
    """Write x with a share of its elements, or of its groups of elements, set to 0."""
    whole = tuple(mask_shape) == x.shape
    mask = (out if whole else work["mask"]).reshape(-1)
    limit, scale = np.uint64(threshold(rate)), x.dtype.type(1 / (1 - rate))
    run_ranges(lambda a, b: _mask(a, b, key, limit, scale, mask), -(-mask.size // 4), GRAIN // 4)
    flat = x.reshape(-1)
    if whole:
        target = out.reshape(-1)
        run_ranges(lambda a, b: np.multiply(flat[a:b], target[a:b], out=target[a:b]), x.size,
                   4 * GRAIN)
    else:
        np.multiply(x, mask.reshape(mask_shape), out=out)
