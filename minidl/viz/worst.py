"""The images of which a model is most wrongly convinced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from .figure import WRONG, displayable, new_figure, picture_axes, square_grid, to_numpy
from .images import is_dark

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 1e-12  # a probability of 0 costs as much as this one


def mistakes(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of wrongly classified samples, and the loss of each, the dearest first.

    The loss is - log p of the true class; equal ones stay in the order of the samples.

    Args:
        probabilities: (N, classes), or (N, 1) for the probability of class 1 of two.
        labels: true classes (N,), or one-hot (N, classes).

    Raises:
        ShapeError: there is not one label for each row.
        ArgumentError: a label is no class.

    >>> rows, losses = mistakes([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [0, 0, 1])
    >>> rows.tolist(), losses.round(2).tolist()
    ([1, 2], [1.61, 1.2])
    """
    p, true = _rows(probabilities, labels)
    losses = -np.log(np.maximum(p[np.arange(len(p)), true], LEAST))
    wrong = np.flatnonzero(p.argmax(axis=1) != true)
    order = wrong[np.argsort(-losses[wrong], kind="stable")]
    return order, losses[order]


def _rows(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (N, classes) of at least two classes, and labels (N,)."""
    p, true = to_numpy(probabilities).astype(np.float64), to_numpy(labels)
    if p.ndim == 2 and p.shape[1] == 1:
        p = np.concatenate([1 - p, p], axis=1)
    if true.ndim == 2 and true.shape[1] > 1:
        true = true.argmax(axis=1)
    true = true.reshape(-1).astype(np.int64)
    if p.ndim != 2 or len(p) != len(true) or not len(p):
        raise ShapeError("worst_mistakes", f"got probabilities of shape {p.shape} and "
                         f"{len(true)} labels", "expected (N, classes) and N labels, at least one",
                         "Give model.predict(x) and the labels of x.")
    if true.min() < 0 or true.max() >= p.shape[1]:
        raise ArgumentError("worst_mistakes", f"got labels from {true.min()} to {true.max()}",
                            f"expected 0 to {p.shape[1] - 1}, as there are {p.shape[1]} classes",
                            "Number the classes from 0.")
    return p, true


def worst_mistakes(images: Any, probabilities: Any, labels: Any, count: int = 12,
                   class_names: Sequence[str] | None = None, columns: int | None = None,
                   title: str | None = None) -> Figure:
    """Show the wrongly classified images of the highest loss, with what was said and what is true.

    Args:
        images: (N, H, W, C) as people see them; anything that gives an image for a number.
        probabilities: (N, classes), or (N, 1) for the probability of class 1 of two.
        labels: true classes (N,), or one-hot (N, classes).
        count: show at most so many.
        class_names: by class; numbers by default.
        columns: images in a row; as square as possible by default.
        title: of the whole.

    Raises:
        ArgumentError: nothing is wrong, a label is no class or has no name, or `count` is below 1.
        ShapeError: the arrays differ in length.

    >>> picture = worst_mistakes(np.zeros((2, 4, 4)), [[0.9, 0.1], [0.2, 0.8]], [0, 0])
    >>> picture.axes[0].get_title()
    'said 1  0.800\\ntrue 0  0.200'
    """
    p, true = _rows(probabilities, labels)
    order, _ = mistakes(p, true)
    _check(images, p, order, count, class_names)
    shown = [to_numpy(images[int(i)]) for i in order[:count]]
    rows, columns = square_grid(len(shown), columns)
    ratio = max(image.shape[0] / image.shape[1] for image in shown)
    if title is None:
        title = f"The worst {len(shown)} of {len(order)} mistakes in {len(true)} images"
    figure = new_figure(max(1.55 * columns, 3.6), rows * (1.3 * ratio + 0.42) + 0.35, title)
    for i, image, axes in zip(order, shown, picture_axes(figure, rows, columns, len(shown)),
                              strict=False):
        axes.imshow(displayable("worst_mistakes", image),
                    cmap="gray_r" if is_dark(image[None]) else "gray")
        said = int(p[i].argmax())
        axes.set_title(f"said {_line(said, p[i], class_names)}\n"
                       f"true {_line(int(true[i]), p[i], class_names)}",
                       fontsize=7.5, pad=3, color=WRONG)
    return figure


def _check(images: Any, p: np.ndarray, order: np.ndarray, count: int,
           class_names: Sequence[str] | None) -> None:
    if len(images) != len(p):
        raise ShapeError("worst_mistakes", f"got {len(images)} images and {len(p)} rows of "
                         "probabilities", "expected one row for each image", "Cut both alike.")
    if class_names is not None and len(class_names) < p.shape[1]:
        raise ArgumentError("worst_mistakes", f"got {len(class_names)} class_names",
                            f"expected {p.shape[1]}, one for each class", "Add the names.")
    if count < 1 or not len(order):
        raise ArgumentError("worst_mistakes", f"got count={count} and {len(order)} mistakes",
                            "expected at least 1 of each", "Take more images." if count > 0 else
                            "Change count.")


def _line(label: int, row: np.ndarray, names: Sequence[str] | None) -> str:
    share = "<0.001" if row[label] < 0.0005 else f"{row[label]:.3f}"
    return f"{label if names is None else names[label]}  {share}"
