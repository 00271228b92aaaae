"""How an op followed by relu6 becomes one op, NAME_relu6 = min(max(NAME, 0), 6).

Its variants are those of the op, on every device; its gradient rules too, for gz = gy where
0 < y < 6 and 0 elsewhere. Networks for small devices end their convolutions so (Howard et al.,
"MobileNets", 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from .. import registry
from ..pointwise.op import gradient_op
from ..registry import Kernel, Op, define, jointly
from .rectified import rule_of, takes

Array = np.ndarray
MOST = 6.0


def capped(name: str) -> Op:
    """Define NAME_relu6 from an op with one result, and return it."""
    op = registry.get(name)
    return define(f"{name}_relu6", inputs=op.inputs, optional=op.optional, infer=op.infer,
                  reference=_reference(op), kernels=partial(_variants, op),
                  gradients=jointly(*op.gradients, rule=rule_of(op, "", _masked)),
                  samples=op.samples, bad_calls=op.bad_calls, flops=op.flops,
                  tolerance=op.tolerance,
                  doc=f"y = min(max({name}({', '.join(op.inputs)}), 0), 6)")


def _reference(op: Op) -> Callable:
    return lambda *arrays, **attrs: np.clip(op.reference(*arrays, **attrs), 0, MOST)


@cache
def _variants(op: Op, device: str) -> tuple[Kernel, ...]:
    """Return the variants of an op on a device, each with relu6 at its end."""
    return tuple(replace(kernel, place=partial(_compute, kernel)) for kernel in op.variants(device))


def _compute(kernel: Kernel, *arrays: Array | None, out: Array, saved: dict, work: dict,
             **attrs: Any) -> None:
    """Run a kernel that limits what it writes, or one that does not and then do it."""
    if takes(kernel, "ceiling"):
        kernel.function(*arrays, out=out, saved=saved, work=work, **attrs, relu=True, ceiling=MOST)
        return
    kernel.function(*arrays, out=out, saved=saved, work=work, **attrs)
    clip = registry.get("clip").variants(kernel.device)[0]
    clip.function(out, out=out, saved={}, work={}, low=0.0, high=MOST)


def _masked(run: Callable, gy: Array, y: Array, wanted: tuple[str, ...]
            ) -> tuple[Array, dict[str, Array | None]]:
    return run("relu6_gradient", gy, y), {}


gradient_op("relu6_gradient", f"(gy if y < {MOST} else 0) if y > 0 else 0", ["gy", "y"],
            doc="gz = gy where 0 < y < 6, else 0")
