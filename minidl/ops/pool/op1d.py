"""Pooling over sequences: the largest or the mean element of every window of each channel.

x (N, L, C), y (N, P, C), P = floor((L + pads - K) / stride) + 1. It is computed as the pooling of
images of one row; padding counts as it does there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...spec import Pads, Shape, Spec, need_float, need_ndim, padding_pairs, tuple_of, window_output
from ..lift import lifted, lifted_kernels, run_lifted
from ..registry import BadCall, Inferred, Sample, define
from .op import saving_place  # its kernels do the work, too

Length = int | Sequence[int]


def _infer(op: str, x: Spec, window: Length, stride: Length | None, padding: Any
           ) -> tuple[Spec, dict[str, Any]]:
    need_float(op, x=x)
    need_ndim(op, "x", x, 3, "(N, L, C)")
    size = tuple_of(op, "window", window, 1)
    step = tuple_of(op, "stride", size if stride is None else stride, 1)
    pads = padding_pairs(op, padding, x.shape[1:2], size, step, (1,))
    if max(pads[0]) >= size[0]:
        raise ArgumentError(op, f"got padding={padding!r} for a window of {size[0]}",
                            "padding must be smaller than the window", "Use less padding.")
    positions = window_output(op, x.shape[1:2], size, step, pads, (1,))
    return (Spec((x.shape[0], *positions, x.shape[2]), x.dtype),
            {"window": size, "stride": step, "padding": pads})


def infer_max(x: Spec, window: Length = 2, stride: Length | None = None, padding: Any = "valid"
              ) -> Inferred:
    """Check a max pooling; saves for each result the place of its maximum in the window."""
    return saving_place(*_infer("max_pool1d", x, window, stride, padding))


def infer_average(x: Spec, window: Length = 2, stride: Length | None = None, padding: Any = "valid",
                  count_include_pad: bool = False) -> Inferred:
    """Check an average pooling."""
    y, attrs = _infer("average_pool1d", x, window, stride, padding)
    return Inferred((y,), attrs={**attrs, "count_include_pad": count_include_pad})


# ---- references ----------------------------------------------------------------------------


def _windows(x: np.ndarray, window: Shape, stride: Shape, padding: Pads, fill: float) -> np.ndarray:
    """Return all windows as (N, P, C, K), padded with `fill`."""
    padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(padded, window[0], 1)[:, ::stride[0]]


def _reference_max(x: np.ndarray, **given: Any) -> np.ndarray:
    attrs = dict(infer_max(Spec(x.shape, x.dtype), **given).attrs)
    return _windows(x, fill=-np.inf, **attrs).max(axis=-1)


def _reference_average(x: np.ndarray, **given: Any) -> np.ndarray:
    attrs = dict(infer_average(Spec(x.shape, x.dtype), **given).attrs)
    everything = attrs.pop("count_include_pad")
    counted = _windows(np.ones_like(x), fill=float(everything), **attrs).sum(axis=-1)
    return _windows(x, fill=0.0, **attrs).sum(axis=-1) / counted


# ---- the ops -------------------------------------------------------------------------------


def _max_rule(run: Callable, gy: np.ndarray, place: np.ndarray, x_spec: Spec, window: Shape,
              stride: Shape, padding: Pads) -> np.ndarray:
    return run_lifted(run, "max_pool2d_gradient", lifted(gy), lifted(place), size=x_spec.shape[1:2],
                      window=window, stride=stride, padding=padding)[:, 0]


def _average_rule(run: Callable, gy: np.ndarray, x_spec: Spec, window: Shape, stride: Shape,
                  padding: Pads, count_include_pad: bool) -> np.ndarray:
    return run_lifted(run, "average_pool2d_gradient", lifted(gy), size=x_spec.shape[1:2],
                      window=window, stride=stride, padding=padding,
                      count_include_pad=count_include_pad)[:, 0]


def _apart(rng: np.random.Generator) -> np.ndarray:
    """Draw elements that differ by more than a numeric gradient's step: no ties."""
    return rng.permutation(66).reshape(2, 11, 3) / 9.0


WINDOWS: tuple[dict[str, Any], ...] = (
    {}, {"window": 3, "stride": 2}, {"window": 3, "stride": 1, "padding": "same"},
    {"window": 4, "stride": 3, "padding": ((2, 1),)}, {"window": 2, "stride": 3})
BAD = (BadCall(((3, 4),), {}, "expected (N, L, C)"), BadCall(((1, 2, 1),), {"window": 3}, "fit"),
       BadCall(((1, 4, 1),), {"padding": 2}, "smaller than the window"),
       BadCall(((1, 4, 1),), {"window": 0}, "at least 1"),
       BadCall((np.zeros((1, 4, 1), int),), {}, "expected float"))

define("max_pool1d", inputs=("x",), infer=infer_max, reference=_reference_max, bad_calls=BAD,
       kernels=lifted_kernels("max_pool2d", (1,)), gradients={"x": _max_rule},
       flops=lambda x, **_: x.size, samples=tuple(Sample((_apart,), a) for a in WINDOWS))
define("average_pool1d", inputs=("x",), infer=infer_average, reference=_reference_average,
       bad_calls=BAD, kernels=lifted_kernels("average_pool2d", (1,)),
       gradients={"x": _average_rule}, flops=lambda x, **_: x.size,
       samples=(*(Sample(((2, 11, 3),), a) for a in WINDOWS),
                Sample(((2, 11, 3),), {"window": 3, "padding": 1, "count_include_pad": True})))
