"""Reading a user's image as a data set's images are."""

from __future__ import annotations

import os

import numpy as np

from ..errors import DataError


def read_image(path: str | os.PathLike[str], shape: tuple[int, int, int]
               ) -> tuple[np.ndarray, bool]:
    """Return an image as grey pixels 0 to 255 of a shape (H, W, 1), and whether it was inverted.

    It keeps its proportions, with its edge's grey filling the rest. A dark drawing on a light
    ground is inverted, since the digits of MNIST are light on dark.

    Raises:
        DataError: the file is missing, is no image, or cannot be read.
    """
    grey = _grey(path, (shape[1], shape[0]))
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    inverted = bool(np.median(edge) > 127)
    return (255 - grey if inverted else grey)[..., None], inverted


def _grey(path: str | os.PathLike[str], size: tuple[int, int]) -> np.ndarray:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            whole = ImageOps.exif_transpose(opened).convert("RGBA")
    except FileNotFoundError:
        raise DataError(str(path), "there is no such file", "expected an image",
                        "Check the path.") from None
    except UnidentifiedImageError:
        raise DataError(str(path), "is not an image", "expected PNG, JPEG or the like",
                        "Convert it first.") from None
    except IsADirectoryError:
        raise DataError(str(path), "is a folder", "expected an image",
                        "Name the images in it.") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(str(path), f"cannot be read ({error})", "expected a whole image",
                        "Get it again.") from error
    paper = Image.new("RGBA", whole.size, "white")
    flat = Image.alpha_composite(paper, whole).convert("L")
    edge = int(np.median(np.asarray(flat)[[0, -1]]))
    return np.asarray(ImageOps.pad(flat, size, Image.Resampling.BICUBIC, color=edge))
