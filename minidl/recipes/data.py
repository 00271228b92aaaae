"""What an experiment is trained on: a data set, and how its samples become the input of a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import HDF5Source, Pipeline, Rows
from ..data.classes import Classes, choose, chosen_classes
from ..data.pipeline import Draws, Step
from ..errors import ArgumentError, DataError, ShapeError
from .prepare import integers

Part = tuple[Any, np.ndarray]  # a source of samples, and their labels (N,)
Folder = str | os.PathLike[str] | None
PACKED = "train", "val", "test"
"""Names of the parts that `minidl build` packs into HDF5 files."""
IN_MEMORY = 2 << 30  # bytes; what is smaller is decoded once


@dataclass(frozen=True)
class Data:
    """A data set and how its samples become the input of a model.

    Training: crop, image, less the mean, augment. Elsewhere: test_crop, image, less the mean.

    Attributes:
        name: of the data set, as people call it.
        load: `load(folder)` returns the parts, training and test or training, validation and
            test, each samples as stored and integer labels; the folder is None where the user
            names none.
        image: turns stored samples into floats.
        names: of all classes, by label, or a function of the folder where they are found there.
        shape: of a sample as the model takes it.
        label: turns labels (N,), with the number of classes, into what the loss takes.
        crop, test_crop: steps on stored images, before all else.
        mean: what is subtracted, computed from the training samples (`mean_image`).
        augment: steps on the images in training, after all else.
        chosen: labels of the classes that are used; None for all.
    """

    name: str
    load: Callable[[Folder], Sequence[Part]]
    image: Callable[[np.ndarray], np.ndarray]
    names: Sequence[str] | Callable[[Folder], Sequence[str]]
    shape: tuple[int, ...]
    label: Callable[[np.ndarray, int], np.ndarray] = integers
    crop: Step | None = None
    test_crop: Step | None = None
    mean: Callable[[Any], np.ndarray] | None = None
    augment: tuple[Step, ...] = ()
    chosen: tuple[int, ...] | None = None

    @property
    def class_names(self) -> list[str]:
        """Names of the classes that are used, by label."""
        if callable(self.names):
            raise ArgumentError("data", f"the classes of {self.name} are not known yet",
                                "they are found in its folder", "Name the folder with --data.")
        return list(self.names) if self.chosen is None else [self.names[i] for i in self.chosen]

    def at(self, folder: Folder, classes: Classes = None, names: Sequence[str] | None = None
           ) -> Data:
        """Return the data of a folder, with its classes known, or some of them.

        Args:
            names: of all classes, if they are known without the folder.

        Raises:
            ArgumentError: there is no such class, or fewer than two are left.
            DataError: the folder holds no such data.
        """
        found = replace(self, names=names or self._names(folder))
        if classes is None:
            return found
        chosen = chosen_classes("classes", found.names, classes)  # type: ignore[arg-type]
        if len(chosen) < 2:
            raise ArgumentError("classes", f"got {classes}", "expected two or more of them",
                                "Name more.")
        return replace(found, chosen=tuple(chosen))

    def _names(self, folder: Folder) -> Sequence[str]:
        if not callable(self.names):
            return self.names
        packed = _packed(folder)
        return packed[0][0].label_names if packed else self.names(folder)

    def stored(self, folder: Folder, limit: int | None = None) -> list[Part]:
        """Return the parts of the data: training, maybe validation, test.

        Samples are read from the HDF5 files of `minidl build` where the folder holds them.

        Args:
            limit: how many samples of each part are used, taken evenly from all of it.
        """
        loaded = _packed(folder) or self.load(folder)
        return [_limited(self._cut(part), limit) for part in loaded]

    def parts(self, folder: Folder, limit: int | None = None) -> list[Part]:
        """Return the same; small sets are decoded once, into memory."""
        return [_kept(part) for part in self.stored(folder, limit)]

    def _cut(self, part: Part) -> Part:
        if self.chosen is None:
            return part
        rows, labels, _ = choose(self.name, part[1], self.names,  # type: ignore[arg-type]
                                 self.chosen)
        return _rows(part[0], rows), labels

    def prepared(self, training: bool, mean: np.ndarray | None, seed: int = 0,
                 whole: bool = False) -> Prepared:
        """Return what turns a stored batch into one that the model takes.

        Args:
            training: with random crops and augmentation.
            mean: what `mean` gave for the training samples.
            seed: which numbers are drawn.
            whole: leave images uncropped, for who crops them later.
        """
        crop = None if whole else self.crop if training else self.test_crop
        steps = [step for step in (crop, self._step(mean)) if step is not None]
        more = self.augment if training else ()
        return Prepared(Pipeline(*steps, *more, seed=seed), self.label, len(self.class_names))

    def _step(self, mean: np.ndarray | None) -> _Image:
        return _Image(self.image, None if mean is None else self.image(mean))


@dataclass(frozen=True)
class Prepared:
    """Turns stored batches into those that a model takes; a `transform` of `DataLoader`."""

    pipeline: Pipeline
    label: Callable[[np.ndarray, int], np.ndarray]
    classes: int

    def __call__(self, batch: tuple[np.ndarray, ...], epoch: int = 0,
                 indices: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """Return samples and labels; of samples alone, the samples."""
        images = self.pipeline(batch[0], epoch, indices)
        return (images, *[self.label(labels, self.classes) for labels in batch[1:]])


@dataclass(frozen=True)
class _Image:
    """The step from stored samples to floats."""

    image: Callable[[np.ndarray], np.ndarray]
    mean: np.ndarray | None

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        floats = self.image(images)
        if self.mean is None:
            return floats
        if self.mean.ndim > 1 and floats.shape[1:] != self.mean.shape:
            raise ShapeError("mean", f"got images of shape {floats.shape}",
                             f"the mean image has {self.mean.shape}", "Give images of that size.")
        return np.subtract(floats, self.mean, dtype=np.float32)


# ---- parts ---------------------------------------------------------------------------------


def _packed(folder: Folder) -> list[Part]:
    """Return the parts in the HDF5 files of a folder, none where it has none."""
    if folder is None:
        return []
    files = [Path(folder) / f"{name}.hdf5" for name in PACKED]
    if not files[0].is_file():
        return []
    return [_labelled(HDF5Source(file)) for file in files if file.is_file()]


def _labelled(source: HDF5Source) -> Part:
    if source.labels is None:
        raise DataError(str(source.path), "the file has no labels", "expected those of its samples",
                        "Pack it with minidl build.")
    return source, source.labels


def _limited(part: Part, limit: int | None) -> Part:
    x, y = part
    if limit is None or limit >= len(y):
        return part
    rows = np.arange(limit) * len(y) // limit  # files often lie class by class
    return _rows(x, rows), y[rows]


def _kept(part: Part) -> Part:
    x, y = part
    nbytes = int(np.prod(x.shape)) * x.dtype.itemsize
    return (x, y) if isinstance(x, np.ndarray) or nbytes > IN_MEMORY else (x[:], y)


def _rows(x: Any, rows: np.ndarray) -> Any:
    return x[rows] if isinstance(x, np.ndarray) else Rows(x, rows)
