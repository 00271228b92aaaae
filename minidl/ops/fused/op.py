"""Ops that end in relu, relu6 or a sum: convolutions, dense layers, batch normalisation.

conv2d_relu, conv1d_relu, linear_relu, batch_norm_inference_relu: max(y, 0) with y the plain op
(see `rectified.py`). conv2d_relu6: min(max(y, 0), 6) (see `capped.py`). add_relu: max(a + b, 0),
a and b of one shape. And ops that end in a sum, conv2d_add and conv2d_input_gradient_add (see
`added.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...spec import Spec
from ..batchnorm.layout import FLOAT64, inference_workspace, layout
from ..batchnorm.op import infer_inference  # noqa: F401 (defines the plain op)
from ..conv1d import op as _conv1d  # noqa: F401
from ..lift import lifted_kernels
from ..matmul import op as _matmul  # noqa: F401
from ..pointwise.op import expression
from ..registry import Inferred, Kernel, Sample, define, jointly
from .added import added
from .capped import capped
from .rectified import rectified

Array = np.ndarray

rectified("conv2d", bias="b")
rectified("conv1d", bias="b", kernels=lifted_kernels("conv2d_relu", (1, 0, None)))
rectified("linear", bias="b")
rectified("batch_norm_inference", kernels=(Kernel(
    "default", "minidl.ops.batchnorm.cpu:batch_norm_inference_relu",
    workspace=inference_workspace),))
capped("conv2d")
added("conv2d")
added("conv2d_input_gradient")

# ---- sums ----------------------------------------------------------------------------------


def _add_rule(run: Callable, gy: Array, y: Array) -> tuple[Array, Array]:
    """Both inputs get the same gradient, in one buffer."""
    gz = run("relu_gradient_x", gy, y)
    return gz, gz


expression("add_relu", "0 if a + b < 0 else a + b", {}, lambda a, b: np.maximum(a + b, 0),
           inputs=("a", "b"), rules=jointly("a", "b", rule=_add_rule))

# ---- the gradient of a bias and relu -------------------------------------------------------


def _infer_gradient(gy: Spec, y: Spec, summed: bool) -> Inferred:
    total = (Spec(gy.shape[-1:], gy.dtype),) if summed else ()
    return Inferred((gy, *total), attrs={"summed": summed})


def _workspace(gy: Spec, y: Spec, summed: bool) -> dict[str, Spec]:
    plan = layout(gy.shape)
    return {"sums": plan.sums(1), "lanes": plan.lanes(1, gy.dtype),
            "total": Spec((plan.channels,), FLOAT64)} if summed else {}


def _reference_gradient(gy: Array, y: Array, summed: bool) -> Array | tuple[Array, Array]:
    gz = np.where(y > 0, gy, 0)
    return (gz, gz.sum(axis=tuple(range(gy.ndim - 1)))) if summed else gz


define("relu_bias_gradient", inputs=("gy", "y"), infer=_infer_gradient,
       reference=_reference_gradient, may_overwrite=((0, 0),),
       kernels=(Kernel("default", f"{__package__}.cpu:relu_bias_gradient", workspace=_workspace),),
       doc="gz = gy where y > 0, else 0, and its sum over all axes but the last if `summed`",
       flops=lambda gy, y, summed: (2 if summed else 1) * gy.size,
       samples=(Sample(((3, 4), (3, 4)), {"summed": True}),
                Sample(((2, 3, 70), (2, 3, 70)), {"summed": False}),
                Sample(((40, 30, 5), (40, 30, 5)), {"summed": True}),
                Sample(((20, 520), (20, 520)), {"summed": True})))
