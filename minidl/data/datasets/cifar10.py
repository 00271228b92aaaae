"""CIFAR-10: 50,000 + 10,000 colour images of ten kinds of things (A. Krizhevsky, 2009)."""

from __future__ import annotations

import os

from ..classes import Classes
from .cifar import MIRRORS, Parts, read_batches
from .published import Published

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer",
               "dog", "frog", "horse", "ship", "truck")
"""Names of the classes, by label."""

FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
"""The published batches; the last one is the test part."""

PUBLISHED = Published("cifar10", "cifar-10-batches-py", FILES, MIRRORS, "cifar-10-python.tar.gz",
                      "c58f30108f718f92721af3b95e74349a")
"""The archive of python batches."""


def load_data(data: str | os.PathLike[str] | None = None, classes: Classes = None) -> Parts:
    """Return CIFAR-10, from a folder or downloaded once into the user's cache.

    Args:
        data: a folder that holds the six batches, `cifar-10-batches-py/` or the archive; None
            downloads it (170 MB) unless that was done before.
        classes: how many (the first ones), or a list of names and labels; labels are counted
            from 0 anew, in that order.

    Returns:
        (x_train, y_train), (x_test, y_test); x is uint8 (N, 32, 32, 3), y is int64 (N,).

    Raises:
        DataError: a file is missing or damaged, or there is no network.
        ArgumentError: there is no such class.

    >>> (x, y), test = load_data("DIR", classes=["cat", "dog"])  # doctest: +SKIP
    """
    paths = [PUBLISHED.folder(data) / name for name in FILES]
    return (read_batches(paths[:-1], b"labels", CLASS_NAMES, classes),
            read_batches(paths[-1:], b"labels", CLASS_NAMES, classes))
