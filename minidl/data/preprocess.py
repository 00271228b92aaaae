"""Steps that draw nothing: sizes, crops, means, element types; and resizing of single images."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import ArgumentError, DataError, ShapeError
from ..spec import tuple_of
from .pipeline import Draws, need_images

Size = tuple[int, int]
Band = tuple[np.ndarray, np.ndarray]
Means = str | os.PathLike[str] | Mapping[str, float] | Sequence[float] | np.ndarray

# ---- sizes ---------------------------------------------------------------------------------


@lru_cache(256)
def _band(old: int, new: int) -> Band:
    """Return, per new pixel, the first old one that it is a mean of, and weights (new, band).

    Smaller: shares of the area that a new pixel covers. Larger: between two centres.
    """
    ratio, places = old / new, np.arange(new)
    if ratio > 1:
        starts, reach = places * ratio, math.ceil(ratio) + 1
    else:
        starts, reach = np.clip((places + 0.5) * ratio - 0.5, 0, old - 1), 2
    reach = min(reach, old)
    first = np.minimum(np.floor(starts).astype(np.int64), old - reach)
    pixel = first[:, None] + np.arange(reach)
    if ratio > 1:
        covered = np.minimum(pixel + 1, starts[:, None] + ratio) - np.maximum(
            pixel, starts[:, None])
        weights = np.maximum(covered, 0) / ratio
    else:
        weights = np.maximum(1 - np.abs(pixel - starts[:, None]), 0)
    return first, weights.astype(np.float32)


def _resized(images: np.ndarray, size: Size) -> np.ndarray:
    """Return checked images (N, H, W, C) in another size."""
    from .kernels import resample

    height, width = images.shape[1:3]
    if (height, width) == size:
        return images.copy()
    return resample(images, _band(height, size[0]), _band(width, size[1]))


def _covering(images: np.ndarray, size: Size) -> np.ndarray:
    """Return images scaled evenly until they cover the size, the rest of the longer side cut."""
    sides = images.shape[1:3]
    ratio = max(new / old for new, old in zip(size, sides, strict=True))
    # rounded down as in the book, but not from 255.999... to 255
    scaled = tuple(max(math.floor(old * ratio + 1e-9), new)
                   for old, new in zip(sides, size, strict=True))
    images = _resized(images, (scaled[0], scaled[1]))
    top, left = ((a - b) // 2 for a, b in zip(scaled, size, strict=True))
    middle = images[:, top:scaled[0] - top, left:scaled[1] - left]
    return _resized(np.ascontiguousarray(middle), size)


def _single(where: str, image: np.ndarray) -> np.ndarray:
    """Return one image (H, W) or (H, W, C) as a batch."""
    if image.ndim not in (2, 3) or not image.size:
        raise ShapeError(where, f"got an image of shape {image.shape}",
                         "expected (H, W) or (H, W, C) with at least one pixel",
                         "For a batch there are the steps Resize and AspectAwareResize.")
    return need_images(where, image.reshape(1, *image.shape[:2], -1))


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Return an image in another size (height, width), the ratio of its sides not kept.

    A smaller side: each new pixel is the mean of the area that it covers ("area interpolation").
    A larger one: bilinear, between the centres of pixels.

    Args:
        image: (H, W) or (H, W, C), uint8 or float32; the result has its type.

    >>> resize(np.array([[0, 2, 10, 20]], np.uint8), (1, 2)).tolist()
    [[1, 15]]
    """
    batch, size = _single("resize", image), _size("resize", *size)
    return _resized(batch, size).reshape(*size, *image.shape[2:])


def aspect_aware_resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Return an image in another size (height, width): resized evenly, the longer side cropped.

    It is made as small as it can be and still cover the size, then the middle is taken. Arguments
    are those of `resize`.

    >>> aspect_aware_resize(np.zeros((310, 410, 3), np.uint8), (256, 256)).shape
    (256, 256, 3)
    """
    batch, size = _single("aspect_aware_resize", image), _size("aspect_aware_resize", *size)
    return _covering(batch, size).reshape(*size, *image.shape[2:])


def _size(where: str, height: int, width: int) -> Size:
    height, width = tuple_of(where, "(height, width)", (height, width), 2)
    return height, width


def need_room(where: str, images: np.ndarray, size: Size) -> None:
    """Raise a ShapeError unless crops of this size fit into the images."""
    if images.shape[1] < size[0] or images.shape[2] < size[1]:
        raise ShapeError(where, f"got images of shape {images.shape}",
                         f"expected at least {size[0]} rows and {size[1]} columns",
                         "Resize them first, or take smaller crops.")


# ---- steps ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sized:
    """Base of steps whose images have a height and a width given beforehand."""

    height: int
    width: int

    def __post_init__(self) -> None:
        _size(type(self).__name__, self.height, self.width)

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.height, self.width


@dataclass(frozen=True)
class Resize(Sized):
    """Images resized to height x width, the ratio of the sides not kept (see `resize`).

    >>> Resize(2, 3)(np.zeros((5, 4, 4, 3), np.float32)).shape
    (5, 2, 3, 3)
    """

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        """Return images (N, height, width, C)."""
        return _resized(need_images("Resize", images), self.size)


@dataclass(frozen=True)
class AspectAwareResize(Sized):
    """Images resized evenly and cropped in the middle (see `aspect_aware_resize`)."""

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        """Return images (N, height, width, C)."""
        return _covering(need_images("AspectAwareResize", images), self.size)


@dataclass(frozen=True)
class CenterCrop(Sized):
    """The middle height x width pixels; of an odd rest, the larger half is cut off below and right.

    >>> CenterCrop(1, 2)(np.arange(10, dtype=np.uint8).reshape(1, 2, 5, 1)).ravel().tolist()
    [1, 2]
    """

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        """Return images (N, height, width, C)."""
        images = need_images("CenterCrop", images)
        need_room("CenterCrop", images, self.size)
        top, left = ((a - b) // 2 for a, b in zip(images.shape[1:3], self.size, strict=True))
        middle = images[:, top:top + self.height, left:left + self.width]
        return np.array(middle, order="C")


@dataclass(frozen=True)
class TenCrop(Sized):
    """The four corners and the middle of each image, and the same mirrored: (N, 10, h, w, C).

    Order: top left, top right, bottom right, bottom left, middle; then the five mirrored. Where
    the margin around the middle is odd, one row or column more is taken and the crop resized. The
    mean of a model's predictions for the ten is better than that for the image (Krizhevsky et al.
    2012, section 4.1).

    Args:
        height, width: of a crop.
        flip: False leaves out the mirrored five: (N, 5, h, w, C).

    >>> TenCrop(227, 227)(np.zeros((2, 256, 256, 3), np.uint8)).shape
    (2, 10, 227, 227, 3)
    """

    flip: bool = True

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        """Return the crops."""
        images = need_images("TenCrop", images)
        need_room("TenCrop", images, self.size)
        bottom, right = images.shape[1] - self.height, images.shape[2] - self.width
        top, left = bottom // 2, right // 2
        corners = [images[:, i:i + self.height, j:j + self.width]
                   for i, j in ((0, 0), (0, right), (bottom, right), (bottom, 0))]
        middle = images[:, top:images.shape[1] - top, left:images.shape[2] - left]
        five = np.stack([*corners, _resized(np.ascontiguousarray(middle), self.size)], axis=1)
        return np.concatenate([five, five[:, :, :, ::-1]], axis=1) if self.flip else five


@dataclass(frozen=True)
class ToFloat:
    """Bytes 0 to 255 as float32 in [0, 1]; float32 stays as it is.

    >>> ToFloat()(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)).ravel()
    array([0., 1.], dtype=float32)
    """

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        """Return images of float32."""
        if images.dtype == np.uint8:
            return np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        return images.astype(np.float32)


class MeanSubtraction:
    """Images as float32, less the mean of their channels or the mean image.

    Args:
        means: a JSON file that holds {"R": ..., "G": ..., "B": ...}, a dict of this form, one
            number per channel, or a mean image (H, W, C).

    Raises:
        DataError: the file cannot be read or holds something else.
        ArgumentError: the dict has other keys.

    >>> step = MeanSubtraction({"R": 1.0, "G": 2.0, "B": 3.0})
    >>> step(np.array([[[[5, 5, 5]]]], np.uint8)).ravel().tolist()
    [4.0, 3.0, 2.0]
    """

    def __init__(self, means: Means) -> None:
        if isinstance(means, (str, os.PathLike)):
            self.means = _means_of_file(Path(means))
        elif isinstance(means, Mapping):
            self.means = _rgb("MeanSubtraction", means, ArgumentError)
        else:
            self.means = np.asarray(means, np.float32)

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        """Return images less the means."""
        wanted = images.shape[-self.means.ndim:] if self.means.ndim else ()
        if wanted != self.means.shape:
            raise ShapeError("MeanSubtraction", f"got images of shape {images.shape}",
                             f"expected shapes that end in {self.means.shape}, that of the means",
                             "Channels are the last axis.")
        return np.subtract(images, self.means, dtype=np.float32)

    def __repr__(self) -> str:
        shown = (f"shape {self.means.shape}" if self.means.ndim > 1 else
                 ", ".join(f"{m:g}" for m in self.means.reshape(-1)))
        return f"MeanSubtraction({shown})"


def _means_of_file(path: Path) -> np.ndarray:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"the means cannot be read ({error})",
                        'expected JSON such as {"R": 124.9, "G": 115.9, "B": 106.1}',
                        "Check the file's name, or write it anew.") from error
    return _rgb(str(path), found, DataError)


def _rgb(where: str, means: object, kind: type[ArgumentError] | type[DataError]) -> np.ndarray:
    """Return the numbers for R, G and B, or raise an error of this kind."""
    good = isinstance(means, Mapping) and set(means) == {"R", "G", "B"} and all(
        isinstance(m, (int, float)) and math.isfinite(m) for m in means.values())
    if not good:
        raise kind(where, f"got the means {means!r}", "expected finite numbers for R, G and B",
                   'Write {"R": 124.9, "G": 115.9, "B": 106.1}.')
    return np.array([means[c] for c in "RGB"], np.float32)  # type: ignore[index]
