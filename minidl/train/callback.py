"""What callbacks are: the moments they are called at, their state, and the history they see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, CheckpointError

if TYPE_CHECKING:
    from .loop import Run

Logs = Mapping[str, float]


class Callback:
    """Base of the callbacks: override the moments of interest.

    A run that was resumed in the middle of an epoch does not call `on_epoch_begin` for it again:
    what a callback remembers belongs into `state_dict`.

    Attributes:
        run: the run in progress: its model, epoch, step and history.

    >>> class Shout(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(f"EPOCH {epoch}!")
    """

    run: Run
    last = False  # called after all others, so that it sees what they did

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self.run.model

    def on_train_begin(self) -> None:
        """Called before the first epoch."""

    def on_train_end(self) -> None:
        """Called after the last epoch, also where the run was stopped."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Called before the first batch of an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Called after an epoch and its validation."""

    def on_batch_begin(self, step: int) -> None:
        """Called before each batch of an epoch."""

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Called after each batch with the means of the epoch so far."""

    def on_interrupt(self) -> None:
        """Called when Ctrl+C has ended the run, before `on_train_end`."""

    def close(self) -> None:
        """Called at the very end, after errors too: let go of files and of the screen."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: arrays, numbers, texts, dicts and lists of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned; called after `on_train_begin`."""


class History(Callback):
    """What `fit` returns: the figures of every epoch.

    Attributes:
        history: lists by name, such as "loss", "val_accuracy" and "learning_rate".
        epoch: numbers of the epochs in these lists.
        seconds: how long each epoch trained, validation not counted.
        waited: how much of that each waited for its batches.
        interrupted: whether Ctrl+C ended the run.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds: list[float] = []
        self.waited: list[float] = []
        self.interrupted = False

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Take over the figures of an epoch."""
        self.epoch.append(epoch)
        self.seconds.append(self.run.seconds)
        self.waited.append(self.run.waited)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.epoch)} epochs{last and f'; the last: {last}'})"

    def state_dict(self) -> dict[str, Any]:
        """Return the lists."""
        return {"history": self.history, "epoch": self.epoch, "seconds": self.seconds,
                "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over lists that `state_dict` returned."""
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.epoch, self.seconds = list(state["epoch"]), list(state["seconds"])
        self.waited = list(state.get("waited", [0.0] * len(self.seconds)))


class CallbackList:
    """Calls all callbacks, those that must see the others' work last."""

    def __init__(self, callbacks: Sequence[Callback], run: Run) -> None:
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError("fit", f"got {callback!r} among callbacks",
                                    "expected Callback objects", "Derive it from Callback.")
            _check_moments(type(callback))
            callback.run = run
        self.all = sorted(callbacks, key=lambda c: c.last)

    def __call__(self, moment: str, *arguments: Any) -> None:
        """Call the method of this name on each callback."""
        for callback in self.all:
            getattr(callback, moment)(*arguments)

    def _named(self) -> dict[str, Callback]:
        """Return the callbacks by class name, numbered where there are several of a class."""
        named: dict[str, Callback] = {}
        for callback in self.all:
            kind = type(callback).__name__
            same = sum(type(c).__name__ == kind for c in named.values())
            named[f"{kind}_{same}" if same else kind] = callback
        return named

    def state_dict(self) -> dict[str, Any]:
        """Return the states of those that have one."""
        states = {name: callback.state_dict() for name, callback in self._named().items()}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, states: Mapping[str, Any]) -> None:
        """Give every saved state to the callback that it belongs to."""
        named = self._named()
        missing = sorted(set(states) - set(named))
        if missing:
            raise CheckpointError("fit", f"the checkpoint holds the state of {', '.join(missing)}",
                                  f"the callbacks are {', '.join(named)}",
                                  "Resume with the callbacks that the run began with.")
        for name, state in states.items():
            named[name].load_state_dict(state)


def _check_moments(kind: type[Callback]) -> None:
    """Raise for methods that look like moments, such as those of Keras, and would not be called."""
    known = [name for name in dir(Callback) if name.startswith("on_")]
    for name in dir(kind):
        if name.startswith("on_") and name not in known:
            raise ArgumentError(kind.__name__, f"has a method {name}, which is never called",
                                f"the moments are {', '.join(known)}", "Rename it.")


def need_log(where: str, monitor: str, logs: Logs) -> float:
    """Return the monitored figure; raise where there is none of that name."""
    if monitor not in logs:
        raise ArgumentError(where, f"got monitor={monitor!r}",
                            f"the figures of an epoch are {', '.join(logs)}",
                            "Compile with that metric, or give validation data for val_ figures.")
    return logs[monitor]


class Best:
    """Keeps the best value of a figure.

    Args:
        mode: "min", "max", or "auto": "max" for accuracies, precision, recall and F1.
    """

    def __init__(self, where: str, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(where, f"got mode={mode!r}", 'expected "auto", "min" or "max"',
                                "Change mode.")
        high = any(word in monitor for word in ("acc", "precision", "recall", "f1", "auc"))
        self.sign = 1.0 if mode == "max" or (mode == "auto" and high) else -1.0
        self.min_delta = abs(min_delta)
        self.reset()

    def reset(self) -> None:
        """Forget the best value."""
        self.value: float | None = None

    def improved(self, value: float) -> bool:
        """Say whether a value beats the best one by more than min_delta, and keep it then."""
        better = value == value and (  # not-a-number never is
            self.value is None or self.sign * (value - self.value) > self.min_delta)
        if better:
            self.value = value
        return better
