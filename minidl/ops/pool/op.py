"""Pooling: the largest or the mean element of every window of each channel.

x (N, H, W, C), y (N, P, Q, C), P = floor((H + pads - KH) / stride) + 1. Padding never wins a
maximum and does not count in a mean (as in TensorFlow), unless `count_include_pad`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...spec import Pads, Shape, Spec, need_float, need_ndim, padding_pairs, tuple_of, window_output
from ..registry import BadCall, Inferred, Sample, define

Pair = int | Sequence[int]


def _infer(op: str, x: Spec, window: Pair, stride: Pair | None, padding: Any) -> tuple[Spec, dict]:
    need_float(op, x=x)
    need_ndim(op, "x", x, 4, "(N, H, W, C)")
    size = tuple_of(op, "window", window, 2)
    step = tuple_of(op, "stride", size if stride is None else stride, 2)
    pads = padding_pairs(op, padding, x.shape[1:3], size, step, (1, 1))
    if any(max(pair) >= k for pair, k in zip(pads, size, strict=True)):
        raise ArgumentError(op, f"got padding={padding!r} for a window of {size}",
                            "padding must be smaller than the window", "Use less padding.")
    positions = window_output(op, x.shape[1:3], size, step, pads, (1, 1))
    return (Spec((x.shape[0], *positions, x.shape[3]), x.dtype),
            {"window": size, "stride": step, "padding": pads})


def saving_place(y: Spec, attrs: dict[str, Any]) -> Inferred:
    """Return a max pooling that saves the places of its maxima, in a byte each if that will do."""
    small = math.prod(attrs["window"]) <= 256
    return Inferred((y,), {"place": Spec(y.shape, np.dtype("uint8" if small else "int32"))}, attrs)


def infer_max(x: Spec, window: Pair = 2, stride: Pair | None = None, padding: Any = "valid"
              ) -> Inferred:
    """Check a max pooling; saves for each result the place of its maximum in the window."""
    return saving_place(*_infer("max_pool2d", x, window, stride, padding))


def infer_average(x: Spec, window: Pair = 2, stride: Pair | None = None, padding: Any = "valid",
                  count_include_pad: bool = False) -> Inferred:
    """Check an average pooling."""
    y, attrs = _infer("average_pool2d", x, window, stride, padding)
    return Inferred((y,), attrs={**attrs, "count_include_pad": count_include_pad})


# ---- references ----------------------------------------------------------------------------


def _windows(x: np.ndarray, window: Shape, stride: Shape, padding: Pads, fill: float) -> np.ndarray:
    """Return all windows as (N, P, Q, C, KH KW), padded with `fill`."""
    padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, window, (1, 2))
    return views[:, ::stride[0], ::stride[1]].reshape(
        x.shape[0], *(((padded.shape[i + 1] - window[i]) // stride[i] + 1) for i in (0, 1)),
        x.shape[3], window[0] * window[1])


def _reference_max(x: np.ndarray, **attrs: Any) -> np.ndarray:
    attrs = dict(infer_max(Spec(x.shape, x.dtype), **attrs).attrs)
    return _windows(x, fill=-np.inf, **attrs).max(axis=-1)


def _reference_average(x: np.ndarray, **given: Any) -> np.ndarray:
    attrs = dict(infer_average(Spec(x.shape, x.dtype), **given).attrs)
    everything = attrs.pop("count_include_pad")
    counted = _windows(np.ones_like(x), fill=float(everything), **attrs).sum(axis=-1)
    return _windows(x, fill=0.0, **attrs).sum(axis=-1) / counted


def _reference_max_gradient(gy: np.ndarray, place: np.ndarray, size: Shape, window: Shape,
                            stride: Shape, padding: Pads) -> np.ndarray:
    gx = np.pad(np.zeros((gy.shape[0], *size, gy.shape[3])), ((0, 0), *padding, (0, 0)))
    for n, p, q, c in np.ndindex(*gy.shape):
        i, j = divmod(int(place[n, p, q, c]), window[1])
        gx[n, p * stride[0] + i, q * stride[1] + j, c] += gy[n, p, q, c]
    return gx[:, padding[0][0]:padding[0][0] + size[0], padding[1][0]:padding[1][0] + size[1]]


def _reference_average_gradient(gy: np.ndarray, size: Shape, window: Shape, stride: Shape,
                                padding: Pads, count_include_pad: bool) -> np.ndarray:
    inside = np.ones((gy.shape[0], *size, gy.shape[3]))
    counted = _windows(inside, window, stride, padding, float(count_include_pad)).sum(axis=-1)
    gx = np.pad(np.zeros_like(inside), ((0, 0), *padding, (0, 0)))
    for p, q in np.ndindex(*gy.shape[1:3]):
        h, w = p * stride[0], q * stride[1]
        share = gy[:, p, q] / counted[:, p, q]
        gx[:, h:h + window[0], w:w + window[1]] += share[:, None, None]
    return gx[:, padding[0][0]:padding[0][0] + size[0], padding[1][0]:padding[1][0] + size[1]]


# ---- the ops -------------------------------------------------------------------------------


def _max_rule(run: Callable, gy: np.ndarray, place: np.ndarray, x_spec: Spec, window: Shape,
              stride: Shape, padding: Pads) -> np.ndarray:
    return run("max_pool2d_gradient", gy, place, size=x_spec.shape[1:3], window=window,
               stride=stride, padding=padding)


def _average_rule(run: Callable, gy: np.ndarray, x_spec: Spec, window: Shape, stride: Shape,
                  padding: Pads, count_include_pad: bool) -> np.ndarray:
    return run("average_pool2d_gradient", gy, size=x_spec.shape[1:3], window=window, stride=stride,
               padding=padding, count_include_pad=count_include_pad)


def _infer_gradient(gy: Spec, *others: Spec, size: Shape, **attrs: Any) -> Inferred:
    return Inferred((Spec((gy.shape[0], *size, gy.shape[3]), gy.dtype),),
                    attrs={"size": size, **attrs})


def _apart(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Draw elements that differ by more than a numeric gradient's step: no ties."""
    return lambda rng: rng.permutation(int(np.prod(shape))).reshape(shape) / 9.0


WINDOWS: tuple[dict[str, Any], ...] = (
    {}, {"window": 3, "stride": 2}, {"window": (2, 3), "stride": 1, "padding": "same"},
    {"window": 3, "stride": 2, "padding": "same"}, {"window": (3, 2), "padding": 1},
    {"window": 2, "stride": 3})
BAD = (BadCall(((3, 4, 5),), {}, "expected (N, H, W, C)"),
       BadCall(((1, 2, 2, 1),), {"window": 3}, "fit"),
       BadCall(((1, 4, 4, 1),), {"padding": 2}, "smaller than the window"),
       BadCall(((1, 4, 4, 1),), {"window": 0}, "at least 1"))

define("max_pool2d", inputs=("x",), infer=infer_max, reference=_reference_max,
       gradients={"x": _max_rule}, bad_calls=BAD, flops=lambda x, **_: x.size,
       samples=(*(Sample((_apart(2, 7, 6, 3),), a) for a in WINDOWS),
                *(Sample((_apart(1, 5, 5, 19),), a) for a in WINDOWS[:2]),
                Sample((_apart(1, 20, 19, 2),), {"window": (18, 17), "stride": 1})))
define("average_pool2d", inputs=("x",), infer=infer_average, reference=_reference_average,
       gradients={"x": _average_rule}, bad_calls=BAD, flops=lambda x, **_: x.size,
       samples=(*(Sample(((2, 7, 6, 3),), a) for a in WINDOWS),
                *(Sample(((1, 5, 5, 19),), a) for a in WINDOWS[:2]),
                Sample(((2, 7, 6, 3),), {"window": 3, "padding": 1, "count_include_pad": True})))

_ATTRS = {"size": (7, 6), "window": (3, 2), "stride": (2, 2), "padding": ((1, 0), (0, 1))}
define("max_pool2d_gradient", inputs=("gy", "place"), infer=_infer_gradient,
       reference=_reference_max_gradient, doc="gx of max_pool2d: gy at the places of the maxima",
       samples=(Sample(((2, 3, 3, 4), lambda rng: rng.integers(2, 4, (2, 3, 3, 4), np.uint8)),
                       _ATTRS),))
define("average_pool2d_gradient", inputs=("gy",), infer=_infer_gradient,
       reference=_reference_average_gradient, doc="gx of average_pool2d: gy shared by the window",
       samples=tuple(Sample(((2, 3, 3, 4),), {**_ATTRS, "count_include_pad": c})
                     for c in (False, True)))
