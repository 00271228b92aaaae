"""Evaluation on ten crops of each image, as by Krizhevsky et al. 2012."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import TenCrop
from ..spec import tuple_of
from .feed import feed
from .probabilities import probabilities_of


def ten_crop_predict(model: Any, images: Any, size: int | tuple[int, int], batch_size: int = 16
                     ) -> np.ndarray:
    """Return the probabilities (N, classes) of images, each the mean over its ten crops.

    The crops are those of `minidl.data.TenCrop`.

    Args:
        images: (N, H, W, C), larger than the model's input and preprocessed as that is; an array
            or a `DataLoader` that gives them first.
        size: height and width of a crop, those of the model's input.
        batch_size: images at a time; the model gets ten crops of each. A loader has its own.

    Raises:
        ShapeError: the images are smaller than the crops.

    >>> probabilities = ten_crop_predict(model, images, 227)  # doctest: +SKIP
    """
    data = feed("ten_crop_predict", images, batch_size=batch_size, labelled=False,
                whole=True)
    height, width = tuple_of("ten_crop_predict", "size", size, 2)
    crops, means = TenCrop(height, width), []
    for batch in data.epoch():
        cut = crops(batch.x)
        flat = np.ascontiguousarray(cut.reshape(-1, *cut.shape[2:]))
        said = probabilities_of(model, flat)
        means.append(said.reshape(*cut.shape[:2], -1).mean(axis=1))
    return np.concatenate(means)
