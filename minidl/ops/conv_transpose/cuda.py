"""GPU kernel of the transposed convolution: the input gradient of a convolution, and a bias."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..pointwise.cuda import run_ufunc


def conv2d_transpose(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, by: Callable,
                     out: np.ndarray, **rest: Any) -> None:
    """Write the transposed convolution of x with w by a kernel `by` of conv2d_input_gradient."""
    if "bias" in inspect.signature(by).parameters:
        by(x, w, out=out, **rest, bias=b)
        return
    by(x, w, out=out, **rest)
    if b is not None:
        run_ufunc(np.add, (out, b), out)
