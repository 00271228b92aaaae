"""Matrix product: y[..., m, n] = sum over k of a[..., m, k] b[..., k, n].

Leading axes are broadcast as in NumPy; a and b have two axes at least. `linear` adds a bias to a
product with a matrix of weights: y = x w + b, x (..., features), w (features, units), b (units).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...errors import ShapeError
from ...spec import Spec, need_float
from ..broadcast import unbroadcast
from ..registry import BadCall, Sample, define


def _infer(a: Spec, b: Spec) -> Spec:
    dtype = need_float("matmul", a=a, b=b)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ShapeError("matmul", f"got a of shape {a.shape} and b of shape {b.shape}",
                         "expected (..., m, k) and (..., k, n)",
                         "The last axis of a must be as long as the last but one of b.")
    try:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError("matmul", f"got a of shape {a.shape} and b of shape {b.shape}",
                         "the axes before the last two must be equal or 1",
                         "Reshape one of them.") from None
    return Spec((*lead, a.shape[-2], b.shape[-1]), dtype)


def _turn(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


def _gradient_a(run: Callable, gy: np.ndarray, b: np.ndarray, a_spec: Spec) -> np.ndarray:
    return unbroadcast(run, run("matmul", gy, _turn(b)), a_spec)


def _gradient_b(run: Callable, gy: np.ndarray, a: np.ndarray, b_spec: Spec) -> np.ndarray:
    return unbroadcast(run, run("matmul", _turn(a), gy), b_spec)


def _flops(a: Spec, b: Spec) -> int:
    return 2 * _infer(a, b).size * a.shape[-1]


define("matmul", inputs=("a", "b"), infer=_infer, strided=True, flops=_flops,
       reference=lambda a, b: np.einsum("...mk,...kn->...mn", a, b),
       gradients={"a": _gradient_a, "b": _gradient_b},
       samples=(Sample(((3, 4), (4, 5))), Sample(((2, 3, 4), (2, 4, 5))),
                Sample(((2, 1, 3, 4), (5, 4, 2))), Sample(((130, 33), (33, 17))),
                Sample(((4, 512), (512, 8)))),
       bad_calls=(BadCall(((3, 4), (3, 5)), {}, "must be as long as"),
                  BadCall(((3,), (3, 5)), {}, "expected (..., m, k)"),
                  BadCall(((2, 3, 4), (3, 4, 5)), {}, "before the last two"),
                  BadCall((np.zeros((2, 2), int), np.zeros((2, 2))), {}, "expected float")))


def _infer_linear(x: Spec, w: Spec, b: Spec | None) -> Spec:
    dtype = need_float("linear", x=x, w=w, **({} if b is None else {"b": b}))
    if x.ndim < 2 or w.ndim != 2 or x.shape[-1] != w.shape[0]:
        raise ShapeError("linear", f"got x of shape {x.shape}",
                         f"w of shape {w.shape} expects {w.shape[0]} features on the last of at "
                         "least two axes", "Flatten x, or change the layer before.")
    if b is not None and b.shape != w.shape[1:]:
        raise ShapeError("linear", f"got b of shape {b.shape}", f"expected {w.shape[1:]}",
                         "One bias per unit.")
    return Spec((*x.shape[:-1], w.shape[1]), dtype)


def as_rows(x: np.ndarray) -> np.ndarray:
    """Return x (..., features) as (rows, features)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


define("linear", inputs=("x", "w", "b"), optional=("b",), infer=_infer_linear,
       flops=lambda x, w, b: 2 * x.size * w.shape[1],
       reference=lambda x, w, b: x @ w + (0 if b is None else b),
       gradients={
           "x": lambda run, gy, w: run("matmul", gy, w.T),
           "w": lambda run, gy, x: run("matmul", as_rows(x).T, as_rows(gy)),
           "b": lambda run, gy: run("sum", gy, axis=tuple(range(gy.ndim - 1)))},
       samples=(Sample(((3, 4), (4, 5), (5,))), Sample(((3, 4), (4, 5), None)),
                Sample(((2, 3, 4), (4, 5), (5,)))),
       bad_calls=(BadCall(((3, 4), (5, 2), None), {}, "expects 5 features"),
                  BadCall(((3, 4), (4, 2), (3,)), {}, "One bias per unit")))
