"""Linnaeus 5: 6,000 + 2,000 photographs of five kinds of things (Chaladze and Kalatozishvili)."""

from __future__ import annotations

import os
from pathlib import Path

from ..classes import Classes, chosen_classes
from ..folders import load_folder
from .published import Published
from .tree_set import Part, Parts

CLASS_NAMES = ("berry", "bird", "dog", "flower", "other")
"""Names of the classes, by label."""

PUBLISHED = Published("linnaeus5", "Linnaeus 5 256X256", ("train", "test"))
"""The folder of the largest of the published sizes; the others have the same form."""


def load_data(data: str | os.PathLike[str] | None = None, size: tuple[int, int] = (64, 64),
              classes: Classes = None, mode: str = "RGB", interpolation: str = "area") -> Parts:
    """Return Linnaeus 5 as sources that decode images when they are read.

    Args:
        data: the folder that holds `train/` and `test/`, itself or in `Linnaeus 5 256X256/`.
        size: (H, W) that images are brought to.
        classes: how many (the first ones), or a list of names and labels; labels are counted
            from 0 anew, in that order.
        mode, interpolation: see `ImageFiles`.

    Returns:
        (x_train, y_train), (x_test, y_test); x is a source of uint8 (N, H, W, C), y is int64.

    Raises:
        DataError: a folder is not there or empty.
        ArgumentError: there is no such class, or an argument is not known.

    >>> train, test = load_data("DIR", classes=["bird", "dog"])  # doctest: +SKIP
    """
    folder = PUBLISHED.folder(data)
    names = [CLASS_NAMES[label] for label in chosen_classes("linnaeus5", CLASS_NAMES, classes)]

    def part(inner: Path) -> Part:
        return load_folder(inner, size, classes=names, mode=mode, interpolation=interpolation)[:2]

    return part(folder / "train"), part(folder / "test")
