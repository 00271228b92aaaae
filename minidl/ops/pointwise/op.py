"""Ops that work element by element, a line each: y = f(x), gx = gy f'(x).

An expression is written once for every device: Python syntax, names of inputs and attributes, and
the functions exp, expm1, log, log1p, tanh, erf, abs, sign. A NumPy function instead of an
expression broadcasts its inputs; expressions take inputs of one shape.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from ...errors import DTypeError, ShapeError
from ...spec import Spec, broadcast, need_float
from ..broadcast import unbroadcast
from ..registry import BadCall, Inferred, Kernel, Rule, Sample, define, kernel_for

# ---- expressions ---------------------------------------------------------------------------


def names_in(expression: str) -> list[str]:
    """Return the variables of an expression, in alphabetical order without function names."""
    tree = ast.parse(expression)
    called = {n.func.id for n in ast.walk(tree)
              if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    return sorted({n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - called)


def _same_shape(name: str, inputs: tuple[str, ...], *specs: Spec, **attrs: Any) -> Inferred:
    need_float(name, **dict(zip(inputs, specs, strict=True)))
    if any(spec.shape != specs[0].shape for spec in specs):
        raise ShapeError(name, f"got shapes {' and '.join(str(s.shape) for s in specs)}",
                         "expected equal shapes", "Reshape or broadcast one of them.")
    return Inferred((specs[0],), attrs=attrs)


def expression(name: str, formula: str, gradients: Mapping[str, str], reference: Callable, *,
               inputs: tuple[str, ...] = ("x",), defaults: Mapping[str, float] | None = None,
               samples: tuple[Sample, ...] | None = None,
               rules: Mapping[str, Rule] | None = None) -> None:
    """Define an op by an expression, and an op `NAME_gradient_INPUT` for each derivative.

    Args:
        gradients: derivatives as expressions.
        rules: gradient rules of other inputs.
    """
    attrs = dict(defaults or {})
    define(name, inputs=inputs, infer=_with_defaults(name, inputs, attrs), reference=reference,
           kernel=_compiled(name, formula, inputs, attrs), doc=f"y = {formula}",
           gradients={**{x: _rule(name, x, g, inputs, attrs) for x, g in gradients.items()},
                      **(rules or {})},
           samples=samples or tuple(Sample((s,) * len(inputs)) for s in ((3, 5), (2, 3, 40))),
           bad_calls=(BadCall((np.zeros(3, int),) * len(inputs), {}, "expected float"),),
           flops=lambda *specs, **_: 4 * specs[0].size)
    for x, g in gradients.items():
        gradient_op(f"{name}_gradient_{x}", g, [n for n in names_in(g) if n not in attrs], attrs,
                    doc=f"g{x} = {g}")


def gradient_op(name: str, formula: str, inputs: Sequence[str],
                defaults: Mapping[str, float] | None = None, *, doc: str = "",
                samples: tuple[Sample, ...] | None = None) -> None:
    """Define an op by an expression that has no gradient of its own."""
    names, attrs = tuple(inputs), dict(defaults or {})
    define(name, inputs=names, infer=_with_defaults(name, names, attrs),
           reference=_evaluated(formula, names, attrs),
           kernel=_compiled(name, formula, names, attrs), doc=doc or f"gx = {formula}",
           samples=samples or (Sample(((3, 5),) * len(names)),),
           flops=lambda *specs, **_: 4 * specs[0].size)


def _with_defaults(name: str, inputs: tuple[str, ...], defaults: Mapping[str, float]) -> Callable:
    def infer(*specs: Spec, **attrs: float) -> Inferred:
        unknown = set(attrs) - set(defaults)
        if unknown:
            raise TypeError(f"unknown arguments {sorted(unknown)}")
        return _same_shape(name, inputs, *specs, **{**defaults, **attrs})
    return infer


def _compiled(name: str, formula: str, inputs: tuple[str, ...],
              attrs: Mapping[str, float]) -> Callable:
    """Note the kernel of an expression on the GPU, and return that of the CPU."""
    def kernel(where: str, *arrays: np.ndarray, out: np.ndarray, saved: dict, work: dict,
               **values: float) -> None:
        _module(where).run_expression(name, formula, inputs, tuple(attrs), arrays, values, out)
    kernel_for(name)(partial(kernel, "cuda"))
    return partial(kernel, "cpu")


@cache
def _module(device: str) -> Any:
    """Return the module of the kernels on a device; it is imported on first use."""
    return import_module(f"{__package__}.{device}")


def _rule(name: str, x: str, formula: str, inputs: tuple[str, ...],
          attrs: Mapping[str, float]) -> Rule:
    """Return the gradient rule whose arguments are the names in the formula."""
    needed = [n for n in names_in(formula) if n not in attrs]
    arguments = ", ".join([*needed, *attrs])
    passed = ", ".join([*needed, *(f"{a}={a}" for a in attrs)])
    return eval(f"lambda run, {arguments}: run('{name}_gradient_{x}', {passed})")


_NUMPY = {"exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh,
          "abs": np.abs, "sign": np.sign}


def _evaluated(formula: str, names: tuple[str, ...], defaults: Mapping[str, float]) -> Callable:
    """Return the formula as a function of NumPy arrays, one element at a time."""
    from math import erf
    code = compile(formula, formula, "eval")

    def reference(*arrays: np.ndarray, **attrs: float) -> np.ndarray:
        def one(*values: float) -> float:
            named = dict(zip(names, values, strict=True))
            return eval(code, {**_NUMPY, "erf": erf}, {**named, **defaults, **attrs})
        return np.vectorize(one, otypes=[np.float64])(*arrays)
    return reference


def _away_from(kink: float) -> Callable[[np.random.Generator], np.ndarray]:
    def draw(rng: np.random.Generator) -> np.ndarray:
        x = rng.standard_normal((4, 7))
        return x + kink + 0.1 * np.sign(x)
    return draw


def _erf(x: np.ndarray) -> np.ndarray:
    from math import erf
    return np.vectorize(erf, otypes=[np.float64])(x)


KINKED = (Sample((_away_from(0.0),)),)

expression("relu", "0 if x < 0 else x", {"x": "gy if y > 0 else 0"},
           lambda x: np.maximum(x, 0), samples=KINKED)
expression("leaky_relu", "alpha * x if x < 0 else x", {"x": "gy if x > 0 else alpha * gy"},
           lambda x, alpha=0.3: np.where(x > 0, x, alpha * x), defaults={"alpha": 0.3},
           samples=KINKED)
expression("elu", "alpha * expm1(x) if x < 0 else x", {"x": "gy if x > 0 else gy * (y + alpha)"},
           lambda x, alpha=1.0: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
           defaults={"alpha": 1.0}, samples=KINKED)
expression("softplus", "max(x, 0) + log1p(exp(-abs(x)))", {"x": "gy / (1 + exp(-x))"},
           lambda x: np.logaddexp(0, x))
expression("sigmoid", "1 / (1 + exp(-x))", {"x": "gy * y * (1 - y)"},
           lambda x: 0.5 * (1 + np.tanh(x / 2)))
expression("gelu", "0.5 * x * (1 + erf(x * 0.7071067811865476))",
           {"x": "gy * (0.5 * (1 + erf(x * 0.7071067811865476))"
                 " + x * exp(-0.5 * x * x) * 0.3989422804014327)"},
           lambda x: x * 0.5 * (1 + _erf(x / np.sqrt(2))))
expression("binary_cross_entropy_with_logits", "max(x, 0) - x * t + log1p(exp(-abs(x)))",
           {"x": "gy * (1 / (1 + exp(-x)) - t)"},
           lambda x, t: np.logaddexp(0, x) - x * t, inputs=("x", "t"),
           samples=(Sample(((3, 5), lambda rng: rng.random((3, 5)))),))

# ---- NumPy functions -----------------------------------------------------------------------


def _float_broadcast(name: str, inputs: tuple[str, ...], *specs: Spec) -> Spec:
    return Spec(broadcast(name, *specs), need_float(name, **dict(zip(inputs, specs, strict=True))))


def _any_broadcast(name: str, inputs: tuple[str, ...], *specs: Spec) -> Spec:
    return Spec(broadcast(name, *specs), np.result_type(*(s.dtype for s in specs)))


def _number_broadcast(name: str, inputs: tuple[str, ...], *specs: Spec) -> Spec:
    spec = _any_broadcast(name, inputs, *specs)
    if spec.dtype == bool:
        raise DTypeError(name, "got elements of type bool", "expected numbers",
                         'Convert them: x.astype("float32").')
    return spec


def _bool_broadcast(name: str, inputs: tuple[str, ...], *specs: Spec) -> Spec:
    return Spec(broadcast(name, *specs), np.dtype(bool))


def numpy_op(name: str, ufunc: Callable, inputs: str, infer: Callable, *,
             samples: tuple[Sample, ...], gradients: Mapping[str, Rule] | None = None,
             bad_calls: tuple[BadCall, ...] = ()) -> None:
    """Define an op that is a NumPy function of broadcast inputs of any strides."""
    def kernel(where: str, *arrays: np.ndarray, out: np.ndarray, saved: dict, work: dict) -> None:
        _module(where).run_ufunc(ufunc, arrays, out)

    kernel_for(name)(partial(kernel, "cuda"))
    names = tuple(inputs.split())
    if infer is _float_broadcast:
        bad_calls = (*bad_calls, BadCall((np.zeros(3, int),) * len(names), {}, "expected float"))
    define(name, inputs=names, infer=partial(infer, name, names),
           reference=lambda *a: ufunc(*a), kernel=partial(kernel, "cpu"), strided=True,
           gradients=gradients or {}, samples=samples, bad_calls=bad_calls,
           doc=f"y = {name}({', '.join(names)}), inputs broadcast as in NumPy",
           may_overwrite=((0, 0),),
           flops=lambda *specs: int(np.prod(np.broadcast_shapes(*(s.shape for s in specs)))))


def _alike(gy: np.ndarray, *inputs: np.ndarray) -> list[np.ndarray]:
    """Repeat inputs that were broadcast, as expressions take arrays of one shape."""
    return [np.broadcast_to(x, gy.shape) for x in inputs]


def _positive(rng: np.random.Generator) -> np.ndarray:
    return rng.random((3, 4)) + 0.5


def _apart(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(24).reshape(2, 3, 4) / 7.0


ONE = (Sample(((3, 4),)), Sample(((2, 1, 70),)))
POSITIVE = (Sample((_positive,)),)
TWO = (Sample(((3, 4), (3, 4))), Sample(((2, 3, 4), (4,))), Sample(((3, 1), (2, 1, 5))),
       Sample(((), (3,))))
BAD_SHAPES = (BadCall(((3, 4), (5,)), {}, "shapes must be equal or 1"),)
BAD_TYPES = (BadCall((np.zeros(3, int), np.zeros(3)), {}, "expected float"),)

numpy_op("exp", np.exp, "x", _float_broadcast, samples=ONE,
         gradients={"x": lambda run, gy, y: run("multiply", gy, y)})
numpy_op("log", np.log, "x", _float_broadcast, samples=POSITIVE,
         gradients={"x": lambda run, gy, x: run("divide", gy, x)})
numpy_op("sqrt", np.sqrt, "x", _float_broadcast, samples=POSITIVE,
         gradients={"x": lambda run, gy, y: run("divide", run("multiply", gy, _HALF[gy.dtype]), y)})
numpy_op("square", np.square, "x", _float_broadcast, samples=ONE,
         gradients={"x": lambda run, gy, x: run("multiply", run("add", gy, gy), x)})
numpy_op("tanh", np.tanh, "x", _float_broadcast, samples=ONE,
         gradients={"x": lambda run, gy, y: run("tanh_gradient", gy, y)})
gradient_op("tanh_gradient", "gy * (1 - y * y)", ("gy", "y"))
numpy_op("negative", np.negative, "x", _number_broadcast, samples=ONE,
         gradients={"x": lambda run, gy: run("negative", gy)})
numpy_op("abs", np.abs, "x", _any_broadcast, samples=KINKED,
         gradients={"x": lambda run, gy, x: run("multiply", gy, run("sign", x))})
numpy_op("sign", np.sign, "x", _number_broadcast, samples=KINKED)
numpy_op("add", np.add, "a b", _any_broadcast, samples=TWO, bad_calls=BAD_SHAPES, gradients={
    "a": lambda run, gy, a_spec: unbroadcast(run, gy, a_spec),
    "b": lambda run, gy, b_spec: unbroadcast(run, gy, b_spec)})
numpy_op("subtract", np.subtract, "a b", _number_broadcast, samples=TWO, bad_calls=BAD_SHAPES,
         gradients={
             "a": lambda run, gy, a_spec: unbroadcast(run, gy, a_spec),
             "b": lambda run, gy, b_spec: run("negative", unbroadcast(run, gy, b_spec))})
numpy_op("multiply", np.multiply, "a b", _any_broadcast, samples=TWO, bad_calls=BAD_SHAPES,
         gradients={
             "a": lambda run, gy, b, a_spec: unbroadcast(run, run("multiply", gy, b), a_spec),
             "b": lambda run, gy, a, b_spec: unbroadcast(run, run("multiply", gy, a), b_spec)})
numpy_op("divide", np.divide, "a b", _float_broadcast, bad_calls=BAD_SHAPES + BAD_TYPES,
         samples=(Sample(((3, 4), _positive)), Sample(((2, 3, 4), _positive)),
                  Sample((_positive, lambda rng: rng.random((3, 1)) + 0.5))),
         gradients={
             "a": lambda run, gy, b, a_spec: unbroadcast(run, run("divide", gy, b), a_spec),
             "b": lambda run, gy, b, y, b_spec: run("negative", unbroadcast(
                 run, run("divide", run("multiply", gy, y), b), b_spec))})
numpy_op("power", np.power, "a b", _float_broadcast, bad_calls=BAD_SHAPES + BAD_TYPES,
         samples=(Sample((_positive, (3, 4))), Sample((_positive, (4,))),
                  Sample((_positive, np.array(3.0)))),
         gradients={
             "a": lambda run, gy, a, b, a_spec: unbroadcast(
                 run, run("power_gradient_a", gy, *_alike(gy, a, b)), a_spec),
             "b": lambda run, gy, a, b, y, b_spec: unbroadcast(
                 run, run("power_gradient_b", gy, *_alike(gy, a, b), y), b_spec)})
gradient_op("power_gradient_a", "0 if b == 0 else gy * b * a ** (b - 1)", ("gy", "a", "b"),
            samples=(Sample(((3, 4), _positive, (3, 4))), Sample(((3,), np.zeros(3), np.zeros(3)))))
gradient_op("power_gradient_b", "0 if a == 0 and b >= 0 else gy * y * log(a)",
            ("gy", "a", "b", "y"), samples=(Sample(((3, 4), _positive, (3, 4), (3, 4))),
                                            Sample(((3,), np.zeros(3), np.ones(3), (3,)))))
numpy_op("maximum", np.maximum, "a b", _any_broadcast, bad_calls=BAD_SHAPES,
         samples=(Sample((_apart, _apart)), Sample((_apart, np.array(1.3)))),
         gradients={
             "a": lambda run, gy, a, b, a_spec: unbroadcast(
                 run, run("larger_gradient", gy, *_alike(gy, a, b)), a_spec),
             "b": lambda run, gy, a, b, b_spec: unbroadcast(
                 run, run("larger_gradient", gy, *_alike(gy, b, a)), b_spec)})
numpy_op("minimum", np.minimum, "a b", _any_broadcast, bad_calls=BAD_SHAPES,
         samples=(Sample((_apart, _apart)), Sample((_apart, np.array(1.3)))),
         gradients={
             "a": lambda run, gy, a, b, a_spec: unbroadcast(
                 run, run("larger_gradient", gy, *_alike(gy, b, a)), a_spec),
             "b": lambda run, gy, a, b, b_spec: unbroadcast(
                 run, run("larger_gradient", gy, *_alike(gy, a, b)), b_spec)})
# The gradient goes to the larger of two; equal ones share it.
gradient_op("larger_gradient", "0 if a < b else (0.5 * gy if a == b else gy)", ("gy", "a", "b"),
            samples=(Sample(((3, 4), (3, 4), (3, 4))),))

for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    numpy_op(_name, getattr(np, _name), "a b", _bool_broadcast, samples=TWO, bad_calls=BAD_SHAPES)
numpy_op("logical_and", np.logical_and, "a b", _bool_broadcast, samples=TWO)
numpy_op("logical_or", np.logical_or, "a b", _bool_broadcast, samples=TWO)
numpy_op("logical_not", np.logical_not, "a", _bool_broadcast, samples=ONE)

_HALF: dict[np.dtype, np.ndarray] = {
    np.dtype(t): np.array(0.5, t) for t in ("float32", "float64")}

# ---- choice and conversion -----------------------------------------------------------------


def _infer_where(condition: Spec, a: Spec, b: Spec) -> Spec:
    need_float("where", a=a, b=b)
    if condition.dtype != bool:
        raise DTypeError("where", f"got a condition of type {condition.dtype}", "expected bool",
                         "Compare it, such as condition != 0.")
    return Spec(broadcast("where", condition, a, b), a.dtype)


def _mask(rng: np.random.Generator) -> np.ndarray:
    return rng.random((3, 4)) > 0.5


define("where", inputs=("condition", "a", "b"), infer=_infer_where, reference=np.where,
       kernel=f"{__package__}.cpu:where", strided=True, doc="y = a where condition holds, else b",
       gradients={
           "a": lambda run, gy, condition, a_spec: unbroadcast(
               run, run("where", condition, gy, np.zeros((), gy.dtype)), a_spec),
           "b": lambda run, gy, condition, b_spec: unbroadcast(
               run, run("where", condition, np.zeros((), gy.dtype), gy), b_spec)},
       samples=(Sample((_mask, (3, 4), (3, 4))), Sample((_mask, (4,), ()))),
       bad_calls=(BadCall((_mask, (3, 4), (5,)), {}, "shapes must be equal or 1"),))


def _infer_copy(x: Spec, dtype: str | None = None) -> Inferred:
    return Inferred((Spec(x.shape, np.dtype(dtype) if dtype else x.dtype),), attrs={"dtype": dtype})


def _astype_gradient(run: Callable, gy: np.ndarray, x_spec: Spec) -> np.ndarray:
    return gy if gy.dtype == x_spec.dtype else run("copy", gy, dtype=x_spec.dtype.name)


define("copy", inputs=("x",), infer=_infer_copy, strided=True,
       kernels=(Kernel("default", f"{__package__}.cpu:copy", pitched=True),),
       reference=lambda x, dtype=None: x.astype(dtype or x.dtype),
       gradients={"x": _astype_gradient}, doc="y = x, C-contiguous, of type dtype if given",
       samples=(Sample(((3, 4),)), Sample(((3, 4),), {"dtype": "float32"}, wrt=())))


def _infer_clip(x: Spec, low: float | None = None, high: float | None = None) -> Inferred:
    need_float("clip", x=x)
    return Inferred((x,), attrs={"low": -np.inf if low is None else float(low),
                                 "high": np.inf if high is None else float(high)})


define("clip", inputs=("x",), kernel=f"{__package__}.cpu:clip", strided=True, infer=_infer_clip,
       reference=lambda x, low=None, high=None: np.clip(x, low, high),
       doc="y = x limited to [low, high]; outside, the gradient is 0",
       flops=lambda x, **_: 2 * x.size,
       gradients={"x": lambda run, gy, x, low, high: run(
           "clip_gradient", gy, x, low=low, high=high)},
       samples=(Sample((_apart,), {"low": 0.5, "high": 2.2}), Sample((_apart,), {"low": 1.2}),
                Sample((_apart,), {"high": 1.2})),
       bad_calls=(BadCall((np.zeros(3, int),), {"low": 0}, "expected float"),))
gradient_op("clip_gradient", "gy if low <= x <= high else 0", ("gy", "x"),
            {"low": -np.inf, "high": np.inf},
            samples=(Sample(((2, 3, 4), _apart), {"low": 0.5, "high": 2.2}),))
