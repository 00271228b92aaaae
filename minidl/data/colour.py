"""Steps that change the colours of images at random: hue, contrast, brightness, saturation.

The definitions are TensorFlow's. Images are float32 in [0, 1], or bytes, of which 255 counts as 1
and which stay in their range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .augment import _ordered, _within
from .pipeline import Draws, need_images

_SHARE = "It is a share of the range [0, 1] of pixels."


def _recoloured(where: str, images: np.ndarray, changes: dict[int, np.ndarray],
                clip: bool = False) -> np.ndarray:
    """Return images with some of (hue, contrast, brightness, saturation) changed, (N,) each."""
    from .kernels import recolour

    images = need_images(where, images, (3,) if {0, 3} & set(changes) else ())
    each = np.tile(np.array([0, 1, 0, 1], np.float32), (len(images), 1))
    for place, values in changes.items():
        each[:, place] = values
    clipped = clip or images.dtype == np.uint8
    return recolour(images, each, *((0, 1) if clipped else (-math.inf, math.inf)))


@dataclass(frozen=True)
class ColorJitter:
    """Hue, contrast, brightness and saturation changed, in this order, then cut off at 0 and 1.

    Equal to the four steps one after the other, in one pass over the pixels. What is left out
    stays. The laboratory's settings are ColorJitter(0.05, (0.3, 1.0), 0.2, (0.0, 2.0)).

    Args:
        hue: see `RandomHue`.
        contrast: (low, high), see `RandomContrast`.
        brightness: see `RandomBrightness`.
        saturation: (low, high), see `RandomSaturation`.

    >>> step = ColorJitter(0.05, (0.3, 1.0), 0.2, (0.0, 2.0))
    >>> step(np.zeros((2, 8, 8, 3), np.float32), Draws(0, 0, np.arange(2))).shape
    (2, 8, 8, 3)
    """

    hue: float = 0.0
    contrast: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.0
    saturation: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        where = "ColorJitter"
        _within(where, "hue", self.hue, 0, 0.501, "It is a share of the circle of hues.")
        _ordered(where, "contrast", self.contrast)
        _within(where, "brightness", self.brightness, 0, 1.001, _SHARE)
        _ordered(where, "saturation", self.saturation)

    def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Return images (N, H, W, 3), floats in [0, 1] or bytes, of which 255 counts as 1."""
        u = draws.uniform(0, 4)
        ranges = ((-self.hue, self.hue), self.contrast, (-self.brightness, self.brightness),
                  self.saturation)
        changes = {place: np.float32(low) + np.float32(high - low) * u[:, place]
                   for place, (low, high) in enumerate(ranges)}
        return _recoloured("ColorJitter", images, changes, clip=True)


@dataclass(frozen=True)
class RandomHue:
    """The hue (HSV) moved by up to `max_delta` of its circle in either direction.

    Args:
        max_delta: a share of the circle, 0 to 0.5.
    """

    max_delta: float

    def __post_init__(self) -> None:
        _within("RandomHue", "max_delta", self.max_delta, 0, 0.501,
                "It is a share of the circle of hues.")

    def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Return images (N, H, W, 3), floats in [0, 1] or bytes, of which 255 counts as 1."""
        change = draws.between(-self.max_delta, self.max_delta)
        return _recoloured("RandomHue", images, {0: change})


@dataclass(frozen=True)
class RandomContrast:
    """(x - mean) f + mean for each channel of an image, with f between `lower` and `upper`.

    Args:
        lower, upper: bounds of f, 0 or more.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        _ordered("RandomContrast", "(lower, upper)", (self.lower, self.upper))

    def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Return images (N, H, W, C), floats in [0, 1] or bytes, of which 255 counts as 1."""
        return _recoloured("RandomContrast", images, {1: draws.between(self.lower, self.upper)})


@dataclass(frozen=True)
class RandomBrightness:
    """A number of up to `max_delta`, of either sign, added to all pixels of an image.

    Args:
        max_delta: a share of the range of pixels, 0 to 1.
    """

    max_delta: float

    def __post_init__(self) -> None:
        _within("RandomBrightness", "max_delta", self.max_delta, 0, 1.001, _SHARE)

    def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Return images (N, H, W, C), floats in [0, 1] or bytes, of which 255 counts as 1."""
        change = draws.between(-self.max_delta, self.max_delta)
        return _recoloured("RandomBrightness", images, {2: change})


@dataclass(frozen=True)
class RandomSaturation:
    """The saturation (HSV) times a factor between `lower` and `upper`, at most 1 in the end.

    Args:
        lower, upper: bounds of the factor, 0 or more.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        _ordered("RandomSaturation", "(lower, upper)", (self.lower, self.upper))

    def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Return images (N, H, W, 3), floats in [0, 1] or bytes, of which 255 counts as 1."""
        return _recoloured("RandomSaturation", images, {3: draws.between(self.lower, self.upper)})


@dataclass(frozen=True)
class Clip:
    """Pixels cut off at two bounds.

    >>> Clip()(np.float32([-0.5, 0.5, 1.5]).reshape(1, 1, 1, 3)).ravel().tolist()
    [0.0, 0.5, 1.0]
    """

    low: float = 0.0
    high: float = 1.0

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        """Return images within the bounds."""
        return np.clip(images, self.low, self.high)
