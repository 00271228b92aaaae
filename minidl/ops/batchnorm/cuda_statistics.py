"""GPU kernel of move_statistics."""

from __future__ import annotations

import numpy as np

from ...backend.device import Source, blocks_for
from ..registry import kernel_for

CODE = Source(__file__, "statistics.cu")
THREADS = 128


@kernel_for("move_statistics")
def move_statistics(moving_mean: np.ndarray, moving_variance: np.ndarray, mean: np.ndarray,
                    variance: np.ndarray, *, out: tuple[np.ndarray, ...], saved: dict, work: dict,
                    momentum: float) -> None:
    """Write the moving statistics, a step nearer to those of the batch."""
    CODE.launch("move_statistics", mean.dtype, blocks_for(mean.size, THREADS), THREADS,
                moving_mean, moving_variance, mean, variance, *out, mean.size, momentum)
