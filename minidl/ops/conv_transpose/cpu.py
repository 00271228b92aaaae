"""CPU kernel of the transposed convolution: the input gradient of a convolution, and a bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, run_ranges


def conv2d_transpose(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, by: Callable,
                     out: np.ndarray, **rest: Any) -> None:
    """Write the transposed convolution of x with w by a kernel `by` of conv2d_input_gradient."""
    by(x, w, out=out, **rest)
    if b is not None:
        rows = out.reshape(-1, out.shape[-1])
        run_ranges(lambda i, j: np.add(rows[i:j], b, out=rows[i:j]), len(rows),
                   max(1, POINTWISE_GRAIN // rows.shape[1]))
