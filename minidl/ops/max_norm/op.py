"""Largest norm: each vector of a weight that is longer is scaled down to it.

y = w clip(n, 0, max_value) / (epsilon + n), n the L2 norm of w over `axis`

`axis` is one axis or several neighbouring ones; y may be written over w. It is how constraints are
applied, after the update and outside the tape, so there is no gradient.

Source: Srivastava et al. 2014, section 5.1; the formula with epsilon is Keras's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import ArgumentError
from ...spec import Spec, need_float
from ..registry import BadCall, Inferred, Kernel, Sample, define

EPSILON = 1e-7  # keeps a norm of 0 from dividing


def neighbours(axis: int | Sequence[int], ndim: int) -> tuple[int, int] | None:
    """Return (first, last + 1) of neighbouring axes, None if they are not.

    >>> neighbours((0, 1), 4), neighbours(-1, 4), neighbours((0, 2), 4)
    ((0, 2), (3, 4), None)
    """
    axes = sorted({a % max(ndim, 1) for a in np.atleast_1d(np.asarray(axis, int)).tolist()})
    gaps = axes != list(range(axes[0], axes[0] + len(axes)))
    return None if gaps else (axes[0], axes[-1] + 1)


def _infer(w: Spec, max_value: float = 2.0, axis: int | Sequence[int] = 0) -> Inferred:
    need_float("max_norm", w=w)
    listed = np.atleast_1d(np.asarray(axis, int)).tolist()
    good = w.ndim and listed and all(-w.ndim <= a < w.ndim for a in listed)
    span = neighbours(listed, w.ndim) if good else None
    if span is None:
        raise ArgumentError("max_norm", f"got axis={axis} for w of shape {w.shape}",
                            "expected one axis of it, or several neighbouring ones",
                            "Axis 0 is the inputs of each unit of a dense layer.")
    if not max_value > 0:
        raise ArgumentError("max_norm", f"got max_value={max_value}", "expected a number above 0",
                            "Change max_value.")
    return Inferred((w,), attrs={"max_value": float(max_value), "axis": tuple(range(*span))})


def _reference(w: np.ndarray, max_value: float = 2.0, axis: int | Sequence[int] = 0) -> np.ndarray:
    axes = tuple(np.atleast_1d(np.asarray(axis, int)).tolist())
    norm = np.sqrt(np.sum(w**2, axis=axes, keepdims=True))
    return w * np.clip(norm, 0, max_value) / (EPSILON + norm)


def _workspace(w: Spec, max_value: float, axis: tuple[int, ...]) -> dict[str, Spec]:
    return {"norms": Spec(w.shape[:axis[0]] + w.shape[axis[-1] + 1:], np.dtype("float64"))}


define("max_norm", inputs=("w",), infer=_infer, reference=_reference,
       kernels=(Kernel("default", f"{__package__}.cpu:max_norm", workspace=_workspace),),
       may_overwrite=((0, 0),), flops=lambda w, **_: 3 * w.size,
       samples=(Sample(((5, 70),), {"max_value": 1.5}), Sample(((3, 3, 4, 9),), {"axis": 0}),
                Sample(((3, 2, 4, 5),), {"axis": (0, 1, 2), "max_value": 0.5}),
                Sample(((4, 3, 5),), {"axis": -1}), Sample(((4, 3, 5),), {"axis": (1, 0)}),
                Sample(((2, 6, 3),), {"axis": 1, "max_value": 9.0}), Sample(((7,),), {})),
       bad_calls=(BadCall(((3, 4, 5),), {"axis": (0, 2)}, "several neighbouring ones"),
                  BadCall(((3, 4),), {"axis": 2}, "got axis=2"),
                  BadCall(((3, 4),), {"max_value": 0.0}, "above 0"),
                  BadCall((np.ones((2, 2), int),), {}, "expected float")))
