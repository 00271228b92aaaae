"""The training steps of `fit`: the first ones by the tape, then by replaying a recorded one.

A step of a small network takes as long in Python as in its kernels. Where every step makes the same
calls, only the kernels need to run: the third step with batches of one shape is recorded
(`plan/`), and later ones replay it, to the same bits. The two before it compile the kernels, make
the optimizer's state, and show what a step reads from outside. Each shape, such as that of the
short last batch, and each number of threads has a recording of its own.

Whatever may change a step ends the replaying: a hook, a layer, weight or optimizer that is not as
it was when the step was recorded. Models with code that is not of minidl are not replayed, unless
their classes say `repeatable = True`, as that code may do something else in every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from warnings import warn

import numpy as np

from .. import dispatch, random
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..backend import device as devices
from ..backend.arrays import HOST
from ..backend.device import DevicePool
from ..backend.memory import HostPool, of, use
from ..own import is_own
from ..plan import Recorded, Recording, Slot, conditions
from ..spec import spec_of
from .feed import Batch, several
from .passes import kind_of
from .step import Compiled, Outcome, Tracker, forward, shares_of, train_step, update

MOST_KINDS = 4  # of batches that are recorded: whole ones, short last ones, with weights


@dataclass
class RecordedStep(Recorded):
    """A recorded step: its slots are the inputs, the labels, the shares of the samples and keys.

    Attributes:
        keys: how many of the slots, the last ones, are for random keys.
        outcome: its outputs and losses, which a replay writes anew.
        changes: by how much it moved the versions of the tensors that it changed.
    """

    keys: int
    outcome: Outcome
    changes: list[tuple[Tensor, int]]

    def replay(self, values: Sequence[np.ndarray]) -> None:
        """Compute the step for other inputs, labels and shares."""
        super().replay([*values, *[random.default.key() for _ in range(self.keys)]])
        for tensor, times in self.changes:
            tensor.storage.version += times


@dataclass
class _State:
    """How far batches of one kind have got.

    Attributes:
        y_pred: outputs of the first one.
        update: what the optimizer's update depended on then; None if it cannot be replayed.
        snapshot: the model as it was then; None if it cannot be replayed.
        trial: the first recording.
        recorded: the one that is replayed.
    """

    y_pred: Tensor
    update: Any
    snapshot: Any
    trial: RecordedStep | None = None
    recorded: RecordedStep | None = None

    def refuse(self) -> None:
        """Let all further steps be done by the tape."""
        self.snapshot = self.trial = None


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
        self._device = kind_of(parameters)[1]
        self._arena = HostPool() if self._device == HOST else DevicePool(devices.get(self._device))
        self._states: dict[Any, _State] = {}  # by kind of batch

    @property
    def recorded(self) -> RecordedStep | None:
        """The step that is replayed, of the first kind of batch that has one."""
        return next((s.recorded for s in self._states.values() if s.recorded), None)

    def __call__(self, batch: Batch) -> None:
        """Train on a batch."""
        kind = self._kind_of(batch)
        state = self._states.get(kind)
        with use(self._arena, self._device):
            if dispatch.hooked() or (state is None and len(self._states) == MOST_KINDS):
                self._by_tape(batch)
            elif state is None or not self._unchanged(state):
                self._states[kind] = self._begun(batch)
            elif state.snapshot is None:
                self._by_tape(batch)
            elif state.recorded is None:
                self._record(batch, state)
            else:
                self._replay(batch, state.recorded, state.y_pred)

    def _kind_of(self, batch: Batch) -> tuple[Any, ...]:
        arrays = (*_inputs(batch), batch.y)
        return (*[None if a is None else spec_of(a) for a in arrays], batch.weight is None,
                *conditions())

    def _unchanged(self, state: _State) -> bool:
        return state.snapshot is None or (
            state.snapshot.holds() and self.how.optimizer.repeats() == state.update)

    # ---- by the tape ----

    def _by_tape(self, batch: Batch) -> Outcome:
        return train_step(self.model, self.how, batch, self.tracker, self.parameters)

    def _begun(self, batch: Batch) -> _State:
        """Do a step by the tape, and find out whether the next ones may be recorded."""
        y_pred = self._by_tape(batch).y_pred
        update = _own_update(self.how)
        return _State(y_pred, update, None if update is None else self.model.snapshot())

    # ---- recorded ----

    def _record(self, batch: Batch, state: _State) -> None:
        """Do a step by the tape and record it; the second recording is kept, if it is the same."""
        made = self._recorded_step(batch, state.y_pred)
        if not all(call.plan.op.own_rules for call in made.recording.calls):
            state.refuse()  # a rule that computes in NumPy is not heard
        elif made.recording.waits and self._device != HOST:
            state.refuse()
            _say_why(made.recording.waits)
        elif state.trial is None:
            state.trial = made
        elif made.repeats(state.trial):
            state.recorded, state.trial = made, None
        else:
            state.refuse()

    def _recorded_step(self, batch: Batch, y_pred: Tensor) -> RecordedStep:
        x, y = self._converted(batch, y_pred)
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
        return RecordedStep(recording, slots, len(keys), outcome, [c for c in changes if c[1]])

    def _replay(self, batch: Batch, step: RecordedStep, y_pred: Tensor) -> None:
        (x, y), shares = self._converted(batch, y_pred), shares_of(batch, step.outcome.losses)
        self.how.optimizer.advance()
        step.replay([*x, y, shares])
        self._track(batch, step.outcome._replace(shares=shares))
        self.replayed += 1

    def _track(self, batch: Batch, outcome: Outcome) -> None:
        """Count a batch in, by a copy of its outputs: replays write over them."""
        if self._device == HOST:  # from a GPU they are copied anyway
            outcome = outcome._replace(y_pred=Tensor.own(outcome.y_pred.array.copy()))
        with use(of(self._device), self._device):  # what a metric keeps must not lie in the arena
            self.tracker.update(batch, outcome)

    def _converted(self, batch: Batch, y_pred: Tensor) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the inputs and the labels as the step reads them."""
        dtype, _ = kind_of(self.parameters)
        x = [a.astype(dtype, copy=False) if a.dtype.kind == "f" else a for a in _inputs(batch)]
        return x, self.how.loss.checked(Tensor.own(np.asarray(batch.y)), y_pred).array


def _say_why(waits: Sequence[str]) -> None:
    warn(f"fit: the steps are not captured as one graph, as {', '.join(waits[:3])} is computed on "
         "the CPU in between: move what these read to the GPU once, before fit", stacklevel=2)


def _inputs(batch: Batch) -> list[np.ndarray]:
    return list(batch.x) if several(batch.x) else [batch.x]


def _own_update(how: Compiled) -> tuple[Any, ...] | None:
    """Return what the update depends on; None where loss or optimizer are not minidl's own."""
    own = is_own(type(how.loss)) and is_own(type(how.optimizer))
    return how.optimizer.repeats() if own and how.loss.repeatable else None
