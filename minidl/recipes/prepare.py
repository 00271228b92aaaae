"""How stored samples and labels become what a model takes: the functions that recipes name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import RandomAffine

# ---- samples -------------------------------------------------------------------------------


def unit_range(images: np.ndarray) -> np.ndarray:
    """Return pixels 0 to 255 as float32 in [0, 1].

    >>> unit_range(np.array([0, 255], np.uint8)).tolist()
    [0.0, 1.0]
    """
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)


def unit_range_bgr(images: np.ndarray) -> np.ndarray:
    """Return R, G, B from 0 to 255 as float32 B, G, R in [0, 1], the order of OpenCV.

    >>> unit_range_bgr(np.array([[0, 0, 255]], np.uint8)).tolist()
    [[1.0, 0.0, 0.0]]
    """
    return np.ascontiguousarray(unit_range(images)[..., ::-1])


def as_float(images: np.ndarray) -> np.ndarray:
    """Return pixels as float32, 0 to 255 as they are.

    >>> as_float(np.array([0, 255], np.uint8)).tolist()
    [0.0, 255.0]
    """
    return images.astype(np.float32)


def normalised(mean: float, std: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from pixels 0 to 255 to float32 (pixel / 255 - mean) / std.

    >>> normalised(0.5, 0.5)(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    scale, shift = np.float32(1 / (255 * std)), np.float32(mean / std)
    return lambda images: np.multiply(images, scale, dtype=np.float32) - shift


def as_stored(values: np.ndarray) -> np.ndarray:
    """Return values as they are."""
    return values


# ---- means ---------------------------------------------------------------------------------


def mean_image(source: Any) -> np.ndarray:
    """Return the mean (H, W, C) of images, a pixel at a time: float32.

    >>> mean_image(np.array([[[[0, 2]]], [[[4, 2]]]], np.uint8)).tolist()
    [[[2.0, 2.0]]]
    """
    total = np.zeros(source.shape[1:], np.float64)
    for images in _pieces(source):
        total += images.sum(axis=0, dtype=np.float64)
    return (total / len(source)).astype(np.float32)


def mean_colour(source: Any) -> np.ndarray:
    """Return the mean (C,) of images over all their pixels: float32.

    >>> mean_colour(np.array([[[[0, 2]]], [[[4, 2]]]], np.uint8)).tolist()
    [2.0, 2.0]
    """
    return mean_image(source).mean(axis=(0, 1), dtype=np.float64).astype(np.float32)


def _pieces(source: Any, rows: int = 256) -> Any:
    return (source[first:first + rows] for first in range(0, len(source), rows))


# ---- labels --------------------------------------------------------------------------------


def integers(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return labels (N,) as they are."""
    return labels


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return float32 rows (N, classes) with a single 1, at the label.

    >>> one_hot(np.array([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return np.eye(classes, dtype=np.float32)[labels]


# ---- augmentation --------------------------------------------------------------------------


def book_affine(**ranges: Any) -> RandomAffine:
    """Return the book's augmentation: each pixel is that of the original that lies nearest.

    Keras interpolated so until keras #8849, at the end of 2017; shifts are by whole pixels then,
    and blur nothing.

    >>> book_affine(width_shift=0.1).interpolation
    'nearest'
    """
    return RandomAffine(interpolation="nearest", **ranges)
