"""A small set of folders copied out of a large one: so many images of each class for each part."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import ArgumentError, DataError
from .classes import Classes
from .folders import folder_of
from .listing import Listing, list_folder, list_prefix
from .order import COPIED, permutation

PARTS = {"train": 1000, "validation": 500, "test": 500}
"""Images of each class that go into each part if nothing else is asked for."""

_LISTS = {"inferred": list_folder, "prefix": list_prefix}


def make_small(directory: str | os.PathLike[str], target: str | os.PathLike[str],
               parts: Mapping[str, int] | None = None, labels: str = "inferred",
               classes: Classes = None, seed: int | None = None) -> dict[str, dict[str, int]]:
    """Copy images into `target/PART/CLASS/`, no image into two parts.

    Nothing is left at `target` unless all was copied.

    Args:
        directory: of all images, or an archive.
        target: a folder that does not exist yet.
        parts: images of each class by part; None for `PARTS`.
        labels: "inferred" from folders, or "prefix": from file names up to the first dot.
        classes: which to copy; None for all.
        seed: None takes the first files in the order of their names; a number draws them.

    Returns:
        how many images were copied, by part and class.

    Raises:
        DataError: there are too few images of a class, or `target` exists.

    >>> make_small("train", "small", {"train": 2}, labels="prefix")  # doctest: +SKIP
    {'train': {'cat': 2, 'dog': 2}}
    """
    if labels not in _LISTS:
        raise ArgumentError("make_small", f"got labels={labels!r}",
                            f"expected one of {', '.join(_LISTS)}", "Change labels.")
    target, wanted = Path(target), dict(PARTS if parts is None else parts)
    if target.exists():
        raise DataError(str(target), "exists", "expected a new folder",
                        "Name another one, or delete it first.")
    listed = _LISTS[labels](folder_of(directory), classes)
    chosen = _chosen(listed, wanted, seed)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as aside:
        for inner, paths in chosen.items():
            _copy(paths, Path(aside, "content", *inner))
        Path(aside, "content").replace(target)
    return {part: {name: len(chosen[part, name]) for name in listed.class_names}
            for part in wanted}


def _chosen(listed: Listing, parts: Mapping[str, int], seed: int | None
            ) -> dict[tuple[str, str], list[str]]:
    chosen = {}
    for label, name in enumerate(listed.class_names):
        rows = np.flatnonzero(listed.labels == label)
        if sum(parts.values()) > len(rows):
            raise DataError(f"class {name!r}", f"has {len(rows):,} images",
                            f"expected {sum(parts.values()):,}, for all parts",
                            "Ask for fewer images.")
        if seed is not None:
            rows = rows[permutation(len(rows), seed, label, COPIED)]
        start = 0
        for part, count in parts.items():
            chosen[part, name] = [listed.paths[row] for row in rows[start:start + count]]
            start += count
    return chosen


def _copy(paths: list[str], folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in paths:
        place = folder / Path(path).name
        if place.exists():
            raise DataError(path, "has the name of another image of its class",
                            "expected different names", "Rename one of them.")
        shutil.copyfile(path, place)
