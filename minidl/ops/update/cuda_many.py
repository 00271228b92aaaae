"""GPU kernels of the ops over all parameters that are no steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...spec import Spec
from ..registry import kernel_for
from .cpu_rows import by_type
from .cuda_rows import CODE, THREADS, Pulls, blocks_of, fields_of, launch


@kernel_for("blend")
def blend(*arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict, keep: float,
          take: float) -> None:
    """Write keep x + take z for all pairs."""
    results = out if isinstance(out, tuple) else (out,)
    xs, zs = arrays[:len(results)], arrays[len(results):]
    for chosen in by_type(results):
        launch("blend", [[c[i] for i in chosen] for c in (results, xs, zs)], (), {}, (),
               float(keep), float(take))


def _workspace(*arrays: Spec, penalties: Pulls) -> dict[str, Spec]:
    blocks = blocks_of(arrays, fields_of(1, penalties)) if penalties else 0
    return {"sums": Spec((blocks,), np.dtype("float64"))}


@kernel_for("penalty", workspace=_workspace)
def penalty(*xs: np.ndarray, out: np.ndarray, saved: dict, work: dict, penalties: Any) -> None:
    """Write the sum of all penalties; what the blocks have found is added in order."""
    done = 0
    for chosen in by_type(xs) if penalties else ():
        done = launch("penalties", [[xs[i] for i in chosen]], [penalties[i] for i in chosen], {},
                      (), sums=work["sums"], at=done)
    CODE.launch("total", "float32", 1, THREADS, work["sums"], done, out)
