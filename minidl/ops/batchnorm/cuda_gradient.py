"""GPU kernels of the gradients of batch and group normalisation.

Three launches: sums of gy and gy (x - mean) part by part, their coefficients, gx; group
normalisation adds ggamma and gbeta up in a fourth. One, where a block can see all rows of its
channels.
"""

from __future__ import annotations

import numpy as np

from ...backend.device import Source
from ...spec import Spec
from ..columns import Columns, columns, second_threads
from ..registry import kernel_for
from .cuda import defines

CODE = Source(__file__, "gradient.cu")
FLOAT32 = np.dtype("float32")
Array = np.ndarray

# ---- batch normalisation -------------------------------------------------------------------


def _workspace(plan: Columns, dtype: np.dtype, input_gradient: bool) -> dict[str, Spec]:
    shape = (plan.samples, 2, plan.channels // plan.size)
    terms = {"terms": Spec(shape, np.promote_types(dtype, FLOAT32))} if input_gradient else {}
    return plan.sums(2) | terms


def _batch_workspace(gy: Spec, *_: Spec | None, input_gradient: bool) -> dict[str, Spec]:
    return _workspace(columns(gy.shape, gy.dtype.itemsize), gy.dtype, input_gradient)


@kernel_for("batch_norm_gradient", workspace=_batch_workspace)
def batch_norm_gradient(gy: Array, x: Array, gamma: Array | None, mean: Array, inv_std: Array,
                        lost: Array | None, so_far: Array | None, *, out: tuple[Array, ...],
                        saved: dict, work: dict, input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta."""
    _batch(gy, x, gamma, mean, inv_std, lost, so_far, None, out, work)


@kernel_for("batch_norm_relu_gradient", workspace=_batch_workspace)
def batch_norm_relu_gradient(gy: Array, x: Array, gamma: Array | None, mean: Array,
                             inv_std: Array, lost: Array, so_far: Array | None, offset: Array, *,
                             out: tuple[Array, ...], saved: dict, work: dict,
                             input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta, for gy of max(y, 0)."""
    _batch(gy, x, gamma, mean, inv_std, lost, so_far, offset, out, work)


def _batch(gy: Array, x: Array, gamma: Array | None, mean: Array, inv_std: Array,
           lost: Array | None, so_far: Array | None, offset: Array | None,
           out: tuple[Array, ...], work: dict) -> None:
    plan, terms = columns(x.shape, x.dtype.itemsize), work.get("terms")
    *wanted, ggamma, gbeta = out
    gx = wanted[0] if wanted else None
    blocks, threads, numbers, width = plan.launch(gy, x, so_far, gx)
    given, about = defines(width, offset is not None), (gamma, mean, inv_std)
    if plan.whole:
        CODE.launch("whole", x.dtype, blocks, threads, gy, x, *about, lost, offset, terms, so_far,
                    gx, ggamma, gbeta, numbers, defines=given)
        return
    sums = work["sums"]
    CODE.launch("products", x.dtype, blocks, threads, gy, x, *about, offset, sums, numbers,
                defines=given)
    CODE.launch("channels", x.dtype, plan.channels, second_threads(plan.fold * plan.parts), sums,
                gamma, inv_std, lost, terms, ggamma, gbeta, numbers, defines=given)
    if gx is not None:
        CODE.launch("input", x.dtype, blocks, threads, gy, x, *about, offset, terms, so_far, gx,
                    numbers, defines=given)


# ---- group normalisation -------------------------------------------------------------------


def _group_workspace(gy: Spec, *_: Spec | None, groups: int, input_gradient: bool
                     ) -> dict[str, Spec]:
    return _workspace(columns(gy.shape, gy.dtype.itemsize, groups), gy.dtype, input_gradient)


@kernel_for("group_norm_gradient", workspace=_group_workspace)
def group_norm_gradient(gy: Array, x: Array, gamma: Array | None, mean: Array, inv_std: Array,
                        lost: Array, *, out: tuple[Array, ...], saved: dict, work: dict,
                        groups: int, input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta."""
    plan, sums = columns(x.shape, x.dtype.itemsize, groups), work["sums"]
    blocks, threads, numbers, width = plan.launch(gy, x, out[0] if input_gradient else None)
    given, about = defines(width, relu=False), (gamma, mean, inv_std, None)
    CODE.launch("products", x.dtype, blocks, threads, gy, x, *about, sums, numbers, defines=given)
    CODE.launch("parameters", x.dtype, plan.channels,
                second_threads(plan.samples * plan.fold * plan.parts), sums, inv_std, lost,
                *out[-2:], numbers, plan.samples, defines=given)
    if not input_gradient:
        return
    CODE.launch("groups", x.dtype, plan.samples * groups,
                second_threads(plan.size * plan.fold * plan.parts), sums, gamma, inv_std, lost,
                work["terms"], numbers, defines=given)
    CODE.launch("input", x.dtype, blocks, threads, gy, x, *about, work["terms"], None, out[0],
                numbers, defines=given)
