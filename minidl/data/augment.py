"""Steps that change images at random: affine warps, crops, flips, colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from ..spec import tuple_of
from .affine import affine_matrices, check_fill_mode, check_interpolation, warped
from .pipeline import Draws, need_images
from .preprocess import Sized, need_room

Range = float | tuple[float, float]


def _within(where: str, name: str, value: float, low: float, high: float, remedy: str) -> None:
    """Raise unless low <= value < high."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not (
            low <= value < high):
        raise ArgumentError(where, f"got {name}={value!r}",
                            f"expected a number from {low:g} to below {high:g}", remedy)


def _ordered(where: str, name: str, value: Range, around: float | None = None
             ) -> tuple[float, float]:
    """Return (low, high), both at least 0; of a single number, that far around `around`."""
    if isinstance(value, (int, float, np.number)) and around is not None:
        pair: tuple[float, ...] = (around - float(value), around + float(value))
    else:
        pair = tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(pair) != 2 or not 0 <= pair[0] <= pair[1] < math.inf:
        raise ArgumentError(where, f"got {name}={value!r}",
                            "expected (low, high) with 0 <= low <= high"
                            + (f", or the distance from {around:g}" if around is not None else ""),
                            f"Change {name}.")
    return pair[0], pair[1]


# ---- places --------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandomAffine:
    """Images turned, shifted, sheared, zoomed and flipped at random, by one interpolation.

    The meanings are those of Keras's ImageDataGenerator; all is drawn uniformly and composed
    about the middle into one affine map (see `affine_matrices`). The type of the images stays.

    Args:
        rotation: degrees, up to so many in either direction.
        width_shift, height_shift: up to this share of the width, or height, in either direction.
        shear: radians, up to so many in either direction; 0.2 is 11 degrees.
        zoom: z for factors between 1 - z and 1 + z, or (low, high); drawn for rows and for
            columns, and below 1 the picture grows.
        horizontal_flip, vertical_flip: whether every other image, by chance, is mirrored.
        fill_mode: what is beyond the edges: "nearest", "reflect", "wrap" or "constant".
        cval: the constant, in the images' own range.
        interpolation: "bilinear", or "nearest" as in Keras to the end of 2017: shifts are by whole
            pixels then, which does not blur small images.

    >>> step = RandomAffine(rotation=30, width_shift=0.1, zoom=0.2, horizontal_flip=True)
    >>> step(np.zeros((2, 32, 32, 3), np.uint8), Draws(0, 0, np.arange(2))).shape
    (2, 32, 32, 3)
    """

    rotation: float = 0.0
    width_shift: float = 0.0
    height_shift: float = 0.0
    shear: float = 0.0
    zoom: Range = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    fill_mode: str = "nearest"
    cval: float = 0.0
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        where = "RandomAffine"
        _within(where, "rotation", self.rotation, 0, 360.01, "It is an angle in degrees.")
        _within(where, "width_shift", self.width_shift, 0, 1.01, "It is a share of the width.")
        _within(where, "height_shift", self.height_shift, 0, 1.01, "It is a share of the height.")
        _within(where, "shear", self.shear, 0, 1.5, "It is an angle in radians; "
                "math.radians makes them of degrees.")
        if _ordered(where, "zoom", self.zoom, 1.0)[0] == 0:
            raise ArgumentError(where, f"got zoom={self.zoom!r}", "expected factors above 0",
                                "Give z below 1, or (low, high) with low above 0.")
        check_fill_mode(where, self.fill_mode)
        check_interpolation(where, self.interpolation)

    def matrices(self, height: int, width: int, draws: Draws) -> np.ndarray:
        """Return the maps (N, 6) that are drawn for images of this size."""
        u = draws.uniform(0, 8).astype(np.float64)
        spread = 2 * u - 1
        low, high = _ordered("RandomAffine", "zoom", self.zoom, 1.0)
        reach = (self.height_shift * height, self.width_shift * width)
        return affine_matrices(
            height, width, len(u), rotation=spread[:, 0] * math.radians(self.rotation),
            shift=spread[:, 1:3] * reach, shear=spread[:, 3] * self.shear,
            zoom=low + u[:, 4:6] * (high - low),
            flip=(u[:, 6:8] < 0.5) & [self.vertical_flip, self.horizontal_flip])

    def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Return images (N, H, W, C)."""
        height, width = need_images("RandomAffine", images).shape[1:3]
        matrices = self.matrices(height, width, draws)
        return warped("RandomAffine", images, matrices, self.fill_mode, self.cval,
                      self.interpolation)


FLIPS = {"horizontal": (2,), "vertical": (1,), "horizontal_and_vertical": (1, 2)}
"""Axes of (N, H, W, C) that the modes of flips reverse."""


def check_flip(mode: str) -> tuple[int, ...]:
    """Return the axes that a mode reverses."""
    if mode not in FLIPS:
        raise ArgumentError("RandomFlip", f"got mode={mode!r}", f"expected {', '.join(FLIPS)}",
                            "Choose one of them.")
    return FLIPS[mode]


@dataclass(frozen=True)
class RandomFlip:
    """Images mirrored with chance 1/2, for each axis on its own.

    Args:
        mode: "horizontal", "vertical" or "horizontal_and_vertical".
    """

    mode: str = "horizontal"

    def __post_init__(self) -> None:
        check_flip(self.mode)

    def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Return images (N, H, W, C)."""
        flipped, u = need_images("RandomFlip", images).copy(), draws.uniform(0, 3)
        for axis in FLIPS[self.mode]:
            chosen = u[:, axis] < 0.5
            flipped[chosen] = np.flip(flipped[chosen], axis)
        return flipped


_PAD = {"nearest": "edge", "reflect": "symmetric", "wrap": "wrap", "constant": "constant"}


@dataclass(frozen=True)
class RandomCrop(Sized):
    """A patch of height x width pixels from anywhere in the image; all places are equally likely.

    Args:
        height, width: of the patch.
        padding: pixels that the image is widened by on each side first.
        fill_mode: what they are: "constant", "nearest", "reflect" or "wrap".
        cval: the constant.

    >>> step = RandomCrop(24, 24)
    >>> step(np.zeros((2, 32, 32, 3), np.uint8), Draws(0, 0, np.arange(2))).shape
    (2, 24, 24, 3)
    """

    padding: int = 0
    fill_mode: str = "constant"
    cval: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        tuple_of("RandomCrop", "padding", self.padding, 1, 0)
        check_fill_mode("RandomCrop", self.fill_mode)

    def __call__(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Return images (N, height, width, C)."""
        images = self._padded(need_images("RandomCrop", images))
        need_room("RandomCrop", images, self.size)
        room = np.array(images.shape[1:3]) - self.size + 1
        places = (draws.uniform(0, 2) * room.astype(np.float64)).astype(int)
        crops = np.empty((len(images), *self.size, images.shape[3]), images.dtype)
        for n, (top, left) in enumerate(places):
            crops[n] = images[n, top:top + self.height, left:left + self.width]
        return crops

    def _padded(self, images: np.ndarray) -> np.ndarray:
        if not self.padding:
            return images
        margin = ((0, 0), (self.padding,) * 2, (self.padding,) * 2, (0, 0))
        more = {"constant_values": self.cval} if self.fill_mode == "constant" else {}
        return np.pad(images, margin, _PAD[self.fill_mode], **more)  # type: ignore[call-overload]
