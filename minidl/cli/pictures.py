"""Reading a user's picture as a network takes it; of a digit, as those of MNIST are."""

from __future__ import annotations

import os

import numpy as np

from ..data import read_image

MOST_PIXELS = 1024  # per side; larger images are reduced first
BOX = 20 / 28  # MNIST: a digit fills a box of 20 x 20 pixels in an image of 28 x 28
INK = 0.25  # share of the strongest stroke from which on a pixel belongs to the drawing


def read_input(path: str | os.PathLike[str], shape: tuple[int, int, int]
               ) -> tuple[np.ndarray, bool]:
    """Return an image as pixels 0 to 255 of a shape (H, W, C), and whether it was inverted.

    With one channel it is read as a drawing of a digit, with three as a photo: scaled evenly, and
    what is too long cut off.

    Raises:
        DataError: the file is missing, is no image, or cannot be read.
    """
    if shape[2] == 1:
        return read_digit(path, shape)
    return read_image(path, shape[:2], fit="crop"), False


def read_digit(path: str | os.PathLike[str], shape: tuple[int, int, int]
               ) -> tuple[np.ndarray, bool]:
    """Return an image as grey pixels 0 to 255 of a shape (H, W, 1), and whether it was inverted.

    A dark drawing on a light ground is inverted, since the digits of MNIST are light on dark. An
    image of another size is framed as those digits were (LeCun et al. 1998): the drawing is cut
    out, fitted into a box of 20/28 of the height and width, and centred by its mass.

    Raises:
        DataError: the file is missing, is no image, or cannot be read.
    """
    grey = _grey(path)
    inverted = bool(_ground(grey) > 127)
    light = 255 - grey if inverted else grey
    return (light if grey.shape == shape[:2] else framed(light, shape[:2]))[..., None], inverted


def framed(light: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a light drawing on a dark ground (H, W), cut out and centred in an image of a shape.

    >>> image = np.zeros((90, 60), np.uint8)
    >>> image[50:80, 10:20] = 200
    >>> np.argwhere(framed(image, (28, 28)) > 128).min(axis=0).tolist()
    [4, 11]
    """
    from PIL import Image

    strokes = np.maximum(light - np.float32(_ground(light)), 0)
    if not strokes.any():
        return np.zeros(shape, np.uint8)
    strokes *= 255 / strokes.max()
    rows, columns = (np.flatnonzero(strokes.max(axis=axis) > 255 * INK) for axis in (1, 0))
    cut = strokes[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].astype(np.uint8)
    scale = BOX * min(shape[0] / cut.shape[0], shape[1] / cut.shape[1])
    height, width = (max(1, round(n * scale)) for n in cut.shape)
    small = np.asarray(Image.fromarray(cut).resize((width, height), Image.Resampling.LANCZOS))
    top, left = (_start(small.sum(axis=1 - axis), shape[axis]) for axis in (0, 1))
    image = np.zeros(shape, np.uint8)
    image[top:top + height, left:left + width] = small
    return image


def _ground(grey: np.ndarray) -> float:
    """Return the grey of the ground: the median along the edge."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def _start(masses: np.ndarray, length: int) -> int:
    """Return where masses begin on an axis if their centre is to be at pixel length / 2.

    That is where MNIST has it, half a pixel behind the middle.
    """
    whole = max(float(masses.sum()), 1.0)
    centre = float(masses @ np.arange(len(masses))) / whole
    return min(max(round(length / 2 - centre), 0), length - len(masses))


def _grey(path: str | os.PathLike[str]) -> np.ndarray:
    """Return an image as grey pixels (H, W), on white where it is transparent."""
    from PIL import Image

    whole = Image.fromarray(read_image(path, mode="RGBA"))
    whole.thumbnail((MOST_PIXELS, MOST_PIXELS))
    paper = Image.new("RGBA", whole.size, "white")
    return np.asarray(Image.alpha_composite(paper, whole).convert("L"))
