"""Ops over all gradients or all parameters at once that stand around an optimizer's step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...spec import Spec, need_float
from ..registry import BadCall, Inferred, Kernel, Pairs, Sample, define
from .op import bare, split_groups


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
       kernel=f"{__package__}.cpu:blend", may_overwrite=_same_place,
       doc="y = keep x + take z for all xs, followed by as many zs",
       flops=lambda *arrays, **_: 3 * sum(a.size for a in arrays) // 2,
       samples=(Sample(((3, 4), (5,), (3, 4), (5,)), {"keep": 0.9, "take": 0.1}),
                Sample(((), ()), {"keep": 1.0, "take": -2.0})),
       bad_calls=(BadCall(((2,), (3,)), {"keep": 1.0, "take": 1.0}, "xs[0] is (2,)"),
                  BadCall(((2,),), {"keep": 1.0, "take": 1.0}, "as many xs, zs")))

# ---- clip_gradients ------------------------------------------------------------------------


def _infer_clip(*gradients: Spec, norm: float | None = None, value: float | None = None
                ) -> Inferred:
    if (norm is None) == (value is None) or not (norm or value or 0) > 0:
        raise ArgumentError("clip_gradients", f"got norm={norm}, value={value}",
                            "expected one of them, above 0", "Give one.")
    for g in gradients:
        need_float("clip_gradients", g=g)
    return Inferred(gradients, attrs={"norm": norm, "value": value})


def _clip_reference(*gradients: np.ndarray, norm: float | None = None, value: float | None = None
                    ) -> Any:
    if norm is None:
        return bare([np.clip(g, -value, value) for g in gradients])  # type: ignore[operator]
    length = np.sqrt(sum((g.astype(float)**2).sum() for g in gradients))
    return bare([g * norm / max(length, norm) for g in gradients])


def _clip_workspace(*gradients: Spec, norm: float | None, value: float | None) -> dict[str, Spec]:
    from .cpu import clip_parts
    count = len(clip_parts([g.size for g in gradients])) if norm else 0
    return {"squares": Spec((count,), np.dtype("float64"))}


define("clip_gradients", inputs=("gradients",), variadic=True, infer=_infer_clip,
       reference=_clip_reference, may_overwrite=_same_place,
       kernels=(Kernel("default", f"{__package__}.cpu:clip_gradients", workspace=_clip_workspace),),
       doc="gradients times norm / max(norm, their common L2 norm) (Pascanu et al. 2013), or each "
           "element limited to [-value, value]",
       flops=lambda *gradients, **_: 3 * sum(g.size for g in gradients),
       samples=(Sample(((3, 4), (5,)), {"norm": 1.0}), Sample(((3, 4), ()), {"norm": 100.0}),
                Sample(((300, 250),), {"norm": 2.0}), Sample(((3, 4), (5,)), {"value": 0.5})),
       bad_calls=(BadCall(((3,),), {}, "expected one of them"),
                  BadCall(((3,),), {"norm": -1.0}, "above 0"),
                  BadCall((np.ones(3, int),), {"value": 1.0}, "expected float")))
