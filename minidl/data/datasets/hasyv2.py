"""HASYv2: 168,233 handwritten signs of 369 classes, 32x32 (M. Thoma, 2017)."""

from __future__ import annotations

import os

from ..classes import Classes
from ..images import ImageFiles
from ..listing import list_csv
from .published import Published
from .tree_set import Parts

PUBLISHED = Published("hasyv2", "HASYv2", ("classification-task",),
                      ("https://zenodo.org/record/259444/files/",), "HASYv2.tar.bz2",
                      "fddf23f36e24b5236f6b3a0880c778e3")
"""The archive; it has no folder around its content."""

SIZE = (32, 32)
"""Height and width of all images."""


def load_data(data: str | os.PathLike[str] | None = None, classes: Classes = None, fold: int = 1
              ) -> Parts:
    """Return one of the ten published divisions of HASYv2.

    Args:
        data: the folder that holds `classification-task/`, itself or in `HASYv2/`, or the
            archive; None downloads it (35 MB) unless that was done before.
        classes: how many (the first ones), or a list of LaTeX names and labels; labels are
            counted from 0 anew, in that order.
        fold: 1 to 10, the number of the division.

    Returns:
        (x_train, y_train), (x_test, y_test); x is a source of uint8 (N, 32, 32, 1), black on
        white, y is int64 (N,).

    Raises:
        DataError: the folder or the fold is not there, or a file in it is damaged.
        ArgumentError: there is no such class.

    >>> train, test = load_data("DIR", classes=["A", "B"])  # doctest: +SKIP
    """
    folder = PUBLISHED.folder(data) / "classification-task" / f"fold-{fold}"
    names = list_csv(folder / "train.csv", "latex").class_names
    train = list_csv(folder / "train.csv", "latex", classes=classes, class_names=names)
    test = list_csv(folder / "test.csv", "latex", classes=classes, class_names=names)
    return ((ImageFiles(train.paths, SIZE, mode="L"), train.labels),
            (ImageFiles(test.paths, SIZE, mode="L"), test.labels))


def class_names(data: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    r"""Return the LaTeX names of all classes, by label.

    Args:
        data: as in `load_data`.

    Raises:
        DataError: the folder is not there, or a file in it is damaged.

    >>> class_names("DIR")[-1]  # doctest: +SKIP
    '\\|'
    """
    file = PUBLISHED.folder(data) / "classification-task" / "fold-1" / "train.csv"
    return list_csv(file, "latex").class_names
