"""CORe50: 50 objects of 10 kinds, filmed in 11 sessions (Lomonaco and Maltoni, 2017)."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ...errors import ArgumentError
from ..classes import Classes, choose
from ..images import ImageFiles
from ..listing import list_folder
from .published import Published
from .tree_set import Parts

CLASS_NAMES = tuple(f"o{number}" for number in range(1, 51))
"""Names of the objects, by label."""

CATEGORY_NAMES = ("plug adapter", "mobile phone", "scissors", "light bulb", "can", "glasses",
                  "ball", "marker", "cup", "remote control")
"""Names of the kinds, five objects each, by label."""

PUBLISHED = Published("core50", "core50_128x128", ("s1",))
"""The folder of sessions s1 to s11."""

_MODES = {"object": (1, CLASS_NAMES), "category": (5, CATEGORY_NAMES)}


def load_data(data: str | os.PathLike[str] | None = None, size: tuple[int, int] = (128, 128),
              classes: Classes = None, label_mode: str = "object",
              test_sessions: Collection[int] = (3, 7, 10), mode: str = "RGB",
              interpolation: str = "area") -> Parts:
    """Return CORe50 as sources that decode images when they are read.

    Args:
        data: the folder that holds s1/o1/ and so on, itself or in `core50_128x128/`.
        size: (H, W) that images are brought to.
        classes: how many (the first ones), or a list of names and labels; labels are counted
            from 0 anew, in that order.
        label_mode: "object" for 50 classes, "category" for 10.
        test_sessions: which are the test part; the authors' are 3, 7 and 10.
        mode, interpolation: see `ImageFiles`.

    Returns:
        (x_train, y_train), (x_test, y_test); x is a source of uint8 (N, H, W, C), y is int64.

    Raises:
        DataError: the folder is not there, or one in it is empty.
        ArgumentError: there is no such class or mode, or an argument is not known.

    >>> train, test = load_data("DIR", label_mode="category", classes=["cup", 4])  # doctest: +SKIP
    """
    if label_mode not in _MODES:
        raise ArgumentError("core50", f"got label_mode={label_mode!r}",
                            'expected "object" or "category"', "Change label_mode.")
    folder, (each, names) = PUBLISHED.folder(data), _MODES[label_mode]
    listed = list_folder(folder, level=2)
    objects = np.array([CLASS_NAMES.index(name) if name in CLASS_NAMES else -1
                        for name in listed.class_names])
    rows, labels, _ = choose(str(folder), objects[listed.labels] // each, names, classes)
    images = ImageFiles([listed.paths[row] for row in rows], size, mode=mode,
                        interpolation=interpolation)
    sessions = {f"s{number}" for number in test_sessions}
    tests = np.array([Path(path).relative_to(folder).parts[0] in sessions for path in images.paths],
                     bool)
    train, test = np.flatnonzero(~tests), np.flatnonzero(tests)
    return (images.subset(train), labels[train]), (images.subset(test), labels[test])
