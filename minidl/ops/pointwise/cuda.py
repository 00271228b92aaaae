"""GPU kernels of the pointwise ops: every expression is compiled into `pointwise.cu`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from ...backend.arrays import address
from ...backend.device import CTYPES, Source, blocks_for, integers
from ...spec import Shape
from ..registry import kernel_for

CODE = Source(__file__, "pointwise.cu")
MOST_INPUTS, MOST_ATTRS = 4, 2
THREADS = 256
VECTOR = 16  # bytes that a thread loads at once

UFUNCS = {
    "exp": "exp(v0)", "log": "log(v0)", "sqrt": "sqrt(v0)", "square": "v0 * v0",
    "tanh": "tanh(v0)", "negative": "-v0", "absolute": "v0 < 0 ? -v0 : v0 == 0 ? (A)0 : v0",
    "sign": "sign(v0)", "add": "v0 + v1", "subtract": "v0 - v1", "multiply": "v0 * v1",
    "divide": "v0 / v1", "power": "pow(v0, v1)",
    "maximum": "v0 > v1 || v0 != v0 ? v0 : v1", "minimum": "v0 < v1 || v0 != v0 ? v0 : v1",
    "equal": "v0 == v1", "not_equal": "v0 != v1", "less": "v0 < v1", "less_equal": "v0 <= v1",
    "greater": "v0 > v1", "greater_equal": "v0 >= v1", "logical_and": "v0 != 0 && v1 != 0",
    "logical_or": "v0 != 0 || v1 != 0", "logical_not": "v0 == 0"}
"""NumPy's functions of v0 and v1 in C."""


# ---- expressions ---------------------------------------------------------------------------


def run_expression(name: str, formula: str, inputs: tuple[str, ...], attrs: tuple[str, ...],
                   arrays: Sequence[np.ndarray], values: Mapping[str, float],
                   out: np.ndarray) -> None:
    """Evaluate an expression on arrays of one shape, C-contiguous; `out` may be one of them."""
    _run(in_c(formula, inputs, attrs), arrays, out, out.dtype, [values[a] for a in attrs])


@cache
def in_c(formula: str, inputs: tuple[str, ...], attrs: tuple[str, ...]) -> str:
    """Return an expression of Python in C, with inputs as v0, v1... and attributes as p0, p1.

    >>> in_c("0 if x < 0 else x ** alpha", ("x",), ("alpha",))
    '((v0 < A(0)) ? A(0) : pow(v0, p0))'
    """
    names = {n: f"v{i}" for i, n in enumerate(inputs)} | {n: f"p{i}" for i, n in enumerate(attrs)}
    return _written(ast.parse(formula, mode="eval").body, names)


_SIGNS: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Lt: "<", ast.LtE: "<=",
    ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.And: "&&", ast.Or: "||",
    ast.USub: "-", ast.Not: "!"}
_FUNCTIONS = {"abs": "fabs"}


def _written(node: ast.AST, names: Mapping[str, str]) -> str:
    """Return a node of a Python expression in C."""
    def c(part: ast.AST) -> str:
        return _written(part, names)

    match node:
        case ast.Name(id=name):
            return names[name]
        case ast.Constant(value=value):
            return f"A({value!r})"
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return f"pow({c(left)}, {c(right)})"
        case ast.BinOp(left=left, op=op, right=right):
            return f"({c(left)} {_SIGNS[type(op)]} {c(right)})"
        case ast.UnaryOp(op=op, operand=operand):
            return f"({_SIGNS[type(op)]}{c(operand)})"
        case ast.BoolOp(op=op, values=values):
            return f"({f' {_SIGNS[type(op)]} '.join(map(c, values))})"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return f"({c(test)} ? {c(body)} : {c(orelse)})"
        case ast.Compare(left=left, ops=ops, comparators=right):
            sides = [c(left), *map(c, right)]
            return "({})".format(" && ".join(
                f"{a} {_SIGNS[type(op)]} {b}" for a, op, b in zip(sides, ops, sides[1:],
                                                                  strict=False)))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return f"{_FUNCTIONS.get(name, name)}({', '.join(map(c, arguments))})"
    raise NotImplementedError(ast.dump(node))


# ---- NumPy functions -----------------------------------------------------------------------


def run_ufunc(function: Callable, arrays: Sequence[np.ndarray], out: np.ndarray) -> None:
    """Compute a NumPy function of broadcast arrays of any strides."""
    _run(UFUNCS[function.__name__], arrays, out,
         np.result_type(*[a.dtype for a in arrays]))


@kernel_for("where")
def where(condition: np.ndarray, a: np.ndarray, b: np.ndarray, *, out: np.ndarray, saved: dict,
          work: dict) -> None:
    """Write a where condition holds, else b."""
    _run("v0 != 0 ? v1 : v2", (condition, a, b), out, out.dtype)


@kernel_for("copy")
def copy(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, dtype: str | None) -> None:
    """Write x into out, converted where the types differ."""
    _run("v0", (x,), out, x.dtype)


@kernel_for("clip")
def clip(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, low: float, high: float
         ) -> None:
    """Write x limited to [low, high]."""
    _run("v0 < p0 ? p0 : v0 > p1 ? p1 : v0", (x,), out, out.dtype, (low, high))


# ---- launches ------------------------------------------------------------------------------


def _run(expression: str, arrays: Sequence[np.ndarray], out: np.ndarray, dtype: np.dtype,
         values: Sequence[float] = ()) -> None:
    """Evaluate an expression in C on broadcast arrays.

    Args:
        dtype: what is computed in, or the half of it.
    """
    defines = {"EXPRESSION": f"({expression})", "COUNT": str(len(arrays)),
               **{f"IN{i}": CTYPES[a.dtype.name] for i, a in enumerate(arrays)},
               "RESULT": CTYPES[out.dtype.name],
               "INDEX": "unsigned" if out.size < 1 << 32 else "Int"}
    given = (*arrays, *[None] * (MOST_INPUTS - len(arrays)), out, out.size,
             *map(float, values), *[0.0] * (MOST_ATTRS - len(values)))
    if all(a.shape == out.shape and a.flags.c_contiguous for a in arrays):
        width = _width((*arrays, out))
        CODE.launch("same", dtype, blocks_for(-(-out.size // width), THREADS), THREADS, *given,
                    defines={**defines, "WIDTH": str(width)})
        return
    shape, strides = joined(out.shape, [steps(a, out.shape) for a in arrays])
    table = b"".join(integers(s) for s in strides) + integers(()) * (MOST_INPUTS - len(arrays))
    CODE.launch("spread", dtype, blocks_for(out.size, THREADS), THREADS, *given, len(shape),
                integers(shape), table, defines={**defines, "WIDTH": "1"})


def _width(arrays: Sequence[np.ndarray]) -> int:
    """Return how many elements may be loaded at once."""
    width = VECTOR // max(a.dtype.itemsize for a in arrays)
    while width > 1 and any(address(a) % (width * a.dtype.itemsize) for a in arrays):
        width //= 2
    return width


def steps(array: np.ndarray, shape: Shape) -> tuple[int, ...]:
    """Return the strides, in elements, by which an array is read when broadcast to a shape."""
    own = [0 if n == 1 else s // array.dtype.itemsize
           for n, s in zip(array.shape, array.strides, strict=True)]
    return (*[0] * (len(shape) - len(own)), *own)


def joined(shape: Shape, strides: Sequence[Sequence[int]]) -> tuple[Shape, list[tuple[int, ...]]]:
    """Return the shape and strides with as few axes as can be: those that follow on are one.

    >>> joined((2, 3, 4), [(12, 4, 1), (0, 0, 1)])
    ((6, 4), [(4, 1), (0, 1)])
    """
    axes: list[list[Any]] = []  # [length, strides]
    for at, length in enumerate(shape):
        own = [s[at] for s in strides]
        if length == 1:
            continue
        if axes and all(a == b * length for a, b in zip(axes[-1][1], own, strict=True)):
            axes[-1] = [axes[-1][0] * length, own]
        else:
            axes.append([length, own])
    return (tuple([n for n, _ in axes]),
            [tuple([own[i] for _, own in axes]) for i in range(len(strides))])
