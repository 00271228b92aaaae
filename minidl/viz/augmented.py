"""What augmentation makes of one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config, random
from ..data import Pipeline
from ..errors import ArgumentError, ShapeError
from ..watch import mode
from .figure import displayable, new_figure, picture_axes, square_grid, to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Augmentation = Any  # a Pipeline or layers, which lie above

INCHES = 1.6  # the longer side of a picture


def augmented_grid(image: Any, augmentation: Augmentation, count: int = 9, seed: int = 0
                   ) -> Figure:
    """Show one image as an augmentation changes it, `count` times, in a grid.

    Args:
        image: (H, W, C) with one or three channels, as the augmentation takes it.
        augmentation: a `Pipeline`, a layer such as `RandomFlip`, or a `Sequential` of such
            layers, which act as in training.
        count: number of samples, 3 x 3 by default.
        seed: which samples are drawn; the state of `minidl.random` stays as it is.

    Raises:
        ShapeError: it is not one image.
        ArgumentError: the augmentation is of another kind, or `count` is below 1.

    >>> from minidl.data import Pipeline, RandomAffine
    >>> turned = Pipeline(RandomAffine(rotation=30))
    >>> len(augmented_grid(np.zeros((8, 8, 3), np.uint8), turned).axes)
    9
    """
    one = to_numpy(image)
    if one.ndim != 3:
        raise ShapeError("augmented_grid", f"got an image of shape {one.shape}",
                         "expected (H, W, C)", "Give one image of the batch, such as images[0].")
    if count < 1:
        raise ArgumentError("augmented_grid", f"got count={count}", "expected at least 1",
                            "Change count.")
    samples = _samples(np.repeat(one[None], count, axis=0), augmentation, seed)
    rows, columns = square_grid(count)
    height, width = samples.shape[1:3]
    scale = INCHES / max(height, width)
    figure = new_figure(columns * scale * width + 0.3, rows * scale * height + 0.3)
    for sample, axes in zip(samples, picture_axes(figure, rows, columns, count), strict=True):
        axes.imshow(displayable("augmented_grid", sample), cmap="gray")
    return figure


def _samples(images: np.ndarray, augmentation: Augmentation, seed: int) -> np.ndarray:
    """Return the images changed; of bytes, bytes."""
    if isinstance(augmentation, Pipeline):
        changed = Pipeline(*augmentation.steps, seed=seed)(images)
    elif hasattr(augmentation, "modules"):
        changed = _in_training(images, augmentation, seed)
    else:
        raise ArgumentError("augmented_grid", f"got a {type(augmentation).__name__}",
                            "expected a Pipeline, or layers",
                            "Write Pipeline(step) for a single step.")
    if images.dtype == np.uint8 and changed.dtype != np.uint8 and changed.max() > 1:
        return np.clip(changed, 0, 255).astype(np.uint8)
    return changed


def _in_training(images: np.ndarray, layers: Any, seed: int) -> np.ndarray:
    before = random.default.state
    try:
        random.default.seed(seed)
        with mode(layers, training=True), config.no_grad():
            return np.array(layers(images).array)
    finally:
        random.default.state = before
