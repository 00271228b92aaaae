"""Checks that every op must pass; each reads nothing but the op's record in the table.

`check_op` runs them on one op, a user's own included; minidl's tests run them on all.
"""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import config, dispatch
from ..errors import MinidlError
from ..ops import registry
from ..ops.registry import BadCall, Joint, Op, Sample
from ..spec import FLOATS, spec_of
from .buffers import fine_ranges, guarded_buffers
from .cases import LAYOUTS, Arrays, Case, Outcome, cases, grown, laid_out, strange
from .gradcheck import GradReport, gradcheck

BOUNDS = {"float64": 1e-12, "float32": 1e-6}  # norm of the difference over norm of the reference
REDRAWS = 5
LARGE = 1 << 21          # bytes of the first input of a large call
ALLOWED_BYTES = 1 << 18  # that a kernel may allocate during a large call
Check = Callable[[Case], str]


def check_op(op: str | Op, checks: Sequence[str] = ()) -> list[str]:
    """Run the checks on an op's samples and bad calls and return what is wrong, one line each.

    Args:
        checks: names in `CHECKS`; all by default.

    >>> check_op("add")
    []
    """
    op = registry.get(op) if isinstance(op, str) else op
    return [f"{name}: {problem}" for name in checks or CHECKS for problem in CHECKS[name](op)]


def distance(got: np.ndarray, wanted: Any) -> float:
    """Return |got - wanted| / |wanted| in the Euclidean norm, infinite where one cannot."""
    wanted = np.asarray(wanted)
    if got.shape != wanted.shape:
        return np.inf
    if got.dtype.kind != "f":
        return 0.0 if np.array_equal(got, wanted) else np.inf
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    gap, length = np.linalg.norm((a - b)[finite]), np.linalg.norm(b[finite])
    return float(gap / length) if length else float(gap)


def reference(case: Case, arrays: Arrays) -> tuple[Any, ...]:
    """Return what the op's reference gives, computed in float64."""
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    with np.errstate(all="ignore"):
        found = case.op.reference(*wide, **case.sample.attrs)
    return found if isinstance(found, tuple) else (found,)


def bound(case: Case) -> float:
    """Return the relative error that the case may have."""
    return BOUNDS[case.dtype.name] * case.op.tolerance


# ---- results -------------------------------------------------------------------------------


def _forward(case: Case) -> str:
    arrays = case.draw()
    done = case.call(arrays)
    wanted = reference(case, arrays)
    if len(wanted) != len(done.out):
        return f"{len(done.out)} results, the reference has {len(wanted)}"
    for i, (got, want, spec) in enumerate(zip(done.out, wanted, done.plan.out, strict=True)):
        if spec_of(got) != spec:
            return f"result {i} is {spec_of(got)}, infer says {spec}"
        error = distance(got, want)
        allowed = 1e-6 if got.dtype == np.float32 else bound(case)
        if not error <= max(allowed, bound(case)):
            return f"result {i} is {error:.2g} away from the reference"
    return ""


def gradient_report(case: Case, locate: bool = True) -> GradReport | None:
    """Check the case's gradients by differences, drawing again where there is a kink."""
    found = None
    for attempt in range(REDRAWS):
        arrays = case.draw(attempt)
        wrt = case.wrt(arrays)
        if not wrt:
            return None
        names = [case.op.inputs[min(i, len(case.op.inputs) - 1)] for i in range(len(arrays))]
        found = gradcheck(case.apply, *case.tensors(arrays, wrt), seed=attempt, name=case.op.name,
                          names=names, tolerance=1e-6 * case.op.tolerance, locate=locate)
        if found.verdict != "kink":
            break
    return found


def _gradients(case: Case) -> str:
    found = gradient_report(case)
    return "" if found is None or found.ok else str(found)


def _single(case: Case) -> str:
    """Gradients in float32 are of that type and agree with those in float64."""
    arrays = case.draw()
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    got, wanted = case.outcome(arrays).gradients, case.outcome(wide).gradients
    for i, gradient in got.items():
        error = distance(gradient, wanted[i])
        if gradient.dtype != np.float32 or not error <= 2e-6 * case.op.tolerance:
            return f"input {i}: {gradient.dtype} gradient, {error:.2g} away from that in float64"
    return ""


def _separate(case: Case) -> str:
    """A gradient costs the ops of its own rule, and saves what that rule needs, nothing else."""
    arrays = case.draw()
    wrt = case.wrt(arrays)
    together = _ops_run(case, arrays, wrt)
    groups = _sharing(case.op, wrt)
    apart = [_ops_run(case, arrays, group) for group in groups]
    if together != sum(apart, Counter()):
        return f"backward for all inputs runs {together}, for {groups} {apart}"
    for i in wrt:
        if more := _ops_run(case, arrays, [i]) - together:
            return f"the gradient of input {i} alone runs {more} beyond what all run"
        node = case.apply(*case.tensors(arrays, [i])).node
        extra = set(node.saved) - set(case.op.needs[case.op.gradient(i)])  # type: ignore
        if extra:
            return f"saves {extra} for the gradient of input {i} alone"
    return ""


def _sharing(op: Op, wrt: Sequence[int]) -> list[list[int]]:
    """Return the inputs in groups that share a rule; most are alone."""
    groups: dict[object, list[int]] = {}
    for i in wrt:
        rule = op.gradients[op.gradient(i)]  # type: ignore[index]
        groups.setdefault(id(rule) if isinstance(rule, Joint) else ("alone", i), []).append(i)
    return list(groups.values())


def _ops_run(case: Case, arrays: Arrays, wrt: Sequence[int]) -> Counter[str]:
    """Count the ops that backward runs for the gradients of some inputs."""
    y = case.apply(*case.tensors(arrays, wrt))
    names: Counter[str] = Counter()

    def listen(call: dispatch.Call, compute: Callable[[], None]) -> None:
        names[call.plan.op.name] += 1
        compute()

    if wrt:
        gy = case.gy(y)
        with dispatch.hook(listen):
            y.backward(gy)
    return names


# ---- inputs --------------------------------------------------------------------------------


def _unchanged(case: Case) -> str:
    arrays = case.draw()
    before = [None if a is None else a.tobytes() for a in arrays]
    case.outcome(arrays)
    case.call(arrays)
    changed = [i for i, a in enumerate(arrays) if a is not None and a.tobytes() != before[i]]
    return f"inputs {changed} were changed" if changed else ""


def _layouts(case: Case) -> str:
    arrays = case.draw()
    wanted = case.outcome(arrays).arrays()
    for layout in LAYOUTS:
        got = case.outcome(laid_out(arrays, layout)).arrays()
        error = max((distance(g, w) for g, w in zip(got, wanted, strict=True)), default=0.0)
        if not error <= bound(case):
            return f"{layout} inputs give a result {error:.2g} away"
    return ""


def _not_a_number(case: Case) -> str:
    """A NaN in an input that has a gradient is not lost on the way."""
    for i in case.wrt(case.draw()):
        arrays = case.draw()
        arrays[i].flat[arrays[i].size // 2] = np.nan  # type: ignore[union-attr]
        for got, want in zip(case.call(arrays).out, reference(case, arrays), strict=True):
            if got.dtype.kind == "f" and np.any(np.isnan(want) & ~np.isnan(got)):
                return f"a NaN in input {i} does not show in the result"
    return ""


def _strange(case: Case) -> str:
    """Other types, other lengths and empty arrays are refused by name or computed rightly."""
    if "_gradient" in case.op.name:  # called by rules alone, with what infer has checked
        return ""
    for change, arrays in strange(case):
        try:
            done, wanted = case.call(arrays), reference(case, arrays)
        except MinidlError:
            continue
        except Exception as error:
            return f"{change} raises {type(error).__name__}: {error}"
        for got, want in zip(done.out, wanted, strict=True):
            allowed = {"float16": 1e-2, "float32": 1e-5}.get(got.dtype.name, 1e-11)
            if not distance(got, want) <= allowed * case.op.tolerance:
                return f"{change} gives a result {distance(got, want):.2g} away"
    return ""


# ---- buffers -------------------------------------------------------------------------------


def _buffers(case: Case) -> str:
    """Buffers are written in full and nothing around them is; what they held does not matter."""
    arrays, outcomes = case.draw(), []
    for fill in (0, 0xFF):
        with guarded_buffers(fill) as buffers:
            outcomes.append(case.outcome(arrays))
        if buffers.damaged():
            return f"{buffers.damaged()} buffers were written to outside their bounds"
    return "" if outcomes[0].same_bits(outcomes[1]) else "reads buffers that it has not written"


def _overwrite(case: Case) -> str:
    results = len(case.call(case.draw()).out)
    for i, j in case.op.overwrites(len(case.sample.inputs), results):
        arrays = case.draw()
        given, wanted = arrays[i], case.call(arrays).out
        if given is None or spec_of(given) != spec_of(wanted[j]):
            continue
        out = [given if k == j else np.empty_like(w) for k, w in enumerate(wanted)]
        got = case.call(arrays, out=out).out
        if any(g.tobytes() != w.tobytes() for g, w in zip(got, wanted, strict=True)):
            return f"writing result {j} over input {i} changes the result"
    return ""


def _allocation(case: Case) -> str:
    large = grown(case, LARGE)
    if large is None or case.op.view is not None:
        return ""
    done = dispatch.call(case.op, large[0], large[1], algorithm=case.algorithm)
    done.work = {name: np.empty(*spec) for name, spec in done.plan.work.items()}
    tracemalloc.start()
    try:
        done.compute()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return f"the kernel allocates {peak:,} bytes" if peak > ALLOWED_BYTES else ""


# ---- repetition ----------------------------------------------------------------------------


def _repeatable(case: Case) -> str:
    arrays = case.draw()
    same = case.outcome(arrays).same_bits(case.outcome(arrays))
    return "" if same else "two runs give different bits"


def _threads(case: Case) -> str:
    """Results have the same bits with 1, 2 and 3 threads, on ranges as they are and cut finely."""
    arrays = case.draw()
    with fine_ranges():
        fine = [_with_threads(case, arrays, n) for n in (1, 2, 3)]
    usual = [_with_threads(case, arrays, n) for n in (1, 3)]
    if not all(o.same_bits(fine[0]) for o in fine) or not usual[0].same_bits(usual[1]):
        return "the number of threads changes the result"
    pairs = zip(fine[0].arrays(), usual[0].arrays(), strict=True)
    error = max((distance(a, b) for a, b in pairs), default=0.0)
    return "" if error <= bound(case) else f"finer ranges give a result {error:.2g} away"


def _with_threads(case: Case, arrays: Arrays, count: int) -> Outcome:
    with config.threads(count):
        return case.outcome(arrays)


def _large_threads(case: Case) -> str:
    large = grown(case, LARGE)
    if large is None:
        return ""
    done = []
    for count in (1, 2, 3):
        with config.threads(count):
            done.append(dispatch.call(case.op, *large, algorithm=case.algorithm).out)
    same = all(a.tobytes() == b.tobytes()
               for out in done[1:] for a, b in zip(done[0], out, strict=True))
    return "" if same else "the number of threads changes the result of a large call"


# ---- calls that do not compute -------------------------------------------------------------


def _shapes_only(case: Case) -> str:
    arrays = case.draw()
    wanted = [spec_of(a) for a in case.call(arrays).out]
    with config.shapes_only():
        got = [spec_of(a) for a in case.call(arrays).out]
    return "" if got == wanted else f"shapes_only gives {got}, computing gives {wanted}"


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


UNREFUSING = ("copy", "negative", "abs")  # they take any array of numbers


def _each(check: Check, op: Op, dtypes: Sequence[np.dtype] = FLOATS) -> Iterator[str]:
    for case in cases(op, dtypes):
        problem = check(case)
        if problem:
            yield f"{case}: {problem}"


CHECKS: dict[str, Callable[[Op], Iterator[str]]] = {
    "complete": _complete,
    "refusals": _refusals,
    "shapes_only": partial(_each, _shapes_only),
    "forward": partial(_each, _forward),
    "gradients": partial(_each, _gradients, dtypes=FLOATS[1:]),
    "single precision": partial(_each, _single, dtypes=FLOATS[:1]),
    "separate gradients": partial(_each, _separate, dtypes=FLOATS[1:]),
    "inputs unchanged": partial(_each, _unchanged),
    "layouts": partial(_each, _layouts),
    "not a number": partial(_each, _not_a_number),
    "strange inputs": partial(_each, _strange),
    "buffers": partial(_each, _buffers),
    "overwrite": partial(_each, _overwrite),
    "allocation": partial(_each, _allocation, dtypes=FLOATS[:1]),
    "repeatable": partial(_each, _repeatable),
    "threads": partial(_each, _threads),
    "large calls": partial(_each, _large_threads, dtypes=FLOATS[:1]),
}
"""The checks by name; each takes an op and yields one line for every problem."""
