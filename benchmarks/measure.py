"""How the benchmarks measure: separate processes, medians, resident memory, the machine's peak.

minidl and PyTorch never share a process, because two thread pools in one disturb each other. A
worker is a script beside this file that takes a JSON task as its argument and prints JSON.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
FEATURES = ("AVX512F", "AVX2", "FMA3", "ASIMD", "SVE")
DEFAULT_ALLOCATOR: dict[str, str] = {}
TUNED_ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000",
                   "MALLOC_TOP_PAD_": "1000000000"}
"""glibc keeps what it got from the system, so that a process pays for page faults only once."""


class WorkerError(RuntimeError):
    """A worker ended with an error; the text is the end of what it printed."""


# ---- processes -----------------------------------------------------------------------------


def run_worker(script: str, task: Mapping[str, Any], env: Mapping[str, str] | None = None,
               seconds: float = 1800) -> Any:
    """Run a script beside this file on a task, in a process of its own, and return its answer.

    It imports the minidl that the benchmarks lie beside.
    """
    done = subprocess.run([sys.executable, str(HERE / script), json.dumps(task)],
                          env=surroundings(env), capture_output=True, text=True, timeout=seconds,
                          check=False)
    if done.returncode:
        raise WorkerError(f"{script} {dict(task)}: {(done.stderr or done.stdout)[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def surroundings(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a worker."""
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(env or {})}


def serve(tasks: Mapping[str, Callable[..., Any]]) -> None:
    """Be a worker: do the task on the command line and print what it returns as JSON."""
    task = json.loads(sys.argv[1])
    print(json.dumps(tasks[task.pop("do")](**task)))


# ---- time ----------------------------------------------------------------------------------


class Timing(NamedTuple):
    """Median, shortest and longest time of a step in milliseconds, and the number of steps."""

    ms: float
    least: float
    most: float
    steps: int


def timing(step: Callable[[], object], seconds: float = 2.0, steps: int = 3, warm: int = 2,
           warm_seconds: float = 0.2) -> Timing:
    """Time a step over and over for about so many seconds, at least `steps` times.

    Args:
        warm: steps before that, at least; small ones go on for `warm_seconds`.
    """
    end = time.perf_counter() + warm_seconds
    while warm > 0 or time.perf_counter() < end:
        step()
        warm -= 1
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < steps or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return Timing(statistics.median(times), min(times), max(times), len(times))


# ---- memory --------------------------------------------------------------------------------


def resident_mb() -> float:
    """Return the resident size of this process in MiB (NaN where the system does not say)."""
    return _status("VmRSS")


def peak_mb() -> float:
    """Return the largest resident size so far, or since `reset_peak`, in MiB."""
    if Path("/proc/self/status").exists():
        return _status("VmHWM")
    try:
        import resource
    except ImportError:
        return float("nan")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reset_peak() -> None:
    """Let `peak_mb` begin anew, where the system can do that (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _status(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return peak_mb() if name == "VmRSS" else float("nan")
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


# ---- the machine ---------------------------------------------------------------------------


def machine() -> str:
    """Return a line on the machine: processor, cores, vector features, system."""
    return f"{_processor()}, {os.cpu_count()} cores ({', '.join(_features())}), {platform.system()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.machine()


def _features() -> list[str]:
    """Return the vector features that programs may use here."""
    module: Any = importlib.import_module("numpy._core._multiarray_umath")
    return [name for name in FEATURES if module.__cpu_features__.get(name)] or [platform.machine()]


def versions(*packages: str) -> str:
    """Return a line with the versions of Python and of packages, those that are installed."""
    parts = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            parts.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(parts)


def matmul_gflops(size: int = 3072, seconds: float = 3.0) -> float:
    """Return the best speed of NumPy's float32 product of square matrices on all cores.

    The machine's peak as the tables mean it: what a tuned BLAS reaches, not a data sheet.
    """
    import numpy as np
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size), np.float32) for _ in range(2))
    out = np.empty_like(a)
    return 2 * size**3 / timing(lambda: np.matmul(a, b, out=out), seconds).least / 1e6


def copy_gbs(megabytes: int = 256, seconds: float = 1.0) -> float:
    """Return the best speed of a copy in memory on one core, bytes read plus bytes written."""
    import numpy as np
    a = np.ones(megabytes << 18, np.float32)
    b = np.ones_like(a)
    return 2 * a.nbytes / timing(lambda: np.copyto(b, a), seconds).least / 1e6


def peaks() -> dict[str, float]:
    """Return the measured peaks of the machine."""
    return {"gflops": matmul_gflops(), "gbs": copy_gbs()}


if __name__ == "__main__":
    serve({"peaks": peaks})
