"""Layers that change images at random, in training only; names and arguments are Keras's.

They draw from `minidl.random` by its counter, so a resumed run goes on with the same numbers.
Gradients pass to the input as the transpose of the linear map that was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import random
from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import Tensor
from ..data.affine import affine_matrices, check_fill_mode, check_interpolation
from ..data.augment import check_flip
from ..data.pipeline import LAYERS, Draws
from ..errors import ArgumentError
from .module import Module

Factor = float | Sequence[float]
Bounds = tuple[float, float]


def _bounds(layer: Module, name: str, factor: Factor, low: float, high: float, meaning: str
            ) -> Bounds:
    """Return (lower, upper) from one number, for both directions, or two, checked."""
    pair = (-factor, factor) if isinstance(factor, (int, float)) else tuple(factor)
    if len(pair) != 2 or not low <= pair[0] <= pair[1] <= high:
        raise ArgumentError(type(layer).__name__, f"got {name}={factor!r}",
                            f"expected a number up to {high:g}, or (lower, upper) with "
                            f"{low:g} <= lower <= upper <= {high:g}", meaning)
    return pair


class _Random(Module):
    """Base of layers that change images (N, H, W, C), in training only."""

    repeatable = False  # what is drawn becomes a matrix in Python

    input_axes, layout = 4, "(N, H, W, C)"

    def forward(self, x: Tensor) -> Tensor:
        """Return the images as floats, changed in training."""
        x = x if x.dtype.kind == "f" else F.astype(x, self.dtype)
        if not self.training:
            return x
        seed, count = random.default.key().tolist()
        return self._changed(x, Draws(seed, count, np.arange(x.shape[0]), LAYERS).uniform(0, 4))

    def _changed(self, x: Tensor, u: np.ndarray) -> Tensor:
        """Return the images changed, by numbers (N, 4) in [0, 1)."""
        raise NotImplementedError


class _Warping(_Random):
    """Base of layers that warp images."""

    fill_mode, fill_value, interpolation = "nearest", 0.0, "bilinear"

    def _matrices(self, height: int, width: int, u: np.ndarray) -> np.ndarray:
        """Return the maps (N, 6) of numbers (N, 4) in [0, 1)."""
        raise NotImplementedError

    def _changed(self, x: Tensor, u: np.ndarray) -> Tensor:
        matrices = self._matrices(x.shape[1], x.shape[2], u).astype(x.dtype)
        return F.affine_warp(x, Tensor.own(matrices), self.fill_mode, self.fill_value,
                             self.interpolation)

    def _by(self, fill_mode: str, fill_value: float, interpolation: str) -> None:
        self.fill_mode = check_fill_mode(type(self).__name__, fill_mode)
        self.fill_value = fill_value
        self.interpolation = check_interpolation(type(self).__name__, interpolation)


def _spread(u: np.ndarray, bounds: Bounds) -> np.ndarray:
    return bounds[0] + u.astype(np.float64) * (bounds[1] - bounds[0])


class RandomFlip(_Warping):
    """Images mirrored with chance 1/2, for each axis on its own, in training only.

    Args:
        mode: "horizontal", "vertical" or "horizontal_and_vertical".
    """

    def __init__(self, mode: str = "horizontal_and_vertical", **base: Any) -> None:
        super().__init__(**base)
        self.axes = check_flip(mode)

    def _matrices(self, height: int, width: int, u: np.ndarray) -> np.ndarray:
        which = [1 in self.axes, 2 in self.axes]
        return affine_matrices(height, width, len(u), flip=(u[:, :2] < 0.5) & which)


class RandomRotation(_Warping):
    """Images turned about their middle, in training only.

    Args:
        factor: share of a full turn: 0.1 is up to 36 degrees in either direction; or (lower,
            upper), positive is counter-clockwise.
        fill_mode: what is beyond the edges: "reflect", "nearest", "wrap" or "constant".
        fill_value: the constant.
        interpolation: "bilinear" or "nearest".

    >>> RandomRotation(0.1).compute_output_shape((None, 180, 180, 3))
    (None, 180, 180, 3)
    """

    def __init__(self, factor: Factor, fill_mode: str = "reflect", fill_value: float = 0.0,
                 interpolation: str = "bilinear", **base: Any) -> None:
        super().__init__(**base)
        self._by(fill_mode, fill_value, interpolation)
        self.factor = _bounds(self, "factor", factor, -1, 1, "It is a share of a full turn.")

    def _matrices(self, height: int, width: int, u: np.ndarray) -> np.ndarray:
        turn = 2 * math.pi * _spread(u[:, 0], self.factor)
        return affine_matrices(height, width, len(u), rotation=turn)


class RandomZoom(_Warping):
    """Images made smaller or larger about their middle, in training only.

    Args:
        height_factor: 0.2 shows between 80 % and 120 % of the rows; or (lower, upper), where
            negative numbers make the picture larger and positive ones smaller.
        width_factor: the same of columns; by default the ratio of the sides is kept.
        fill_mode: what is beyond the edges: "reflect", "nearest", "wrap" or "constant".
        fill_value: the constant.
        interpolation: "bilinear" or "nearest".
    """

    def __init__(self, height_factor: Factor, width_factor: Factor | None = None,
                 fill_mode: str = "reflect", fill_value: float = 0.0,
                 interpolation: str = "bilinear", **base: Any) -> None:
        super().__init__(**base)
        self._by(fill_mode, fill_value, interpolation)
        meaning = "It is the share of the side by which more or less is shown."
        self.height_factor = _bounds(self, "height_factor", height_factor, -0.99, 100, meaning)
        self.width_factor = None if width_factor is None else _bounds(
            self, "width_factor", width_factor, -0.99, 100, meaning)

    def _matrices(self, height: int, width: int, u: np.ndarray) -> np.ndarray:
        rows = 1 + _spread(u[:, 0], self.height_factor)
        columns = rows if self.width_factor is None else 1 + _spread(u[:, 1], self.width_factor)
        return affine_matrices(height, width, len(u), zoom=np.stack([rows, columns], axis=1))


class RandomTranslation(_Warping):
    """Images moved, in training only.

    Args:
        height_factor: share of the height, in either direction; or (lower, upper), positive is
            downwards.
        width_factor: the same of the width, positive is to the right.
        fill_mode: what is beyond the edges: "reflect", "nearest", "wrap" or "constant".
        fill_value: the constant.
        interpolation: "bilinear" or "nearest".
    """

    def __init__(self, height_factor: Factor, width_factor: Factor, fill_mode: str = "reflect",
                 fill_value: float = 0.0, interpolation: str = "bilinear", **base: Any) -> None:
        super().__init__(**base)
        self._by(fill_mode, fill_value, interpolation)
        meaning = "It is a share of the side."
        self.factors = (_bounds(self, "height_factor", height_factor, -1, 1, meaning),
                        _bounds(self, "width_factor", width_factor, -1, 1, meaning))

    def _matrices(self, height: int, width: int, u: np.ndarray) -> np.ndarray:
        shift = [side * _spread(u[:, k], self.factors[k]) for k, side in ((0, height), (1, width))]
        return affine_matrices(height, width, len(u), shift=np.stack(shift, axis=1))


class RandomContrast(_Random):
    """(x - mean) f + mean for each channel of an image, in training only; nothing is cut off.

    Args:
        factor: 0.3 draws f between 0.7 and 1.3; or (lower, upper) for 1 - lower to 1 + upper.
    """

    def __init__(self, factor: Factor, **base: Any) -> None:
        super().__init__(**base)
        lower, upper = (factor, factor) if isinstance(factor, (int, float)) else tuple(factor)
        if not (0 <= lower <= 1 and upper >= 0):
            raise ArgumentError("RandomContrast", f"got factor={factor!r}",
                                "expected a number from 0 to 1, or (lower, upper) of such a lower "
                                "and an upper of at least 0", "It is how far f goes from 1.")
        self.factor = (1 - lower, 1 + upper)

    def _changed(self, x: Tensor, u: np.ndarray) -> Tensor:
        mean = F.mean(x, axis=(1, 2), keepdims=True)
        factor = _spread(u[:, 0], self.factor).astype(x.dtype).reshape(-1, 1, 1, 1)
        return (x - mean) * Tensor.own(factor).to(x.device) + mean
