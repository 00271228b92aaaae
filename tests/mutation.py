"""Planted defects in the gradient rules, and whether the gradient check of the op sees them.

Mutants are made without knowing the op: the rule's result, what it is given, the ops it runs and,
for derivatives written as expressions, the expression itself are changed, one thing at a time.
A mutant whose gradients equal the true ones on all samples changes nothing and does not count.

    python tests/mutation.py [OP...]
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import ties

import minidl.ops  # noqa: F401
from minidl.ops import registry
from minidl.ops.pointwise.op import _evaluated, names_in
from minidl.ops.registry import Joint, Op, jointly
from minidl.testing.cases import Case, cases
from minidl.testing.result_checks import distance, gradient_report

Values = dict[str, Any]
Rule = Callable[[Callable, Values], np.ndarray]  # a rule that gets its arguments by name
SAME = 1e-9  # relative distance up to which two gradients are one


@dataclass(frozen=True)
class Mutant:
    """An op with one defect in the gradient rule of one input."""

    op: Op
    input: str
    defect: str

    def __str__(self) -> str:
        return f"{self.op.name} / {self.input}: {self.defect}"


# ---- the result ----------------------------------------------------------------------------


def _swapped_axes(g: np.ndarray) -> np.ndarray:
    return np.swapaxes(g, 0, -1).reshape(g.shape) if g.ndim > 1 else g


def _largest_dropped(g: np.ndarray) -> np.ndarray:
    g = np.array(g)
    if g.size:
        g.flat[np.argmax(np.abs(g))] = 0
    return g


RESULT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sign flipped": lambda g: -g,
    "twice as large": lambda g: 2 * g,
    "zero": np.zeros_like,
    "off by one": lambda g: np.roll(g.reshape(-1), 1).reshape(g.shape),
    "axes swapped": _swapped_axes,
    "reversed": lambda g: np.flip(g),
    "largest element dropped": _largest_dropped,
    "averaged": lambda g: np.full_like(g, g.mean() if g.size else 0)}


def _of_result(values: Values) -> Iterator[tuple[str, Callable[[Rule], Rule]]]:
    for name, change in RESULT.items():
        yield f"result {name}", lambda rule, change=change: (
            lambda run, values: _changed(change, rule(run, values)))


def _changed(change: Callable[[np.ndarray], np.ndarray], result: Any) -> Any:
    """Change a gradient; a joint rule gives None where none is wanted."""
    return None if result is None else change(np.asarray(result))


# ---- what the rule is given ----------------------------------------------------------------

ARRAY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "replaced by ones": np.ones_like,
    "negated": lambda a: -a,
    "off by one": RESULT["off by one"]}


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _of_values(values: Values) -> Iterator[tuple[str, Callable[[Rule], Rule]]]:
    for name, value in values.items():
        if _is_float(value):  # integers are places in memory: a wrong one would write outside
            for what, change in ARRAY.items():
                yield f"{name} {what}", _with({name: lambda v, n=name, c=change: c(v[n])})
        elif isinstance(value, np.ndarray) and value.dtype == bool:
            yield f"{name} inverted", _with({name: lambda v, n=name: ~v[n]})
        elif isinstance(value, bool):
            yield f"{name} inverted", _with({name: lambda v, n=name: not v[n]})
        elif isinstance(value, float):
            yield f"{name} halved", _with({name: lambda v, n=name: v[n] / 2})
    arrays = [n for n, v in values.items() if _is_float(v)]
    for i, a in enumerate(arrays):
        for b in arrays[i + 1:]:
            if values[a].shape == values[b].shape:
                swap = {a: lambda v, b=b: v[b], b: lambda v, a=a: v[a]}
                yield f"{a} and {b} swapped", _with(swap)


def _with(changes: Mapping[str, Callable[[Values], Any]]) -> Callable[[Rule], Rule]:
    def mutate(rule: Rule) -> Rule:
        return lambda run, values: rule(
            run, {**values, **{name: change(values) for name, change in changes.items()}})
    return mutate


# ---- the ops it runs -----------------------------------------------------------------------


def _not_summed(x: np.ndarray, result: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the first term of a sum."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    picked = tuple(slice(0, 1) if i in axes else slice(None) for i in range(x.ndim))
    return np.ascontiguousarray(x[picked]).reshape(result.shape)


def _of_calls(ran: list[str]) -> Iterator[tuple[str, Callable[[Rule], Rule]]]:
    """Change the result of one of the calls that the rule makes."""
    for at, name in enumerate(ran):
        yield f"call {at} ({name}) negated", _at_call(at, lambda result, arrays, attrs: -result)
        yield f"call {at} ({name}) left out", _at_call(at, _left_out)
        if name == "sum":
            yield f"call {at} (sum) takes one term", _at_call(
                at, lambda result, arrays, attrs: _not_summed(arrays[0], result, **attrs))


def _left_out(result: np.ndarray, arrays: tuple, attrs: Mapping[str, Any]) -> np.ndarray:
    return next((a for a in arrays if _is_float(a) and a.shape == result.shape), result)


def _at_call(at: int, change: Callable) -> Callable[[Rule], Rule]:
    def mutate(rule: Rule) -> Rule:
        def mutated(run: Callable, values: Values) -> np.ndarray:
            count = iter(range(10**6))

            def wrapped(name: str, *arrays: Any, **attrs: Any) -> Any:
                result = run(name, *arrays, **attrs)
                return change(result, arrays, attrs) if next(count) == at else result
            return rule(wrapped, values)
        return mutated
    return mutate


# ---- expressions ---------------------------------------------------------------------------

_SWAPS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div,
                            ast.Div: ast.Mult, ast.USub: ast.UAdd, ast.Gt: ast.LtE,
                            ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt,
                            ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


def edited(formula: str) -> Iterator[str]:
    """Yield the formula with one operator, constant, branch or term changed."""
    count = sum(1 for _ in ast.walk(ast.parse(formula, mode="eval")))
    for at in range(count):
        for edit in _EDITS:
            tree = ast.parse(formula, mode="eval")
            node = list(ast.walk(tree))[at]
            changed = edit(node)
            if changed is not None:
                yield ast.unparse(_replaced(tree, node, changed))


def _replaced(tree: ast.AST, old: ast.AST, new: ast.AST) -> ast.AST:
    class Swap(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is old else self.generic_visit(node)
    return ast.fix_missing_locations(Swap().visit(tree))


def _other_operator(node: ast.AST) -> ast.AST | None:
    if isinstance(node, (ast.BinOp, ast.UnaryOp)) and type(node.op) in _SWAPS:
        node.op = _SWAPS[type(node.op)]()
        return node
    if isinstance(node, ast.Compare):
        node.ops[0] = _SWAPS[type(node.ops[0])]()
        return node
    return None


def _one_side(node: ast.AST) -> ast.AST | None:
    return node.left if isinstance(node, ast.BinOp) else (
        node.body if isinstance(node, ast.IfExp) else None)


def _other_side(node: ast.AST) -> ast.AST | None:
    return node.right if isinstance(node, ast.BinOp) else (
        node.orelse if isinstance(node, ast.IfExp) else None)


def _other_constant(node: ast.AST) -> ast.AST | None:
    return ast.Constant(node.value + 1) if isinstance(node, ast.Constant) else None


_EDITS = (_other_operator, _one_side, _other_side, _other_constant)


def _of_expressions(op: Op, ran: list[str]) -> Iterator[tuple[str, Callable[[Rule], Rule]]]:
    """Change the expressions of pointwise derivatives; they are evaluated without a compiler."""
    for name in dict.fromkeys(ran):
        record = registry.get(name)
        formula = _formula(record)
        for mutated in dict.fromkeys(edited(formula)) if formula else ():
            function = _evaluated(mutated, record.inputs, _attributes(record))
            yield f"expression {mutated}", _evaluating(name, function)


def _formula(op: Op) -> str:
    """Return the expression that an op was defined by, as its doc tells it; "" if by none."""
    left, _, formula = op.doc.partition(" = ")
    try:
        names = set(names_in(formula)) if left.startswith("g") and "\n" not in formula else {""}
    except SyntaxError:
        return ""
    return formula if names <= {*op.inputs, *_attributes(op)} else ""


def _attributes(op: Op) -> Mapping[str, Any]:
    case = next(cases(op))
    return case.call(case.draw()).plan.attrs


def _evaluating(derivative: str, function: Callable) -> Callable[[Rule], Rule]:
    def mutate(rule: Rule) -> Rule:
        def mutated(run: Callable, values: Values) -> np.ndarray:
            def wrapped(name: str, *arrays: Any, **attrs: Any) -> Any:
                compute = function if name == derivative else partial(run, name)
                return compute(*arrays, **attrs)
            return rule(wrapped, values)
        return mutated
    return mutate


# ---- planting and judging ------------------------------------------------------------------


def mutants(op: Op) -> Iterator[Mutant]:
    """Yield every mutant of every gradient rule of an op."""
    for name in op.gradients:
        values, ran = _watched(op, name)
        for make in (_of_result(values), _of_values(values), _of_calls(ran),
                     _of_expressions(op, ran)):
            for defect, mutate in make:
                yield Mutant(_planted(op, name, mutate), name, defect)


def _planted(op: Op, name: str, mutate: Callable[[Rule], Rule]) -> Op:
    """Return the op with the rule of one input replaced; a joint rule keeps its other results."""
    old, needs = op.gradients[name], op.needs[name]
    function = old.rule if isinstance(old, Joint) else old
    at = old.names.index(name) if isinstance(old, Joint) else None

    def alone(run: Callable, values: Values) -> Any:
        result = function(run, *(values[n] for n in needs))
        return result if at is None else result[at]

    mutated = mutate(alone)

    def planted(run: Callable, *given: Any) -> Any:
        with np.errstate(all="ignore"):
            result = mutated(run, dict(zip(needs, given, strict=True)))
        result = None if result is None else np.asarray(result, order="C")
        if at is None:
            return result
        return tuple(result if i == at else g for i, g in enumerate(function(run, *given)))

    planted.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    if not isinstance(old, Joint):
        return replace(op, gradients={**op.gradients, name: planted})
    return replace(op, gradients={**op.gradients, **jointly(*old.names, rule=planted)})


def _watched(op: Op, name: str) -> tuple[Values, list[str]]:
    """Return what the rule is given on its samples, and the longest list of ops it runs."""
    seen: Values = {}
    longest: list[str] = []

    def watch(rule: Rule) -> Rule:
        def watched(run: Callable, values: Values) -> np.ndarray:
            ran: list[str] = []

            def noting(called: str, *arrays: Any, **attrs: Any) -> Any:
                ran.append(called)
                return run(called, *arrays, **attrs)
            result = rule(noting, values)
            for key, value in values.items():
                if key not in seen or not _is_float(seen[key]):
                    seen[key] = value
            longest[:] = max(longest, ran, key=len)
            return result
        return watched

    for case in cases(_planted(op, name, watch), [np.dtype("float64")]):
        case.outcome(case.draw())
    return seen, list(longest)


def changes_nothing(mutant: Mutant) -> bool:
    """Say whether the gradients are the true ones on all samples."""
    true = registry.get(mutant.op.name)
    for case in cases(mutant.op, [np.dtype("float64")]):
        for attempt in range(2):
            arrays = case.draw(attempt)
            right = Case(true, case.number, case.dtype, case.algorithm).outcome(arrays)
            try:
                found = case.outcome(arrays)
            except Exception:
                return False
            pairs = zip(found.arrays(), right.arrays(), strict=True)
            if any(not distance(a, b) <= SAME for a, b in pairs):
                return False
    return True


def is_killed(mutant: Mutant) -> bool:
    """Say whether the gradient check of the op turns red, or the test of gradients at kinks."""
    for case in cases(mutant.op, [np.dtype("float64")]):
        try:
            report = gradient_report(case, locate=False)
        except Exception:
            return True
        if report is not None and not report.ok:
            return True
    return not ties.keeps(mutant.op)


@dataclass
class Score:
    """Counts of one gradient rule."""

    killed: int = 0
    idle: int = 0
    survivors: tuple[str, ...] = ()

    @property
    def planted(self) -> int:
        """Mutants that change a gradient."""
        return self.killed + len(self.survivors)


def scores(op: Op) -> dict[str, Score]:
    """Return the counts for every gradient rule of an op."""
    found = {name: Score() for name in op.gradients}
    for mutant in mutants(op):
        score = found[mutant.input]
        if is_killed(mutant):
            score.killed += 1
        elif changes_nothing(mutant):
            score.idle += 1
        else:
            score.survivors += (str(mutant),)
    return found


def main() -> int:
    """Print the counts for all ops, or for those named."""
    total, killed = 0, 0
    for op in registry.ops():
        if len(sys.argv) > 1 and op.name not in sys.argv[1:]:
            continue
        for name, score in scores(op).items():
            total, killed = total + score.planted, killed + score.killed
            print(f"{op.name:34} {name:8} {score.killed:4} of {score.planted:4} killed, "
                  f"{score.idle} without effect", *score.survivors, sep="\n    SURVIVES ")
    print(f"kill rate {100 * killed / max(total, 1):.1f} %: {killed} of {total} mutants")
    return 0 if killed == total else 1


if __name__ == "__main__":
    sys.exit(main())
