"""The training steps of `fit`: the first ones by the tape, then by replaying a recorded one.

A step of a small network takes as long in Python as in its kernels. Where every step makes the same
calls, only the kernels need to run: the third step with batches of one shape is recorded
(`plan/`), and later ones replay it, to the same bits. The two before it compile the kernels, make
the optimizer's state, and show what a step reads from outside.

Whatever may change a step ends the replaying: another shape or number of threads, a hook, a layer,
weight or optimizer that is not as it was when the step was recorded. Models with code that is not
of minidl are not replayed, unless their classes say `repeatable = True`, as that code may do
something else in every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import config, dispatch, random
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..backend.memory import Pool, use
from ..plan import Recording, Slot, outside, repeatable
from ..spec import spec_of
from .feed import Batch, several
from .step import Compiled, Outcome, Tracker, dtype_of, forward, shares_of, train_step, update


@dataclass
class Recorded:
    """A recorded step.

    Attributes:
        recording: its calls.
        slots: where it reads the inputs, the labels, the shares of the samples and random keys.
        keys: how many of the slots, the last ones, are for random keys.
        outcome: its outputs and losses, which a replay writes anew.
        changes: by how much it moved the versions of the tensors that it changed.
    """

    recording: Recording
    slots: list[Slot]
    keys: int
    outcome: Outcome
    changes: list[tuple[Tensor, int]]

    def replay(self, values: Sequence[np.ndarray]) -> None:
        """Compute the step for other inputs, labels and shares."""
        keys = [random.default.key() for _ in range(self.keys)]
        for slot, array in zip(self.slots, (*values, *keys), strict=True):
            slot.put(array)
        with dispatch.quiet():
            self.recording.replay()
        for tensor, times in self.changes:
            tensor.storage.version += times

    def repeats(self, before: Recorded) -> bool:
        """Say whether the step before did the same."""
        return repeatable(before.recording, self.recording,
                          *[outside(r.recording, r.slots) for r in (before, self)])


class Steps:
    """Trains a model, a batch at a call.

    Args:
        model: a model in training mode.
        tracker: takes every batch into account.
        parameters: those of the model.

    Attributes:
        replayed: number of batches that were trained on by a replay.
    """

    def __init__(self, model: Any, how: Compiled, tracker: Tracker,
                 parameters: Sequence[Parameter]) -> None:
        self.model, self.how, self.tracker, self.parameters = model, how, tracker, parameters
        self.replayed = 0
        self._arena = Pool()
        self._kind: Any = None  # of the batches that are recorded
        self._snapshot: Any = None  # the model as it was then; None if it cannot be replayed
        self._update: Any = None  # and the optimizer
        self._trial: Recorded | None = None
        self._recorded: Recorded | None = None

    def __call__(self, batch: Batch) -> None:
        """Train on a batch."""
        kind = self._kind_of(batch)
        with use(self._arena):
            if dispatch.hooked() or (self._recorded is not None and kind != self._kind):
                self._by_tape(batch)
            elif kind != self._kind or not self._unchanged():
                self._begin(batch, kind)
            elif self._snapshot is None:
                self._by_tape(batch)
            elif self._recorded is None:
                self._record(batch)
            else:
                self._replay(batch, self._recorded)

    def _kind_of(self, batch: Batch) -> tuple[Any, ...]:
        arrays = (*_inputs(batch), batch.y)
        return (*[None if a is None else spec_of(a) for a in arrays], batch.weight is None,
                config.num_threads(), config.avoided())

    def _unchanged(self) -> bool:
        return self._snapshot is None or (
            self._snapshot.holds() and self.how.optimizer.repeats() == self._update)

    # ---- by the tape ----

    def _by_tape(self, batch: Batch) -> Outcome:
        return train_step(self.model, self.how, batch, self.tracker, self.parameters)

    def _begin(self, batch: Batch, kind: tuple[Any, ...]) -> None:
        """Do a step by the tape, and find out whether the next ones may be recorded."""
        self._trial = self._recorded = None
        self._y_pred = self._by_tape(batch).y_pred
        self._kind, self._update = kind, _own_update(self.how)
        self._snapshot = None if self._update is None else self.model.snapshot()

    # ---- recorded ----

    def _record(self, batch: Batch) -> None:
        """Do a step by the tape and record it; the second recording is kept, if it is the same."""
        made = self._recorded_step(batch)
        if self._trial is None:
            self._trial = made
        elif made.repeats(self._trial):
            self._recorded, self._trial = made, None
        else:
            self._snapshot = self._trial = None

    def _recorded_step(self, batch: Batch) -> Recorded:
        x, y = self._converted(batch)
        inputs = Batch(x if several(batch.x) else x[0], y, batch.weight)
        recording, keys = Recording(self._arena), list[np.ndarray]()
        tensors = [*self.parameters, *self.model.named_buffers().values()]
        versions = [t.storage.version for t in tensors]
        with random.default.noting(keys):
            with recording.listening():
                outcome, extra = forward(self.model, self.how, inputs, self.parameters)
            self._track(batch, outcome)
            with recording.listening():
                update(self.how, outcome, extra, self.parameters)
        changes = [(t, t.storage.version - before)
                   for t, before in zip(tensors, versions, strict=True)]
        slots = [Slot(recording, array) for array in (*x, y, outcome.shares, *keys)]
        return Recorded(recording, slots, len(keys), outcome, [c for c in changes if c[1]])

    def _replay(self, batch: Batch, step: Recorded) -> None:
        (x, y), shares = self._converted(batch), shares_of(batch, step.outcome.losses)
        self.how.optimizer.advance()
        step.replay([*x, y, shares])
        self._track(batch, step.outcome._replace(shares=shares))
        self.replayed += 1

    def _track(self, batch: Batch, outcome: Outcome) -> None:
        """Count a batch in, by a copy of its outputs: replays write over them."""
        self.tracker.update(batch, Tensor.own(outcome.y_pred.array.copy()), outcome.loss)

    def _converted(self, batch: Batch) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the inputs and the labels as the step reads them."""
        dtype = dtype_of(self.parameters)
        x = [a.astype(dtype, copy=False) if a.dtype.kind == "f" else a for a in _inputs(batch)]
        return x, self.how.loss.checked(Tensor.own(np.asarray(batch.y)), self._y_pred).array


def _inputs(batch: Batch) -> list[np.ndarray]:
    return list(batch.x) if several(batch.x) else [batch.x]


def _own_update(how: Compiled) -> tuple[Any, ...] | None:
    """Return what the update depends on; None where loss or optimizer are not minidl's own."""
    package = __name__.partition(".")[0]
    own = all(type(part).__module__.startswith(f"{package}.") for part in (how.loss, how.optimizer))
    return how.optimizer.repeats() if own and how.loss.repeatable else None
