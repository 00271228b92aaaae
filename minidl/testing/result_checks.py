"""Checks of what an op computes: its results, its gradients, what it does with strange inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import config, dispatch
from ..backend.device import to_host
from ..errors import MinidlError
from ..ops.registry import Joint, Op
from ..spec import spec_of
from .cases import LAYOUTS, Arrays, Case, laid_out, strange
from .gradcheck import GradReport, gradcheck

BOUNDS = {"float64": 1e-12, "float32": 1e-6}  # norm of the difference over norm of the reference
REDRAWS = 5


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
    gap, length = np.linalg.norm(a[finite] - b[finite]), np.linalg.norm(b[finite])
    return float(gap / length) if length else float(gap)


def reference(case: Case, arrays: Arrays) -> tuple[Any, ...]:
    """Return what the op's reference gives, computed in float64."""
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    with np.errstate(all="ignore"):
        found = case.op.reference(*wide, **case.sample.attrs)
    return found if isinstance(found, tuple) else (found,)


def bound(case: Case) -> float:
    """Return the relative error that the case may have."""
    return BOUNDS[case.dtype.name] * case.tolerance(case.algorithm)


# ---- results -------------------------------------------------------------------------------


def forward(case: Case) -> str:
    """Results agree with the reference and are as `infer` says."""
    arrays = case.draw()
    done = case.call(arrays)
    found, wanted = [to_host(a) for a in done.out], reference(case, arrays)
    if len(wanted) != len(found):
        return f"{len(found)} results, the reference has {len(wanted)}"
    for i, (got, want, spec) in enumerate(zip(found, wanted, done.plan.out, strict=True)):
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


def gradients(case: Case) -> str:
    """Backward agrees with central differences, in float64 to 1e-6."""
    found = gradient_report(case)
    return "" if found is None or found.ok else str(found)


def single_precision(case: Case) -> str:
    """Gradients in float32 are of that type and agree with those in float64."""
    arrays = case.draw()
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    got, wanted = case.outcome(arrays).gradients, case.outcome(wide).gradients
    for i, gradient in got.items():
        error = distance(gradient, wanted[i])
        if gradient.dtype != np.float32 or not error <= 2e-6 * case.tolerance():
            return f"input {i}: {gradient.dtype} gradient, {error:.2g} away from that in float64"
    return ""


def separate_gradients(case: Case) -> str:
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


def shapes_only(case: Case) -> str:
    """Symbolic results have the shapes and types of computed ones."""
    arrays = case.draw()
    wanted = [spec_of(a) for a in case.call(arrays).out]
    with config.shapes_only():
        got = [spec_of(a) for a in case.call(arrays).out]
    return "" if got == wanted else f"shapes_only gives {got}, computing gives {wanted}"


# ---- other devices -------------------------------------------------------------------------


def as_on_the_cpu(case: Case) -> str:
    """Results and gradients are those of the CPU in float64, as near as the type lets them be.

    Where a variant rounds more than that, it may move a result across a kink, such as that of relu,
    to another gradient; so it may draw again.
    """
    problem = ""
    for attempt in range(REDRAWS if case.tolerance() > case.op.tolerance else 1):
        problem = _unlike_the_cpu(case, case.draw(attempt))
        if not problem:
            break
    return problem


def _unlike_the_cpu(case: Case, arrays: Arrays) -> str:
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    cpu = Case(case.op, case.number, np.dtype("float64"))
    got, wanted = case.outcome(arrays), cpu.outcome(wide)
    if (a := sorted(got.gradients)) != (b := sorted(wanted.gradients)):
        return f"gradients of inputs {a}, on the CPU of {b}"
    for i, (one, other) in enumerate(zip(got.arrays(), wanted.arrays(), strict=True)):
        error, allowed = distance(one, other), 4 * BOUNDS[case.dtype.name] * case.tolerance()
        if not error <= allowed:
            return f"array {i} of results and gradients is {error:.2g} away from that of the CPU"
    return ""


# ---- inputs --------------------------------------------------------------------------------


def unchanged(case: Case) -> str:
    """Neither forward nor backward changes an input."""
    arrays = case.draw()
    before = [None if a is None else a.tobytes() for a in arrays]
    case.outcome(arrays)
    case.call(arrays)
    changed = [i for i, a in enumerate(arrays) if a is not None and a.tobytes() != before[i]]
    return f"inputs {changed} were changed" if changed else ""


def layouts(case: Case) -> str:
    """Sliced, transposed, reversed, read-only and unaligned inputs give the same."""
    arrays = case.draw()
    wanted = case.outcome(arrays).arrays()
    for layout in LAYOUTS:
        got = case.outcome(laid_out(arrays, layout)).arrays()
        error = max((distance(g, w) for g, w in zip(got, wanted, strict=True)), default=0.0)
        if not error <= bound(case):
            return f"{layout} inputs give a result {error:.2g} away"
    return ""


def not_a_number(case: Case) -> str:
    """A NaN in an input that has a gradient is not lost on the way.

    It must show in each row of the result that has one in the reference. Not in each element: a
    kernel may leave out the products of a weight that is NaN and the zeros around an image.
    """
    for i in case.wrt(case.draw()):
        arrays = case.draw()
        arrays[i].flat[arrays[i].size // 2] = np.nan  # type: ignore[union-attr]
        for got, want in zip(case.results(arrays), reference(case, arrays), strict=True):
            if got.dtype.kind == "f" and np.any(_rows_with_nan(want) & ~_rows_with_nan(got)):
                return f"a NaN in input {i} does not show in the result"
    return ""


def _rows_with_nan(array: np.ndarray) -> np.ndarray:
    return np.isnan(array).any(axis=tuple(range(1, array.ndim)))


def strange_inputs(case: Case) -> str:
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
            if not distance(got, want) <= allowed * case.tolerance():
                return f"{change} gives a result {distance(got, want):.2g} away"
    return ""
