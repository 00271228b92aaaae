"""Layer normalisation (Ba et al. 2016): every row of channels has mean 0 and variance 1.

y = gamma z + beta, z = (x - mean) / sqrt(var + epsilon)

x (..., C), gamma and beta (C) or None; mean and var (divided by C) are those of each row of x. With
averages over the row: gx = (gamma gy - average of gamma gy - z * average of gamma gy z) /
sqrt(var + epsilon); ggamma = sum of gy z and gbeta = sum of gy over all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Spec, need_float
from ..reduce.layout import BLOCK
from ..registry import BadCall, Inferred, Kernel, Sample, define, jointly

Array = np.ndarray


def infer(x: Spec, gamma: Spec | None, beta: Spec | None, epsilon: float = 1e-3) -> Inferred:
    """Check a layer normalisation; saves the mean and 1 / sqrt(var + epsilon) of each row."""
    given = {k: v for k, v in (("gamma", gamma), ("beta", beta)) if v is not None}
    need_float("layer_norm", x=x, **given)
    if not x.ndim or not x.shape[-1]:
        raise ShapeError("layer_norm", f"got x of shape {x.shape}", "expected (..., C)",
                         "Give at least one channel.")
    for name, spec in given.items():
        if spec.shape != x.shape[-1:]:
            raise ShapeError("layer_norm", f"got {name} of shape {spec.shape}",
                             f"expected {x.shape[-1:]}",
                             "One number per channel, the last axis of x.")
    if not epsilon >= 0:
        raise ArgumentError("layer_norm", f"got epsilon={epsilon}",
                            "expected a number of at least 0", "Common values are 1e-3 and 1e-5.")
    row = Spec(x.shape[:-1], x.dtype)
    return Inferred((x,), {"mean": row, "inv_std": row}, {"epsilon": float(epsilon)})


# ---- references ----------------------------------------------------------------------------


def reference(x: Array, gamma: Array | None, beta: Array | None, epsilon: float = 1e-3) -> Array:
    """Compute the definition."""
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    z = (x - mean) / np.sqrt(var + epsilon)
    return z * (1 if gamma is None else gamma) + (0 if beta is None else beta)


def _normal(x: Array, mean: Array, inv_std: Array) -> Array:
    return (x - mean[..., None]) * inv_std[..., None]


def _reference_gradient(gy: Array, x: Array, gamma: Array | None, mean: Array, inv_std: Array
                        ) -> Array:
    g, z = gy * (1 if gamma is None else gamma), _normal(x, mean, inv_std)
    average, scaled = g.mean(axis=-1, keepdims=True), (g * z).mean(axis=-1, keepdims=True)
    return (g - average - z * scaled) * inv_std[..., None]


def _reference_parameters(gy: Array, x: Array, mean: Array, inv_std: Array) -> tuple[Array, Array]:
    rows = tuple(range(gy.ndim - 1))
    return (gy * _normal(x, mean, inv_std)).sum(axis=rows), gy.sum(axis=rows)


# ---- the ops -------------------------------------------------------------------------------


def parts(rows: int, channels: int) -> int:
    """Return into how many parts the rows are cut for ggamma and gbeta."""
    return max(1, round(rows / max(16, BLOCK // channels)))


def _workspace(gy: Spec, x: Spec, mean: Spec, inv_std: Spec) -> dict[str, Spec]:
    count = parts(math.prod(gy.shape[:-1]), gy.shape[-1])
    return {"sums": Spec((count, 2, gy.shape[-1]), np.dtype("float64"))}


def _input_rule(run: Callable, gy: Array, x: Array, gamma: Array | None, mean: Array,
                inv_std: Array) -> Array:
    return run("layer_norm_gradient", gy, x, gamma, mean, inv_std)


def _parameter_rule(run: Callable, gy: Array, x: Array, mean: Array, inv_std: Array
                    ) -> tuple[Array, Array]:
    return run("layer_norm_parameter_gradient", gy, x, mean, inv_std)


define("layer_norm", inputs=("x", "gamma", "beta"), optional=("gamma", "beta"), infer=infer,
       reference=reference, flops=lambda x, *_, **__: 8 * x.size,
       gradients={"x": _input_rule, **jointly("gamma", "beta", rule=_parameter_rule)},
       samples=(Sample(((5, 4), (4,), (4,))), Sample(((2, 3, 5), (5,), None), {"epsilon": 0.1}),
                Sample(((2, 3, 5), None, (5,))), Sample(((6, 7), None, None)),
                Sample((lambda rng: rng.standard_normal((700, 70)) + 5, (70,), (70,)))),
       bad_calls=(BadCall(((), None, None), {}, "expected (..., C)"),
                  BadCall(((2, 4), (3,), None), {}, "got gamma of shape (3,)"),
                  BadCall(((2, 4), None, (4, 1)), {}, "got beta of shape (4, 1)"),
                  BadCall(((2, 4), None, None), {"epsilon": -1.0}, "at least 0"),
                  BadCall((np.zeros((2, 4), int), None, None), {}, "expected float")))
define("layer_norm_gradient", inputs=("gy", "x", "gamma", "mean", "inv_std"), optional=("gamma",),
       infer=lambda gy, x, gamma, mean, inv_std: x, reference=_reference_gradient,
       doc="gx of layer_norm", flops=lambda gy, *_: 11 * gy.size,
       samples=(Sample(((2, 3, 4), (2, 3, 4), (4,), (2, 3), (2, 3))),
                Sample(((5, 4), (5, 4), None, (5,), (5,)))))
define("layer_norm_parameter_gradient", inputs=("gy", "x", "mean", "inv_std"),
       infer=lambda gy, x, mean, inv_std: Inferred((Spec(x.shape[-1:], x.dtype),) * 2),
       reference=_reference_parameters, doc="ggamma and gbeta of layer_norm, from one pass",
       kernels=(Kernel("default", f"{__package__}.cpu:layer_norm_parameter_gradient",
                       workspace=_workspace),),
       flops=lambda gy, *_: 5 * gy.size,
       samples=(Sample(((2, 3, 4), (2, 3, 4), (2, 3), (2, 3))),
                Sample(((1500, 40), (1500, 40), (1500,), (1500,)))))
