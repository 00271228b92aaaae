"""Which classes of a data set are used, and the labels they get; samples drawn per class."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from ..errors import ArgumentError, DataError
from .order import DRAWN, permutation

Classes = int | Sequence[int | str] | None
"""A number of classes (the first ones), a list of names or labels, or None for all."""



def chosen_classes(where: str, names: Sequence[str], classes: Classes = None) -> list[int]:
    """Return the labels of the classes that are asked for, in the order asked for.

    Args:
        where: name of the data set, for errors.
        names: of all classes, by label.
        classes: how many (the first ones), or a list of names and labels; None for all.

    Raises:
        ArgumentError: there is no such class, none is left, or one is named twice.

    >>> chosen_classes("pets", ["cat", "dog", "panda"], ["panda", 0])
    [2, 0]
    >>> chosen_classes("pets", ["cat", "dog", "panda"], 2)
    [0, 1]
    """
    if classes is None:
        return list(range(len(names)))
    if isinstance(classes, str):
        raise ArgumentError(where, f"got classes={classes!r}", "expected a number or a list",
                            f"Write classes=[{classes!r}].")
    if isinstance(classes, (int, np.integer)):
        if not 0 < classes <= len(names):
            raise ArgumentError(where, f"got classes={classes}",
                                f"expected 1 to {len(names)}, as many as there are",
                                "Change classes.")
        return list(range(int(classes)))
    labels = [_label(where, names, wanted) for wanted in classes]
    twice = [names[label] for label in labels if labels.count(label) > 1]
    if twice or not labels:
        got = f"the class {twice[0]!r} twice" if twice else "no classes"
        raise ArgumentError(where, f"got {got}", "expected different classes", "Change classes.")
    return labels


def choose(where: str, labels: np.ndarray, names: Sequence[str], classes: Classes = None
           ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return which samples belong to the chosen classes, and their labels counted from 0 anew.

    Args:
        where: the data set or file that the labels come from, for errors.
        labels: of all samples, (N,).
        names: of all classes, by label.
        classes: as in `chosen_classes`.

    Returns:
        rows (n,) that rise, new labels (n,) int64, names of the chosen classes by new label.

    Raises:
        ArgumentError: there is no such class.
        DataError: a label lies outside the classes.

    >>> pets = ["cat", "dog", "panda"]
    >>> rows, labels, names = choose("pets", np.array([0, 2, 1, 2]), pets, [2, 0])
    >>> rows.tolist(), labels.tolist(), names
    ([0, 1, 3], [1, 0, 0], ('panda', 'cat'))
    """
    labels = checked_labels(where, labels, len(names))
    chosen = chosen_classes(where, names, classes)
    renumbered = np.full(len(names), -1, np.int64)
    renumbered[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(renumbered[labels] >= 0)
    return rows, renumbered[labels[rows]], tuple(names[label] for label in chosen)


def checked_labels(where: str, labels: np.ndarray | Sequence[int], count: int) -> np.ndarray:
    """Return labels as int64 (N,) once all of them lie in 0 to count - 1.

    Raises:
        DataError: one lies outside, or they are no whole numbers.

    >>> checked_labels("pets", [1, 0], 2)
    array([1, 0])
    """
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise DataError(where, f"got labels of shape {array.shape} and type {array.dtype}",
                        "expected whole numbers (N,)", "Check where the labels come from.")
    outside = np.flatnonzero((array < 0) | (array >= count))
    if len(outside):
        first = int(outside[0])
        raise DataError(where, f"got the label {array[first]} for sample {first}",
                        f"expected 0 to {count - 1}, as there are {count} classes",
                        "Check that labels and classes belong together.")
    return array.astype(np.int64)


def draw_per_class(where: str, labels: np.ndarray, count: int | float, seed: int = 0
                   ) -> tuple[np.ndarray, np.ndarray]:
    """Draw as many samples, or the same share, out of every class.

    Which samples are drawn out of a class depends on the seed, its label and its size alone.

    Args:
        where: the data set, for errors.
        labels: (N,) int64.
        count: samples per class (int), or their share between 0 and 1 (float), rounded.
        seed: 0 to 2**63 - 1.

    Returns:
        rows of the rest, rows that were drawn; both rise.

    Raises:
        DataError: a class has no samples left for one of the two.

    >>> rest, drawn = draw_per_class("pets", np.array([0, 1, 0, 1, 0, 1]), 1, seed=3)
    >>> len(rest), len(drawn)
    (4, 2)
    """
    drawn = [_drawn(where, np.flatnonzero(labels == label), int(label), count, seed)
             for label in np.unique(labels)]
    taken = np.zeros(len(labels), bool)
    taken[np.concatenate([*drawn, np.empty(0, np.int64)])] = True
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def _drawn(where: str, rows: np.ndarray, label: int, count: int | float, seed: int) -> np.ndarray:
    wanted = count if isinstance(count, int) else round(len(rows) * count)
    if not 0 < wanted < len(rows):
        raise DataError(where, f"cannot draw {wanted} of the {len(rows)} samples of class {label}",
                        "expected some for either part", "Change the share, or add samples.")
    return rows[permutation(len(rows), seed, label, DRAWN)[:wanted]]


def _label(where: str, names: Sequence[str], wanted: int | str) -> int:
    if isinstance(wanted, str) and wanted in names:
        return list(names).index(wanted)
    whole = isinstance(wanted, (int, np.integer)) and not isinstance(wanted, bool)
    if whole and 0 <= int(wanted) < len(names):
        return int(wanted)
    near = difflib.get_close_matches(str(wanted), names, 3) or list(names[:8])
    raise ArgumentError(where, f"got the class {wanted!r}",
                        f"expected a label from 0 to {len(names) - 1} or a name such as "
                        f"{', '.join(near)}", "Change classes.")
