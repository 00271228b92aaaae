"""What a class depends on in an image: by gradients, and by covering parts of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config
from ..errors import ArgumentError, ShapeError
from ..random import Generator
from ..spec import tuple_of
from .heat import heat_figure, photo
from .look import as_input, in_use, leaf
from .score import called, judged, score_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 16  # noisy copies at once
BRIGHTEST = 99.5  # percentile of the gradients that gets the brightest colour


def saliency_values(model: Any, image: Any, label: int | None = None, samples: int = 1,
                    noise: float = 0.15, seed: int = 0) -> np.ndarray:
    """Return how much the score of a class changes with each pixel: (H, W).

    S(i, j) = max over channels of |d score / d x(i, j)|; the score is that before softmax or
    sigmoid. With several samples the gradient is the mean over noisy copies of the image.

    Args:
        model: a model that takes images (N, H, W, C) and gives (N, classes).
        image: (H, W, C) or (1, H, W, C), preprocessed as the model needs it.
        label: the class; the likeliest by default.
        samples: noisy copies; 1 takes the image as it is.
        noise: standard deviation of the noise, as a share of the image's range.
        seed: which noise.

    Raises:
        ArgumentError: there is no such class, or a number is out of range.
        ShapeError: it is not one image.

    Source: Simonyan et al. 2013, "Deep inside convolutional networks", section 3; noisy copies:
    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise".
    """
    one = as_input("saliency", model, image)
    if samples < 1 or noise < 0:
        raise ArgumentError("saliency", f"got samples={samples}, noise={noise}",
                            "expected at least 1 sample and no negative noise", "Change them.")
    _, label, _ = judged("saliency", model, one, label)
    total = np.zeros(one.shape, np.float64)
    for copies in _noisy(one, samples, noise * float(np.ptp(one)), seed):
        total += _gradient(model, copies, label).sum(axis=0, dtype=np.float64)
    return np.abs(total / samples).max(axis=2)


def _noisy(image: np.ndarray, samples: int, deviation: float, seed: int) -> Iterator[np.ndarray]:
    """Yield batches of noisy copies; of one sample, the image."""
    if samples == 1:
        yield image[None]
        return
    draw = Generator(seed)
    for first in range(0, samples, BATCH):
        noises = [draw.numpy().normal(0, deviation, image.shape)
                  for _ in range(min(BATCH, samples - first))]
        yield (image + np.stack(noises)).astype(image.dtype)


def _gradient(model: Any, images: np.ndarray, label: int) -> np.ndarray:
    """Return the gradient of a class's score by each of some images (N, H, W, C)."""
    x = leaf(images)
    with in_use(model), config.enable_grad():
        score_of(model(x), label).backward()
    return np.zeros_like(images) if x.grad is None else x.grad.array


def saliency(model: Any, image: Any, label: int | None = None, samples: int = 1,
             noise: float = 0.15, seed: int = 0, shown: Any = None,
             class_names: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Show how much the score of a class changes with each pixel.

    Args:
        model, image, label, samples, noise, seed: as in `saliency_values`.
        shown: the image as people see it, of any size; by default `image`.
        class_names: by class, for the title.
        title: of the whole.

    Raises:
        ArgumentError, ShapeError: as in `saliency_values`.
    """
    one = as_input("saliency", model, image)
    _, which, p = judged("saliency", model, one, label)
    values = saliency_values(model, one, which, samples, noise, seed)
    if title is None:
        of = f"\nmean gradient of {samples} noisy copies" if samples > 1 else ""
        title = f"Saliency for {called(which, class_names)}, probability {p:.3f}{of}"
    return heat_figure("saliency", photo(one, shown), values, title, "|d score / d pixel|",
                       (0.0, float(np.percentile(values, BRIGHTEST))), mixed=False)


# ---- occlusion -----------------------------------------------------------------------------


def occlusion_values(model: Any, image: Any, label: int | None = None,
                     size: int | Sequence[int] | None = None,
                     stride: int | Sequence[int] | None = None, batch_size: int = 32
                     ) -> np.ndarray:
    """Return how probable a class stays where a grey square covers the image: (H, W).

    A square of the image's mean colour lies in turn at all places; the value of a pixel is the
    mean probability over the squares that cover it.

    Args:
        model: a model that takes images (N, H, W, C) and gives (N, classes).
        image: (H, W, C) or (1, H, W, C), preprocessed as the model needs it.
        label: the class; the likeliest by default.
        size: side of the square, or (height, width); a quarter of the image by default.
        stride: from one place to the next; a quarter of the square by default.
        batch_size: covered images at once.

    Raises:
        ArgumentError: there is no such class; the square is larger than the image; or the stride
            is larger than the square, so that pixels would be passed over.
        ShapeError: it is not one image.

    Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks",
    section 4.2.
    """
    one = as_input("occlusion_map", model, image)
    square, step = squares(one.shape, size, stride)
    judge, label, _ = judged("occlusion_map", model, one, label)
    places = [(i, j) for i in _starts(one.shape[0], square[0], step[0])
              for j in _starts(one.shape[1], square[1], step[1])]
    total, count = np.zeros(one.shape[:2]), np.zeros(one.shape[:2])
    for first in range(0, len(places), batch_size):
        some = places[first:first + batch_size]
        for (i, j), row in zip(some, judge(_covered(one, some, square)), strict=True):
            total[i:i + square[0], j:j + square[1]] += row[label]
            count[i:i + square[0], j:j + square[1]] += 1
    return total / count


def squares(shape: Sequence[int], size: int | Sequence[int] | None,
            stride: int | Sequence[int] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the height and width of the square, and of its step.

    >>> squares((28, 28, 1), None, None)
    ((7, 7), (1, 1))
    """
    if size is None:
        size = [max(1, n // 4) for n in shape[:2]]
    square = tuple_of("occlusion_map", "size", size, 2)
    if stride is None:
        stride = [max(1, n // 4) for n in square]
    step = tuple_of("occlusion_map", "stride", stride, 2)
    if any(n > whole for n, whole in zip(square, shape, strict=False)):
        raise ShapeError("occlusion_map", f"got a square of {square} and an image {tuple(shape)}",
                         "expected a square that fits into it", "Change size.")
    if any(s > n for s, n in zip(step, square, strict=True)):
        raise ArgumentError("occlusion_map", f"got stride={step} for a square of {square}",
                            "expected at most the side of the square, so that every pixel is "
                            "covered", "Change stride.")
    return square, step


def _starts(length: int, side: int, step: int) -> list[int]:
    """Return where squares begin along an axis; the last ends where the axis does."""
    return sorted({*range(0, length - side + 1, step), length - side})


def _covered(image: np.ndarray, places: Sequence[tuple[int, int]], square: Sequence[int]
             ) -> np.ndarray:
    """Return the image once for each place, with a square of its mean colour there."""
    images = np.repeat(image[None], len(places), axis=0)
    for covered, (i, j) in zip(images, places, strict=True):
        covered[i:i + square[0], j:j + square[1]] = image.mean(axis=(0, 1))
    return images


def occlusion_map(model: Any, image: Any, label: int | None = None,
                  size: int | Sequence[int] | None = None,
                  stride: int | Sequence[int] | None = None, shown: Any = None,
                  class_names: Sequence[str] | None = None, title: str | None = None,
                  batch_size: int = 32) -> Figure:
    """Show how probable a class stays where a grey square covers the image; bright where little.

    Args:
        model, image, label, size, stride, batch_size: as in `occlusion_values`.
        shown: the image as people see it, of any size; by default `image`.
        class_names: by class, for the title.
        title: of the whole.

    Raises:
        ArgumentError, ShapeError: as in `occlusion_values`.
    """
    one = as_input("occlusion_map", model, image)
    _, which, p = judged("occlusion_map", model, one, label)
    values = occlusion_values(model, one, which, size, stride, batch_size)
    square, step = squares(one.shape, size, stride)
    if title is None:
        title = (f"Occlusion for {called(which, class_names)}, probability {p:.3f}\n"
                 f"square {square[0]} x {square[1]} in {one.shape[0]} x {one.shape[1]}, "
                 f"stride {step[0]}")
    limits = min(float(values.min()), p), max(float(values.max()), p)
    return heat_figure("occlusion_map", photo(one, shown), values, title,
                       "probability with the square there", limits, reverse=True)
