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
class Stage:
    """A part of a training with an optimizer of its own.

    Attributes:
        epochs: how long it takes; in a run of another length every stage has its share.
        optimizer: returns a fresh optimizer.
        train_from: the first layer that is trained, by name or position; those before are frozen.
    """

    epochs: int
    optimizer: Callable[..., Any]
    train_from: int | str = 0


@dataclass(frozen=True)
class Features:
    """The layer of a trained network whose outputs, taken once, are what an experiment trains on.

    Attributes:
        network: returns the network; it takes `weights`.
        layer: name or position of the layer; None for the network's output.
        pooling: None flattens outputs (H, W, C); "avg" and "max" are over positions.
        batch_size: samples in a pass through the network.
    """

    network: Callable[..., Any]
    layer: int | str | None = None
    pooling: str | None = None
    batch_size: int = 32


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
            so many (`schedule.py`); a user's --lr is its highest one.
        pretrained: network of `minidl.models` whose published weights `model` or `features` begins
            with; it takes `weights`, and the images are prepared as the weights want them.
        stages: parts of the training with other layers frozen and other optimizers, one after the
            other; `epochs` is their sum, and `optimizer` that of the first one.
        features: what `model` is trained on in place of the images; the samples pass through that
            network once.
        grid: strengths of a logistic regression that is fitted to the features; `model` is the
            dense layer that its weights go into.
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
    pretrained: str | None = None
    stages: tuple[Stage, ...] = ()
    features: Features | None = None
    grid: tuple[float, ...] = ()
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
