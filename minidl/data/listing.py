"""Lists of labelled image files: a folder per class, labels in file names, labels in a CSV file.

Files are sorted by their names below the folder, numbers in them by value ("a2" before "a10"), so
that a list is the same on every machine.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from .classes import Classes, choose
from .images import SUFFIXES


class Listing(NamedTuple):
    """Paths of images, their labels (N,) int64, and the names of the classes by label."""

    paths: list[str]
    labels: np.ndarray
    class_names: tuple[str, ...]


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a key that sorts numbers inside names by their value.

    >>> sorted(["cat.10.jpg", "cat.9.jpg"], key=natural_key)
    ['cat.9.jpg', 'cat.10.jpg']
    """
    return [int(p) if i % 2 else p for i, p in enumerate(re.split(r"([0-9]+)", text))], text


def list_images(directory: str | os.PathLike[str], follow_links: bool = False) -> list[str]:
    """Return the paths of all images below a folder; hidden files and folders are left out.

    Raises:
        DataError: there is no such folder, or it holds no images.

    >>> list_images("flowers")  # doctest: +SKIP
    ['flowers/daisy/1.jpg', 'flowers/rose/2.jpg']
    """
    root = checked_folder(directory)
    return [str(root / name) for name in _names(root, follow_links)]


def list_folder(directory: str | os.PathLike[str], classes: Classes = None, level: int = 1,
                ignore: Collection[str] = (), follow_links: bool = False) -> Listing:
    """List a tree in which a folder's name is the class of all images below it.

    Args:
        classes: which to use, and in which order; None for all, in the order of their names.
        level: depth of the folders that are the classes: 1 for `cat/1.jpg`, 2 for `s1/o3/1.png`.
        ignore: folders that are no classes, such as one of backgrounds.

    Raises:
        DataError: there is no such folder, it has no class folders, or one of them is empty.
        ArgumentError: there is no class of a name in `classes`.

    >>> list_folder("flowers", classes=["rose", "daisy"]).class_names  # doctest: +SKIP
    ('rose', 'daisy')
    """
    root = checked_folder(directory)
    folders = [f for f in _folders(root, level) if not set(f.relative_to(root).parts) & {*ignore}]
    if not folders:
        raise DataError(str(root), "has no class folders", f"expected folders at depth {level}, "
                        "one of each class, with images in them", "Check the path.")
    names = sorted({folder.name for folder in folders}, key=natural_key)
    wanted = {str(folder.relative_to(root)) for folder in folders}
    files = [name for name in _names(root, follow_links)
             if os.path.join(*Path(name).parts[:level]) in wanted and len(Path(name).parts) > level]
    listed = _listed(root, files, lambda name: Path(name).parts[level - 1], names, classes)
    _check_none_empty(root, folders, files, listed.class_names, level)
    return listed


def list_prefix(directory: str | os.PathLike[str], classes: Classes = None) -> Listing:
    """List a folder of files whose names begin with the class and a dot, such as `cat.12.jpg`.

    Raises:
        DataError: there is no such folder, it holds no images, or a name has no such label.
        ArgumentError: there is no class of a name in `classes`.

    >>> list_prefix("dogs_vs_cats/train").class_names  # doctest: +SKIP
    ('cat', 'dog')
    """
    root = checked_folder(directory)
    files = _names(root, follow_links=False)
    for name in files:
        if Path(name).name.count(".") < 2:
            raise DataError(str(root / name), "has no label in its name",
                            "expected LABEL.NUMBER.jpg, such as cat.12.jpg", "Rename the file.")
    names = sorted({_prefix(name) for name in files}, key=natural_key)
    return _listed(root, files, _prefix, names, classes)


def list_csv(file: str | os.PathLike[str], label: str, path: str = "path",
             classes: Classes = None, class_names: Sequence[str] | None = None) -> Listing:
    """List the rows of a CSV file with a header, in which a column holds paths of images.

    Args:
        label: the column of the labels.
        path: the column of the paths, which start from the folder of the CSV file.
        classes: which to use, and in which order.
        class_names: of all classes; None for those in the column, in the order of their names.

    Raises:
        DataError: the file is missing or no such CSV, a row is short, or a label is none of
            `class_names`.
        ArgumentError: there is no class of a name in `classes`.

    >>> list_csv("hasy-data-labels.csv", "latex").class_names[:2]  # doctest: +SKIP
    ('!', '#')
    """
    rows = _csv_rows(Path(file), (path, label))
    names = class_names or sorted({value for _, value in rows}, key=natural_key)
    labels = {name: number for number, name in enumerate(names)}
    for number, (_, value) in enumerate(rows, 2):
        if value not in labels:
            raise DataError(str(file), f"got the label {value!r} in row {number}",
                            f"expected one of {len(names)} classes", "Correct the row.")
    folder = Path(file).parent
    return _chosen(str(file), [str(folder / name) for name, _ in rows],
                   [labels[value] for _, value in rows], names, classes)


def checked_folder(directory: str | os.PathLike[str]) -> Path:
    """Return a folder's path.

    Raises:
        DataError: there is no such folder.

    >>> str(checked_folder("."))
    '.'
    """
    root = Path(directory)
    if not root.is_dir():
        raise DataError(str(directory), "is not a folder", "expected a folder of images",
                        "Check the path.")
    return root


def hidden(name: str) -> bool:
    """Say whether a file or folder is one that a system adds.

    >>> hidden(".DS_Store"), hidden("cat.1.jpg")
    (True, False)
    """
    return name.startswith(".") or name == "__MACOSX"


def _names(root: Path, follow_links: bool) -> list[str]:
    found = []
    for place, folders, files in os.walk(root, followlinks=follow_links):
        folders[:] = [folder for folder in folders if not hidden(folder)]
        inner = os.path.relpath(place, root)
        found += [os.path.normpath(os.path.join(inner, file)) for file in files
                  if os.path.splitext(file)[1].lower() in SUFFIXES and not hidden(file)]
    if not found:
        raise DataError(str(root), "holds no images", f"expected {', '.join(sorted(SUFFIXES))}",
                        "Check the path.")
    return sorted(found, key=natural_key)


def _folders(root: Path, level: int) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.is_dir() and not hidden(path.name):
            if level == 1:
                yield path
            else:
                yield from _folders(path, level - 1)


def _prefix(name: str) -> str:
    return Path(name).name.partition(".")[0]


def _listed(root: Path, files: list[str], label: Callable[[str], str], names: Sequence[str],
            classes: Classes) -> Listing:
    numbers = {name: number for number, name in enumerate(names)}
    return _chosen(str(root), [str(root / name) for name in files],
                   [numbers[label(name)] for name in files], names, classes)


def _chosen(where: str, paths: list[str], labels: list[int], names: Sequence[str],
            classes: Classes) -> Listing:
    rows, chosen, class_names = choose(where, np.array(labels, np.int64), names, classes)
    return Listing([paths[row] for row in rows], chosen, class_names)


def _check_none_empty(root: Path, folders: list[Path], files: list[str],
                      class_names: Collection[str], level: int) -> None:
    full = {Path(name).parts[:level] for name in files}
    for folder in folders:
        if folder.name in class_names and folder.relative_to(root).parts not in full:
            raise DataError(str(folder), "holds no images", "expected images of this class",
                            "Fill the folder, delete it, or leave it out with classes=[...].")


def _csv_rows(file: Path, columns: Sequence[str]) -> list[list[str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened)
            missing = set(columns) - set(reader.fieldnames or ())
            rows = [[row[column] for column in columns] for row in reader] if not missing else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(file), f"cannot be read ({error})", "expected a CSV file of image "
                        "paths and labels", "Check the path.") from error
    if missing:
        raise DataError(str(file), f"has no column {', '.join(sorted(missing))}",
                        f"expected the columns {', '.join(columns)} in its first line",
                        "Name the columns that it has.")
    short = [number for number, row in enumerate(rows, 2) if not all(row)]
    if short or not rows:
        raise DataError(str(file), f"lacks a value in row {short[0]}" if short else "has no rows",
                        f"expected {' and '.join(columns)} in every row", "Correct the file.")
    return rows
