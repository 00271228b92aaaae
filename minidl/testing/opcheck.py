"""Checks that every op must pass; each reads nothing but the op's record in the table.

`check_op` runs them on one op, a user's own included; minidl's tests run them on all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from .. import config, dispatch
from ..errors import MinidlError
from ..ops import registry
from ..ops.registry import BadCall, Op, Sample
from ..spec import FLOATS
from . import buffer_checks as buffers
from . import result_checks as results
from .cases import Arrays, Case, cases

Check = Callable[[Case], str]
UNREFUSING = ("copy", "negative", "abs")  # they take any array of numbers


def check_op(op: str | Op, checks: Sequence[str] = ()) -> list[str]:
    """Run the checks on an op's samples and bad calls and return what is wrong, one line each.

    Args:
        checks: names in `CHECKS`; all by default.

    >>> check_op("add")
    []
    """
    op = registry.get(op) if isinstance(op, str) else op
    return [f"{name}: {problem}" for name in checks or CHECKS for problem in CHECKS[name](op)]


def _refusals(op: Op) -> Iterator[str]:
    """Every bad call raises its text, computed or symbolic."""
    for number, bad in enumerate([*op.bad_calls, *_generic_refusals(op)]):
        arrays = Sample(bad.inputs).draw(np.random.default_rng(number), np.dtype("float32"))
        for mode in (config.enable_grad, config.shapes_only):
            with mode():
                problem = _refused(op, arrays, bad)
            if problem:
                yield f"bad call {number} of {op.name} should raise {bad.text!r}, {problem}"


def _refused(op: Op, arrays: Arrays, bad: BadCall) -> str:
    try:
        dispatch.call(op, arrays, bad.attrs)
    except MinidlError as error:
        missing = [part for part in ("where", "got", "remedy") if not getattr(error, part)]
        if missing:
            return f"the error has no {missing}: {error}"
        return "" if bad.text in str(error) else f"raised {error}"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return "raised nothing"


def _generic_refusals(op: Op) -> Iterator[BadCall]:
    """Yield what no op takes: an unknown argument, a missing input, one input too many."""
    if not op.samples or "_gradient" in op.name:  # which rules call with what infer has checked
        return
    sample = op.samples[0]
    yield BadCall(sample.inputs, {**sample.attrs, "no_such_argument": 1}, "no_such_argument")
    if not op.variadic:
        yield BadCall((*sample.inputs, (3,)), sample.attrs, f"expected {len(op.inputs)}")
        yield BadCall((None, *sample.inputs[1:]), sample.attrs, f"got no {op.inputs[0]}")


def _complete(op: Op) -> Iterator[str]:
    """The record has what the table promises, and a sample for every gradient rule."""
    if not op.doc.strip():
        yield "no doc"
    if not op.samples:
        yield "no samples"
    checked = {op.gradient(i) for case in cases(op, FLOATS[1:]) for i in case.wrt(case.draw())}
    if missing := set(op.gradients) - checked:
        yield f"no sample for the gradients of {missing}"
    if op.gradients and not op.bad_calls and op.name not in UNREFUSING:
        yield "no bad calls"
    walked = {case.algorithm for case in cases(op)}
    if len(op.kernels) > 1 and (unused := {k.name for k in op.kernels} - walked):
        yield f"no sample for the variants {unused}"


def _each(check: Check, op: Op, dtypes: Sequence[np.dtype] = FLOATS) -> Iterator[str]:
    for case in cases(op, dtypes):
        try:
            problem = check(case)
        except MinidlError as error:
            problem = str(error)
        if problem:
            yield f"{case}: {problem}"


CHECKS: dict[str, Callable[[Op], Iterator[str]]] = {
    "complete": _complete,
    "refusals": _refusals,
    "shapes_only": partial(_each, results.shapes_only),
    "forward": partial(_each, results.forward),
    "gradients": partial(_each, results.gradients, dtypes=FLOATS[1:]),
    "single precision": partial(_each, results.single_precision, dtypes=FLOATS[:1]),
    "separate gradients": partial(_each, results.separate_gradients, dtypes=FLOATS[1:]),
    "inputs unchanged": partial(_each, results.unchanged),
    "layouts": partial(_each, results.layouts),
    "not a number": partial(_each, results.not_a_number),
    "strange inputs": partial(_each, results.strange_inputs),
    "buffers": partial(_each, buffers.buffers),
    "overwrite": partial(_each, buffers.overwrite),
    "parts": partial(_each, buffers.parts),
    "allocation": partial(_each, buffers.allocation, dtypes=FLOATS[:1]),
    "repeatable": partial(_each, buffers.repeatable),
    "placement": partial(_each, buffers.placement),
    "threads": partial(_each, buffers.threads),
    "large calls": partial(_each, buffers.large_calls, dtypes=FLOATS[:1]),
}
"""The checks by name; each takes an op and yields one line for every problem."""

DEVICE_CHECKS: dict[str, Check] = {
    "forward": results.forward, "as on the CPU": results.as_on_the_cpu,
    "inputs unchanged": results.unchanged, "not a number": results.not_a_number,
    "buffers": buffers.buffers, "overwrite": buffers.overwrite, "repeatable": buffers.repeatable,
}
"""Checks of an op's kernels on another device, by name; each takes a case."""


def check_on(device: str, op: str | Op, checks: Sequence[str] = (),
             dtypes: Sequence[np.dtype] = FLOATS) -> list[str]:
    """Run an op's samples on a device, by each of its variants; return what is wrong."""
    op = registry.get(op) if isinstance(op, str) else op
    if op.view is None and not op.variants(device):
        return [f"{op.name} has no kernel on {device}"]
    found = [(name, case, DEVICE_CHECKS[name](case)) for name in checks or DEVICE_CHECKS
             for case in cases(op, dtypes, device)]
    return [f"{name}: {case}: {problem}" for name, case, problem in found if problem]
