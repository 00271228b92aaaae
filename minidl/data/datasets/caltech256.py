"""Caltech-256: 29,780 photographs of 256 kinds of things (Griffin, Holub and Perona, 2007)."""

from __future__ import annotations

import os

from ..classes import Classes
from .published import Published
from .tree_set import Parts, TreeSet

TREE = TreeSet(Published("caltech256", "256_ObjectCategories", (),
                          ("https://data.caltech.edu/records/nyy15-4j048/files/",),
                          "256_ObjectCategories.tar", "67b4f42ca05d46448c6bb8ecd2220f6d"),
               ignore=("257.clutter",))
"""The folder of categories, without that of clutter."""


def load_data(data: str | os.PathLike[str] | None = None, size: tuple[int, int] = (64, 64),
              classes: Classes = None, test: float = 0.25, seed: int = 42, fit: str = "crop",
              mode: str = "RGB", interpolation: str = "area") -> Parts:
    """Return Caltech-256 as sources that decode images when they are read.

    Args:
        data: a folder that holds the class folders, itself or in `256_ObjectCategories/`,
            or the archive; None downloads it (1.2 GB) unless that was done before.
        size: (H, W) that images are brought to.
        classes: how many (the first ones), or a list of names and labels; labels are counted
            from 0 anew, in that order.
        test: share of every class that is drawn for the test part.
        seed: of this draw.
        fit, mode, interpolation: see `ImageFiles`.

    Returns:
        (x_train, y_train), (x_test, y_test); x is a source of uint8 (N, H, W, C), y is int64.

    Raises:
        DataError: the folder is not there, or a class folder is empty.
        ArgumentError: there is no such class, or an argument is not known.

    >>> train, test = load_data("DIR", classes=["001.ak47", "009.bear"])  # doctest: +SKIP
    """
    return TREE.load(data, size, classes, test, seed, fit=fit, mode=mode,
                     interpolation=interpolation)


def class_names(data: str | os.PathLike[str] | None = None, classes: Classes = None
                ) -> tuple[str, ...]:
    """Return the names of the classes, by label.

    Args:
        data, classes: as in `load_data`.

    Raises:
        DataError: the folder is not there.
        ArgumentError: there is no such class.

    >>> class_names("DIR", classes=["001.ak47", "009.bear"])  # doctest: +SKIP
    ('001.ak47', '009.bear')
    """
    return TREE.listing(data, classes).class_names
