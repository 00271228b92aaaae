"""Compiled CPU kernels and the threads that share their ranges.

A kernel is a serial numba function over a half-open range; `run_ranges` cuts the range by the
shape alone, never by the number of threads, so results do not depend on how many there are.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import threadpoolctl
from numba.core.dispatcher import Dispatcher

from .. import config
from .lean import start_lean
from .threads import Edges, Range, Team

MOST_HELPERS = 64
POINTWISE_GRAIN = 1 << 16  # elements per range: some 20 microseconds of memory-bound work


# ---- compilation ---------------------------------------------------------------------------

@cache
def cache_folder() -> Path:
    """Return the folder of compiled kernels.

    numba's cache does not notice changes in imported helpers (numba issue 1833), so the folder's
    name is a hash of all kernel sources and of the host's features: a stale kernel is never run.
    """
    digest = hashlib.sha256()
    for source in kernel_sources(Path(__file__).parents[1]):
        digest.update(source.name.encode() + source.read_bytes())
    features = llvm.get_host_cpu_features().flatten()
    digest.update(f"{numba.__version__} {llvm.get_host_cpu_name()} {features}".encode())
    return _writable(user_cache() / "kernels" / digest.hexdigest()[:16])


def kernel_sources(package: Path) -> list[Path]:
    """Return the files that compiled kernels may depend on; those for a GPU keep other ones."""
    found = [*package.glob("backend/*.py"), *package.glob("ops/*/*.py"),
             *package.glob("data/kernels.py")]
    return sorted(path for path in found if not path.name.startswith("cuda"))


def _writable(folder: Path) -> Path:
    """Return the folder, made if need be; where none can be written, one for this run only."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        warnings.warn(f"kernels are compiled anew in every run, as {folder} cannot be written "
                      f"({error}); set MINIDL_CACHE to a folder of yours", stacklevel=2)
        return Path(_for_this_run().name)


@cache
def _for_this_run() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="minidl-", ignore_cleanup_errors=True)


def user_cache() -> Path:
    """Return minidl's folder in the user's cache folder; MINIDL_CACHE moves it."""
    if chosen := os.environ.get("MINIDL_CACHE"):
        return Path(chosen)
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "minidl"


_HOW: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True,
                        "fastmath": {"contract", "reassoc", "nsz", "arcp"}}
_settings_lock = threading.Lock()  # kernels are imported on first use, maybe by two threads


def kernel(function: Callable) -> Callable:
    """Compile a function over a range with numba on first use and keep the result on disk.

    Sums may be reordered so that they run in vectors; the order is fixed at compile time. That
    holds for a loop that only reads. One that also writes runs in vectors only if what it writes
    lies apart from what it reads, so its sums would depend on where the arrays lie.
    """
    settings: Any = numba.config
    with _settings_lock:
        before, settings.CACHE_DIR = settings.CACHE_DIR, str(cache_folder())
        try:
            return numba.njit(function, cache=True, nogil=True, **_HOW)
        finally:
            settings.CACHE_DIR = before


inline = numba.njit(forceinline=True, **{**_HOW, "no_cpython_wrapper": True})
"""Decorator for helpers of kernels; they are compiled into the kernels that call them."""


# ---- ranges and threads --------------------------------------------------------------------

def ranges(total: int, grain: int) -> list[Range]:
    """Cut [0, total) into equal ranges of about `grain`, the same ones on every machine."""
    count = max(1, round(total / max(grain, 1)))
    edges = [total * i // count for i in range(count + 1)]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]


def run_ranges(function: Callable[..., Any], total: int, grain: int, *arguments: Any) -> None:
    """Call `function(start, stop, *arguments)` for every range of [0, total), on all threads.

    Where `function` is a kernel, no Python code runs between the ranges: sharing it costs a few
    microseconds, and ranges of ten are worth it. A Python function costs more: its threads wait for
    each other at the interpreter's lock.
    """
    if 0 < total <= grain:
        function(0, total, *arguments)
    elif isinstance(function, Dispatcher):
        edges = _edges(total, grain)
        _team.share(function, edges, _helpers(len(edges.array)), False, arguments)
    else:
        run_slots(lambda start, stop, slot: function(start, stop, *arguments),
                  ranges(total, grain))


def run_slots(function: Callable[..., Any], parts: Sequence[Range], *arguments: Any) -> None:
    """Call `function(start, stop, slot, *arguments)` for every range, on all threads.

    Two calls that run at the same time have different slots, so a slot can own workspace.
    Slots are numbered from 0 to `config.num_threads()` - 1. An error of one call is raised when no
    other call runs any more.
    """
    helpers = _helpers(len(parts))
    if isinstance(function, Dispatcher):
        _team.share(function, _edges_of(tuple(parts)), helpers, True, arguments)
    elif helpers:
        _team.run(lambda start, stop, slot: function(start, stop, slot, *arguments), parts,
                  helpers)
    else:
        with np.errstate(all="ignore"):  # as the waist does
            for start, stop in parts:
                function(start, stop, 0, *arguments)


def _helpers(parts: int) -> int:
    return max(min(config.num_threads(), parts, MOST_HELPERS + 1) - 1, 0)


@lru_cache(1 << 12)
def _edges(total: int, grain: int) -> Edges:
    return Edges.of(ranges(total, grain))


_edges_of = lru_cache(1 << 12)(Edges.of)
start_lean()
_team = Team(kernel)


# ---- BLAS ----------------------------------------------------------------------------------

@cache
def _blas() -> list[Any]:
    controllers = threadpoolctl.ThreadpoolController().lib_controllers
    return [c for c in controllers if c.user_api == "blas"]


class serial_blas:  # noqa: N801 (used as a function)
    """Keep BLAS on one thread inside the block, because our threads already share the work."""

    _lock = threading.Lock()
    _depth = 0
    _before: tuple[int, ...] = ()

    def __enter__(self) -> None:
        cls = serial_blas
        with cls._lock:
            if cls._depth == 0:
                cls._before = tuple(c.get_num_threads() for c in _blas())
                for controller in _blas():
                    controller.set_num_threads(1)
            cls._depth += 1

    def __exit__(self, *error: object) -> None:
        cls = serial_blas
        with cls._lock:
            cls._depth -= 1
            if cls._depth == 0:
                for controller, count in zip(_blas(), cls._before, strict=True):
                    controller.set_num_threads(count)


# ---- NumPy's own loops as kernels ----------------------------------------------------------

def run_ufunc(ufunc: Callable, inputs: Sequence[np.ndarray], out: np.ndarray) -> None:
    """Write `ufunc(*inputs)` into `out`, inputs broadcast, shared among the threads."""
    if out.size <= POINTWISE_GRAIN:
        ufunc(*inputs, out=out)
        return
    if all(a.shape == out.shape and a.flags.c_contiguous for a in (*inputs, out)):
        inputs, out = [a.reshape(-1) for a in inputs], out.reshape(-1)
    rows = out.shape[0] if out.ndim else 1
    grain = max(1, POINTWISE_GRAIN * rows // max(out.size, 1))

    def part(start: int, stop: int) -> None:
        ufunc(*(_rows(a, out, start, stop) for a in inputs), out=_rows(out, out, start, stop))

    run_ranges(part, rows, grain)


def _rows(array: np.ndarray, like: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return rows [start, stop) of `array` as broadcast against `like`."""
    if like.ndim == 0 or array.ndim < like.ndim or array.shape[0] == 1 != like.shape[0]:
        return array
    return array[start:stop]
