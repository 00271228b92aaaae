"""CPU kernels of the matrix products: BLAS on one thread per block of rows."""

from __future__ import annotations

import numpy as np

from ...backend.cpu import run_ranges, serial_blas
from .op import as_rows

GRAIN = 1 << 22   # floating point operations that are worth another block: some 50 microseconds
BLOCK = 1 << 26   # floating point operations of a block of a large product
FEW_BLOCKS = 4    # of a smaller one: BLAS packs the factor that is not cut anew for each


def matmul(a: np.ndarray, b: np.ndarray, *, out: np.ndarray, saved: dict, work: dict) -> None:
    """Write a b; blocks are rows of a, or matrices of a stack."""
    if out.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous:
        a, out = as_rows(a), as_rows(out)
    if out.ndim == 2:
        product(a, b, out)
        return
    lead = out.shape[:-2]
    a = np.broadcast_to(a, (*lead, *a.shape[-2:]))
    b = np.broadcast_to(b, (*lead, *b.shape[-2:]))
    with serial_blas():
        run_ranges(lambda i, j: np.matmul(a[i:j], b[i:j], out=out[i:j]), lead[0],
                   max(1, GRAIN * lead[0] // max(2 * out.size * a.shape[-1], 1)))


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write the product of two matrices; a tall or a wide one is cut, whichever is longer."""
    m, n = out.shape
    flops = 2 * m * n * a.shape[1]
    blocks = max(flops // BLOCK, min(flops // GRAIN, FEW_BLOCKS), 1)
    with serial_blas():
        if m >= n:
            run_ranges(lambda i, j: np.matmul(a[i:j], b, out=out[i:j]), m, max(8, -(-m // blocks)))
        else:
            run_ranges(lambda i, j: np.matmul(a, b[:, i:j], out=out[:, i:j]), n,
                       max(64, -(-n // blocks)))


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, out: np.ndarray, saved: dict,
           work: dict) -> None:
    """Write x w + b."""
    rows = as_rows(out)
    product(as_rows(x), w, rows)
    if b is not None:
        run_ranges(lambda i, j: np.add(rows[i:j], b, out=rows[i:j]), rows.shape[0],
                   max(1, (1 << 16) // max(rows.shape[1], 1)))
