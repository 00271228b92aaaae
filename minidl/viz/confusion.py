"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from .figure import new_figure, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NUMBERED = 20  # classes; with more, numbers would not be readable


def confusion_matrix(matrix: Any, names: Sequence[str] | None = None, title: str | None = None
                     ) -> Figure:
    """Show counts of (true class, predicted class), coloured by their share of the true class.

    Args:
        matrix: (classes, classes) counts; rows are true classes, columns predicted ones.
        names: of the classes; numbers by default.
        title: of the whole; the accuracy by default.

    Raises:
        ShapeError: the matrix is not square.
        ArgumentError: there is not one name for each class.

    >>> figure = confusion_matrix([[8, 2], [1, 9]], ["cat", "dog"])
    >>> figure.axes[0].get_title()
    '17 of 20 right: 0.8500'
    """
    counts = to_numpy(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError("confusion_matrix", f"got a matrix of shape {counts.shape}",
                         "expected (classes, classes)", "Count pairs of (true, predicted).")
    labels = [str(i) for i in range(len(counts))] if names is None else list(names)
    if len(labels) != len(counts):
        raise ArgumentError("confusion_matrix", f"got {len(labels)} names",
                            f"expected {len(counts)}, one for each class", "Change names.")
    size = 1.8 + 0.42 * min(len(counts), 25)
    figure = new_figure(size + 0.4, size)
    axes = figure.add_subplot()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="share of the true class")
    _label(axes, labels)
    axes.set_title(_accuracy(counts) if title is None else title, fontsize=10)
    if len(counts) <= MOST_NUMBERED:
        _numbers(axes, counts, share)
    return figure


def _label(axes: Axes, names: list[str]) -> None:
    turn = 90 if max(map(len, names)) > 3 else 0
    axes.set_xticks(range(len(names)), names, rotation=turn, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")


def _numbers(axes: Axes, counts: np.ndarray, share: np.ndarray) -> None:
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(j, i, f"{count:g}", ha="center", va="center", fontsize=7,
                      color="white" if share[i, j] > 0.5 else "black")


def _accuracy(counts: np.ndarray) -> str:
    right, total = counts.trace(), counts.sum()
    return f"{right:g} of {total:g} right: {right / max(total, 1):.4f}"
