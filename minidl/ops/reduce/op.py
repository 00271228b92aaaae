"""Reductions over axes: sum, mean, var, max, min, argmax.

With x of any shape and `axis` None (all), one axis or several, y has the other axes, and those of
length 1 too where `keepdims`. Sums of floats are taken in float64 on the CPU and rounded to the
type of x at the end; sums of integers and of truth values (which count as 0 and 1) are int64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...spec import Shape, Spec, need_float, normal_axes, normal_axis
from ..registry import BadCall, Inferred, Kernel, Sample, define
from . import layout

Axis = int | Sequence[int] | None


def reduced_shape(shape: Shape, axes: Sequence[int], keepdims: bool) -> Shape:
    """Return what is left of a shape."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _infer(name: str, x: Spec, axis: Axis = None, keepdims: bool = False) -> Inferred:
    if name in ("mean", "var") or x.dtype.kind not in "biu":
        need_float(name, x=x)
    axes = normal_axes(name, axis, x.ndim)
    if name != "sum" and 0 in (x.shape[a] for a in axes):
        raise ShapeError(name, f"got x of shape {x.shape}", "there is nothing to reduce",
                         "Check that the array is not empty.")
    counted = name == "sum" and x.dtype.kind != "f"
    dtype = np.dtype("int64") if counted else x.dtype
    return Inferred((Spec(reduced_shape(x.shape, axes, keepdims), dtype),),
                    attrs={"axis": axes, "keepdims": keepdims})


def _spread(gy: np.ndarray, spec: Spec, axis: Sequence[int]) -> np.ndarray:
    """Repeat a gradient along the reduced axes; a view, nothing is copied."""
    return np.broadcast_to(gy.reshape(reduced_shape(spec.shape, axis, True)), spec.shape)


def _count(spec: Spec, axis: Sequence[int]) -> int:
    return int(np.prod([spec.shape[a] for a in axis], dtype=np.int64))


def _scalar(value: float, like: np.ndarray) -> np.ndarray:
    return np.array(value, like.dtype)


def _mean_gradient(run: Callable, gy: np.ndarray, axis: Sequence[int], x_spec: Spec) -> np.ndarray:
    part = run("divide", gy, _scalar(_count(x_spec, axis), gy))
    return _spread(part, x_spec, axis)


def _var_gradient(run: Callable, gy: np.ndarray, x: np.ndarray, axis: Sequence[int]) -> np.ndarray:
    spec = Spec(x.shape, x.dtype)
    middle = run("mean", x, axis=axis, keepdims=True)
    part = run("multiply", gy, _scalar(2 / _count(spec, axis), gy))
    return run("multiply", run("subtract", x, middle), _spread(part, spec, axis))


def _extreme_gradient(run: Callable, gy: np.ndarray, x: np.ndarray, y: np.ndarray,
                      axis: Sequence[int]) -> np.ndarray:
    """Give the gradient to the extreme elements; equal ones share it."""
    spec = Spec(x.shape, x.dtype)
    hits = run("copy", run("equal", x, _spread(y, spec, axis)), dtype=x.dtype.name)
    number = run("sum", hits, axis=axis, keepdims=True)
    return run("multiply", hits, run("divide", _spread(gy, spec, axis), number))


def _apart(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(120).reshape(4, 5, 6) / 7.0


def _long_apart(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(25000).reshape(25, 1000) / 7.0


ARRAY = (3, 4, 5)
SAMPLES: tuple[dict[str, Any], ...] = (
    {}, {"axis": 0}, {"axis": (0, 1)}, {"axis": (0, 2), "keepdims": True}, {"axis": -1})
BAD = (BadCall((ARRAY,), {"axis": 3}, "expected -3 to 2"),
       BadCall((ARRAY,), {"axis": (0, 0)}, "once"))
FOLDED = Sample(((128, 10),), {"axis": 0})
STAGED = (Sample(((100, 260),), {"axis": 0}), Sample(((25, 1000),)),
          Sample(((20, 520),), {"axis": 0}))


def _define(name: str, gradient: Callable, workspace: Callable, samples: Sequence[Sample],
            flops: int = 1) -> None:
    define(name, inputs=("x",), infer=partial(_infer, name), gradients={"x": gradient},
           reference=lambda x, axis=None, keepdims=False: getattr(np, name)(
               x, axis=axis if axis is None or isinstance(axis, int) else tuple(axis),
               keepdims=keepdims),
           kernels=(Kernel("default", f"{__package__}.cpu:{name}_", workspace=workspace),),
           samples=samples, bad_calls=BAD, flops=lambda x, **_: flops * x.size)


def _samples(x: tuple | Callable) -> tuple[Sample, ...]:
    return tuple(Sample((x,), attrs) for attrs in SAMPLES)


_define("sum", lambda run, gy, axis, x_spec: _spread(gy, x_spec, axis), layout.sum_workspace,
        (*_samples(ARRAY), FOLDED, *STAGED))
_define("mean", _mean_gradient, layout.sum_workspace, (*_samples(ARRAY), FOLDED))
_define("var", _var_gradient, layout.var_workspace, (*_samples(ARRAY), FOLDED, *STAGED), flops=4)
_define("max", _extreme_gradient, layout.extreme_workspace,
        (*_samples(_apart), FOLDED, Sample((_long_apart,))))
_define("min", _extreme_gradient, layout.extreme_workspace, (*_samples(_apart), FOLDED))


def _infer_argmax(x: Spec, axis: int | None = None) -> Inferred:
    if x.dtype.kind not in "biu":
        need_float("argmax", x=x)
    at = None if axis is None else normal_axis("argmax", axis, x.ndim)
    shape = () if at is None else x.shape[:at] + x.shape[at + 1:]
    if not (x.size if at is None else x.shape[at]):
        raise ShapeError("argmax", f"got x of shape {x.shape}", "there is nothing to compare",
                         "Check that the array is not empty.")
    return Inferred((Spec(shape, np.dtype("int64")),), attrs={"axis": at})


define("argmax", inputs=("x",), infer=_infer_argmax,
       reference=lambda x, axis=None: np.argmax(x, axis), kernel=f"{__package__}.cpu:argmax",
       samples=(Sample((ARRAY,)), Sample((ARRAY,), {"axis": 1}), Sample((ARRAY,), {"axis": -1})),
       flops=lambda x, **_: x.size,
       bad_calls=(BadCall((ARRAY,), {"axis": 3}, "expected -3 to 2"),))
