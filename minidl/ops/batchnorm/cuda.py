"""GPU kernels of batch and group normalisation, forward; the gradients' are in `cuda_gradient.py`.

Three launches: sums of x part by part, statistics, y. One, where a block can see all rows of its
channels. Parts are read from their end when y is written, since that is what the cache still holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device import Source
from ...spec import Spec
from ..columns import Columns, columns, second_threads
from ..registry import kernel_for

CODE = Source(__file__, "batchnorm.cu")
Array = np.ndarray


def defines(width: str, relu: bool) -> dict[str, str]:
    """Return the definitions of the passes."""
    return {"WIDTH": width, "RELU": str(int(relu))}


# ---- batch normalisation -------------------------------------------------------------------


def _batch_workspace(x: Spec, *_: Spec | None, epsilon: float) -> dict[str, Spec]:
    return columns(x.shape, x.dtype.itemsize).sums(2)


@kernel_for("batch_norm", workspace=_batch_workspace)
def batch_norm(x: Array, gamma: Array | None, beta: Array | None, *, out: tuple[Array, ...],
               saved: dict, work: dict, epsilon: float) -> None:
    """Write y, the means and the variances."""
    _batch(x, gamma, beta, out, saved, work, epsilon, relu=False)


@kernel_for("batch_norm_relu", workspace=_batch_workspace)
def batch_norm_relu(x: Array, gamma: Array | None, beta: Array | None, *, out: tuple[Array, ...],
                    saved: dict, work: dict, epsilon: float) -> None:
    """Write max(y, 0), the means and the variances."""
    _batch(x, gamma, beta, out, saved, work, epsilon, relu=True)


def _batch(x: Array, gamma: Array | None, beta: Array | None, out: tuple[Array, ...], saved: dict,
           work: dict, epsilon: float, relu: bool) -> None:
    plan, (y, mean, var), offset = columns(x.shape, x.dtype.itemsize), out, saved.get("offset")
    if not plan.whole:
        _forward(plan, x, gamma, beta, y, (mean, var, saved["inv_std"], saved["lost"]), offset,
                 work["sums"], epsilon, relu)
        return
    blocks, threads, numbers, width = plan.launch(x, y)
    CODE.launch("whole", x.dtype, blocks, threads, x, gamma, beta, y, mean, var,
                saved["inv_std"], saved["lost"], offset, numbers, epsilon,
                defines=defines(width, relu))


def _forward(plan: Columns, x: Array, gamma: Array | None, beta: Array | None, y: Array,
             found: tuple[Array | None, ...], offset: Array | None, sums: Array, epsilon: float,
             relu: bool) -> None:
    """Write y, and `found`: mean, var (or None), inv_std and lost (samples, groups)."""
    mean, _, inv_std, lost = found
    blocks, threads, numbers, width = plan.launch(x, y)
    given = defines(width, relu)
    CODE.launch("moments", x.dtype, blocks, threads, x, sums, numbers, defines=given)
    CODE.launch("statistics", x.dtype, plan.samples * (plan.channels // plan.size),
                second_threads(plan.size * plan.fold * plan.parts), sums, x, *found, numbers,
                epsilon, defines=given)
    CODE.launch("normalise", x.dtype, blocks, threads, x, mean, inv_std, lost, gamma, beta,
                offset, y, numbers, defines=given)


# ---- by given statistics -------------------------------------------------------------------


@kernel_for("batch_norm_inference")
def batch_norm_inference(x: Array, mean: Array, var: Array, gamma: Array | None,
                         beta: Array | None, *, out: Array, saved: dict, work: dict,
                         epsilon: float) -> None:
    """Write y, by statistics that are given."""
    _by_statistics(x, mean, var, gamma, beta, out, saved["inv_std"], epsilon, relu=False)


@kernel_for("batch_norm_inference_relu")
def batch_norm_inference_relu(x: Array, mean: Array, var: Array, gamma: Array | None,
                              beta: Array | None, *, out: Array, saved: dict, work: dict,
                              epsilon: float) -> None:
    """Write max(y, 0), by statistics that are given."""
    _by_statistics(x, mean, var, gamma, beta, out, saved["inv_std"], epsilon, relu=True)


def _by_statistics(x: Array, mean: Array, var: Array, gamma: Array | None, beta: Array | None,
                   y: Array, inv_std: Array, epsilon: float, relu: bool) -> None:
    plan = columns(x.shape, x.dtype.itemsize, few=0, least=2)
    blocks, threads, numbers, width = plan.launch(x, y)
    CODE.launch("inference", x.dtype, blocks, threads, x, mean, var, gamma, beta, inv_std, y,
                numbers, epsilon, defines=defines(width, relu))


# ---- group normalisation -------------------------------------------------------------------


def _group_workspace(x: Spec, *_: Spec | None, groups: int, epsilon: float) -> dict[str, Spec]:
    return columns(x.shape, x.dtype.itemsize, groups).sums(2)


@kernel_for("group_norm", workspace=_group_workspace)
def group_norm(x: Array, gamma: Array | None, beta: Array | None, *, out: Array, saved: dict,
               work: dict, groups: int, epsilon: float) -> None:
    """Write y."""
    found: tuple[Any, ...] = (saved["mean"], None, saved["inv_std"], saved["lost"])
    _forward(columns(x.shape, x.dtype.itemsize, groups), x, gamma, beta, out, found, None,
             work["sums"], epsilon, relu=False)
