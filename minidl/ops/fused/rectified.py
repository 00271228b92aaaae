"""How an op followed by relu becomes one op, NAME_relu = max(NAME, 0).

Its variants are those of the op, its gradient rules too: with gz = gy where y > 0 and 0 elsewhere,
what relu hands on, the gradients of NAME_relu for gy are those of NAME for gz. So nothing is kept
but what the rules of NAME need, and y, which the next layer keeps anyway.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from .. import registry
from ..registry import Joint, Kernel, Op, Sample, define, jointly

Array = np.ndarray


def rectified(name: str, *, bias: str = "",
              kernels: Sequence[Kernel] | Callable[[str], Sequence[Kernel]] = (),
              samples: Sequence[Sample] = (), doc: str = "") -> Op:
    """Define NAME_relu from an op with one result, and return it.

    Args:
        bias: the input that is added to every row of the result; its gradient is the sum of gz
            over all axes but the last and is taken in the pass that makes gz.
        kernels: the variants; by default those of the op, each with relu at its end.
        samples: the op's by default.
    """
    op = registry.get(name)
    return define(f"{name}_relu", inputs=op.inputs, optional=op.optional, infer=op.infer,
                  reference=_reference(op), kernels=kernels or rectified_kernels(op),
                  gradients=jointly(*op.gradients, rule=rule_of(op, bias, partial(_masked, bias))),
                  samples=samples or op.samples, bad_calls=op.bad_calls, flops=op.flops,
                  tolerance=op.tolerance, doc=doc or f"y = max({name}({', '.join(op.inputs)}), 0)")


def _reference(op: Op) -> Callable:
    return lambda *arrays, **attrs: np.maximum(op.reference(*arrays, **attrs), 0)


# ---- kernels -------------------------------------------------------------------------------


def rectified_kernels(op: Op) -> tuple[Kernel, ...]:
    """Return the variants of an op, each with relu at its end."""
    return tuple(replace(kernel, place=partial(_compute, kernel)) for kernel in op.kernels)


def _compute(kernel: Kernel, *arrays: Array | None, out: Array, saved: dict, work: dict,
             **attrs: Any) -> None:
    """Run a kernel that rectifies what it writes, or one that does not and then do it."""
    if takes(kernel, "relu"):
        kernel.function(*arrays, out=out, saved=saved, work=work, **attrs, relu=True)
        return
    from .cpu import rectify
    kernel.function(*arrays, out=out, saved=saved, work=work, **attrs)
    rectify(out)


@cache
def takes(kernel: Kernel, option: str) -> bool:
    """Say whether a kernel takes `relu=True` or `more=array`."""
    return option in inspect.signature(kernel.function).parameters


# ---- gradients -----------------------------------------------------------------------------


def rule_of(op: Op, bias: str, masked: Callable) -> Callable:
    """Return the rule for all inputs; its arguments are what the op's rules ask for, and y.

    Args:
        bias: an input whose gradient `masked` finds, if any.
        masked: returns gz, and the gradients that it found besides, by input.
    """
    rules = {n: rule for n, rule in op.gradients.items() if n != bias}
    needed = {need: None for n in rules for need in op.needs[n] if need not in ("gy", "wanted")}

    def rule(run: Callable, gy: Array, y: Array, wanted: tuple[str, ...], *values: Any
             ) -> tuple[Array | None, ...]:
        gz, found = masked(run, gy, y, wanted)
        given = {"gy": gz, "wanted": wanted, **dict(zip(needed, values, strict=True))}
        for name in wanted:
            if name not in found:
                found |= _follow(rules[name], run, name, [given[n] for n in op.needs[name]])
        return tuple(found.get(name) for name in op.gradients)

    names = ("run", "gy", "y", "wanted", *needed)
    rule.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names])
    return rule


def _masked(bias: str, run: Callable, gy: Array, y: Array, wanted: tuple[str, ...]
            ) -> tuple[Array, dict[str, Array | None]]:
    """Return gz, and the gradient of the bias if it is wanted."""
    if bias not in wanted:
        return run("relu_bias_gradient", gy, y, summed=False), {}
    gz, total = run("relu_bias_gradient", gy, y, summed=True)
    return gz, {bias: total}


def _follow(rule: Any, run: Callable, name: str, values: Sequence[Any]) -> dict[str, Array | None]:
    if isinstance(rule, Joint):
        return dict(zip(rule.names, rule.rule(run, *values), strict=True))
    return {name: rule(run, *values)}
