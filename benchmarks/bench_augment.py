"""Images per second that the steps of minidl.data make, on this machine.

    python benchmarks/bench_augment.py
    python benchmarks/bench_augment.py --threads 1 --seconds 3

Each line is the median of several runs on a batch in memory. `--workers N` reads the batches
through a DataLoader with N workers instead.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from minidl import config
from minidl.data import (
    CenterCrop,
    ColorJitter,
    DataLoader,
    Pipeline,
    RandomAffine,
    RandomCrop,
    RandomFlip,
    Resize,
    TenCrop,
    ToFloat,
)

AFFINE = RandomAffine(rotation=20, width_shift=0.2, height_shift=0.2, shear=0.15, zoom=0.15,
                      horizontal_flip=True)
COLOURS = ColorJitter(0.05, (0.3, 1.0), 0.2, (0.0, 2.0))
STEPS = {
    "affine + flip, bytes": (AFFINE,),
    "affine + flip, float": (ToFloat(), AFFINE),
    "colours, bytes": (COLOURS,),
    "affine + flip + colours, bytes": (AFFINE, COLOURS),
    "affine + flip + colours, float": (ToFloat(), AFFINE, COLOURS),
}
MORE = {
    "the laboratory's, 32 to 24": ((RandomCrop(24, 24), RandomFlip(), ToFloat(), COLOURS), 32),
    "centre crop, 32 to 24": ((CenterCrop(24, 24),), 32),
    "crop, 256 to 227": ((RandomCrop(227, 227), RandomFlip()), 256),
    "resize, 256 to 227": ((Resize(227, 227),), 256),
    "ten crops, 256 to 227": ((TenCrop(227, 227),), 256),
}
BATCH = {32: 256, 227: 32, 256: 32}  # images by side


def measure(run: Callable[[], int], seconds: float) -> float:
    """Return images per second: the median over runs for so long, after one to compile."""
    run()
    rates, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        start = time.perf_counter()
        images = run()
        rates.append(images / (time.perf_counter() - start))
    return statistics.median(rates)


def job(pipeline: Pipeline, side: int, workers: int) -> Callable[[], int]:
    """Return what is measured; it returns the number of images it made."""
    count = BATCH[side] * (8 if workers else 1)
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    if not workers:
        return lambda: len(pipeline(images))
    loader = DataLoader(images, batch_size=BATCH[side], workers=workers, transform=pipeline)
    return lambda: sum(len(x) for x, in loader)


def main() -> None:
    """Print a line for each chain of steps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=config.processors())
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    cases = [(f"{name}, {side}x{side}", steps, side) for side in (32, 227)
             for name, steps in STEPS.items()]
    cases += [(name, steps, side) for name, (steps, side) in MORE.items()]
    with config.threads(given.threads):
        for name, steps, side in cases:
            rate = measure(job(Pipeline(*steps), side, given.workers), given.seconds)
            print(f"{name:48}{rate:10,.0f} images/s")


if __name__ == "__main__":
    main()
