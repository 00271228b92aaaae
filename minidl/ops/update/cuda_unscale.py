"""GPU kernel of unscale."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device import CTYPES
from ...spec import Spec
from ..registry import kernel_for
from .cpu_rows import by_type
from .cuda_rows import CODE, THREADS, blocks_of, fields_of, launch


def _workspace(scale: Spec, streak: Spec, *gradients: Spec, **attrs: Any) -> dict[str, Spec]:
    return {"faults": Spec((blocks_of(gradients, fields_of(2, ())),), np.dtype("float64"))}


@kernel_for("unscale", workspace=_workspace)
def unscale(scale: np.ndarray, streak: np.ndarray, *gradients: np.ndarray, out: tuple, saved: dict,
            work: dict, growth: float, backoff: float, every: int) -> None:
    """Write the gradients divided by the scale, then scale and streak for the next step."""
    done, results, defines = 0, out[2:], {"SCALE": CTYPES[scale.dtype.name]}
    for chosen in by_type(gradients):
        done = launch("divide", [[c[i] for i in chosen] for c in (results, gradients)], (), defines,
                      (), scale, sums=work["faults"], at=done)
    CODE.launch("rescale", "float32", 1, THREADS, work["faults"], done, scale, streak, *out[:2],
                float(growth), float(backoff), float(every), defines=defines)
