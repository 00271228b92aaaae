"""What a named experiment consists of."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..data import datasets
from ..errors import ArgumentError
from ..train.callback import Callback

Part = tuple[np.ndarray, np.ndarray]
Folder = str | os.PathLike[str] | None
Classes = int | Sequence[int | str]


@dataclass(frozen=True)
class Data:
    """A data set and how its samples become the input of a model.

    Attributes:
        name: of the data set, as people call it.
        load: `load(folder)` returns (x_train, y_train), (x_test, y_test) as stored; the folder is
            None where the user names none. One that also takes `classes`, a list of names or
            numbers or how many of the first, can be cut by class; labels then count from 0.
        image: turns stored images (N, H, W, C) of uint8 into the model's input.
        label: turns stored labels (N,) into what the loss takes.
        class_names: by label.
        shape: (H, W, C) of an image.
    """

    name: str
    load: Callable[..., tuple[Part, Part]]
    image: Callable[[np.ndarray], np.ndarray]
    label: Callable[[np.ndarray], np.ndarray]
    class_names: Sequence[str]
    shape: tuple[int, int, int]

    def transform(self, batch: tuple[np.ndarray, ...], epoch: int, indices: np.ndarray
                  ) -> tuple[np.ndarray, ...]:
        """Return a stored batch as the model takes it; a `DataLoader` calls it."""
        return self.image(batch[0]), self.label(batch[1])

    def cut(self, classes: Classes) -> Data:
        """Return the data of these classes only, in this order.

        Raises:
            ArgumentError: the data set cannot be cut by class, or there is no such class.
        """
        if "classes" not in inspect.signature(self.load).parameters:
            raise ArgumentError("classes", f"got {classes}",
                                f"{self.name} cannot be cut by class", "Leave it out.")
        names = chosen(self.class_names, classes)
        return replace(self, load=partial(self.load, classes=classes), class_names=names,
                       label=lambda labels: _columns(self.label(labels), len(names)))


def chosen(names: Sequence[str], classes: Classes) -> list[str]:
    """Return the names of the classes that are named, numbered, or the first so many.

    Raises:
        ArgumentError: there is no such class, or fewer than two are chosen.

    >>> chosen(["cat", "dog", "cow"], 2), chosen(["cat", "dog", "cow"], ["cow", 0])
    (['cat', 'dog'], ['cow', 'cat'])
    """
    wanted = range(classes) if isinstance(classes, int) else classes
    numbers = [c if isinstance(c, int) else list(names).index(c) if c in names else -1
               for c in wanted]
    if len(set(numbers)) < max(len(numbers), 2) or not all(0 <= n < len(names) for n in numbers):
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ArgumentError("classes", f"got {classes}", "expected two or more different ones of "
                            f"{listed}, or their numbers from 0 to {len(names) - 1}",
                            "Change the classes.")
    return [names[n] for n in numbers]


def _columns(labels: np.ndarray, count: int) -> np.ndarray:
    """Return labels with so many columns, where they are one-hot."""
    return labels[:, :count] if labels.ndim == 2 and labels.shape[1] > count else labels


@dataclass(frozen=True)
class Recipe:
    """A named experiment: everything that training it needs.

    Attributes:
        name: of the experiment, as on the command line.
        source: where it is taught.
        printed: the result printed there.
        data: data set and preprocessing.
        model: returns a fresh model; one that takes `classes` can be cut by class.
        optimizer: returns a fresh optimizer; keyword arguments replace its settings.
        schedule: learning rate by epoch, in place of the optimizer's; a user's --lr replaces it.
        callbacks: returns further callbacks of the training; a rate by epoch belongs into
            `schedule`, where a user can replace it.
        loss: name of the loss.
        metrics: names of the metrics.
        epochs: passes over the training data.
        batch_size: samples in a training step.
        test_batch_size: samples in a step of evaluation.
        seed: of initial weights, dropout and the order of samples.
        members: networks to train, with seeds from `seed` on, and to average; 1 for no ensemble.
        notes: what differs from the source, if anything.
    """

    name: str
    source: str
    printed: str
    data: Data
    model: Callable[..., Any]
    optimizer: Callable[..., Any]
    loss: str
    epochs: int
    metrics: tuple[str, ...] = ("accuracy",)
    batch_size: int = 64
    test_batch_size: int = 1000
    seed: int = 1
    members: int = 1
    schedule: Callable[[int], float] | None = None
    callbacks: Callable[[], Sequence[Callback]] = tuple
    notes: str = ""

    def cut(self, classes: Classes) -> Recipe:
        """Return the experiment on these classes only.

        Raises:
            ArgumentError: data or network cannot be cut by class, or there is no such class.
        """
        if "classes" not in inspect.signature(self.model).parameters:
            raise ArgumentError("classes", f"got {classes}",
                                f"the network of {self.name} has a fixed number of classes",
                                "Leave it out.")
        data = self.data.cut(classes)
        return replace(self, data=data, model=partial(self.model, classes=len(data.class_names)))


# ---- preprocessing -------------------------------------------------------------------------


def unit_range(images: np.ndarray) -> np.ndarray:
    """Return pixels 0 to 255 as float32 in [0, 1].

    >>> unit_range(np.array([0, 255], np.uint8)).tolist()
    [0.0, 1.0]
    """
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)


def normalised(mean: float, std: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from pixels 0 to 255 to float32 (pixel / 255 - mean) / std.

    >>> normalised(0.5, 0.5)(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    scale, shift = np.float32(1 / (255 * std)), np.float32(mean / std)
    return lambda images: np.multiply(images, scale, dtype=np.float32) - shift


def one_hot(classes: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from labels (N,) to float32 rows (N, classes) with a single 1.

    >>> one_hot(3)(np.array([2, 0])).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return lambda labels: np.eye(classes, dtype=np.float32)[labels]


def as_stored(values: np.ndarray) -> np.ndarray:
    """Return values as they are."""
    return values


# ---- data sets -----------------------------------------------------------------------------


def mnist(image: Callable[[np.ndarray], np.ndarray],
          label: Callable[[np.ndarray], np.ndarray] = as_stored) -> Data:
    """Return MNIST with this preprocessing: 60,000 + 10,000 digits."""
    return Data("MNIST", datasets.mnist.load_data, image, label, datasets.mnist.CLASS_NAMES,
                (28, 28, 1))


def digits(image: Callable[[np.ndarray], np.ndarray],
           label: Callable[[np.ndarray], np.ndarray] = as_stored) -> Data:
    """Return the 10,000 + 2,000 digits that come with minidl, with this preprocessing."""
    return Data("shipped digits", _shipped, image, label, datasets.digits.CLASS_NAMES,
                (28, 28, 1))


def _shipped(folder: Folder) -> tuple[Part, Part]:
    if folder is not None:
        raise ArgumentError("data", f"got {folder}", "the demo has its own digits",
                            "Leave --data out, or train lecture_mnist.")
    return datasets.digits.load_data()
