"""`minidl doctor`: what works on this machine, and what to install."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .. import __version__, config
from ..errors import MinidlError

PACKAGES = ("numpy", "numba", "h5py", "pillow", "matplotlib", "rich", "safetensors", "pooch",
            "threadpoolctl")
OPTIONAL = {"scikit-learn": "ml", "onnx": "onnx", "cupy-cuda13x": "gpu"}
SIMD = ("avx512f", "avx2", "fma", "avx", "sse4.2", "neon", "sve")

MARKS = {True: ("ok", "green"), False: ("missing", "red"), None: ("-", "")}

Row = tuple[str, bool | None, str]  # what; works, does not, or neither; the facts


def doctor(arguments: argparse.Namespace) -> int:
    """Print what was found; the status is 1 if something that minidl needs does not work."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    rows = [row for check in CHECKS for row in check()]
    for what, works, facts in rows:
        table.add_row(what, Text(*MARKS[works]), Text(facts, overflow="fold"))
    Console().print(table)
    failed = [what for what, works, _ in rows if works is False]
    print("\nEverything works." if not failed else f"\nDoes not work: {', '.join(failed)}.")
    return 1 if failed else 0


def _python() -> list[Row]:
    good = sys.version_info >= (3, 11)
    facts = f"{platform.python_version()} on {platform.platform(terse=True)}"
    return [("minidl", True, __version__),
            ("Python", good, facts if good else f"{facts}; install 3.11 or newer")]


def _packages() -> list[Row]:
    rows: list[Row] = []
    for name in (*PACKAGES, *OPTIONAL):
        version, extra = _version(name), OPTIONAL.get(name)
        install = f'optional: pip install "minidl[{extra}]"' if extra else f"pip install {name}"
        missing = None if extra else False
        rows.append((name, True if version else missing, version or install))
    return rows


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> list[Row]:
    from ..backend import cpu

    features = cpu.llvm.get_host_cpu_features()
    simd = [name for name in SIMD if features.get(name)]
    return [("CPU", True, ", ".join([cpu.llvm.get_host_cpu_name(), *simd])),
            ("threads", True, f"{config.num_threads()} for kernels")]


def _blas() -> list[Row]:
    import numpy as np
    import threadpoolctl

    np.ones((2, 2)) @ np.ones((2, 2))
    found = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    if not found:
        return [("BLAS", None, "of a kind that cannot be asked for its threads")]
    return [("BLAS", True, f"{lib['internal_api']} {lib['version'] or ''}, "
             f"{lib['num_threads']} threads") for lib in found]


def _kernels() -> list[Row]:
    """Train one convolution for a step, which compiles kernels where the cache lacks them."""
    from ..backend.cpu import cache_folder

    start = time.perf_counter()
    try:
        right = _one_step()
    except (MinidlError, OSError, ImportError) as error:
        return [("kernels", False, f"{error}")]
    facts = f"compiled and right in {time.perf_counter() - start:.1f} s; kept in {cache_folder()}"
    return [("kernels", right, facts if right else "a convolution gave a wrong result")]


def _one_step() -> bool:
    """Return whether a convolution of ones and its gradient have the values they must have."""
    import numpy as np

    from ..autograd import functional
    from ..autograd.tensor import Tensor

    x = Tensor(np.ones((2, 6, 6, 3), np.float32), requires_grad=True)
    w = Tensor(np.ones((3, 3, 3, 4), np.float32), requires_grad=True)
    y = functional.conv2d(x, w)
    y.sum().backward()
    return bool(y.grad is None and w.grad is not None and np.all(y.numpy() == 27)
                and np.all(w.grad.numpy() == 2 * 4 * 4))


def _data() -> list[Row]:
    from ..data.datasets import digits

    (x, _), (test, _) = digits.load_data()
    rows: list[Row] = [("digits", True, f"{len(x):,} + {len(test):,} come with minidl")]
    from ..data.datasets.download import cache_folder

    mnist = cache_folder("mnist")
    there = Path(mnist).is_dir()
    return [*rows, ("MNIST", True if there else None,
                    f"in {mnist}" if there else "not downloaded yet; or use --data DIR")]


def _gpu() -> list[Row]:
    cards = _nvidia_smi()
    if not cards:
        return [("GPU", None, "none found; minidl computes on the CPU")]
    how = ('device="cuda" uses it' if _version("cupy-cuda13x")
           else 'to use it: pip install "minidl[gpu]"')
    return [("GPU", None, f"{card}; {how}") for card in cards]


def _nvidia_smi() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


CHECKS: tuple[Callable[[], list[Row]], ...] = (_python, _packages, _cpu, _blas, _kernels, _data,
                                               _gpu)
