"""GPU kernels of local response normalisation: one launch each."""

from __future__ import annotations

import numpy as np

from ...backend.device import Source, blocks_for
from ..registry import kernel_for

CODE = Source(__file__, "lrn.cu")
THREADS = 256
TILE = 1024       # as in lrn.cu
MOST_HALO = 1024  # elements on either side of a tile


def _index(x: np.ndarray) -> dict[str, str]:
    return {"INDEX": "unsigned" if x.size < 1 << 32 else "Int"}


@kernel_for("local_response_norm")
def local_response_norm(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                        depth_radius: int, bias: float, alpha: float, beta: float) -> None:
    """Write y and the scale."""
    CODE.launch("forward", x.dtype, blocks_for(x.size, THREADS), THREADS, x, saved["scale"], out,
                x.size, x.shape[-1], depth_radius, bias, alpha, beta, defines=_index(x))


@kernel_for("local_response_norm_gradient")
def local_response_norm_gradient(gy: np.ndarray, x: np.ndarray, scale: np.ndarray, *,
                                 out: np.ndarray, saved: dict, work: dict, depth_radius: int,
                                 alpha: float, beta: float) -> None:
    """Write gx."""
    channels = x.shape[-1]
    halo = min(depth_radius, channels - 1, MOST_HALO)
    shared = (TILE + 2 * halo) * max(x.dtype.itemsize, 4)
    CODE.launch("gradient", x.dtype, -(-x.size // TILE), THREADS, gy, x, scale, out, x.size,
                channels, depth_radius, halo, 2 * alpha * beta, beta, shared=shared,
                defines=_index(x))
