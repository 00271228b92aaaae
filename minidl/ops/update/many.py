"""Ops over all parameters at once that stand around an optimizer's step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...spec import Spec
from ..registry import BadCall, Inferred, Kernel, Pairs, Sample, define
from .op import bare, pairs_for, split_groups


def _same_place(inputs: int, outputs: int) -> Pairs:
    return tuple((i, i) for i in range(outputs))


# ---- blend ---------------------------------------------------------------------------------


def _infer_blend(*arrays: Spec, keep: float, take: float) -> Inferred:
    groups = split_groups("blend", arrays, ("xs", "zs"))
    return Inferred(groups["xs"], attrs={"keep": float(keep), "take": float(take)})


def _blend_reference(*arrays: np.ndarray, keep: float, take: float) -> Any:
    count = len(arrays) // 2
    return bare([keep * x + take * z
                  for x, z in zip(arrays[:count], arrays[count:], strict=True)])


define("blend", inputs=("arrays",), variadic=True, infer=_infer_blend, reference=_blend_reference,
       kernel=f"{__package__}.cpu_many:blend", may_overwrite=_same_place,
       doc="y = keep x + take z for all xs, followed by as many zs",
       flops=lambda *arrays, **_: 3 * sum(a.size for a in arrays) // 2,
       samples=(Sample(((3, 4), (5,), (3, 4), (5,)), {"keep": 0.9, "take": 0.1}),
                Sample(((), ()), {"keep": 1.0, "take": -2.0})),
       bad_calls=(BadCall(((2,), (3,)), {"keep": 1.0, "take": 1.0}, "xs[0] is (2,)"),
                  BadCall(((2,),), {"keep": 1.0, "take": 1.0}, "as many xs, zs")))

# ---- penalty -------------------------------------------------------------------------------


def _infer_penalty(*arrays: Spec, penalties: Sequence[Any] = ()) -> Inferred:
    groups = split_groups("penalty", arrays, ("xs",))
    pairs = pairs_for("penalty", penalties, len(groups["xs"]))
    return Inferred((Spec((), np.dtype("float64")),), attrs={"penalties": pairs})


def _penalty_reference(*arrays: np.ndarray, penalties: Any = ()) -> np.ndarray:
    return np.asarray(sum((l1 * np.abs(x).sum() + l2 * (x * x).sum()
                           for x, (l1, l2) in zip(arrays, penalties, strict=False)), 0.0))


def _penalty_workspace(*arrays: Spec, penalties: Any) -> dict[str, Spec]:
    from .cpu_rows import parts_of
    return {"sums": Spec((parts_of(arrays),), np.dtype("float64"))}


define("penalty", inputs=("xs",), variadic=True, infer=_infer_penalty,
       reference=_penalty_reference,
       kernels=(Kernel("default", f"{__package__}.cpu_many:penalty",
                       workspace=_penalty_workspace),),
       doc="y = sum over all xs of l1 sum |x| + l2 sum x^2, in float64; penalties has (l1, l2) for "
           "each x, or is empty",
       flops=lambda *arrays, **_: 4 * sum(a.size for a in arrays),
       samples=(Sample(((3, 4), (5,)), {"penalties": ((0.0, 0.3), (0.2, 0.1))}),
                Sample(((),), {"penalties": ((1.0, 2.0),)}), Sample(((2, 2), (3,)))),
       bad_calls=(BadCall(((3,),), {"penalties": ((0.1, 0.1),) * 2}, "(l1, l2) for each of 1"),
                  BadCall((np.ones(3, int),), {}, "expected float")))
