"""The training loop: epochs of steps, validation, callbacks, a clean end at Ctrl+C, resuming."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import ref

from ..errors import ArgumentError
from ..watch import mode
from . import resume as resuming
from .callback import Callback, CallbackList, History, Logs
from .feed import Batch, Feed
from .interrupt import Interruption
from .late import LateLogs
from .replay import Steps
from .step import Compiled, Tracker, build, judge


class Run:
    """A run of `fit`: what is trained on what, and how far it has got.

    Attributes:
        model: the model.
        epoch: the present epoch, from 0; in `on_epoch_end` the next one already.
        epochs: the epoch at which to stop.
        step: batches done in this epoch; 0 in `on_epoch_end`.
        done: the same, but not set back at the epoch's end.
        seconds: how long the batches of this epoch took.
        waited: how long it waited for them to come.
        unit: "images" where a batch has four axes, else "samples".
        history: figures of the epochs done.
    """

    def __init__(self, model: Any, how: Compiled, feed: Feed, validation: Feed | None,
                 callbacks: Sequence[Callback], epochs: int, initial_epoch: int = 0) -> None:
        self.model, self.how, self.feed, self.validation = model, how, feed, validation
        self.epoch, self.epochs, self.step = initial_epoch, epochs, 0
        self.tracker = Tracker(how.metrics, private=True)
        self.history = History()
        self.callbacks = CallbackList([self.history, *callbacks], self)
        self.interruption = Interruption()
        self._train_on: Any = None  # what trains on a batch, while it runs
        self.seconds, self.waited, self.done, self.unit = 0.0, 0.0, 0, "samples"

    @property
    def steps(self) -> int:
        """Number of batches in an epoch."""
        return len(self.feed)

    @property
    def samples(self) -> int:
        """Number of samples that this epoch has trained on."""
        return self.tracker.samples

    @property
    def checkpoints(self) -> list[resuming.Checkpoint]:
        """The callbacks that save what resuming needs."""
        return [c for c in self.callbacks.all if isinstance(c, resuming.Checkpoint)]

    # ---- epochs ----

    def train(self, resume: Any = None, learning_rate: Any = None) -> History:
        """Train to the end, or to where a callback or Ctrl+C stops it."""
        with self.interruption:
            try:
                self._train(resume, learning_rate)
            finally:
                self._train_on = None  # its memory: the history that fit returns knows this run
                self.callbacks("close")
        if self.history.interrupted:
            print(self._how_to_go_on(), file=sys.stderr, flush=True)
        return self.history

    def _train(self, resume: Any, learning_rate: Any) -> None:
        build(self.model, self.feed.epoch())
        check_trainable(self.model)
        self.model.stop_training = False
        self.callbacks("on_train_begin")
        if resume:
            resuming.restore(self, resume)
        if learning_rate is not None:
            self.how.optimizer.learning_rate = learning_rate
        for checkpoint in self.checkpoints:
            checkpoint.check_folder()
        self._train_on = Steps(self.model, self.how, self.tracker, self.model.parameters())
        with mode(self.model, training=True):
            while not self._done and not self.interruption.asked:
                self._epoch()
        if self.interruption.asked and not self._done:
            self.history.interrupted = True
            self.callbacks("on_interrupt")
        self.callbacks("on_train_end")

    @property
    def _done(self) -> bool:
        return self.epoch >= self.epochs or (self.model.stop_training and self.step == 0)

    def _epoch(self) -> None:
        if self.step == 0:
            self.tracker.reset()
            self.seconds = self.waited = 0.0
            self.callbacks("on_epoch_begin", self.epoch)
        self._batches()
        if self.interruption.asked:
            return
        logs = self.tracker.logs()
        if self.validation is not None:
            logs.update(self._validate(self.validation))
        if self.interruption.asked:
            return
        logs["learning_rate"] = float(self.how.optimizer.learning_rate)
        ended, self.epoch, self.step = self.epoch, self.epoch + 1, 0
        self.callbacks("on_epoch_end", ended, logs)

    def _batches(self) -> None:
        start = time.perf_counter()
        for batch in self._arriving():
            self.callbacks("on_batch_begin", self.step)
            self._train_on(batch)
            now = time.perf_counter()
            self.step += 1
            self.seconds, start = self.seconds + now - start, now
            self.done = self.step
            self.unit = "images" if getattr(batch.x, "ndim", 0) == 4 else "samples"
            self._batch_ended()
            if self.model.stop_training or self.interruption.asked:
                return

    def _batch_ended(self) -> None:
        """Tell the callbacks; figures that nobody reads are not waited for."""
        logs = LateLogs(self.tracker)
        self.callbacks("on_batch_end", self.step - 1, logs)
        late = ref(logs)
        del logs
        if (kept := late()) is not None:  # somebody may read it after the next batch
            kept.settle()

    def _arriving(self) -> Iterator[Batch]:
        """Yield the batches of the epoch, and count how long each lets wait."""
        batches = self.feed.epoch(self.epoch, self.step)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def _validate(self, validation: Feed) -> Logs:
        tracker = Tracker(self.how.metrics)
        judge(self.model, self.how, validation.epoch(), tracker, lambda: self.interruption.asked)
        return tracker.logs("val_")

    def _how_to_go_on(self) -> str:
        where = f"Stopped in epoch {self.epoch + 1} after {self.step} of {self.steps} steps."
        if not self.checkpoints:
            return f"{where} Nothing was saved; model.save(PATH) keeps the weights as they are now."
        folder = self.checkpoints[0].folder
        return f'{where} All is saved in {folder}; to go on, call fit with resume="{folder}".'


def check_trainable(model: Any) -> None:
    """Raise unless there is something to train."""
    if not model.trainable_parameters():
        raise ArgumentError("fit", "got a model without trainable weights", "expected at least one",
                            "Set trainable = True on a layer.")
