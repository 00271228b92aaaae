"""Grids of images with what a model says about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from .figure import RIGHT, WRONG, displayable, new_figure, picture_axes, square_grid, to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORT = 4  # characters of a name; with longer ones, a caption takes two lines


def image_grid(images: Any, predictions: Any = None, labels: Any = None,
               class_names: Sequence[str] | None = None, columns: int = 6,
               title: str | None = None) -> Figure:
    """Show images in a grid, each titled by its prediction and its truth; wrong ones say ERR.

    Args:
        images: (N, H, W), (N, H, W, 1) or (N, H, W, 3).
        predictions: predicted classes (N,), or probabilities or scores (N, classes).
        labels: true classes (N,).
        class_names: names by class; numbers by default.
        columns: images in a row.
        title: of the whole; by default how many predictions are right.

    Raises:
        ShapeError: the arrays differ in length, or there is no image.
        ArgumentError: a class has no name.

    >>> figure = image_grid(np.zeros((2, 8, 8)), predictions=[1, 2], labels=[1, 7])
    >>> [axes.get_title() for axes in figure.axes]
    ['1 (1)', 'ERR 2 (7)']
    """
    shown = to_numpy(images)
    if shown.ndim not in (3, 4) or not len(shown):
        raise ShapeError("image_grid", f"got images of shape {shown.shape}",
                         "expected (N, H, W, C) with at least one image",
                         "Give a single image as image[None].")
    said, true = _classes("predictions", predictions, shown), _classes("labels", labels, shown)
    rows, columns = square_grid(len(shown), columns)
    texts = [_caption(i, said, true, class_names) for i in range(len(shown))]
    lines = 1 + max(text.count("\n") for text in texts)
    height = 1.15 * shown.shape[1] / shown.shape[2] + 0.12 + 0.15 * lines
    figure = new_figure(1.25 * columns, height * rows + 0.4,
                        _heading(said, true) if title is None else title)
    colours = "gray_r" if is_dark(shown) else "gray"
    for i, axes in enumerate(picture_axes(figure, rows, columns, len(shown))):
        axes.imshow(displayable("image_grid", shown[i]), cmap=colours)
        wrong = texts[i].startswith("ERR")
        axes.set_title(texts[i], fontsize=9, pad=3, color=WRONG if wrong else RIGHT)
    return figure


def is_dark(images: np.ndarray) -> bool:
    """Whether grey images are light strokes on a dark ground, as MNIST's; shown as ink on paper."""
    grey = images.ndim == 3 or images.shape[3] == 1
    return grey and float(images.mean()) < (float(images.min()) + float(images.max())) / 2


def _classes(name: str, given: Any, images: np.ndarray) -> np.ndarray | None:
    if given is None:
        return None
    values = to_numpy(given)
    if values.ndim == 2 and values.shape[1] > 1:
        values = values.argmax(axis=1)
    if values.size != len(images):
        raise ShapeError("image_grid", f"got {name} of shape {values.shape}",
                         f"expected one for each of {len(images)} images", "Cut both alike.")
    return values.reshape(-1)


def _heading(said: np.ndarray | None, true: np.ndarray | None) -> str:
    if said is None or true is None:
        return ""
    return f"Prediction (truth): {int((said == true).sum())} of {len(said)} right"


def _caption(i: int, said: np.ndarray | None, true: np.ndarray | None,
             names: Sequence[str] | None) -> str:
    parts = [_name(values[i], names) for values in (said, true) if values is not None]
    if len(parts) < 2:
        return "".join(parts)
    wrong = said is not None and true is not None and said[i] != true[i]
    gap = "\n" if names is not None and max(map(len, names)) > SHORT else " "
    return f"{'ERR ' if wrong else ''}{parts[0]}{gap}({parts[1]})"


def _name(label: Any, names: Sequence[str] | None) -> str:
    if names is None:
        return str(int(label))
    if not 0 <= int(label) < len(names):
        raise ArgumentError("image_grid", f"got class {int(label)} and {len(names)} class_names",
                            f"expected classes from 0 to {len(names) - 1}", "Add the names.")
    return names[int(label)]
