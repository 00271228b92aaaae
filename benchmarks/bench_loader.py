"""How long training waits for augmented images: epochs of lab_cifar on CIFAR-10.

    python benchmarks/bench_loader.py --data DIR
    python benchmarks/bench_loader.py --data DIR --workers 0 1 2 --limit 10000

The network is that of the recipe; its images are turned, shifted, sheared, zoomed, flipped and
change their colours, float by float. Each line is one epoch of a fresh model; waiting is the time
in which no step could be computed.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace

from minidl import recipes
from minidl.data import ColorJitter, RandomAffine
from minidl.recipes.prepare import one_hot, unit_range
from minidl.recipes.run import run
from minidl.recipes.sets import cifar10

STEPS = (RandomAffine(rotation=20, width_shift=0.2, height_shift=0.2, shear=0.15, zoom=0.15,
                      horizontal_flip=True),
         ColorJitter(hue=0.05, contrast=(0.3, 1.0), brightness=0.2, saturation=(0.0, 2.0)))


def share(workers: int, data: str | None, limit: int | None) -> tuple[float, float]:
    """Return the seconds of an epoch's training, and the share of them spent waiting."""
    recipe = replace(recipes.get("lab_cifar"), workers=workers,
                     data=cifar10(unit_range, label=one_hot, augment=STEPS))
    with tempfile.TemporaryDirectory() as folder:
        report = run(recipe, folder, epochs=1, data=data, limit=limit).report
    return report["seconds"], report["waiting"]


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder that holds CIFAR-10")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=int, help="images of the epoch; all by default")
    given = parser.parse_args()
    for workers in given.workers:
        seconds, waiting = share(workers, given.data, given.limit)
        print(f"{workers} workers: {seconds:.1f} s of training, {waiting:.2%} of it waiting")


if __name__ == "__main__":
    main()
