"""A part of MNIST that comes with minidl: 10,000 + 2,000 digits, as many of each class."""

from __future__ import annotations

from pathlib import Path

from ..classes import Classes
from .idx_set import IdxSet, Parts
from .mnist import CLASS_NAMES

__all__ = ["CLASS_NAMES", "FOLDER", "load_data"]

FOLDER = Path(__file__).parent / "digits"
"""Where the four IDX files lie; NOTICE.md beside them says whose work they are."""


def load_data(classes: Classes = None) -> Parts:
    """Return 1,000 training and 200 test digits of each class; no network is needed.

    They were drawn at random from MNIST, the test digits from its test part.

    Args:
        classes: how many (the first ones), or a list of names and labels; labels are counted
            from 0 anew, in that order.

    Returns:
        (x_train, y_train), (x_test, y_test); x is uint8 (N, 28, 28, 1), y is int64 (N,).

    Raises:
        DataError: the installed files are damaged.
        ArgumentError: there is no such class.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape
    ((10000, 28, 28, 1), (2000,))
    """
    return IdxSet("digits", (), ()).load(FOLDER, classes)
