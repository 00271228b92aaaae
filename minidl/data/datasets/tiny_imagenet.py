"""Tiny ImageNet: 64x64 images of 200 ImageNet classes (Stanford, course cs231n).

Its test labels were never published: as is usual, a test part is drawn out of training.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..classes import Classes, choose, chosen_classes, draw_per_class
from ..images import ImageFiles
from ..listing import list_images
from .published import Published

PUBLISHED = Published("tiny_imagenet", "tiny-imagenet-200",
                      ("wnids.txt", "words.txt", "train", "val/val_annotations.txt"),
                      ("http://cs231n.stanford.edu/",), "tiny-imagenet-200.zip",
                      "90528d7ca1a48142e341f4ef8d21d0de")
"""The archive of the tree."""

SIZE = (64, 64)
"""Height and width of all images."""

Part = tuple[ImageFiles, np.ndarray]


def load_data(data: str | os.PathLike[str] | None = None, classes: Classes = None,
              test_per_class: int = 50, seed: int = 42) -> tuple[Part, Part, Part]:
    """Return Tiny ImageNet, from a folder or downloaded once into the user's cache.

    Images are decoded when they are read; grey ones become RGB.

    Args:
        data: a folder that holds the published tree, itself or in `tiny-imagenet-200/`, or the
            archive; None downloads it (237 MB) unless that was done before.
        classes: how many (the first ones), or a list of labels, WordNet ids and names; labels
            are counted from 0 anew, in that order. All labels follow the sorted WordNet ids.
        test_per_class: images of every class that are drawn out of training for the test part.
        seed: of this draw.

    Returns:
        (x_train, y_train), (x_val, y_val), (x_test, y_test); x is a source of uint8
        (N, 64, 64, 3), y is int64 (N,).

    Raises:
        DataError: a file is missing or damaged, or there is no network.
        ArgumentError: there is no such class.

    >>> train, val, test = load_data("DIR", classes=40)  # doctest: +SKIP
    """
    folder = PUBLISHED.folder(data)
    ids, names = _ids(folder), class_names(folder)
    labels = chosen_classes("tiny_imagenet", names, _as_names(classes, ids, names))
    x, y = _train(folder, [ids[label] for label in labels])
    rest, drawn = draw_per_class("tiny_imagenet", y, test_per_class, seed)
    return (x.subset(rest), y[rest]), _val(folder, ids, labels), (x.subset(drawn), y[drawn])


def class_names(data: str | os.PathLike[str] | None = None, classes: Classes = None
                ) -> tuple[str, ...]:
    """Return the first word for every class, such as "goldfish", by label.

    Args:
        data, classes: as in `load_data`.

    Raises:
        DataError: a file is missing, or lacks a class.
        ArgumentError: there is no such class.

    >>> class_names("DIR", classes=2)  # doctest: +SKIP
    ('goldfish', 'European fire salamander')
    """
    folder = PUBLISHED.folder(data)
    words = {line[0]: line[1] for line in _columns(folder / "words.txt")}
    ids = _ids(folder)
    lacks = [wnid for wnid in ids if wnid not in words]
    if lacks:
        raise DataError(str(folder / "words.txt"), f"has no line for {lacks[0]}",
                        "expected one for every line of wnids.txt", "Fetch the data set again.")
    names = [words[wnid].partition(",")[0] for wnid in ids]
    labels = chosen_classes("tiny_imagenet", names, _as_names(classes, ids, names))
    return tuple(names[label] for label in labels)


def _as_names(classes: Classes, ids: list[str], names: list[str] | tuple[str, ...]) -> Classes:
    """Return `classes` with labels in the place of WordNet ids."""
    if classes is None or isinstance(classes, (int, str)):
        return classes
    return [ids.index(wanted) if isinstance(wanted, str) and wanted in ids else wanted
            for wanted in classes]


def _ids(folder: Path) -> list[str]:
    return sorted(line[0] for line in _columns(folder / "wnids.txt", 1))


def _train(folder: Path, ids: list[str]) -> Part:
    paths, labels = [], []
    for label, wnid in enumerate(ids):
        found = list_images(folder / "train" / wnid)
        paths += found
        labels += [label] * len(found)
    return ImageFiles(paths, SIZE), np.array(labels, np.int64)


def _val(folder: Path, ids: list[str], labels: list[int]) -> Part:
    file = folder / "val" / "val_annotations.txt"
    lines, numbers = _columns(file), {wnid: number for number, wnid in enumerate(ids)}
    strange = [wnid for _, wnid in lines if wnid not in numbers]
    if strange:
        raise DataError(str(file), f"got the class {strange[0]}", "expected those of wnids.txt",
                        "Fetch the data set again.")
    rows, y, _ = choose(str(file), np.array([numbers[wnid] for _, wnid in lines]), ids, labels)
    return ImageFiles([folder / "val" / "images" / lines[row][0] for row in rows], SIZE), y


def _columns(file: Path, count: int = 2) -> list[tuple[str, ...]]:
    """Return the first columns of a file of tabs."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(file), f"cannot be read ({error})", "expected a text file",
                        "Fetch the data set again.") from error
    columns = [tuple(line.split("\t")[:count]) for line in lines if line.strip()]
    short = [number for number, found in enumerate(columns, 1) if len(found) < count]
    if short or not columns:
        raise DataError(str(file), f"has {count - 1} column in line {short[0]}" if short else
                        "is empty", f"expected {count} columns, with tabs between",
                        "Fetch the data set again.")
    return columns
