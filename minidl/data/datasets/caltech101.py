"""Caltech-101: 8,677 photographs of 101 kinds of things (Fei-Fei, Fergus and Perona, 2004)."""

from __future__ import annotations

import os

from ..classes import Classes
from .published import Published
from .tree_set import Parts, TreeSet

TREE = TreeSet(Published("caltech101", "101_ObjectCategories", ()),
               ignore=("BACKGROUND_Google",))
"""The folder of categories, without that of backgrounds."""


def load_data(data: str | os.PathLike[str] | None = None, size: tuple[int, int] = (64, 64),
              classes: Classes = None, test: float = 0.25, seed: int = 42, fit: str = "crop",
              mode: str = "RGB", interpolation: str = "area") -> Parts:
    """Return Caltech-101 as sources that decode images when they are read.

    Args:
        data: a folder that holds the class folders, itself or in `101_ObjectCategories/`.
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

    >>> train, test = load_data("DIR", classes=["accordion", "anchor"])  # doctest: +SKIP
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

    >>> class_names("DIR", classes=["accordion", "anchor"])  # doctest: +SKIP
    ('accordion', 'anchor')
    """
    return TREE.listing(data, classes).class_names
