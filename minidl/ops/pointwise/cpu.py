"""CPU kernels of the pointwise ops; expressions are compiled from source files made here."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from ...backend import rows
from ...backend.cpu import POINTWISE_GRAIN, cache_folder, kernel, run_ranges, run_ufunc


def run_expression(name: str, formula: str, inputs: tuple[str, ...], attrs: tuple[str, ...],
                   arrays: Sequence[np.ndarray], values: Mapping[str, float],
                   out: np.ndarray) -> None:
    """Evaluate an expression on arrays of one shape, C-contiguous; `out` may be one of them."""
    target = next((name for name, a in zip(inputs, arrays, strict=True) if a is out), "out")
    function = _loop(name, formula, inputs, attrs, target, out.dtype)
    flat = [a.reshape(-1) for a in arrays]
    numbers = [out.dtype.type(values[a]) for a in attrs]
    run_ranges(function, out.size, POINTWISE_GRAIN, *flat, *numbers, out.reshape(-1))


@cache
def _loop(name: str, formula: str, inputs: tuple[str, ...], attrs: tuple[str, ...], target: str,
          dtype: np.dtype) -> Callable:
    """Write the loop of an expression into the kernel cache and compile it.

    numba keeps compiled code only for functions that lie in a file.

    Args:
        target: the array that is written, by its name.
    """
    source = _source(formula, inputs, attrs, target, dtype.name)
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    path = cache_folder() / f"{name}_{dtype.name}_{digest}.py"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
        part.write_text(source)
        os.replace(part, path)
    spec = importlib.util.spec_from_file_location(f"minidl_kernel_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules[module.__name__] = module  # numba looks there when it loads compiled code
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return kernel(module.loop)


class _Typed(ast.NodeTransformer):
    """Give constants the arrays' type (0.5 alone would compute in float64); index the arrays."""

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self._inputs = inputs

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.parse(f"T({node.value!r})", mode="eval").body

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.parse(f"{node.id}[i]", mode="eval").body if node.id in self._inputs else node


def _source(formula: str, inputs: tuple[str, ...], attrs: tuple[str, ...], target: str,
            dtype: str) -> str:
    typed = ast.unparse(_Typed(inputs).visit(ast.parse(formula, mode="eval")))
    arguments = ", ".join(["start", "stop", *inputs, *attrs, "out"])
    # numba counts from 0 without checks for negative indices, so the loop becomes vector code;
    # where one array had two names, it would not, as they could overlap in any way
    slices = "".join(f"    {a} = {a}[start:stop]\n" for a in (*inputs, "out"))
    return (f"import math\nfrom math import erf, exp, expm1, log, log1p, tanh\n\n"
            f"import numpy as np\n\nT = np.{dtype}\nsign = np.sign\n\n\n"
            f"def loop({arguments}):\n{slices}"
            f"    for i in range(stop - start):\n        {target}[i] = {typed}\n")


def where(condition: np.ndarray, a: np.ndarray, b: np.ndarray, *, out: np.ndarray, saved: dict,
          work: dict) -> None:
    """Write a where condition holds, else b."""
    def choose(condition: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, b)
        np.copyto(out, a, where=condition)
    run_ufunc(choose, (condition, a, b), out)


def copy(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, dtype: str | None) -> None:
    """Write x into out, converted where the types differ."""
    if x.dtype == out.dtype:
        rows.copy(x, out)
        return
    run_ufunc(lambda x, out: np.copyto(out, x, casting="unsafe"), (x,), out)


def clip(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, low: float, high: float
         ) -> None:
    """Write x limited to [low, high]."""
    run_ufunc(lambda x, out: np.clip(x, low, high, out=out), (x,), out)
