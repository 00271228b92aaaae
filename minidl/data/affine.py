"""Matrices of affine warps: turn, shift, shear, zoom and flip about the middle of an image."""

from __future__ import annotations

import numpy as np

from ..ops.affine_warp.op import (
    FILL_MODES,
    INTERPOLATIONS,
    check_fill_mode,
    check_interpolation,
)
from .pipeline import need_images

__all__ = ["FILL_MODES", "INTERPOLATIONS", "affine_matrices", "check_fill_mode",
           "check_interpolation", "warped"]


def affine_matrices(height: int, width: int, count: int, *, rotation: np.ndarray | float = 0.0,
                    shift: np.ndarray | float = 0.0, shear: np.ndarray | float = 0.0,
                    zoom: np.ndarray | float = 1.0, flip: np.ndarray | bool = False) -> np.ndarray:
    """Return matrices (count, 6), float32, from pixels of a warped image to places in its source.

    With p the place of a pixel (row, column) counted from the middle, the source is at
    R (S Z F p - t): as ImageDataGenerator composes them, with one interpolation in the end.

    Args:
        rotation: (count,), radians, counter-clockwise.
        shift: (count, 2), pixels downwards and to the right, t.
        shear: (count,), radians; S = [[1, -sin], [0, cos]].
        zoom: (count, 2), source pixels per row and per column: above 1 shows more of the image.
        flip: (count, 2), whether rows, and columns, are in reverse order.

    >>> affine_matrices(4, 6, 1, flip=np.array([[False, True]])).tolist()
    [[1.0, 0.0, 0.0, 0.0, -1.0, 5.0]]
    """
    turn, slant = np.broadcast_to(rotation, count), np.broadcast_to(shear, count)
    scale = np.where(flip, -1.0, 1.0) * zoom * np.ones((count, 2))
    rotate = _matrices(np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn))
    skew = _matrices(np.ones(count), -np.sin(slant), np.zeros(count), np.cos(slant))
    matrix = (rotate @ skew) * scale[:, None, :]
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    moved = rotate @ np.broadcast_to(shift, (count, 2))[..., None]
    offset = middle[:, None] - moved - matrix @ middle[:, None]
    # rounded, so that the cosine of a right angle is 0
    whole = np.concatenate([matrix, offset], axis=2).reshape(count, 6).round(12)
    return (whole + 0.0).astype(np.float32)


def _matrices(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Return (count, 2, 2) of [[a, b], [c, d]]."""
    return np.stack([a, b, c, d], axis=1).reshape(-1, 2, 2)


def warped(where: str, images: np.ndarray, matrices: np.ndarray, fill_mode: str, fill_value: float,
           interpolation: str = "bilinear") -> np.ndarray:
    """Return images (N, H, W, C), uint8 or float32, warped with one interpolation."""
    from ..ops.affine_warp.cpu import warp

    images = need_images(where, images)
    out = np.empty_like(images)
    warp(images, matrices, out, fill_mode, fill_value, interpolation)
    return out
