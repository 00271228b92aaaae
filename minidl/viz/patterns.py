"""What a filter looks for: images that a gradient ascent has made for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import config
from ..errors import ArgumentError, ShapeError
from .figure import displayable, new_figure, picture_axes, square_grid
from .look import dtype_of, in_use, input_shape, leaf, output_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOISES = ((0.1, 0), (0.5, 0), (0.5, 2), (0.5, 8), (0.5, 24))
"""Noises to start from: half their width, as a share of the range, and how often smoothed."""
TINY = 1e-8      # keeps a gradient of zeros one of zeros
CONTRAST = 0.18  # standard deviation of a picture, 1 being all from black to white
BLUR = np.array([0.25, 0.5, 0.25])
BLUR_EVERY = 4   # steps


class Patterns(NamedTuple):
    """Images that excite filters.

    Attributes:
        images: (filters, H, W, C), in the range that the model takes.
        filters: their numbers.
        before: mean output of each filter for the noise at the start.
        after: the same for the image at the end.
    """

    images: np.ndarray
    filters: tuple[int, ...]
    before: np.ndarray
    after: np.ndarray


def pattern_values(model: Any, layer: str, filters: int | Sequence[int] | None = None,
                   steps: int = 40, step: float = 0.05, decay: float = 0.02, blur: bool = True,
                   value_range: tuple[float, float] = (0.0, 1.0),
                   size: tuple[int, int] | None = None, seed: int = 0) -> Patterns:
    """Return images that gradient ascent has made to raise the mean output of filters.

    From noise around the middle m of the range, weak where the filter answers to that and strong
    or smooth where it does not, each step adds the gradient, divided by its
    root mean square: x <- m + (1 - decay) (x + step width g / rms(g) - m). Every fourth step the
    image is smoothed a little. Decay and smoothing keep out the high frequencies that a network
    reacts to and people do not see.

    Args:
        model: a model that takes images (N, H, W, C).
        layer: name of a layer that gives maps (H, W, filters).
        filters: numbers of filters, or one; all by default.
        steps: of the ascent.
        step: its length, as a share of the width of the range.
        decay: share by which the image is drawn to the middle of the range after a step.
        blur: smooth the image.
        value_range: the lowest and the highest value of an input of the model, such as (0, 255)
            or (-1, 1).
        size: height and width of the images, where the model leaves them open.
        seed: of the noise; it is another for each filter.

    Raises:
        ArgumentError: there is no such layer or filter, or a number is out of range.
        ShapeError: the layer gives no maps.

    Source: Erhan et al. 2009, "Visualizing higher-layer features of a deep network"; normalised
    steps: Chollet 2017, "Deep learning with Python", section 5.4.2; decay and smoothing: Yosinski
    et al. 2015, "Understanding neural networks through deep visualization".
    """
    _check(steps, step, decay, value_range)
    shape = input_shape("filter_patterns", model, size)
    chosen = _filters(model, layer, shape, filters)
    low, high = value_range
    middle, width = (low + high) / 2, high - low
    images = start = middle + width * _start(model, layer, shape, chosen, middle, width, seed)
    for number in range(1, steps + 1):
        g = _ascent(model, layer, images, chosen)[1]
        rms = np.sqrt(np.mean(np.square(g), axis=(1, 2, 3), keepdims=True)) + TINY
        images = middle + (1 - decay) * (images + step * width * g / rms - middle)
        if blur and number % BLUR_EVERY == 0 and number < steps:
            images = smoothed(images)
        images = images.astype(start.dtype)
    before, after = (_ascent(model, layer, x, chosen)[0] for x in (start, images))
    return Patterns(images, chosen, before, after)


def _start(model: Any, layer: str, shape: tuple[int, int, int], filters: Sequence[int],
           middle: float, width: float, seed: int) -> np.ndarray:
    """Return noise (filters, H, W, C) around 0: for each filter the first that it answers to."""
    draws = [np.random.Generator(np.random.Philox(key=[seed, k])) for k in filters]
    noise = np.stack([draw.uniform(-1, 1, shape) for draw in draws])
    best, silent = noise, np.ones(len(filters), bool)
    for amplitude, times in NOISES:
        soft = noise
        for _ in range(times):
            soft = smoothed(soft)
        largest = np.abs(soft).max(axis=(1, 2, 3), keepdims=True)
        found = (amplitude * soft / largest).astype(dtype_of(model))
        best = np.where(silent[:, None, None, None], found, best).astype(found.dtype)
        silent = _ascent(model, layer, middle + width * best, filters)[0] == 0
        if not silent.any():
            break
    return best


def _check(steps: int, step: float, decay: float, value_range: tuple[float, float]) -> None:
    good = steps >= 1 and step > 0 and 0 <= decay < 1 and value_range[0] < value_range[1]
    if not good:
        raise ArgumentError("filter_patterns", f"got steps={steps}, step={step}, decay={decay}, "
                            f"value_range={value_range}", "expected at least 1 step of a length "
                            "above 0, a decay from 0 to below 1, and (lowest, highest)",
                            "Change them.")


def _filters(model: Any, layer: str, shape: tuple[int, int, int],
             wanted: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the numbers of the filters, which the layer has."""
    with in_use(model), config.no_grad():
        found = output_at(model, leaf(np.zeros((1, *shape), dtype_of(model))), layer).shape
    if len(found) != 4:
        raise ShapeError(f'layer "{layer}"', f"gives {found[1:]}", "expected maps (H, W, filters)",
                         "Name a convolution.")
    if wanted is None:
        return tuple(range(found[3]))
    chosen = (wanted,) if isinstance(wanted, int) else tuple(wanted)
    if not chosen or not all(0 <= k < found[3] for k in chosen):
        raise ArgumentError("filter_patterns", f"got filters {chosen}",
                            f'layer "{layer}" has filters 0 to {found[3] - 1}', "Change filters.")
    return chosen


def _ascent(model: Any, layer: str, images: np.ndarray, filters: Sequence[int]
            ) -> tuple[np.ndarray, np.ndarray]:
    """Return each filter's mean output for its image (filters,), and the gradients by the images.
    """
    x = leaf(images)
    with in_use(model), config.enable_grad():
        y = output_at(model, x, layer)
        gradient = np.zeros(y.shape, y.dtype)
        for i, k in enumerate(filters):
            gradient[i, :, :, k] = 1 / (y.shape[1] * y.shape[2])
        y.backward(gradient)
    means = y.array.mean(axis=(1, 2), dtype=np.float64)[range(len(filters)), list(filters)]
    return means, np.zeros_like(images) if x.grad is None else x.grad.array


def smoothed(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) as means with weights 1 2 1 along both sides; edges are repeated.

    >>> smoothed(np.array([0.0, 4.0, 0.0]).reshape(1, 1, 3, 1)).ravel().tolist()
    [1.0, 2.0, 1.0]
    """
    for axis in (1, 2):
        padding = [(1, 1) if i == axis else (0, 0) for i in range(4)]
        wide, length = np.pad(images, padding, mode="edge"), images.shape[axis]
        parts = [weight * wide.take(range(i, i + length), axis) for i, weight in enumerate(BLUR)]
        images = np.sum(parts, axis=0)
    return images


# ---- the picture ---------------------------------------------------------------------------


def filter_patterns(model: Any, layer: str, filters: int | Sequence[int] | None = None,
                    limit: int = 36, title: str | None = None, **ascent: Any) -> Figure:
    """Show images that excite filters of a layer most, each normalised, in a square grid.

    A filter is titled by its number and its mean output for the image; "silent" ones give 0
    for every noise to start from, so there was nothing to follow, and are shown in grey.

    Args:
        model, layer, filters: as in `pattern_values`.
        limit: show the first `limit` filters, where none are named.
        title: of the whole.
        ascent: further arguments of `pattern_values`.

    Raises:
        ArgumentError, ShapeError: as in `pattern_values`.
    """
    shape = input_shape("filter_patterns", model, ascent.get("size"))
    total = len(_filters(model, layer, shape, None))
    wanted = range(min(total, limit)) if filters is None else filters
    found = pattern_values(model, layer, wanted, **ascent)
    rows, columns = square_grid(len(found.filters))
    inches = max(min(8.4 / columns, 3.0), 0.9)
    heading = f"What excites the filters of layer {layer}" if title is None else title
    figure = new_figure(max(columns * inches, 3.6), rows * (inches * shape[0] / shape[1] + 0.2)
                        + 0.4, heading)
    silent = (found.before == 0) & (found.after == 0)
    for i, axes in enumerate(picture_axes(figure, rows, columns, len(found.filters))):
        picture = displayable("filter_patterns", visible(found.images[i] * (not silent[i])))
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        said = "silent" if silent[i] else f"{found.after[i]:.2g}"
        axes.set_title(f"{found.filters[i]}: {said}", fontsize=8, pad=2)
    return figure


def filter_pattern(model: Any, layer: str, filter: int, title: str | None = None, **ascent: Any
                   ) -> Figure:
    """Show the image that excites one filter of a layer most.

    Args:
        model, layer: as in `pattern_values`.
        filter: its number.
        title: of the whole.
        ascent: further arguments of `pattern_values`.

    Raises:
        ArgumentError, ShapeError: as in `pattern_values`.
    """
    heading = f"What excites filter {filter} of layer {layer}" if title is None else title
    return filter_patterns(model, layer, [filter], title=heading, **ascent)


def visible(image: np.ndarray) -> np.ndarray:
    """Return an image with the mean 0.5 and the standard deviation `CONTRAST`, within [0, 1].

    >>> visible(np.array([1.0, 3.0])).round(2).tolist()
    [0.32, 0.68]
    """
    return np.clip((image - image.mean()) / (image.std() + TINY) * CONTRAST + 0.5, 0, 1)
