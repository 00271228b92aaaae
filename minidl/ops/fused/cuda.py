"""GPU kernel of the gradient of a bias and relu."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device import Source
from ...spec import Spec
from ..columns import columns, second_threads
from ..pointwise.cuda import run_expression
from ..registry import kernel_for

CODE = Source(__file__, "fused.cu")


def _workspace(gy: Spec, y: Spec, summed: bool) -> dict[str, Spec]:
    return columns(gy.shape, gy.dtype.itemsize).sums(1) if summed else {}


@kernel_for("relu_bias_gradient", workspace=_workspace)
def relu_bias_gradient(gy: np.ndarray, y: np.ndarray, *, out: Any, saved: dict, work: dict,
                       summed: bool) -> None:
    """Write gz, and its sums part by part of the rows; the parts' sums are added in order."""
    if not summed:
        run_expression("relu_bias_gradient", "gy if y > 0 else 0", ("gy", "y"), (), (gy, y), {},
                       out)
        return
    gz, total = out
    plan = columns(gy.shape, gy.dtype.itemsize)
    blocks, threads, numbers, width = plan.launch(gy, y, gz)
    CODE.launch("rectified", gy.dtype, blocks, threads, gy, y, gz, work.get("sums"),
                total if plan.whole else None, numbers, defines={"WIDTH": width})
    if not plan.whole:
        CODE.launch("total", gy.dtype, plan.channels, second_threads(plan.fold * plan.parts),
                    work["sums"], total, numbers, defines={"WIDTH": width})
