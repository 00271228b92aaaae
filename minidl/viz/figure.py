"""What all pictures share: new figures, grids of axes, images for display, saving."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG, MUTED = "#1a1a1a", "#c62828", "#666666"
"""Colours of text about right predictions, wrong ones, and of remarks."""

Pathish = str | os.PathLike[str]


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=130)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def picture_axes(figure: Figure, rows: int, columns: int, used: int) -> list[Axes]:
    """Return the first `used` of rows x columns axes, framed thinly and without ticks."""
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(used)]
    for each in axes:
        each.set(xticks=[], yticks=[])
        each.spines[:].set(color="#bbbbbb", linewidth=0.5)
    return axes


def square_grid(count: int, columns: int | None = None) -> tuple[int, int]:
    """Return rows and columns for `count` pictures, as square as possible by default.

    >>> square_grid(10), square_grid(30, columns=6)
    ((3, 4), (5, 6))
    """
    columns = columns or max(1, math.ceil(math.sqrt(count)))
    return math.ceil(count / columns), columns


def displayable(where: str, image: np.ndarray) -> np.ndarray:
    """Return an image as matplotlib shows it: (H, W) for one channel, (H, W, 3) in [0, 1] else.

    Raises:
        ShapeError: the image is not (H, W), (H, W, 1) or (H, W, 3).
    """
    if image.ndim == 3 and image.shape[2] == 1:
        return image[..., 0]
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[2] != 3:
        raise ShapeError(where, f"got an image of shape {image.shape}",
                         "expected (H, W), (H, W, 1) or (H, W, 3)", "Channels are the last axis.")
    return image if image.dtype == np.uint8 else unit_range(image)


def unit_range(values: np.ndarray) -> np.ndarray:
    """Return values as they are if they lie in [0, 1], else shifted and scaled to it."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values
    return (values - low) / max(high - low, 1e-12)


def to_numpy(array: Any) -> np.ndarray:
    """Return the values of an array or a tensor."""
    return np.asarray(array)


def save(figure: Figure, path: Pathish, dpi: float | None = None) -> Path:
    """Write a figure, as PNG, SVG or PDF by the ending of the name, and return the path.

    A file of this name is replaced once the new one is complete.

    Args:
        dpi: dots per inch of a PNG; those of the figure (130) by default.

    Raises:
        CheckpointError: the file cannot be written.

    >>> save(new_figure(2, 1), "picture.png")  # doctest: +SKIP
    """
    target = Path(path)
    with replacing(target) as aside:
        figure.savefig(aside, format=target.suffix[1:] or "png", dpi=dpi or "figure")
    return target
