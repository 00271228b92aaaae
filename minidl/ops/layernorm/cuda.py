"""GPU kernels of layer normalisation: a launch each, and a second stage for sums over many rows."""

from __future__ import annotations

import numpy as np

from ...backend.device import Source
from ...spec import Spec
from ..columns import Columns, columns, second_threads
from ..registry import kernel_for
from ..rows import launch_rows

CODE = Source(__file__, "layernorm.cu")
Array = np.ndarray


@kernel_for("layer_norm")
def layer_norm(x: Array, gamma: Array | None, beta: Array | None, *, out: Array, saved: dict,
               work: dict, epsilon: float) -> None:
    """Write y."""
    rows, channels = saved["mean"].size, x.shape[-1]
    blocks, threads, defines = launch_rows(rows, channels, x, gamma, beta, out)
    CODE.launch("forward", x.dtype, blocks, threads, x, gamma, beta, out, saved["mean"],
                saved["inv_std"], rows, channels, epsilon, defines=defines)


@kernel_for("layer_norm_gradient")
def layer_norm_gradient(gy: Array, x: Array, gamma: Array | None, mean: Array, inv_std: Array, *,
                        out: Array, saved: dict, work: dict) -> None:
    """Write gx."""
    rows, channels = mean.size, x.shape[-1]
    blocks, threads, defines = launch_rows(rows, channels, gy, x, gamma, out)
    CODE.launch("input_gradient", x.dtype, blocks, threads, gy, x, gamma, mean, inv_std, out, rows,
                channels, defines=defines)


def _plan(gy: Spec | Array) -> Columns:
    return columns(gy.shape, gy.dtype.itemsize, beside=False)


@kernel_for("layer_norm_parameter_gradient",
            workspace=lambda gy, x, mean, inv_std: _plan(gy).sums(2))
def layer_norm_parameter_gradient(gy: Array, x: Array, mean: Array, inv_std: Array, *,
                                  out: tuple[Array, Array], saved: dict, work: dict) -> None:
    """Write ggamma and gbeta."""
    plan, sums = _plan(gy), work.get("sums")
    blocks, threads, numbers, width = plan.launch(gy, x)
    results = out if plan.whole else (None, None)
    CODE.launch("products", x.dtype, blocks, threads, gy, x, mean, inv_std, sums, *results,
                numbers, defines={"WIDTH": width})
    if not plan.whole:
        CODE.launch("totals", x.dtype, plan.channels, second_threads(plan.parts), sums, *out,
                    numbers, defines={"WIDTH": width})
