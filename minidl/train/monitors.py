"""Callbacks that watch the figures: keep the best model, stop, lower the learning rate."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..spec import tuple_of
from .callback import Best, Callback, Logs, need_log


class ModelCheckpoint(Callback):
    """Saves the model after each epoch, or after each that is the best so far.

    Args:
        path: file to write; may hold fields such as "{epoch:02d}" (from 1) and "{val_loss:.3f}".
        monitor: the figure that says which is best.
        save_best_only: write only where the figure improved.
        mode: "min", "max" or "auto" (by the figure's name).
        save_weights_only: leave out architecture and optimizer.

    Raises:
        ArgumentError: there is no such figure or field.
        CheckpointError: the file cannot be written; an older one of that name is unharmed.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str = "val_loss",
                 save_best_only: bool = False, mode: str = "auto",
                 save_weights_only: bool = False) -> None:
        self.path = os.fspath(path)
        self.monitor, self.save_best_only = monitor, save_best_only
        self.save_weights_only = save_weights_only
        self.best = Best("ModelCheckpoint", monitor, mode)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Save where that is due."""
        if self.save_best_only and not self.best.improved(
                need_log("ModelCheckpoint", self.monitor, logs)):
            return
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(self._file(epoch, logs))

    def _file(self, epoch: int, logs: Logs) -> str:
        try:
            return self.path.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as error:
            raise ArgumentError("ModelCheckpoint", f"got path={self.path!r} ({error!r})",
                                f"the fields are epoch, {', '.join(logs)}",
                                "Change the fields.") from error

    def state_dict(self) -> dict[str, Any]:
        """Return the best figure."""
        return {"best": self.best.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the best figure."""
        self.best.value = state["best"]


class EarlyStopping(Callback):
    """Stops training when a figure has not improved for `patience` epochs.

    Args:
        monitor: the figure.
        patience: epochs without improvement after which training ends.
        min_delta: smaller improvements do not count.
        restore_best_weights: end with the weights of the best epoch instead of the last.
        mode: "min", "max" or "auto" (by the figure's name).

    Attributes:
        stopped_epoch: the epoch after which it stopped, None if it did not.
    """

    def __init__(self, monitor: str = "val_loss", patience: int = 0, min_delta: float = 0.0,
                 restore_best_weights: bool = False, mode: str = "auto") -> None:
        self.monitor = monitor
        self.patience, = tuple_of("EarlyStopping", "patience", patience, 1, lowest=0)
        self.restore_best_weights = restore_best_weights
        self.best = Best("EarlyStopping", monitor, mode, min_delta)
        self.on_train_begin()

    def on_train_begin(self) -> None:
        """Start to count."""
        self.best.reset()
        self.wait = 0
        self.stopped_epoch: int | None = None
        self.best_weights: dict[str, np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Keep the best weights, or stop."""
        if self.best.improved(need_log("EarlyStopping", self.monitor, logs)):
            self.wait = 0
            if self.restore_best_weights:
                self.best_weights = self.model.state_dict()
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self) -> None:
        """Put the best weights back."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the count, the best figure and its weights."""
        return {"best": self.best.value, "wait": self.wait, "stopped_epoch": self.stopped_epoch,
                "best_weights": self.best_weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.best.value, self.wait = state["best"], int(state["wait"])
        self.stopped_epoch, self.best_weights = state["stopped_epoch"], state["best_weights"]


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by `factor` when a figure has not improved for some epochs.

    Args:
        monitor: the figure.
        factor: below 1.
        patience: epochs without improvement before that.
        min_delta: smaller improvements do not count.
        cooldown: epochs after a change in which nothing is counted.
        min_lr: the learning rate goes no lower.
        mode: "min", "max" or "auto" (by the figure's name).
    """

    def __init__(self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10,
                 min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0,
                 mode: str = "auto") -> None:
        if not 0 < factor < 1:
            raise ArgumentError("ReduceLROnPlateau", f"got factor={factor}",
                                "expected above 0 and below 1", "Change factor.")
        self.monitor, self.factor, self.patience = monitor, factor, patience
        self.cooldown, self.min_lr = cooldown, min_lr
        self.best = Best("ReduceLROnPlateau", monitor, mode, min_delta)
        self.on_train_begin()

    def on_train_begin(self) -> None:
        """Start to count."""
        self.best.reset()
        self.wait, self.cooling = 0, 0

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Count, and lower the learning rate where that is due."""
        improved = self.best.improved(need_log("ReduceLROnPlateau", self.monitor, logs))
        cooling = self.cooling > 0
        self.cooling = max(self.cooling - 1, 0)
        if improved or cooling:
            self.wait = 0
            return
        self.wait += 1
        optimizer = self.model.optimizer
        if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
            optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
            self.wait, self.cooling = 0, self.cooldown

    def state_dict(self) -> dict[str, Any]:
        """Return the counts and the best figure."""
        return {"best": self.best.value, "wait": self.wait, "cooling": self.cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.best.value = state["best"]
        self.wait, self.cooling = int(state["wait"]), int(state["cooling"])


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Args:
        schedule: function of the epoch (from 0), or of the epoch and the present learning rate; an
            object of `minidl.schedules` counts epochs here.
    """

    def __init__(self, schedule: Callable[..., float]) -> None:
        self.schedule = schedule
        self.takes_rate = _takes(schedule, 2)

    def on_epoch_begin(self, epoch: int) -> None:
        """Ask the function, and set the learning rate."""
        optimizer = self.model.optimizer
        now = (float(optimizer.learning_rate),) if self.takes_rate else ()
        rate = self.schedule(epoch, *now)
        if not isinstance(rate, (int, float, np.floating)):
            raise ArgumentError("LearningRateScheduler", f"schedule({epoch}, ...) gave {rate!r}",
                                "expected a number", "Return the learning rate.")
        optimizer.learning_rate = float(rate)


def _takes(function: Callable, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


class StopAfter(Callback):
    """Ends training after so many steps in all, those before a restart counted.

    >>> callbacks = [StopAfter(11_120)]
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Stop where the last step is done."""
        if self.run.epoch * self.run.steps + step + 1 >= self.steps:
            self.model.stop_training = True


class TerminateOnNaN(Callback):
    """Stops training when the loss is infinite or not a number."""

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Look at the loss."""
        if not math.isfinite(logs["loss"]):
            print(f"Loss is {logs['loss']} after batch {step} of epoch {self.run.epoch + 1}: "
                  "stopping. Lower the learning rate, or find the layer with trace_nan().")
            self.model.stop_training = True
