"""Evaluation on ten crops of each image, as by Krizhevsky et al. 2012."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..spec import tuple_of
from .feed import feed
from .probabilities import probabilities_of


def ten_crops(images: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Return the four corners and the centre of images, and the mirror image of each.

    In this order: top left, top right, bottom right, bottom left, centre, and their mirrors.

    Args:
        images: (N, H, W, C).
        size: height and width of a crop, or both at once.

    Returns:
        (N, 10, height, width, C).

    Raises:
        ShapeError: these are no images, or they are smaller than the crops.

    >>> ten_crops(np.arange(9).reshape(1, 3, 3, 1), 1).ravel().tolist()
    [0, 2, 8, 6, 4, 0, 2, 8, 6, 4]
    """
    h, w = tuple_of("ten_crops", "size", size, 2)
    if images.ndim != 4 or images.shape[1] < h or images.shape[2] < w:
        raise ShapeError("ten_crops", f"got images of shape {images.shape}",
                         f"expected (N, H, W, C) of at least {h} x {w} pixels",
                         "Resize the images, or take smaller crops.")
    bottom, right = images.shape[1] - h, images.shape[2] - w
    corners = ((0, 0), (0, right), (bottom, right), (bottom, 0), (bottom // 2, right // 2))
    crops = np.stack([images[:, y:y + h, x:x + w] for y, x in corners], axis=1)
    return np.concatenate([crops, crops[:, :, :, ::-1]], axis=1)


def ten_crop_predict(model: Any, images: Any, size: int | tuple[int, int], batch_size: int = 16,
                     crops: Callable[..., np.ndarray] = ten_crops) -> np.ndarray:
    """Return the probabilities (N, classes) of images, each the mean over its ten crops.

    Args:
        images: (N, H, W, C), larger than the model's input and preprocessed as that is; an array
            or a `DataLoader` that gives them first.
        size: height and width of a crop, those of the model's input.
        batch_size: images at a time; the model gets ten crops of each. A loader has its own.
        crops: function of images and size that gives (N, crops, height, width, C).

    Raises:
        ShapeError: the images are smaller than the crops.

    >>> probabilities = ten_crop_predict(model, images, 227)  # doctest: +SKIP
    """
    data = feed("ten_crop_predict", images, batch_size=batch_size, labelled=False,
                whole=True)
    means = []
    for batch in data.epoch():
        cut = crops(batch.x, size)
        flat = np.ascontiguousarray(cut.reshape(-1, *cut.shape[2:]))
        said = probabilities_of(model, flat)
        means.append(said.reshape(*cut.shape[:2], -1).mean(axis=1))
    return np.concatenate(means)
