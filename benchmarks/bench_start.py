"""Times how long a newcomer waits: the import, and the first training step of `lecture_mnist`.

    python benchmarks/bench_start.py [--rounds 5]

Each figure is the wall time of fresh processes, from their start to the end of the step; "cold" has
an empty cache of compiled kernels, "warm" the full one. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

STEP = """
import numpy as np
import minidl as dl

model = dl.models.lecture_mnist()
model.compile(dl.optim.SGD(0.01, momentum=0.5), "nll")
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 28, 28, 1), np.float32)
model.train_on_batch(x, rng.integers(0, 10, 64))
"""


def seconds(code: str, cache: str) -> float:
    """Return the wall time of a Python process that runs some code."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True,
                   env={**os.environ, "MINIDL_CACHE": cache})
    return time.perf_counter() - start


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    figures: dict[str, list[float]] = {"python": [], "import minidl": [], "first step, cold": [],
                                       "first step, warm": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            figures["python"].append(seconds("pass", cache))
            figures["import minidl"].append(seconds("import minidl", cache))
            figures["first step, cold"].append(seconds(STEP, cache))
            figures["first step, warm"].append(seconds(STEP, cache))
    for name, times in figures.items():
        print(f"{name:18s} median {statistics.median(times):6.2f} s  "
              f"({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
