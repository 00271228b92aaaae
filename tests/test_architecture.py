"""The form of the code: levels, lazy imports, lengths, kernels that mirror their ops."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import dispatch
from minidl.ops import registry
from minidl.ops.registry import Kernel, Op
from minidl.spec import FLOATS
from minidl.testing.cases import cases

PACKAGE = Path(minidl.__file__).parent
MODULES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py"))
LINES = 400

LEVELS = (("errors", "config", "spec", "random", "files", "own"), ("backend",), ("ops",),
          ("dispatch",), ("autograd",), ("plan", "optim", "data", "testing", "watch"), ("viz",),
          ("train",), ("nn",), ("io",), ("models",), ("recipes",), ("__init__",), ("cli",),
          ("__main__",))
"""Lowest first; a module imports from lower ones or from its own folder."""
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}

COMPILERS = tuple(f"backend/{n}.py" for n in ("board", "cpu", "lean", "simd", "threads", "tiles"))
ONLY_IN = {  # what may be imported where, inside functions too
    "numba": (*COMPILERS, "ops/*/cpu*.py", "data/kernels.py"),
    "llvmlite": COMPILERS,
    "threadpoolctl": ("backend/cpu.py", "cli/doctor.py"),
    "cupy": ("backend/cuda.py",),
    "onnx": ("io/*.py",), "onnxruntime": (),
    "torch": (), "tensorflow": (), "keras": (), "scipy": (), "jax": ()}
LATE = ("numba", "llvmlite", "matplotlib", "rich", "PIL", "h5py", "pooch", "safetensors", "torch",
        "threadpoolctl", "sklearn", "onnx", "cupy", "multiprocessing", "http.client")
"""What `import minidl` must not bring along."""


def tree(module: Path) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text("utf-8"))


def imports(module: Path) -> Iterator[tuple[str, ...]]:
    """Yield the full dotted names that a module imports, anywhere in it, as tuples."""
    package = ("minidl", *module.parts[:-1])
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) + 1 - node.level] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            yield from ((*base, alias.name) for alias in node.names)


def top(parts: tuple[str, ...]) -> str:
    """Return the folder or file right below the package that a dotted name leads to."""
    found = parts[1] if len(parts) > 1 else "__init__"
    return found if found in LEVEL else "__init__"


# ---- imports -------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_levels(module: Path) -> None:
    own = module.parts[0].removesuffix(".py")
    assert own in LEVEL, f"{own} has no level: add it to LEVELS"
    for name in imports(module):
        if name[0] == "minidl" and top(name) != own:
            beside = len(module.parts) == 1 and (PACKAGE / f"{top(name)}.py").exists()
            difference = LEVEL[own] - LEVEL[top(name)]
            allowed = difference > 0 or (beside and difference == 0)
            assert allowed, f"{module} (level {LEVEL[own]}) imports {'.'.join(name)}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_libraries_are_imported_only_where_they_belong(module: Path) -> None:
    for name in imports(module):
        places = ONLY_IN.get(name[0])
        allowed = places is None or any(module.match(place) for place in places)
        assert allowed, f"{module} imports {name[0]}"


def test_import_brings_nothing_heavy() -> None:
    code = ("import sys; before = set(sys.modules); import minidl; "
            "print(*(set(sys.modules) - before))")
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True,
                          text=True, cwd=PACKAGE.parent, check=True)
    loaded = done.stdout.split()
    assert "minidl" in loaded
    assert [name for name in loaded if name in LATE] == []


def test_the_op_table_needs_no_compiler() -> None:
    code = "import sys, minidl.autograd.functional; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=PACKAGE.parent, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_can_be_imported_alone(module: Path) -> None:
    if module.name in ("__main__.py",):
        return
    name = ".".join(("minidl", *module.with_suffix("").parts)).removesuffix(".__init__")
    assert importlib.import_module(name).__doc__


def test_every_folder_is_a_package() -> None:
    folders = {p.parent for p in PACKAGE.rglob("*.py")}
    assert [f for f in folders if not (f / "__init__.py").exists()] == []


# ---- text ----------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_text(module: Path) -> None:
    lines = (PACKAGE / module).read_text("utf-8").splitlines()
    assert len(lines) <= LINES
    assert [i for i, line in enumerate(lines, 1) if "TODO" in line or "FIXME" in line] == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_assert_for_mistakes_of_users(module: Path) -> None:
    assert [n.lineno for n in ast.walk(tree(module)) if isinstance(n, ast.Assert)] == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_signatures_are_typed(module: Path) -> None:
    """Kernels apart: numba infers the types of their arguments."""
    untyped = [f"{node.name}({argument.arg})" for node in ast.walk(tree(module))
               if isinstance(node, ast.FunctionDef) and not _is_compiled(node)
               for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
               if argument.annotation is None and argument.arg not in ("self", "cls")]
    assert untyped == []


def _is_compiled(node: ast.FunctionDef) -> bool:
    names = {n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}
    return bool(names & {"kernel", "inline", "inside", "intrinsic", "njit", "overload"})


# ---- kernels -------------------------------------------------------------------------------

KERNELS = [pytest.param(op, kernel, id=f"{op.name}-{kernel.name}")
           for op in registry.ops() for kernel in op.kernels if kernel.device == "cpu"]
FIXED = ("out", "saved", "work")


@pytest.mark.parametrize(("op", "kernel"), KERNELS)
def test_kernel_mirrors_its_op(op: Op, kernel: Kernel) -> None:
    """Inputs in op order; by keyword out, saved, work; then the attributes.

    A kernel that also takes `relu` or `more` serves the op NAME_relu or NAME_add, too.
    """
    parameters = inspect.signature(kernel.function).parameters.values()
    by_place = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    any_number = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    passed_on = any(p.kind is p.VAR_KEYWORD for p in parameters)  # to a kernel that names them
    if any_number and not op.variadic:
        assert by_place == []  # one kernel for many pointwise ops
    else:
        assert by_place + any_number == list(op.inputs)
    assert tuple(by_name[:3]) == FIXED or (passed_on and not by_name)
    assert passed_on or set(by_name[3:]) - {"relu", "ceiling", "more"} == _attributes(op)


def _attributes(op: Op) -> set[str]:
    case = next(cases(op, FLOATS[1:]))
    return set(case.call(case.draw()).plan.attrs)


@pytest.mark.parametrize(("op", "kernel"), KERNELS)
def test_kernel_is_named_as_its_op(op: Op, kernel: Kernel) -> None:
    if isinstance(kernel.place, str):
        module, _, name = kernel.place.partition(":")
        assert name.removesuffix("_") == op.name
        assert module.startswith("minidl.ops.") and module.rpartition(".")[2].startswith("cpu")


@pytest.mark.parametrize("op", registry.ops(), ids=lambda op: op.name)
def test_rules_ask_for_what_there_is(op: Op) -> None:
    for needs in op.needs.values():
        case = next(c for c in cases(op, FLOATS[1:]))
        call: dispatch.Call = case.call(case.draw())
        known = {"gy", "so_far", "y", "index", "all_specs", "wanted", *op.inputs, *call.saved,
                 *call.plan.attrs, *(f"{name}_spec" for name in op.inputs),
                 *(f"y{i}" for i in range(len(call.out)))}
        assert set(needs) <= known


def test_flops_are_counted() -> None:
    for op in registry.ops():
        for case in cases(op, FLOATS[1:]):
            flops = case.call(case.draw()).plan.flops
            assert isinstance(flops, (int, np.integer)) and flops >= 0, str(case)
