"""Draw the digits that come with minidl out of MNIST.

Run as: python -m minidl.data.datasets.build_digits MNIST_DIR [--out DIR]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import DataError, MinidlError
from ..idx import write_idx
from . import digits, mnist
from .idx_set import FILES

SEED = 1998
"""Key of the Philox numbers that decide which digits are drawn."""

PER_CLASS = (1000, 200)
"""Digits of each class in the training and in the test part."""


def draw(labels: np.ndarray, per_class: int, stream: int) -> np.ndarray:
    """Return the positions of `per_class` samples of each class, in rising order.

    Args:
        labels: (N,) class numbers.
        stream: keeps several draws apart.

    Raises:
        DataError: a class has fewer samples.

    >>> draw(np.array([0, 1, 0, 1]), 2, 0).tolist()
    [0, 1, 2, 3]
    """
    ticket = np.random.Philox(key=np.array([SEED, stream], np.uint64)).random_raw(len(labels))
    drawn = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise DataError("build_digits", f"got {len(members)} samples of class {label}",
                            f"expected at least {per_class}", "Give the whole of MNIST.")
        drawn.append(members[np.argsort(ticket[members], kind="stable")[:per_class]])
    return np.sort(np.concatenate(drawn))


def build(source: Path, out: Path) -> None:
    """Write the four files into `out` from the MNIST files in `source`; same bytes every time.

    Raises:
        DataError: `source` does not hold MNIST.

    >>> build(Path("MNIST_DIR"), digits.FOLDER)  # doctest: +SKIP
    """
    out.mkdir(parents=True, exist_ok=True)
    for i, (images, labels) in enumerate(mnist.load_data(source)):
        chosen = draw(labels, PER_CLASS[i], i)
        write_idx(out / f"{FILES[2 * i]}.gz", images[chosen, ..., 0])
        write_idx(out / f"{FILES[2 * i + 1]}.gz", labels[chosen].astype(np.uint8))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and build.

    >>> main(["MNIST_DIR"])  # doctest: +SKIP
    """
    parser = argparse.ArgumentParser(description="Draw the digits that come with minidl.")
    parser.add_argument("source", type=Path, help="folder with the four MNIST files")
    parser.add_argument("--out", type=Path, default=digits.FOLDER, help="default: the package")
    chosen = parser.parse_args(arguments)
    try:
        build(chosen.source, chosen.out)
    except MinidlError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
