"""How an op followed by a sum becomes one op, NAME_add = NAME + more.

Its variants are those of the op, its gradient rules too; `more` gets gy as it is. The sum is taken
while the result is in a register, which saves writing it and reading it again. A residual network
adds its shortcut so; backward, where a tensor had several uses, the gradient of the first to that
of the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...spec import Spec
from .. import registry
from ..registry import BadCall, Inferred, Kernel, Op, Rule, Sample, define
from .rectified import takes

Array = np.ndarray


def added(name: str) -> Op:
    """Define NAME_add from an op with one result, and return it."""
    op = registry.get(name)
    return define(f"{name}_add", inputs=(*op.inputs, "more"), optional=op.optional,
                  infer=partial(_infer, op), reference=lambda *arrays, **attrs: (
                      op.reference(*arrays[:-1], **attrs) + arrays[-1]),
                  kernels=tuple(map(_adding, op.kernels)), gradients=_rules(op),
                  samples=[_with_more(op, sample) for sample in op.samples],
                  bad_calls=_bad_calls(op),
                  flops=op.flops and partial(_without_more, op.flops),
                  tolerance=op.tolerance, doc=f"y = {name}({', '.join(op.inputs)}) + more")


def _rules(op: Op) -> dict[str, Rule]:
    return {**op.gradients, "more": lambda run, gy: gy} if op.gradients else {}


def _infer(op: Op, *specs: Spec, **attrs: Any) -> Inferred:
    inferred, more = op.infer(*specs[:-1], **attrs), specs[-1]
    if isinstance(inferred, Spec):
        inferred = Inferred((inferred,), attrs=attrs)
    if more != inferred.out[0]:
        raise ShapeError(f"{op.name}_add", f"got more of {more}", f"expected {inferred.out[0]}",
                         "It is added to the result.")
    return inferred


def _with_more(op: Op, sample: Sample) -> Sample:
    """Return a sample of the op with an array to add."""
    shapes = [shape and Spec(shape, np.dtype("float64")) for shape in sample.inputs]
    inferred = op.infer(*shapes, **sample.attrs)
    out = inferred if isinstance(inferred, Spec) else inferred.out[0]
    return Sample((*sample.inputs, out.shape), sample.attrs)


def _bad_calls(op: Op) -> list[BadCall]:
    sample = op.samples[0]
    return [*(BadCall((*bad.inputs, (1,)), bad.attrs, bad.text) for bad in op.bad_calls),
            BadCall((*sample.inputs, (1, 2)), sample.attrs, "added to the result")]


def _adding(kernel: Kernel) -> Kernel:
    """Return a variant of the op as one that adds `more`, its last input."""
    def about_op(question: Callable | None) -> Any:
        return question and partial(_without_more, question)

    return replace(kernel, place=partial(_compute, kernel), accepts=about_op(kernel.accepts),
                   pays=about_op(kernel.pays), workspace=about_op(kernel.workspace), pitched=False)


def _without_more(question: Callable, *specs: Spec | None, **attrs: Any) -> Any:
    return question(*specs[:-1], **attrs)


def _compute(kernel: Kernel, *arrays: Array, out: Array, saved: dict, work: dict, **attrs: Any
             ) -> None:
    """Run a kernel that adds to what it writes, or one that does not and then do it."""
    *given, more = arrays
    if takes(kernel, "more"):
        kernel.function(*given, out=out, saved=saved, work=work, **attrs, more=more)
        return
    from ...backend.cpu import run_ufunc
    kernel.function(*given, out=out, saved=saved, work=work, **attrs)
    run_ufunc(np.add, (out, more), out)
