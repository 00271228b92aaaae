"""What a named experiment consists of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..data.classes import Classes
from ..errors import ArgumentError
from ..train.callback import Callback
from .data import Data, Folder


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
        schedule: `schedule(epoch, epochs)` is the learning rate of an epoch, from 0, in a run of
            so many (`schedule.py`); a user's --lr replaces it.
        callbacks: returns further callbacks of the training; a rate by epoch belongs into
            `schedule`, where a user can replace it.
        loss: name of the loss.
        metrics: names of the metrics.
        epochs: passes over the training data.
        steps: batches in all, where the source counts those; the last epoch ends early then.
        batch_size: samples in a training step.
        test_batch_size: samples in a step of evaluation.
        workers: threads that prepare batches ahead.
        ten_crops: (height, width) of crops by which the test is taken once more.
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
    steps: int | None = None
    metrics: tuple[str, ...] = ("accuracy",)
    batch_size: int = 64
    test_batch_size: int = 1000
    workers: int = 0
    ten_crops: tuple[int, int] | None = None
    seed: int = 1
    members: int = 1
    schedule: Callable[[int, int], float] | None = None
    callbacks: Callable[[], Sequence[Callback]] = tuple
    notes: str = ""

    def at(self, folder: Folder, classes: Classes = None, names: Sequence[str] | None = None
           ) -> Recipe:
        """Return the experiment on the data of a folder, or on some of its classes.

        Args:
            names: of all classes, if they are known without the folder.

        Raises:
            ArgumentError: the network cannot be cut by class, or there is no such class.
            DataError: the folder holds no such data.
        """
        if classes is None and not callable(self.data.names):
            return self
        data = self.data.at(folder, classes, names)
        if "classes" not in inspect.signature(self.model).parameters:
            raise ArgumentError("classes", f"got {classes}",
                                f"the network of {self.name} has a fixed number of classes",
                                "Leave it out.")
        return replace(self, data=data, model=partial(self.model, classes=len(data.class_names)))
