"""Softmax along the last axis, its logarithm, and the cross-entropy of logits.

softmax(x)_c = exp(x_c) / sum over k of exp(x_k), log_softmax its logarithm; x (..., C).
softmax_cross_entropy: loss = - sum over c of t_c log_softmax(x)_c, with t the labels as integers
(...,) or as probabilities (..., C); smoothing s makes it (1 - s) t + s / C (Szegedy et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Spec, need_float, need_integer
from ..registry import BadCall, Inferred, Sample, define


def _reference_log(x: np.ndarray) -> np.ndarray:
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def _infer(x: Spec) -> Spec:
    need_float("softmax", x=x)
    if not x.ndim or not x.shape[-1]:
        raise ShapeError("softmax", f"got x of shape {x.shape}", "expected (..., classes)",
                         "Give at least one class.")
    return x


X = (Sample(((3, 5),)), Sample(((2, 3, 7),)), Sample((lambda r: 80 * r.standard_normal((3, 4)),)))
BAD = (BadCall(((),), {}, "expected (..., classes)"), BadCall((np.zeros(3, int),), {}, "float"))
define("softmax", inputs=("x",), infer=_infer, samples=X[:2], bad_calls=BAD,
       reference=lambda x: np.exp(_reference_log(x)), flops=lambda x: 4 * x.size,
       gradients={"x": lambda run, gy, y: run("softmax_gradient", gy, y)})
define("softmax_gradient", inputs=("gy", "y"), infer=lambda gy, y: y,
       reference=lambda gy, y: y * (gy - (gy * y).sum(axis=-1, keepdims=True)),
       samples=(Sample(((3, 5), (3, 5))),), doc="gx = y (gy - sum of gy y)")
define("log_softmax", inputs=("x",), infer=_infer, samples=X, bad_calls=BAD,
       reference=_reference_log, flops=lambda x: 4 * x.size,
       gradients={"x": lambda run, gy, y: run("log_softmax_gradient", gy, y)})
define("log_softmax_gradient", inputs=("gy", "y"), infer=lambda gy, y: y,
       reference=lambda gy, y: gy - np.exp(y) * gy.sum(axis=-1, keepdims=True),
       samples=(Sample(((3, 5), (3, 5))),), doc="gx = gy - exp(y) sum of gy")


def _infer_loss(x: Spec, t: Spec, smoothing: float = 0.0) -> Inferred:
    dtype = need_float("softmax_cross_entropy", x=x)
    if not 0 <= smoothing < 1:
        raise ArgumentError("softmax_cross_entropy", f"got smoothing={smoothing}",
                            "expected 0 <= smoothing < 1", "Common values are 0 and 0.1.")
    wanted = x.shape if t.dtype.kind == "f" else x.shape[:-1]
    fits = t.dtype == dtype or t.dtype.kind in "iu"
    if not x.ndim or t.shape != wanted or not fits:
        raise ShapeError("softmax_cross_entropy", f"got labels of {t} for logits of {x}",
                         f"expected integers {x.shape[:-1]} or probabilities {x.shape} of {dtype}",
                         "Flatten integer labels, or one-hot encode them.")
    return Inferred((Spec(x.shape[:-1], dtype),), {"log_sum": Spec(x.shape[:-1], dtype)},
                    {"smoothing": float(smoothing)})


def _targets(x: np.ndarray, t: np.ndarray, smoothing: float) -> np.ndarray:
    classes = x.shape[-1]
    hot = t if t.dtype.kind == "f" else np.eye(classes)[t]
    return hot * (1 - smoothing) + smoothing / classes


def _loss_rule(run: Callable, gy: np.ndarray, x: np.ndarray, t: np.ndarray, log_sum: np.ndarray,
               smoothing: float) -> np.ndarray:
    return run("softmax_cross_entropy_gradient", gy, x, t, log_sum, smoothing=smoothing)


def _labels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 5, 4)


def _probabilities(rng: np.random.Generator) -> np.ndarray:
    p = rng.random((4, 5))
    return p / p.sum(axis=-1, keepdims=True)


define("softmax_cross_entropy", inputs=("x", "t"), infer=_infer_loss,
       reference=lambda x, t, smoothing=0.0: -(
           _targets(x, t, smoothing) * _reference_log(x)).sum(axis=-1),
       gradients={"x": _loss_rule}, flops=lambda x, t, **_: 5 * x.size,
       samples=(Sample(((4, 5), _labels)), Sample(((4, 5), _labels), {"smoothing": 0.1}),
                Sample(((4, 5), _probabilities)),
                Sample(((4, 5), _probabilities), {"smoothing": 0.2})),
       bad_calls=(BadCall(((4, 5), np.zeros((4, 1), int)), {}, "Flatten integer labels"),
                  BadCall(((4, 5), (4, 6)), {}, "or probabilities (4, 5)"),
                  BadCall(((4, 5), np.zeros(4, int)), {"smoothing": 1.5}, "0 <= smoothing < 1")))
define("softmax_cross_entropy_gradient", inputs=("gy", "x", "t", "log_sum"),
       infer=lambda gy, x, t, log_sum, smoothing: x,
       reference=lambda gy, x, t, log_sum, smoothing: gy[..., None] * (
           np.exp(x - log_sum[..., None]) * _targets(x, t, smoothing).sum(axis=-1, keepdims=True)
           - _targets(x, t, smoothing)),
       doc="gx = gy (softmax(x) sum(t) - t)",
       samples=(Sample(((4,), (4, 5), _labels, (4,)), {"smoothing": 0.1}),
                Sample(((4,), (4, 5), _probabilities, (4,)), {"smoothing": 0.1})))


def _infer_nll(x: Spec, t: Spec) -> Spec:
    dtype = need_float("nll", x=x)
    need_integer("nll", "t", t)
    if not x.ndim or t.shape != x.shape[:-1]:
        raise ShapeError("nll", f"got labels of shape {t.shape} for log-probabilities of shape "
                         f"{x.shape}", f"expected {x.shape[:-1]}", "One integer per sample.")
    return Spec(t.shape, dtype)


def _pick(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -np.take_along_axis(x, t[..., None], axis=-1)[..., 0]


define("nll", inputs=("x", "t"), infer=_infer_nll, reference=_pick,
       gradients={"x": lambda run, gy, t, x_spec: run(
           "nll_gradient", gy, t, classes=x_spec.shape[-1])},
       doc="loss = - x[label], x the log-probabilities (..., C)",
       samples=(Sample(((4, 5), _labels)),),
       bad_calls=(BadCall(((4, 5), np.zeros(3, int)), {}, "One integer per sample"),
                  BadCall(((4, 5), (4,)), {}, "expected integers")))
define("nll_gradient", inputs=("gy", "t"),
       infer=lambda gy, t, classes: Inferred((Spec((*gy.shape, classes), gy.dtype),),
                                             attrs={"classes": classes}),
       reference=lambda gy, t, classes: -gy[..., None] * np.eye(classes)[t],
       doc="gx = -gy at the labels, 0 elsewhere",
       samples=(Sample(((4,), _labels), {"classes": 5}),))
