"""Fashion-MNIST: 60,000 + 10,000 pictures of clothes (Xiao, Rasul and Vollgraf, 2017)."""

from __future__ import annotations

import os

from ..classes import Classes
from .idx_set import IdxSet, Parts

CLASS_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
               "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
"""Names of the classes, by label."""

MIRRORS = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
           "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"]
"""Addresses tried in turn."""

MD5 = ["8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
       "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"]
"""Sums of the .gz files: training images and labels, test images and labels."""


def load_data(data: str | os.PathLike[str] | None = None, classes: Classes = None) -> Parts:
    """Return Fashion-MNIST, from a folder or downloaded once into the user's cache.

    Args:
        data: a folder that holds the four IDX files, .gz or unpacked, itself or in
            `fashion_mnist/`; None downloads them (30 MB) unless that was done before.
        classes: how many (the first ones), or a list of names and labels; labels are counted
            from 0 anew, in that order.

    Returns:
        (x_train, y_train), (x_test, y_test); x is uint8 (N, 28, 28, 1), y is int64 (N,).

    Raises:
        DataError: a file is missing or damaged, or there is no network.
        ArgumentError: there is no such class.

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    return IdxSet("fashion_mnist", MIRRORS, MD5, class_names=CLASS_NAMES).load(data, classes)
