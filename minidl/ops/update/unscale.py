"""Divide gradients by the factor that their loss was multiplied with, and choose the next factor.

Numbers below 6e-8 are 0 in float16, and many gradients are so small. Multiplied with a large
factor before the backward pass they are not; where the largest then exceed 65504 they become
infinite. So the factor grows as long as all gradients are finite, and falls where they are not
(Micikevicius et al., "Mixed precision training", 2018, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Spec, need_float
from ..registry import BadCall, Inferred, Kernel, Pairs, Sample, define


def _infer(scale: Spec, streak: Spec, *gradients: Spec, growth: float = 2.0, backoff: float = 0.5,
           every: int = 2000) -> Inferred:
    need_float("unscale", scale=scale, **{f"gradients[{i}]": g for i, g in enumerate(gradients)})
    if scale.shape or streak != scale:
        raise ShapeError("unscale", f"got scale of {scale} and streak of {streak}",
                         "expected single numbers of one type", "Give arrays of shape ().")
    if not (growth >= 1 >= backoff > 0 and every >= 1):
        raise ArgumentError("unscale", f"got growth={growth}, backoff={backoff}, every={every}",
                            "expected growth >= 1 >= backoff > 0 and every >= 1",
                            "Leave out what should have its default.")
    return Inferred((scale, streak, *gradients),
                    attrs={"growth": growth, "backoff": backoff, "every": every})


def _reference(scale: np.ndarray, streak: np.ndarray, *gradients: np.ndarray, growth: float = 2.0,
               backoff: float = 0.5, every: int = 2000) -> tuple[np.ndarray, ...]:
    finite = all(np.isfinite(g).all() for g in gradients)
    grows = finite and streak + 1 >= every
    factor = growth if grows else 1.0 if finite else backoff
    following = 0.0 if grows or not finite else streak + 1
    return (np.asarray(scale * factor), np.asarray(following), *[g / scale for g in gradients])


def _in_place(inputs: int, outputs: int) -> Pairs:
    return tuple((i, i) for i in range(outputs))


def _workspace(scale: Spec, streak: Spec, *gradients: Spec, **attrs: Any) -> dict[str, Spec]:
    from .cpu_rows import parts_of
    return {"faults": Spec((parts_of(gradients),), np.dtype("float64"))}


def _with_infinite(shape: tuple[int, ...]) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: np.where(np.arange(np.prod(shape)).reshape(shape) == 1, np.inf,
                                rng.standard_normal(shape))


_SCALE, _STREAK = np.array(1024.0), np.array(6.0)
define("unscale", inputs=("scale", "streak", "gradients"), variadic=True, infer=_infer,
       reference=_reference,
       kernels=(Kernel("default", f"{__package__}.cpu_unscale:unscale", workspace=_workspace),),
       may_overwrite=_in_place,
       doc="gradients / scale; and scale and streak for the next step: scale growth and 0 where "
           "this is the `every`-th step in a row with finite gradients, scale and streak + 1 "
           "before that, scale backoff and 0 where a gradient is not finite",
       flops=lambda scale, streak, *gradients, **_: sum(g.size for g in gradients),
       samples=(Sample((_SCALE, _STREAK, (3, 4), (), (7,))),
                Sample((_SCALE, _STREAK, (3, 4), (7,)), {"every": 7}),
                Sample((_SCALE, _STREAK, (5,), _with_infinite((3, 4))), {"backoff": 0.25})),
       bad_calls=(BadCall((np.ones(2), _STREAK, (3,)), {}, "got scale of (2,)"),
                  BadCall((_SCALE, _STREAK, np.ones(3, int)), {}, "expected float"),
                  BadCall((_SCALE, _STREAK, (3,)), {"backoff": 0.0}, "backoff > 0")))
