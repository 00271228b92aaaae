"""MNIST: 60,000 + 10,000 handwritten digits (LeCun, Cortes and Burges, 1998)."""

from __future__ import annotations

import os

from ..classes import Classes
from .idx_set import IdxSet, Parts

CLASS_NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
"""Names of the classes, by label."""

MIRRORS = ["https://ossci-datasets.s3.amazonaws.com/mnist/",
           "https://storage.googleapis.com/cvdf-datasets/mnist/"]
"""Addresses tried in turn."""

MD5 = ["6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
       "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"]
"""Sums of the unpacked files: training images and labels, test images and labels."""


def load_data(data: str | os.PathLike[str] | None = None, classes: Classes = None) -> Parts:
    """Return MNIST, from a folder or downloaded once into the user's cache.

    Args:
        data: a folder that holds the four IDX files, .gz or unpacked, itself or in `mnist/`;
            None downloads them (11 MB) unless that was done before.
        classes: how many (the first ones), or a list of names and labels; labels are counted
            from 0 anew, in that order.

    Returns:
        (x_train, y_train), (x_test, y_test); x is uint8 (N, 28, 28, 1), y is int64 (N,).

    Raises:
        DataError: a file is missing or damaged, or there is no network.
        ArgumentError: there is no such class.

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    return IdxSet("mnist", MIRRORS, MD5, unpacked=True).load(data, classes)
