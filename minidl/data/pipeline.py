"""Chains of steps that change images as they are loaded, and the random numbers they draw.

A step is called as `step(images, draws)` on a batch (N, H, W, C) and returns another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.dropout.op import philox
from .loader import Batch
from .order import checked_seed

_DATA = 1 << 31  # set in the counter's last word, which is 0 in dropout's
_PLACES = 1 << 15
LAYERS = _PLACES - 1
"""The place that the layers of `nn` draw from; steps have those before it."""


class Draws:
    """Random numbers for a batch, each a function of seed, epoch, sample, place and stream alone.

    They come from Philox 4x32-10 (Salmon et al. 2011) and depend neither on the batch that a
    sample is in nor on who asks first.

    Args:
        seed: 0 to 2**63 - 1.
        epoch: 0 to 2**32 - 1.
        indices: (N,), the samples' row numbers in their data set.
        place: number of the step in its pipeline, so that two equal steps draw different numbers.

    >>> Draws(7, 0, np.array([3, 4])).uniform(0, 2).round(2)
    array([[0.28, 0.64],
           [0.66, 0.47]], dtype=float32)
    >>> Draws(7, 0, np.array([4])).uniform(0, 2).round(2)
    array([[0.66, 0.47]], dtype=float32)
    """

    def __init__(self, seed: int, epoch: int, indices: np.ndarray, place: int = 0) -> None:
        self.seed, self.epoch, self.place = int(seed), int(epoch), place
        self.indices = np.asarray(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def at(self, place: int) -> Draws:
        """Return the draws of the same samples at another place."""
        return Draws(self.seed, self.epoch, self.indices, place)

    def uniform(self, stream: int, count: int) -> np.ndarray:
        """Return float32 (N, count) in [0, 1).

        Args:
            stream: 0 to 2**16 - 1; a step that draws twice uses two.
        """
        blocks = -(-count // 4)
        counter = np.empty((len(self.indices), blocks, 4), np.uint64)
        counter[..., 0] = self.indices.astype(np.uint64)[:, None]
        counter[..., 1] = np.arange(blocks)
        counter[..., 2] = self.epoch
        counter[..., 3] = _DATA | self.place << 16 | stream
        words = philox(counter.reshape(-1, 4), self.seed).reshape(-1, 4 * blocks)[:, :count]
        return (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)

    def between(self, low: float, high: float, stream: int = 0) -> np.ndarray:
        """Return float32 (N,), uniform between two bounds."""
        return np.float32(low) + np.float32(high - low) * self.uniform(stream, 1)[:, 0]


Step = Callable[[np.ndarray, Draws], np.ndarray]


class Pipeline:
    """Steps that change the images of a batch in order; a `transform` of `DataLoader`.

    The first array of the batch is changed, the others pass. An image becomes the same for the
    same seed, epoch and row, whatever batch it is in and however many workers there are.

    Args:
        steps: callables `step(images, draws)`, such as those of `minidl.data`.
        seed: 0 to 2**63 - 1; which numbers are drawn.

    Raises:
        ArgumentError: a step cannot be called, or the seed is out of range.
        ShapeError: a step returned another number of images (when the pipeline is called).

    >>> from minidl.data import CenterCrop, ToFloat
    >>> pipeline = Pipeline(CenterCrop(24, 24), ToFloat())
    >>> pipeline
    Pipeline(CenterCrop(height=24, width=24), ToFloat(), seed=0)
    >>> pipeline(np.zeros((2, 32, 32, 3), np.uint8)).shape
    (2, 24, 24, 3)
    """

    def __init__(self, *steps: Step, seed: int = 0) -> None:
        for number, step in enumerate(steps):
            if not callable(step):
                raise ArgumentError("Pipeline", f"got {step!r} as step {number}",
                                    "expected a callable step(images, draws)",
                                    "Give each step as an argument of its own.")
        if len(steps) >= LAYERS:
            raise ArgumentError("Pipeline", f"got {len(steps)} steps",
                                f"expected fewer than {LAYERS}", "Leave some out.")
        self.steps, self.seed = steps, checked_seed("Pipeline", seed)

    @overload
    def __call__(self, batch: np.ndarray, epoch: int = 0, indices: np.ndarray | None = None
                 ) -> np.ndarray: ...

    @overload
    def __call__(self, batch: Batch, epoch: int = 0, indices: np.ndarray | None = None
                 ) -> Batch: ...

    def __call__(self, batch: Batch | np.ndarray, epoch: int = 0,
                 indices: np.ndarray | None = None) -> Batch | np.ndarray:
        """Return the batch with its images changed; of images alone, the images.

        Args:
            batch: a tuple of arrays whose first is images (N, H, W, C), or the images.
            epoch: of the training, counted from 0.
            indices: (N,), the rows of the images in their data set; 0 to N - 1 by default.
        """
        if isinstance(batch, tuple):
            return (self(batch[0], epoch, indices), *batch[1:])
        rows = np.arange(len(batch)) if indices is None else indices
        return self._changed(batch, Draws(self.seed, epoch, rows))

    def _changed(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        for place, step in enumerate(self.steps):
            images = step(images, draws.at(place))
            if len(images) != len(draws):
                raise ShapeError(f"Pipeline, step {place}, {step!r}",
                                 f"returned {len(images)} images", f"expected {len(draws)}",
                                 "A step returns one image for each.")
        return images

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(map(repr, self.steps))}, seed={self.seed})"


def need_images(where: str, images: np.ndarray, channels: tuple[int, ...] = ()) -> np.ndarray:
    """Return images as a C-contiguous array, or raise naming `where`.

    Args:
        channels: the numbers of channels that will do; any by default.

    Raises:
        ShapeError: they are not (N, H, W, C), with such a number of channels.
        DTypeError: they are neither uint8 nor float32.
    """
    if images.ndim != 4:
        raise ShapeError(where, f"got images of shape {images.shape}", "expected (N, H, W, C)",
                         "Write images[..., None] for grey ones, image[None] for a single one.")
    if channels and images.shape[3] not in channels:
        wanted = " or ".join(map(str, channels))
        raise ShapeError(where, f"got images of shape {images.shape}",
                         f"expected (N, H, W, C) with C = {wanted}", "Channels are the last axis.")
    if images.dtype not in (np.uint8, np.float32):
        raise DTypeError(where, f"got images of type {images.dtype}", "expected uint8 or float32",
                         'Convert them: images.astype("float32").')
    return np.ascontiguousarray(images)
