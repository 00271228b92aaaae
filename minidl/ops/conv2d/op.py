"""Two-dimensional convolution (cross-correlation, as in every deep learning library).

y[n, p, q, k] = b[k] + sum over i, j, c of x[n, p*s + i*d - t, q*s + j*d - l, c] w[i, j, c, k]

x (N, H, W, C), w (KH, KW, C / groups, K), b (K) or None, y (N, P, Q, K), with stride s, dilation d
and t rows, l columns of zeros before x. P = floor((H + pads - (KH - 1) d - 1) / s) + 1.
Group g of the channels of x makes group g of the channels of y.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
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
from ..registry import BadCall, Inferred, Kernel, Sample, define

Pair = int | Sequence[int]


def _window(op: str, sizes: Shape, window: Shape, stride: Pair, padding: Any, dilation: Pair,
            groups: int, channels: int, filters: int) -> dict[str, Any]:
    """Return the attributes in normal form; raise where they make no sense."""
    n = len(sizes)
    stride, dilation = tuple_of(op, "stride", stride, n), tuple_of(op, "dilation", dilation, n)
    if groups < 1 or channels % groups or filters % groups:
        raise ArgumentError(op, f"got groups={groups}", f"it must divide {channels} input and "
                            f"{filters} output channels", "Change groups or the channels.")
    return {"stride": stride, "dilation": dilation, "groups": groups,
            "padding": padding_pairs(op, padding, sizes, window, stride, dilation)}


def _check_channels(x: Spec, w: Spec, b: Spec | None, groups: int) -> None:
    need_ndim("conv2d", "x", x, 4, "(N, H, W, C)")
    need_ndim("conv2d", "w", w, 4, "(KH, KW, C, K)")
    if x.shape[3] != w.shape[2] * groups:
        raise ShapeError("conv2d", f"got x of shape {x.shape}",
                         f"the kernel is {w.shape} with groups={groups}, so it expects "
                         f"{w.shape[2] * groups} input channels",
                         "Channels are the last axis; transpose x or change the layer.")
    if b is not None and b.shape != w.shape[3:]:
        raise ShapeError("conv2d", f"got b of shape {b.shape}", f"expected {w.shape[3:]}",
                         "One bias per output channel.")


def infer(x: Spec, w: Spec, b: Spec | None, stride: Pair = 1, padding: Any = "valid",
          dilation: Pair = 1, groups: int = 1) -> Inferred:
    """Check a convolution and return the shape of its result."""
    dtype = need_float("conv2d", x=x, w=w, **({} if b is None else {"b": b}))
    _check_channels(x, w, b, groups)
    attrs = _window("conv2d", x.shape[1:3], w.shape[:2], stride, padding, dilation, groups,
                    x.shape[3], w.shape[3])
    positions = window_output("conv2d", x.shape[1:3], w.shape[:2], attrs["stride"],
                              attrs["padding"], attrs["dilation"])
    return Inferred((Spec((x.shape[0], *positions, w.shape[3]), dtype),), attrs=attrs)


# ---- references ----------------------------------------------------------------------------


def _padded(x: np.ndarray, padding: Pads) -> np.ndarray:
    return np.pad(x, ((0, 0), *padding, (0, 0)))


def _taps(w: np.ndarray, shape: Shape, stride: Shape, dilation: Shape, groups: int) -> Any:
    """Yield, per kernel position and group, the slices of padded x, w and y that go together."""
    c, k = w.shape[2], w.shape[3] // groups
    for i, j, g in np.ndindex(w.shape[0], w.shape[1], groups):
        rows, columns = (slice(a * d, a * d + (n - 1) * s + 1, s) for a, d, n, s in
                         zip((i, j), dilation, shape[1:3], stride, strict=True))
        yield ((slice(None), rows, columns, slice(g * c, g * c + c)),
               (i, j, slice(None), slice(g * k, g * k + k)), (..., slice(g * k, g * k + k)))


def reference(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair = 1,
              padding: Any = "valid", dilation: Pair = 1, groups: int = 1) -> np.ndarray:
    """Add up the contribution of every kernel position."""
    inferred = infer(spec_of(x), spec_of(w), None if b is None else spec_of(b), stride, padding,
                     dilation, groups)
    attrs, padded = inferred.attrs, _padded(x, inferred.attrs["padding"])
    y = np.zeros(inferred.out[0].shape)
    for xs, ws, ys in _taps(w, y.shape, attrs["stride"], attrs["dilation"], groups):
        y[ys] += padded[xs] @ w[ws]
    return y if b is None else y + b


def input_gradient_reference(gy: np.ndarray, w: np.ndarray, size: Shape, stride: Shape,
                             padding: Pads, dilation: Shape, groups: int) -> np.ndarray:
    """Spread every element of gy over the window that made it."""
    gx = _padded(np.zeros((gy.shape[0], *size, w.shape[2] * groups)), padding)
    for xs, ws, ys in _taps(w, gy.shape, stride, dilation, groups):
        gx[xs] += gy[ys] @ w[ws].T
    return gx[:, padding[0][0]:padding[0][0] + size[0], padding[1][0]:padding[1][0] + size[1]]


def weight_gradient_reference(x: np.ndarray, gy: np.ndarray, window: Shape, stride: Shape,
                              padding: Pads, dilation: Shape, groups: int) -> np.ndarray:
    """Correlate x with gy at every kernel position."""
    gw = np.zeros((*window, x.shape[3] // groups, gy.shape[3]))
    padded = _padded(x, padding)
    for xs, ws, ys in _taps(gw, gy.shape, stride, dilation, groups):
        gw[ws] += np.einsum("npqc,npqk->ck", padded[xs], gy[ys])
    return gw


# ---- the three ops -------------------------------------------------------------------------


def _infer_input_gradient(gy: Spec, w: Spec, size: Shape, stride: Shape, padding: Pads,
                          dilation: Shape, groups: int) -> Spec:
    return Spec((gy.shape[0], *size, w.shape[2] * groups), gy.dtype)


def _infer_weight_gradient(x: Spec, gy: Spec, window: Shape, stride: Shape, padding: Pads,
                           dilation: Shape, groups: int) -> Spec:
    return Spec((*window, x.shape[3] // groups, gy.shape[3]), x.dtype)


def _input_rule(run: Callable, gy: np.ndarray, w: np.ndarray, x_spec: Spec, stride: Shape,
                padding: Pads, dilation: Shape, groups: int, so_far: np.ndarray | None
                ) -> np.ndarray:
    name, more = ("conv2d_input_gradient", ()) if so_far is None else (
        "conv2d_input_gradient_add", (so_far,))
    return run(name, gy, w, *more, size=x_spec.shape[1:3], stride=stride, padding=padding,
               dilation=dilation, groups=groups)


def _weight_rule(run: Callable, gy: np.ndarray, x: np.ndarray, w_spec: Spec, stride: Shape,
                 padding: Pads, dilation: Shape, groups: int) -> np.ndarray:
    return run("conv2d_weight_gradient", x, gy, window=w_spec.shape[:2], stride=stride,
               padding=padding, dilation=dilation, groups=groups)


def _flops(x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> int:
    y = infer(x, w, b, **attrs).out[0]
    return 2 * y.size * w.size // w.shape[3]


SAMPLES = (
    Sample(((2, 6, 5, 3), (3, 2, 3, 4), (4,))),
    Sample(((2, 6, 5, 3), (3, 3, 3, 4), None), {"stride": (2, 1), "padding": "same"}),
    Sample(((1, 9, 8, 2), (3, 2, 2, 3), (3,)), {"dilation": (2, 3), "padding": ((2, 1), (0, 3))}),
    Sample(((2, 5, 6, 4), (3, 3, 2, 6), (6,)), {"groups": 2, "padding": 1, "stride": 2}),
    Sample(((2, 5, 4, 3), (3, 3, 1, 3), None), {"groups": 3, "padding": "same"}),
    Sample(((2, 7, 9, 17), (3, 3, 1, 17), (17,)), {"groups": 17, "padding": 1}),
    Sample(((1, 9, 13, 40), (5, 3, 1, 40), None), {"groups": 40, "padding": ((2, 2), (3, 1)),
                                                   "stride": (3, 2), "dilation": (1, 3)}),
    Sample(((3, 4, 4, 7), (1, 1, 7, 5), (5,))),
    Sample(((2, 7, 7, 3), (1, 1, 3, 2), None), {"stride": 2}),
    Sample(((2, 13, 11, 1), (5, 5, 1, 10), (10,)), {"stride": 3, "padding": "same"}),
    Sample(((3, 7, 10, 9), (3, 3, 9, 17), (17,)), {"padding": "same"}),
    Sample(((1, 9, 8, 8), (3, 3, 8, 16), None)),
    Sample(((2, 6, 7, 9), (5, 5, 9, 8), (8,)), {"padding": ((2, 1), (0, 3))}),
)
BAD_CALLS = (
    BadCall(((6, 5, 3), (3, 3, 3, 4), None), {}, "expected (N, H, W, C)"),
    BadCall(((1, 6, 5, 4), (3, 3, 3, 4), None), {}, "expects 3 input channels"),
    BadCall(((1, 2, 2, 3), (3, 3, 3, 4), None), {}, "does not fit"),
    BadCall(((1, 6, 5, 3), (3, 3, 3, 4), (5,)), {}, "One bias per output channel"),
    BadCall(((1, 6, 5, 3), (3, 3, 3, 4), None), {"padding": "full"}, "padding='full'"),
    BadCall(((1, 6, 5, 3), (3, 3, 3, 4), None), {"stride": 0}, "at least 1"),
    BadCall(((1, 6, 5, 4), (3, 3, 2, 3), None), {"groups": 2}, "it must divide"),
    BadCall((np.zeros((1, 6, 5, 3), int), (3, 3, 3, 4), None), {}, "expected float"),
)


def _workspace(place: str, *specs: Any, **attrs: Any) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), f"{name}_workspace")(*specs, **attrs)


def _asked(place: str, question: str, *specs: Any, **attrs: Any) -> bool:
    module, _, name = place.partition(":")
    return getattr(import_module(module), f"{name}_{question}")(*specs, **attrs)


PITCHED = "winograd", "direct"
"""Variants whose convolution writes into a part of the channels, too."""


def _kernels(name: str, direct: str = "cpu_direct", winograd: str = "cpu_winograd",
             depthwise: str = "cpu_depthwise") -> tuple[Kernel, ...]:
    """Return the variants, best first; each file has the function and its workspace."""
    def variant(algorithm: str, file: str, *questions: str) -> Kernel:
        place = f"{__package__}.{file}:{name}"
        answers: dict[str, Any] = {q: partial(_asked, place, q) for q in questions}
        return Kernel(algorithm, place, workspace=partial(_workspace, place),
                      tolerance=10 if algorithm == "winograd" else 1,
                      pitched=name == "conv2d" and algorithm in PITCHED, **answers)

    return (variant("winograd", winograd, "accepts", "pays"),
            variant("depthwise", depthwise, "accepts"),
            variant("direct", direct, "accepts"),
            variant("im2col", "cpu_im2col"))


define("conv2d", inputs=("x", "w", "b"), optional=("b",), infer=infer, reference=reference,
       kernels=_kernels("conv2d"), flops=_flops, samples=SAMPLES, bad_calls=BAD_CALLS,
       gradients={"x": _input_rule, "w": _weight_rule,
                  "b": lambda run, gy: run("sum", gy, axis=(0, 1, 2))})

_ATTRS = {"stride": (2, 1), "padding": ((1, 1), (0, 1)), "dilation": (1, 2), "groups": 2}
_DEPTHWISE = {"stride": (2, 1), "padding": ((1, 1), (0, 1)), "dilation": (1, 2), "groups": 19}
_SAME = {r: {"stride": (1, 1), "padding": ((r // 2, r // 2), (r // 2, r // 2 - 1)),
             "dilation": (1, 1), "groups": 1} for r in (3, 5)}
define("conv2d_input_gradient", inputs=("gy", "w"), infer=_infer_input_gradient,
       reference=input_gradient_reference, kernels=_kernels("conv2d_input_gradient"),
       flops=lambda gy, w, **_: 2 * gy.size * w.size // w.shape[3],
       doc="gx of conv2d: every element of gy spread over its window",
       samples=(Sample(((2, 3, 4, 6), (3, 3, 2, 6)), {"size": (5, 7), **_ATTRS}),
                Sample(((2, 3, 8, 19), (3, 3, 1, 19)), {"size": (5, 11), **_DEPTHWISE}),
                *(Sample(((2, 6, 5, 9), (r, r, 17, 9)), {"size": (6, 6), **attrs})
                  for r, attrs in _SAME.items())))
define("conv2d_weight_gradient", inputs=("x", "gy"), infer=_infer_weight_gradient,
       reference=weight_gradient_reference,
       kernels=_kernels("conv2d_weight_gradient", "cpu_direct_weights", "cpu_winograd_weights",
                        "cpu_depthwise_weights"),
       flops=lambda x, gy, window, groups, **_: (
           2 * gy.size * window[0] * window[1] * x.shape[3] // groups),
       doc="gw of conv2d: x correlated with gy",
       samples=(Sample(((2, 5, 7, 4), (2, 3, 4, 6)), {"window": (3, 3), **_ATTRS}),
                Sample(((2, 5, 11, 19), (2, 3, 8, 19)), {"window": (3, 3), **_DEPTHWISE}),
                *(Sample(((2, 6, 6, 9), (2, 6, 5, 17)), {"window": (r, r), **attrs})
                  for r, attrs in _SAME.items())))
