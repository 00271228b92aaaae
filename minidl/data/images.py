"""Image files as a source of a loader: they are decoded when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff",
                      ".ppm", ".pgm"))
"""Endings, in lower case, of the files that count as images."""

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
"""Length of the last axis by mode: grey, colour, colour with opacity."""

INTERPOLATIONS = {"nearest": "NEAREST", "bilinear": "BILINEAR", "bicubic": "BICUBIC",
                  "lanczos3": "LANCZOS", "hamming": "HAMMING", "area": "BOX"}
"""Filters, with Pillow's name. All but "nearest" average over what a new pixel covers; "area"
weighs it evenly, and enlarges as "bilinear" does."""

FITS = ("stretch", "crop", "pad")
"""How an image of other proportions is brought to size."""

# Formats whose decoders read pixels; that for EPS, as a warning, starts a program
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_DRAFT_GAP = 2  # JPEG is decoded at a half, quarter or eighth if that is twice the size or more


class ImageFiles:
    """Image files as an array (N, H, W, C) of uint8 that is decoded row by row when it is read.

    It is a source for `DataLoader`: workers decode in parallel. The same files give the same
    pixels, whichever rows are read together.

    Args:
        paths: of the images, in the order of the rows.
        size: (H, W) that they are brought to.
        fit: "stretch" changes proportions; "crop" brings the shorter side to size and cuts the
            middle out (aspect-aware resize); "pad" brings the longer side to size and fills up
            with black.
        mode: "RGB", "L" (grey, one channel) or "RGBA"; images of other modes are converted.
        interpolation: one of `INTERPOLATIONS`.

    Raises:
        ArgumentError: an argument is not one of these.
        DataError: on reading, for a file that is missing, no image, cut short or too large.

    >>> files = ImageFiles(["cat.1.jpg", "cat.2.jpg"], size=(64, 48), fit="crop")
    >>> files.shape
    (2, 64, 48, 3)
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: Iterable[str | os.PathLike[str]], size: tuple[int, int],
                 fit: str = "stretch", mode: str = "RGB", interpolation: str = "area") -> None:
        self.paths = [os.fspath(path) for path in paths]
        self.size = _checked_size(size)
        self.fit = _one_of("fit", fit, FITS)
        self.mode = _one_of("mode", mode, CHANNELS)
        self.interpolation = _one_of("interpolation", interpolation, INTERPOLATIONS)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of images, height, width, channels."""
        return (len(self.paths), *self.size, CHANNELS[self.mode])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        """Return the images of a slice or of row numbers (n, H, W, C), or one image (H, W, C)."""
        if isinstance(rows, (int, np.integer)):
            return self._read(self.paths[rows])
        paths = self.subset(rows).paths
        images = np.empty((len(paths), *self.shape[1:]), np.uint8)
        for image, path in zip(images, paths, strict=True):
            image[...] = self._read(path)
        return images

    def subset(self, rows: Any) -> ImageFiles:
        """Return the source of some of the files, chosen by a slice or by row numbers.

        >>> ImageFiles(["a.png", "b.png", "c.png"], (8, 8)).subset([2, 0]).paths
        ['c.png', 'a.png']
        """
        paths = (self.paths[rows] if isinstance(rows, slice) else
                 [self.paths[row] for row in np.arange(len(self))[rows]])
        return ImageFiles(paths, self.size, self.fit, self.mode, self.interpolation)

    def _read(self, path: str) -> np.ndarray:
        return read_image(path, self.size, self.fit, self.mode, self.interpolation)


def read_image(path: str | os.PathLike[str], size: tuple[int, int] | None = None,
               fit: str = "stretch", mode: str = "RGB", interpolation: str = "area") -> np.ndarray:
    """Decode one image file, turned upright as its EXIF data say.

    Args:
        size: (H, W); None keeps the size that it has. The other arguments are `ImageFiles`'s.

    Returns:
        uint8 (H, W, C).

    Raises:
        DataError: the file is missing, no image, cut short, or has too many pixels.
        ArgumentError: an argument is not known.

    >>> read_image("cat.1.jpg", (64, 64)).shape  # doctest: +SKIP
    (64, 64, 3)
    """
    from PIL import Image, UnidentifiedImageError

    _one_of("fit", fit, FITS)
    _one_of("mode", mode, CHANNELS)
    _one_of("interpolation", interpolation, INTERPOLATIONS)
    try:
        with Image.open(path, formats=_FORMATS) as opened:
            _check_pixels(opened)
            image = _decoded(opened, size, mode, interpolation)
            fitted = image if size is None else _fitted(image, size, fit, interpolation)
            return np.array(fitted).reshape(fitted.height, fitted.width, CHANNELS[mode])
    except FileNotFoundError:
        raise DataError(str(path), "there is no such file", "expected an image",
                        "Check the path.") from None
    except UnidentifiedImageError:
        raise DataError(str(path), "is not an image", "expected JPEG, PNG, BMP, GIF, WebP or TIFF",
                        "Take it out of the data, or convert it.") from None
    except IsADirectoryError:
        raise DataError(str(path), "is a folder", "expected an image",
                        "Name the images in it.") from None
    except Exception as error:  # decoders fail in many ways; a warning may be an error
        raise DataError(str(path), f"cannot be decoded ({error or type(error).__name__})",
                        "expected a whole image", "Get it again, or take it out.") from error


def _check_pixels(opened: Image) -> None:
    """Refuse what would take more memory than Pillow's limit, which only warns up to twice that."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and opened.width * opened.height > limit:
        raise ValueError(f"{opened.width} x {opened.height} pixels are more than the limit of "
                         f"{limit:,}, PIL.Image.MAX_IMAGE_PIXELS")


def _decoded(opened: Image, size: tuple[int, int] | None, mode: str, interpolation: str) -> Image:
    from PIL import ImageOps

    if size is not None and interpolation != "nearest":
        longest = _DRAFT_GAP * max(size)  # a side of the file may be either side of the image
        opened.draft(None if mode == "RGBA" else mode, (longest, longest))
    return _converted(ImageOps.exif_transpose(opened), mode)


def _converted(image: Image, mode: str) -> Image:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == mode else image.convert(mode)


def _fitted(image: Image, size: tuple[int, int], fit: str, interpolation: str) -> Image:
    height, width = size
    if fit == "stretch":
        return _resized(image, size, interpolation, (0, 0, image.width, image.height))
    scales = height / image.height, width / image.width
    if fit == "crop":
        kept = width / max(scales), height / max(scales)
        left, top = (image.width - kept[0]) / 2, (image.height - kept[1]) / 2
        box = (max(left, 0), max(top, 0), min(left + kept[0], image.width),
               min(top + kept[1], image.height))
        return _resized(image, size, interpolation, box)
    return _padded(image, size, interpolation, min(scales))


def _padded(image: Image, size: tuple[int, int], interpolation: str, scale: float) -> Image:
    from PIL import Image

    inner = max(round(image.height * scale), 1), max(round(image.width * scale), 1)
    small = _resized(image, inner, interpolation, (0, 0, image.width, image.height))
    paper = Image.new(image.mode, (size[1], size[0]))
    paper.paste(small, ((size[1] - inner[1]) // 2, (size[0] - inner[0]) // 2))
    return paper


def _resized(image: Image, size: tuple[int, int], interpolation: str,
             box: tuple[float, float, float, float]) -> Image:
    from PIL import Image

    grows = size[0] > box[3] - box[1] or size[1] > box[2] - box[0]
    name = "bilinear" if interpolation == "area" and grows else interpolation
    return image.resize((size[1], size[0]), Image.Resampling[INTERPOLATIONS[name]], box)


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    whole = isinstance(size, (tuple, list)) and len(size) == 2 and all(
        isinstance(side, (int, np.integer)) and side > 0 for side in size)
    if not whole:
        raise ArgumentError("ImageFiles", f"got size={size!r}",
                            "expected two whole numbers, (height, width)", "Write size=(64, 64).")
    return int(size[0]), int(size[1])


def _one_of(name: str, value: str, known: Iterable[str]) -> str:
    if value not in known:
        raise ArgumentError("ImageFiles", f"got {name}={value!r}",
                            f"expected one of {', '.join(known)}", f"Change {name}.")
    return value
