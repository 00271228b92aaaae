"""One-dimensional convolution of sequences.

y[n, p, f] = b[f] + sum over i, c of x[n, p*s + i*d - l, c] w[i, c, f]

x (N, L, C), w (K, C / groups, F), b (F) or None, y (N, P, F), with stride s, dilation d and l zeros
before x. P = floor((L + pads - (K - 1) d - 1) / s) + 1. It is computed as the convolution of images
of one row, by the kernels of conv2d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import (
    Pads,
    Shape,
    Spec,
    need_float,
    need_ndim,
    padding_pairs,
    spec_of,
    tuple_of,
    window_output,
)
from ..conv2d import op as _conv2d  # noqa: F401 (its kernels do the work)
from ..lift import lifted, lifted_kernels, run_lifted
from ..registry import BadCall, Inferred, Sample, define

Length = int | Sequence[int]


def check_kernel(op: str, x: Spec, w: Spec, b: Spec | None, groups: int) -> None:
    """Raise unless x (N, L, C), w (K, C / groups, F) and b (F) fit."""
    need_float(op, x=x, w=w, **({} if b is None else {"b": b}))
    need_ndim(op, "x", x, 3, "(N, L, C)")
    need_ndim(op, "w", w, 3, "(K, C, F)")
    if groups < 1 or x.shape[2] % groups or w.shape[2] % groups:
        raise ArgumentError(op, f"got groups={groups}", f"it must divide {x.shape[2]} input and "
                            f"{w.shape[2]} output channels", "Change groups or the channels.")
    if x.shape[2] != w.shape[1] * groups:
        raise ShapeError(op, f"got x of shape {x.shape}",
                         f"the kernel is {w.shape} with groups={groups}, so it expects "
                         f"{w.shape[1] * groups} input channels",
                         "Channels are the last axis; transpose x or change the layer.")
    if b is not None and b.shape != w.shape[2:]:
        raise ShapeError(op, f"got b of shape {b.shape}", f"expected {w.shape[2:]}",
                         "One bias per output channel.")


def infer(x: Spec, w: Spec, b: Spec | None, stride: Length = 1, padding: Any = "valid",
          dilation: Length = 1, groups: int = 1) -> Inferred:
    """Check a convolution and return the shape of its result."""
    check_kernel("conv1d", x, w, b, groups)
    sizes, window = x.shape[1:2], w.shape[:1]
    step = tuple_of("conv1d", "stride", stride, 1)
    spread = tuple_of("conv1d", "dilation", dilation, 1)
    pads = padding_pairs("conv1d", padding, sizes, window, step, spread)
    positions = window_output("conv1d", sizes, window, step, pads, spread)
    return Inferred((Spec((x.shape[0], *positions, w.shape[2]), x.dtype),), attrs={
        "stride": step, "padding": pads, "dilation": spread, "groups": groups})


def reference(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Length = 1,
              padding: Any = "valid", dilation: Length = 1, groups: int = 1) -> np.ndarray:
    """Add up the contribution of every kernel position."""
    inferred = infer(spec_of(x), spec_of(w), None if b is None else spec_of(b), stride, padding,
                     dilation, groups)
    (s,), (d,), pads = (inferred.attrs[k] for k in ("stride", "dilation", "padding"))
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    y = np.zeros(inferred.out[0].shape)
    c, f = w.shape[1], w.shape[2] // groups
    for i, p, g in np.ndindex(len(w), y.shape[1], groups):
        y[:, p, g * f:g * f + f] += (
            padded[:, p * s + i * d, g * c:g * c + c] @ w[i, :, g * f:g * f + f])
    return y if b is None else y + b


def _input_rule(run: Callable, gy: np.ndarray, w: np.ndarray, x_spec: Spec, stride: Shape,
                padding: Pads, dilation: Shape, groups: int) -> np.ndarray:
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return run_lifted(run, "conv2d_input_gradient", lifted(gy), lifted(w, 0),
                      size=x_spec.shape[1:2], **attrs)[:, 0]


def _weight_rule(run: Callable, gy: np.ndarray, x: np.ndarray, w_spec: Spec, stride: Shape,
                 padding: Pads, dilation: Shape, groups: int) -> np.ndarray:
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return run_lifted(run, "conv2d_weight_gradient", lifted(x), lifted(gy),
                      window=w_spec.shape[:1], **attrs)[0]


def _flops(x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> int:
    return 2 * infer(x, w, b, **attrs).out[0].size * w.size // w.shape[2]


define("conv1d", inputs=("x", "w", "b"), optional=("b",), infer=infer, reference=reference,
       kernels=lifted_kernels("conv2d", (1, 0, None)), flops=_flops,
       gradients={"x": _input_rule, "w": _weight_rule,
                  "b": lambda run, gy: run("sum", gy, axis=(0, 1))},
       samples=(Sample(((2, 9, 3), (4, 3, 5), (5,))),
                Sample(((2, 9, 3), (4, 3, 5), None), {"stride": 2, "padding": "same"}),
                Sample(((2, 10, 2), (3, 2, 4), (4,)), {"dilation": 3, "padding": ((2, 1),)}),
                Sample(((3, 8, 4), (2, 2, 6), (6,)), {"groups": 2, "padding": 1, "stride": 3}),
                Sample(((2, 7, 3), (3, 1, 3), None), {"groups": 3, "padding": "same"}),
                Sample(((2, 6, 7), (1, 7, 5), (5,)))),
       bad_calls=(BadCall(((1, 4, 4, 3), (3, 3, 4), None), {}, "expected (N, L, C)"),
                  BadCall(((1, 9, 4), (3, 3, 4), None), {}, "expects 3 input channels"),
                  BadCall(((1, 2, 3), (3, 3, 4), None), {}, "does not fit"),
                  BadCall(((1, 9, 3), (3, 3, 4), (5,)), {}, "One bias per output channel"),
                  BadCall(((1, 9, 3), (3, 3, 4), None), {"padding": "full"}, "padding='full'"),
                  BadCall(((1, 9, 3), (3, 3, 4), None), {"stride": 0}, "at least 1"),
                  BadCall(((1, 9, 4), (3, 2, 3), None), {"groups": 2}, "it must divide"),
                  BadCall((np.zeros((1, 9, 3), int), (3, 3, 4), None), {}, "expected float")))
