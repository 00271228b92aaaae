"""GPU kernels of affine warps: a thread takes some channels of one pixel."""

from __future__ import annotations

import numpy as np

from ...backend.arrays import address
from ...backend.device import CTYPES, Source, blocks_for, integers
from ..registry import kernel_for
from .op import FILL_MODES, INTERPOLATIONS

CODE = Source(__file__, "affine_warp.cu")
THREADS = 256
VECTOR = 16  # bytes that a thread loads at once


def _width(*arrays: np.ndarray) -> int:
    """Return how many channels a thread takes at once."""
    channels, width = arrays[0].shape[-1], VECTOR // arrays[0].dtype.itemsize
    if channels == 3:
        return 3
    while channels % width or any(address(a) % (width * a.dtype.itemsize) for a in arrays):
        width //= 2
    return width


def _launch(kernel: str, x: np.ndarray, matrix: np.ndarray, out: np.ndarray, fill_mode: str,
            interpolation: str, *numbers: float) -> None:
    width = _width(x, out)
    shape = integers((*x.shape[1:3], x.shape[3] // width, FILL_MODES.index(fill_mode),
                      INTERPOLATIONS.index(interpolation)), 5)
    count = x.size // width
    CODE.launch(kernel, x.dtype, blocks_for(count, THREADS), THREADS, x, matrix, out, count,
                *numbers, shape, defines={
                    "MATRIX": CTYPES[matrix.dtype.name], "WIDTH": str(width),
                    "INDEX": "unsigned" if x.size < 1 << 32 else "Int"})


@kernel_for("affine_warp")
def affine_warp(x: np.ndarray, matrix: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                fill_mode: str, fill_value: float, interpolation: str) -> None:
    """Write y."""
    _launch("affine_warp", x, matrix, out, fill_mode, interpolation, fill_value)


@kernel_for("affine_warp_gradient")
def affine_warp_gradient(gy: np.ndarray, matrix: np.ndarray, *, out: np.ndarray, saved: dict,
                         work: dict, fill_mode: str, interpolation: str) -> None:
    """Write gx."""
    _launch("affine_warp_gradient", gy, matrix, out, fill_mode, interpolation)
