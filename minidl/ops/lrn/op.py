"""Local response normalisation over neighbouring channels (Krizhevsky et al. 2012, section 3.3).

y[..., c] = x[..., c] / scale[..., c]^beta
scale[..., c] = bias + alpha * sum of x[..., k]^2 over |k - c| <= depth_radius

x (..., C); channels beyond the first and last count as 0. Names and defaults are TensorFlow's; the
paper's values are depth_radius 2, bias 2, alpha 1e-4, beta 0.75. PyTorch's alpha is that of the
average: alpha_here = alpha_torch / (2 depth_radius + 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import config
from ...errors import ArgumentError, ShapeError
from ...spec import Spec, need_float
from ..registry import BadCall, Inferred, Kernel, Sample, define

Array = np.ndarray


def infer(x: Spec, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5
          ) -> Inferred:
    """Check a local response normalisation; saves the scale of every element."""
    need_float("local_response_norm", x=x)
    if not x.ndim or not x.shape[-1]:
        raise ShapeError("local_response_norm", f"got x of shape {x.shape}", "expected (..., C)",
                         "Channels are the last axis.")
    if not isinstance(depth_radius, (int, np.integer)) or depth_radius < 0:
        raise ArgumentError("local_response_norm", f"got depth_radius={depth_radius!r}",
                            "expected an integer of at least 0",
                            "It is the number of channels on either side.")
    if not (bias > 0 and alpha >= 0):
        raise ArgumentError("local_response_norm", f"got bias={bias}, alpha={alpha}",
                            "expected bias > 0 and alpha >= 0", "The scale must be positive.")
    return Inferred((x,), {"scale": x}, {"depth_radius": int(depth_radius), "bias": float(bias),
                                         "alpha": float(alpha), "beta": float(beta)})


def _around(values: Array, radius: int) -> Array:
    """Sum over the channels at most `radius` away."""
    channels = values.shape[-1]
    return np.stack([values[..., max(c - radius, 0):c + radius + 1].sum(axis=-1)
                     for c in range(channels)], axis=-1)


def reference(x: Array, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0,
              beta: float = 0.5) -> Array:
    """Compute the definition."""
    return x / (bias + alpha * _around(x * x, depth_radius)) ** beta


def _reference_gradient(gy: Array, x: Array, scale: Array, depth_radius: int, alpha: float,
                        beta: float) -> Array:
    return gy * scale ** -beta - 2 * alpha * beta * x * _around(
        gy * x * scale ** (-beta - 1), depth_radius)


def _rule(run: Callable, gy: Array, x: Array, scale: Array, depth_radius: int, alpha: float,
          beta: float) -> Array:
    return run("local_response_norm_gradient", gy, x, scale, depth_radius=depth_radius, alpha=alpha,
               beta=beta)


def _workspace(gy: Spec, *_: Spec, **__: Any) -> dict[str, Spec]:
    return {"rows": Spec((config.num_threads(), 2, gy.shape[-1]), gy.dtype)}


def _flops(x: Spec, depth_radius: int, **_: Any) -> int:
    return (2 * depth_radius + 8) * x.size


PAPER = {"depth_radius": 2, "bias": 2.0, "alpha": 1e-4, "beta": 0.75}
define("local_response_norm", inputs=("x",), infer=infer, reference=reference, flops=_flops,
       kernels=(Kernel("default", f"{__package__}.cpu:local_response_norm"),),
       gradients={"x": _rule},
       samples=(Sample(((2, 3, 14),)), Sample(((2, 2, 3, 9),), {**PAPER, "alpha": 0.3}),
                Sample(((5, 4),), {"depth_radius": 7, "bias": 0.5, "beta": 1.2}),
                Sample(((4, 6),), {"depth_radius": 0, "alpha": 0.2}), Sample(((3, 7),), PAPER)),
       bad_calls=(BadCall(((),), {}, "expected (..., C)"),
                  BadCall(((2, 4),), {"depth_radius": -1}, "at least 0"),
                  BadCall(((2, 4),), {"depth_radius": 1.5}, "expected an integer"),
                  BadCall(((2, 4),), {"bias": 0.0}, "bias > 0"),
                  BadCall((np.zeros((2, 4), int),), {}, "expected float")))
define("local_response_norm_gradient", inputs=("gy", "x", "scale"),
       infer=lambda gy, x, scale, depth_radius, alpha, beta: Inferred((x,), attrs={
           "depth_radius": depth_radius, "alpha": alpha, "beta": beta}),
       reference=_reference_gradient, flops=lambda gy, *_, depth_radius, **__: (
           (2 * depth_radius + 8) * gy.size),
       doc="gx = gy scale^-beta - 2 alpha beta x * sum of gy x scale^(-beta - 1) around",
       kernels=(Kernel("default", f"{__package__}.cpu:local_response_norm_gradient",
                       workspace=_workspace),),
       samples=tuple(Sample(((2, 3, 9), (2, 3, 9), lambda rng: rng.random((2, 3, 9)) + 0.5),
                            {"depth_radius": 2, "alpha": 0.4, "beta": beta})
                     for beta in (0.5, 0.75, 1.3)))
