"""Batch normalisation in training, then relu.

y = max(gamma (x - mean) / sqrt(var + epsilon) + beta, 0), and the mean and var of batch_norm.
Backward finds out from x where the result was above 0, so y is not kept for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...spec import Spec
from .. import registry
from ..batchnorm import layout
from ..batchnorm.op import gradients_of, infer_batch
from ..registry import Inferred, Kernel, Sample, define, jointly

Array = np.ndarray
_PLAIN, _PLAIN_GRADIENT = registry.get("batch_norm"), registry.get("batch_norm_gradient")
_CPU = "minidl.ops.batchnorm.cpu"


def infer(x: Spec, gamma: Spec | None, beta: Spec | None, epsilon: float = 1e-3) -> Inferred:
    """Check a call; saves what forward added after multiplying, in its own digits."""
    plain = infer_batch(x, gamma, beta, epsilon)
    return Inferred(plain.out, {**plain.saved, "offset": plain.out[1]}, plain.attrs)


def _reference(x: Array, gamma: Array | None, beta: Array | None, epsilon: float = 1e-3
               ) -> tuple[Array, ...]:
    y, mean, var = _PLAIN.reference(x, gamma, beta, epsilon)
    return np.maximum(y, 0), mean, var


def _rule(run: Callable, gy: Array, x: Array, gamma: Array | None, y1: Array, inv_std: Array,
          lost: Array, so_far: Array | None, offset: Array, wanted: tuple[str, ...]
          ) -> tuple[Array | None, ...]:
    return gradients_of(run, "batch_norm_relu_gradient",
                        (gy, x, gamma, y1, inv_std, lost, so_far, offset), wanted)


def _reference_gradient(gy: Array, x: Array, gamma: Array | None, mean: Array, inv_std: Array,
                        lost: Array, so_far: Array | None, offset: Array, input_gradient: bool
                        ) -> tuple[Array, ...]:
    y = (x - mean) * inv_std * (1 if gamma is None else gamma) + offset
    return _PLAIN_GRADIENT.reference(np.where(y > 0, gy, 0), x, gamma, mean, inv_std, lost,
                                     so_far, input_gradient=input_gradient)


def _infer_gradient(gy: Spec, x: Spec, gamma: Spec | None, mean: Spec, inv_std: Spec, lost: Spec,
                    so_far: Spec | None, offset: Spec, input_gradient: bool) -> Inferred:
    return Inferred((*((x,) if input_gradient else ()), mean, mean),
                    attrs={"input_gradient": input_gradient})


def _positive(rng: np.random.Generator) -> Array:
    return rng.random(4) + 0.5


def _kernel(name: str, workspace: Callable) -> dict[str, Any]:
    return {"kernels": (Kernel("default", f"{_CPU}:{name}", workspace=workspace),)}


define("batch_norm_relu", inputs=_PLAIN.inputs, optional=_PLAIN.optional, infer=infer,
       reference=_reference, gradients=jointly("x", "gamma", "beta", rule=_rule),
       flops=_PLAIN.flops, samples=_PLAIN.samples, bad_calls=_PLAIN.bad_calls,
       **_kernel("batch_norm_relu", layout.batch_norm_workspace))
define("batch_norm_relu_gradient", inputs=(*_PLAIN_GRADIENT.inputs, "offset"),
       optional=("gamma", "so_far"), infer=_infer_gradient, reference=_reference_gradient,
       flops=_PLAIN_GRADIENT.flops,
       doc="gx, plus so_far if there is one, ggamma and gbeta of batch_norm_relu",
       samples=(Sample(((2, 3, 4), (2, 3, 4), (4,), (4,), _positive, (4,), (2, 3, 4), (4,)),
                       {"input_gradient": True}),
                Sample(((64, 4), (64, 4), None, (4,), _positive, (4,), None, (4,)),
                       {"input_gradient": True}),
                Sample(((2, 3, 4), (2, 3, 4), None, (4,), _positive, (4,), None, (4,)),
                       {"input_gradient": False})),
       **_kernel("batch_norm_relu_gradient", layout.batch_gradient_workspace))
