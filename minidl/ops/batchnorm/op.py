"""Batch normalisation (Ioffe and Szegedy 2015) and group normalisation (Wu and He 2018).

y = gamma (x - mean) / sqrt(var + epsilon) + beta, x (N, ..., C), gamma and beta (C) or None

batch_norm takes mean and var (C) over all axes but the last and returns them too, var divided by
the count; batch_norm_inference gets them. group_norm takes them per sample and group of
neighbouring channels, over all places. With z = (x - mean) / sqrt(var + epsilon), averages over
what the statistics were taken over, and ggamma, gbeta sums over the rest:

ggamma = sum of gy z, gbeta = sum of gy
gx = (gamma gy - average of gamma gy - z * average of gamma gy z) / sqrt(var + epsilon)

`lost` is what rounding to the type of x added to the mean; backward takes it off again, so that a
mean much larger than the deviation costs no digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Shape, Spec, need_float, wide
from ..registry import BadCall, Inferred, Kernel, Sample, define, jointly
from . import layout

_CPU = f"{__package__}.cpu"
Array = np.ndarray

# ---- checks --------------------------------------------------------------------------------


def _check(op: str, x: Spec, epsilon: float, **channels: Spec | None) -> None:
    """Raise unless x is (N, ..., C) and all others (C), of x's type or beside halves float32."""
    given = {name: spec for name, spec in channels.items() if spec is not None}
    need_float(op, x=x)
    need_float(op, x=x._replace(dtype=wide(x.dtype)), **given)
    if x.ndim < 2 or not x.shape[-1]:
        raise ShapeError(op, f"got x of shape {x.shape}", "expected (N, ..., C)",
                         "Channels are the last axis.")
    for name, spec in given.items():
        if spec.shape != x.shape[-1:]:
            raise ShapeError(op, f"got {name} of shape {spec.shape}", f"expected {x.shape[-1:]}",
                             "One number per channel, the last axis of x.")
    if not epsilon >= 0:
        raise ArgumentError(op, f"got epsilon={epsilon}", "expected a number of at least 0",
                            "Common values are 1e-3 and 1e-5.")


def _need_elements(op: str, x: Spec) -> None:
    if not x.size:
        raise ShapeError(op, f"got x of shape {x.shape}", "there is nothing to take a mean of",
                         "Check that the batch is not empty.")


def infer_batch(x: Spec, gamma: Spec | None, beta: Spec | None, epsilon: float = 1e-3) -> Inferred:
    """Check a batch normalisation in training."""
    _check("batch_norm", x, epsilon, gamma=gamma, beta=beta)
    _need_elements("batch_norm", x)
    each = Spec(x.shape[-1:], wide(x.dtype))
    return Inferred((x, each, each), {"inv_std": each, "lost": each}, {"epsilon": float(epsilon)})


def infer_inference(x: Spec, mean: Spec, var: Spec, gamma: Spec | None, beta: Spec | None,
                    epsilon: float = 1e-3) -> Inferred:
    """Check a batch normalisation by given statistics."""
    _check("batch_norm_inference", x, epsilon, mean=mean, var=var, gamma=gamma, beta=beta)
    each = Spec(x.shape[-1:], wide(x.dtype))
    return Inferred((x,), {"inv_std": each}, {"epsilon": float(epsilon)})


def infer_group(x: Spec, gamma: Spec | None, beta: Spec | None, groups: int = 32,
                epsilon: float = 1e-3) -> Inferred:
    """Check a group normalisation."""
    _check("group_norm", x, epsilon, gamma=gamma, beta=beta)
    _need_elements("group_norm", x)
    if groups < 1 or x.shape[-1] % groups:
        raise ArgumentError("group_norm", f"got groups={groups}",
                            f"it must divide {x.shape[-1]} channels", "Change groups.")
    each = Spec((x.shape[0], groups), wide(x.dtype))
    return Inferred((x,), {"mean": each, "inv_std": each, "lost": each},
                    {"groups": int(groups), "epsilon": float(epsilon)})


# ---- references ----------------------------------------------------------------------------


def _scaled(z: Array, gamma: Array | None, beta: Array | None) -> Array:
    return z * (1 if gamma is None else gamma) + (0 if beta is None else beta)


def _reference_batch(x: Array, gamma: Array | None, beta: Array | None, epsilon: float = 1e-3
                     ) -> tuple[Array, ...]:
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    return _scaled((x - mean) / np.sqrt(var + epsilon), gamma, beta), mean, var


def _reference_inference(x: Array, mean: Array, var: Array, gamma: Array | None,
                         beta: Array | None, epsilon: float = 1e-3) -> Array:
    return _scaled((x - mean) / np.sqrt(var + epsilon), gamma, beta)


def _grouped(x: Array, groups: int) -> Array:
    """Return x as (N, places, groups, channels of a group)."""
    return x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)


def _reference_group(x: Array, gamma: Array | None, beta: Array | None, groups: int = 32,
                     epsilon: float = 1e-3) -> Array:
    grouped = _grouped(x, groups)
    mean = grouped.mean(axis=(1, 3), keepdims=True)
    z = (grouped - mean) / np.sqrt(grouped.var(axis=(1, 3), keepdims=True) + epsilon)
    return _scaled(z.reshape(x.shape), gamma, beta)


def _reference_gradient(gy: Array, x: Array, gamma: Array | None, mean: Array, inv_std: Array,
                        lost: Array | None, so_far: Array | None = None, *, input_gradient: bool,
                        groups: int | None = None) -> tuple[Array, ...]:
    """Return the gradients; x is one sample and every channel a group where groups is None."""
    shape = (1 if groups is None else x.shape[0], -1, x.shape[-1])
    g, v, scaled = (_grouped(a.reshape(shape), groups or x.shape[-1])
                    for a in (gy, x, _scaled(gy, gamma, None)))
    inverse = inv_std.reshape(g.shape[0], 1, -1, 1)
    z = (v - (mean if lost is None else mean - lost).reshape(inverse.shape)) * inverse
    sums = tuple(a.sum(axis=(0, 1)).reshape(-1) for a in (g * z, g))
    if not input_gradient:
        return sums
    average = partial(np.mean, axis=(1, 3), keepdims=True)
    gx = (scaled - average(scaled) - z * average(scaled * z)) * inverse
    gx = gx.reshape(x.shape)
    return (gx if so_far is None else gx + so_far, *sums)


# ---- gradients -----------------------------------------------------------------------------


def gradients_of(run: Callable, name: str, arrays: tuple[Array | None, ...],
                 wanted: tuple[str, ...], **attrs: Any) -> tuple[Array | None, ...]:
    """Run a gradient op and return gx, or None where it is not wanted, ggamma and gbeta."""
    found = run(name, *arrays, input_gradient="x" in wanted, **attrs)
    return found if "x" in wanted else (None, *found)


def _batch_rule(run: Callable, gy: Array, x: Array, gamma: Array | None, y1: Array,
                inv_std: Array, lost: Array, so_far: Array | None, wanted: tuple[str, ...]
                ) -> tuple[Array | None, ...]:
    return gradients_of(run, "batch_norm_gradient", (gy, x, gamma, y1, inv_std, lost, so_far),
                        wanted)


def _group_rule(run: Callable, gy: Array, x: Array, gamma: Array | None, mean: Array,
                inv_std: Array, lost: Array, wanted: tuple[str, ...], groups: int
                ) -> tuple[Array | None, ...]:
    return gradients_of(run, "group_norm_gradient", (gy, x, gamma, mean, inv_std, lost), wanted,
                        groups=groups)


def _inference_rule(run: Callable, gy: Array, gamma: Array | None, inv_std: Array) -> Array:
    return run("multiply", gy, inv_std if gamma is None else run("multiply", gamma, inv_std))


def _parameter_rule(run: Callable, gy: Array, x: Array, mean: Array, inv_std: Array
                    ) -> tuple[Array, ...]:
    return run("batch_norm_gradient", gy, x, None, mean, inv_std, None, None,
               input_gradient=False)


# ---- the ops -------------------------------------------------------------------------------


def _positive(rng: np.random.Generator) -> Array:
    return rng.random(4) + 0.5


def _positive_pairs(rng: np.random.Generator) -> Array:
    return rng.random((2, 2)) + 0.5


def _kernels(name: str, workspace: Callable) -> tuple[Kernel, ...]:
    return (Kernel("default", f"{_CPU}:{name}", workspace=workspace),)


def _bad_calls(*statistics: Any, **attrs: Any) -> tuple[BadCall, ...]:
    wrong: tuple[tuple[Shape, Any, Any, Mapping[str, Any], str], ...] = (
        ((4,), None, None, {}, "expected (N, ..., C)"),
        ((2, 4), (3,), None, {}, "got gamma of shape (3,)"),
        ((2, 4), None, (4, 1), {}, "got beta of shape (4, 1)"),
        ((2, 4), None, None, {"epsilon": -1.0}, "at least 0"))
    return (*(BadCall((x, *statistics, gamma, beta), {**attrs, **more}, text)
              for x, gamma, beta, more, text in wrong),
            BadCall((np.zeros((2, 4), int), *statistics, None, None), attrs, "expected float"))


define("batch_norm", inputs=("x", "gamma", "beta"), optional=("gamma", "beta"), infer=infer_batch,
       reference=_reference_batch, kernels=_kernels("batch_norm", layout.batch_norm_workspace),
       gradients=jointly("x", "gamma", "beta", rule=_batch_rule),
       flops=lambda x, *_, **__: 7 * x.size,
       samples=(Sample(((5, 4), (4,), (4,))), Sample(((2, 3, 5, 4), (4,), None), {"epsilon": 0.1}),
                Sample(((3, 6, 4), None, (4,))), Sample(((7, 3), None, None)),
                Sample((lambda rng: rng.standard_normal((40, 60, 3)) + 5, (3,), (3,))),
                Sample(((150, 520), (520,), (520,)))),
       bad_calls=(*_bad_calls(), BadCall(((0, 4), None, None), {}, "nothing to take a mean of")))
define("batch_norm_gradient", inputs=("gy", "x", "gamma", "mean", "inv_std", "lost", "so_far"),
       optional=("gamma", "lost", "so_far"),
       infer=lambda gy, x, gamma, mean, inv_std, lost, so_far, input_gradient: Inferred(
           (*((x,) if input_gradient else ()), mean, mean),
           attrs={"input_gradient": input_gradient}),
       reference=_reference_gradient,
       doc="gx, plus so_far if there is one, ggamma and gbeta of batch_norm, from shared sums",
       kernels=_kernels("batch_norm_gradient", layout.batch_gradient_workspace),
       flops=lambda gy, *_, input_gradient: (9 if input_gradient else 4) * gy.size,
       samples=(Sample(((2, 3, 4), (2, 3, 4), (4,), (4,), _positive, (4,), None),
                       {"input_gradient": True}),
                Sample(((64, 4), (64, 4), None, (4,), _positive, None, (64, 4)),
                       {"input_gradient": True}),
                Sample(((2, 3, 4), (2, 3, 4), None, (4,), _positive, None, None),
                       {"input_gradient": False})))
define("batch_norm_inference", inputs=("x", "mean", "var", "gamma", "beta"),
       optional=("gamma", "beta"), infer=infer_inference, reference=_reference_inference,
       kernels=_kernels("batch_norm_inference", layout.inference_workspace),
       gradients={"x": _inference_rule, **jointly("gamma", "beta", rule=_parameter_rule)},
       flops=lambda x, *_, **__: 3 * x.size,
       samples=(Sample(((2, 3, 4), (4,), _positive, (4,), (4,))),
                Sample(((2, 5, 4), (4,), _positive, None, (4,)), {"epsilon": 0.1}),
                Sample(((160, 4), (4,), _positive, (4,), None)),
                Sample(((3, 4), (4,), _positive, None, None))),
       bad_calls=(*_bad_calls((4,), (4,))[1:], BadCall(
           ((2, 4), (4,), (3,), None, None), {}, "got var of shape (3,)")))
define("group_norm", inputs=("x", "gamma", "beta"), optional=("gamma", "beta"), infer=infer_group,
       reference=_reference_group, kernels=_kernels("group_norm", layout.group_norm_workspace),
       gradients=jointly("x", "gamma", "beta", rule=_group_rule),
       flops=lambda x, *_, **__: 7 * x.size,
       samples=(Sample(((2, 3, 5, 4), (4,), (4,)), {"groups": 2}),
                Sample(((3, 5, 6), (6,), None), {"groups": 6, "epsilon": 0.1}),
                Sample(((3, 5, 6), None, (6,)), {"groups": 1}),
                Sample(((5, 8), None, None), {"groups": 4}),
                Sample(((2, 36, 30, 4), (4,), (4,)), {"groups": 2})),
       bad_calls=(*_bad_calls(groups=2), BadCall(((0, 4), None, None), {"groups": 2}, "nothing to"),
                  BadCall(((2, 4), None, None), {"groups": 3}, "it must divide 4 channels")))
define("group_norm_gradient", inputs=("gy", "x", "gamma", "mean", "inv_std", "lost"),
       optional=("gamma",),
       infer=lambda gy, x, gamma, mean, inv_std, lost, groups, input_gradient: Inferred(
           (*((x,) if input_gradient else ()), *(Spec(x.shape[-1:], wide(x.dtype)),) * 2),
           attrs={"groups": groups, "input_gradient": input_gradient}),
       reference=_reference_gradient, doc="gx, ggamma and gbeta of group_norm, from shared sums",
       kernels=_kernels("group_norm_gradient", layout.group_gradient_workspace),
       flops=lambda gy, *_, input_gradient, **__: (9 if input_gradient else 4) * gy.size,
       samples=tuple(Sample(((2, 3, 4), (2, 3, 4), gamma, (2, 2), _positive_pairs, (2, 2)),
                            {"groups": 2, "input_gradient": wanted})
                     for gamma, wanted in (((4,), True), (None, False))))


def _infer_move(moving_mean: Spec, moving_variance: Spec, mean: Spec, variance: Spec,
                momentum: float = 0.99) -> Inferred:
    given = {"moving_mean": moving_mean, "moving_variance": moving_variance, "mean": mean,
             "variance": variance}
    need_float("move_statistics", **given)
    for name, spec in given.items():
        if spec.shape != mean.shape:
            raise ShapeError("move_statistics", f"got {name} of shape {spec.shape}",
                             f"expected {mean.shape}", "One number per channel in each.")
    return Inferred((moving_mean, moving_variance), attrs={"momentum": float(momentum)})


define("move_statistics", inputs=("moving_mean", "moving_variance", "mean", "variance"),
       infer=_infer_move, may_overwrite=((0, 0), (1, 1)),
       flops=lambda mean, *_, **__: 6 * mean.size,
       reference=lambda a, b, mean, variance, momentum=0.99: tuple(
           momentum * moving + (1 - momentum) * new for moving, new in ((a, mean), (b, variance))),
       kernels=_kernels("move_statistics", lambda mean, *_, **__: {"part": mean}),
       doc="moving = momentum moving + (1 - momentum) batch, for means and variances",
       samples=(Sample(((4,), (4,), (4,), (4,))), Sample(((3,),) * 4, {"momentum": 0.5})),
       bad_calls=(BadCall(((4,), (4,), (3,), (4,)), {}, "One number per channel"),))
