"""Times how long a newcomer waits: installation, import, first training step of `lecture_mnist`.

    python benchmarks/bench_start.py [--rounds 5] [--no-install] [--json FILE] [--results]

Times are wall times of fresh processes, from their start to the end of the step; "cold" has an
empty cache of compiled kernels, "warm" the full one. PyTorch does the same step with the same
network, as it is and compiled. minidl's size is that of a fresh virtual environment after `pip
install` (needs the package index; `--no-install` leaves it out), PyTorch's that of the installed
packages that it requires. Nothing else should run meanwhile. PyTorch may be missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results import markdown_table, text_table, write_json, write_section

ROOT = Path(__file__).resolve().parents[1]

STEP = """
import numpy as np
import minidl as dl

model = dl.models.lecture_mnist()
model.compile(dl.optim.SGD(0.01, momentum=0.5), "nll")
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 28, 28, 1), np.float32)
model.train_on_batch(x, rng.integers(0, 10, 64))
"""

TORCH_STEP = """
import torch
from torch import nn

model = nn.Sequential(
    nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(),
    nn.Conv2d(10, 20, 5), nn.Dropout2d(0.5), nn.MaxPool2d(2), nn.ReLU(),
    nn.Flatten(), nn.Linear(320, 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, 10))
optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.5)
x, y = torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))
model = COMPILE(model)
loss = nn.functional.cross_entropy(model(x), y)
loss.backward()
optimizer.step()
loss.item()
"""

Times = dict[str, list[float]]
CASES: tuple[tuple[str, str], ...] = (  # in this order: a cold step fills the cache of a warm one
    ("python -c pass", "pass"),
    ("import minidl", "import minidl"),
    ("minidl, first step, cold", STEP),
    ("minidl, first step, warm", STEP),
    ("import torch", "import torch"),
    ("torch, first step", TORCH_STEP.replace("COMPILE", "")),
    ("torch.compile, first step, cold", TORCH_STEP.replace("COMPILE", "torch.compile")),
    ("torch.compile, first step, warm", TORCH_STEP.replace("COMPILE", "torch.compile")),
)

# ---- time ----------------------------------------------------------------------------------


def seconds(code: str, cache: str) -> float:
    """Return the wall time of a Python process that runs some code; NaN where it fails."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env: Mapping[str, str] = {**os.environ, "MINIDL_CACHE": cache, "TORCHINDUCTOR_CACHE_DIR": cache,
                              "PYTHONPATH": os.pathsep.join(paths)}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)
    return time.perf_counter() - start if not done.returncode else float("nan")


def measure(rounds: int) -> Times:
    """Return the times of all cases."""
    found: Times = {name: [] for name, _ in CASES}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
            for name, code in CASES:
                found[name].append(seconds(code, cache))
    return found


# ---- size ----------------------------------------------------------------------------------


def folder_mb(folder: Path) -> float:
    """Return the size of all files in a folder in MiB."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / (1 << 20)


def installed_mb() -> float:
    """Return what `pip install` of this checkout adds to a fresh virtual environment."""
    with tempfile.TemporaryDirectory() as temporary:
        base, source = str(Path(temporary, "venv")), Path(temporary, "source")
        subprocess.run([sys.executable, "-m", "venv", base], check=True)
        paths = sysconfig.get_paths("venv", vars={"base": base, "platbase": base})
        packages = Path(paths["purelib"])
        before = folder_mb(packages)
        python = Path(paths["scripts"]) / Path(sys.executable).name
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-compile", str(source)]
        subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
        return folder_mb(packages) - before


def required(package: str, found: set[str] | None = None) -> set[str]:
    """Return a package and all that it requires, as far as they are installed, without extras."""
    found = set() if found is None else found
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return found
    found.add(package)
    for requirement in distribution.requires or ():
        name = re.split(r"[\s<>=!~;\[(]", requirement, maxsplit=1)[0].lower()
        if "extra ==" not in requirement and name not in found:
            required(name, found)
    return found


def package_mb(package: str) -> float:
    """Return the size of an installed package and of what it requires in MiB."""
    paths = {Path(str(file.locate())) for name in required(package)
             for file in importlib.metadata.files(name) or () if "__pycache__" not in str(file)}
    return sum(path.stat().st_size for path in paths if path.is_file()) / (1 << 20)


def sizes(install: bool) -> dict[str, float]:
    """Return the installed sizes in MiB."""
    return {"minidl and what it requires": installed_mb() if install else float("nan"),
            "torch and what it requires": package_mb("torch") or float("nan")}


# ---- the command ---------------------------------------------------------------------------

HEAD = ("what", "median", "least", "most")


def time_rows(found: Times) -> list[tuple[Any, ...]]:
    """Return the rows of the table of times, in seconds."""
    return [(name, statistics.median(t), min(t), max(t)) for name, t in found.items()]


def report(rows: list[tuple[Any, ...]], room: dict[str, float], rounds: int) -> str:
    """Return the section of the results page."""
    return "\n\n".join([
        f"`python benchmarks/bench_start.py --rounds {rounds}`: seconds from the start of a "
        "process to the end of the first training step of `lecture_mnist`; cold is with an empty "
        "cache of compiled kernels.", markdown_table(HEAD, rows),
        "Installed size:", markdown_table(("what", "MiB"), list(room.items()))])


def main() -> int:
    """Print the medians and sizes."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-install", action="store_true", help="do not measure minidl's size")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--results", action="store_true", help="write into RESULTS.md")
    given = parser.parse_args()
    rows, room = time_rows(measure(given.rounds)), sizes(not given.no_install)
    print(text_table(("seconds", *HEAD[1:]), rows))
    print("\n" + text_table(("installed", "MiB"), list(room.items())))
    if given.json:
        figures = {name: [None if t != t else t for t in times] for name, *times in rows}
        write_json(given.json, {"seconds": figures, "mib": {n: None if m != m else m
                                                            for n, m in room.items()}})
    if given.results:
        write_section("bench_start", "Start", report(rows, room, given.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
