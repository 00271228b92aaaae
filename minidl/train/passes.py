"""The forward passes of `predict` and `evaluate`: the first ones by the model, then by replaying.

A small network takes longer in Python than in its kernels. So the second and the third pass of one
kind (shapes, types, threads) are recorded, and where both did the same, later ones replay the last
one, to the same bits; `replay.py` does so with training steps. The recordings stay with the model,
so images that come one at a time are replayed, too.

Whatever may change a pass ends the replaying: a hook, a layer or weight that is not as it was. Of
large passes, which spend their time in kernels, nothing is recorded, as a recording keeps the
memory of its pass.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np

from .. import config, dispatch, random
from ..autograd.tensor import Tensor
from ..backend import device as devices
from ..backend.arrays import HOST
from ..backend.device import DevicePool
from ..backend.memory import HostPool, Pool, rehearsal, use
from ..errors import MinidlError
from ..plan import Recorded, Recording, Slot, conditions, wrote
from ..spec import spec_of
from .feed import several

MOST_KINDS = 4        # of passes that a model has recordings of
MOST_BYTES = 1 << 26  # that the arrays of a recorded pass take


def inputs_of(x: Any, dtype: np.dtype, device: str) -> Any:
    """Return a batch's inputs as tensors on a device, floating ones of the given type."""
    if isinstance(x, list):
        return [inputs_of(part, dtype, device) for part in x]
    return Tensor.own(x.astype(dtype, copy=False) if x.dtype.kind == "f" else x).to(device)


@dataclass
class RecordedPass(Recorded):
    """A recorded pass: its slots are the inputs.

    Attributes:
        outputs: a tensor or several, which a replay writes anew.
    """

    outputs: Any

    @property
    def replayable(self) -> bool:
        """Whether all that the pass gave was written by its calls, on one device."""
        tensors = _tensors(self.outputs)
        waits = self.recording.device != HOST and self.recording.waits
        return not waits and bool(tensors) and all(
            wrote(self.recording, t.array) for t in tensors)


@dataclass
class _State:
    """How far passes of one kind have got.

    Attributes:
        snapshot: the model as it was when the first one was recorded.
        trial: the first recording.
        recorded: the one that is replayed.
        refused: all further ones are done by the model.
    """

    snapshot: Any = None
    trial: RecordedPass | None = None
    recorded: RecordedPass | None = None
    refused: bool = False

    def refuse(self) -> None:
        """Let all further passes be done by the model."""
        self.snapshot, self.trial, self.refused = None, None, True


class Passes:
    """Runs a model that is not in training, without gradients, a batch at a call.

    Attributes:
        replayed: number of passes that were replayed.
    """

    def __init__(self, model: Any) -> None:
        self._model = ref(model)
        self._states: dict[Any, _State] = {}
        self._arenas: dict[str, Pool] = {}
        self._lock = threading.Lock()
        self.replayed = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Let copies of the model begin anew."""
        return _none, ()

    def of(self, model: Any) -> bool:
        """Say whether the passes are those of a model, not of one that it is a copy of."""
        return self._model() is model

    def __call__(self, x: Any, dtype: np.dtype, device: str) -> Any:
        """Return the outputs for inputs x; nobody else writes them on the CPU.

        On a GPU the next pass may: read them, or queue what does, before that.

        Args:
            dtype: what floating inputs become.
            device: where the model is.
        """
        if dispatch.hooked() or config.only_shapes() or not self._lock.acquire(blocking=False):
            return self._by_model(x, dtype, device)  # also while another thread has the buffers
        try:
            return self._pass(_contiguous(x), dtype, device)
        finally:
            self._lock.release()

    def _by_model(self, x: Any, dtype: np.dtype, device: str) -> Any:
        return self._model()(inputs_of(x, dtype, device))  # type: ignore[misc]

    def _pass(self, x: Any, dtype: np.dtype, device: str) -> Any:
        kind = (*map(spec_of, _arrays(x)), several(x), dtype, device, *conditions())
        state = self._states.get(kind)
        if state is None:
            self._begin(kind)
            return self._by_model(x, dtype, device)
        if not state.refused and not (state.snapshot and state.snapshot.holds()):
            self._take_up(state, x, dtype, device)
        if state.refused:
            return self._by_model(x, dtype, device)
        if state.recorded is None:
            return self._record(state, x, dtype, device)
        state.recorded.replay([_floating(array, dtype) for array in _arrays(x)])
        self.replayed += 1
        return _copied(state.recorded.outputs)

    def _begin(self, kind: Any) -> None:
        if len(self._states) == MOST_KINDS:
            del self._states[next(iter(self._states))]
        self._states[kind] = _State()

    def _take_up(self, state: _State, x: Any, dtype: np.dtype, device: str) -> None:
        """Let a state begin with the model as it is now, if it is one for recordings."""
        state.snapshot, state.trial, state.recorded = self._model().snapshot(), None, None  # type: ignore[union-attr]
        if state.snapshot is None or not self._is_small(x, dtype, device):
            state.refuse()

    def _is_small(self, x: Any, dtype: np.dtype, device: str) -> bool:
        """Say whether a pass takes little memory, by rehearsing it."""
        before = random.default.state
        try:
            with config.shapes_only(), rehearsal() as pool:
                self._by_model(x, dtype, device)
                return pool.taken + pool.held <= MOST_BYTES
        except (MinidlError, MemoryError):  # a layer wants values, or there is not so much
            return False
        finally:
            random.default.state = before

    def _record(self, state: _State, x: Any, dtype: np.dtype, device: str) -> Any:
        """Do a pass by the model and record it; the second recording is kept, if it is the same."""
        made = self._recorded_pass(x, dtype, device)
        if not made.replayable or (state.trial and not made.repeats(state.trial)):
            state.refuse()
        elif state.trial is None:
            state.trial = made
        else:
            state.recorded, state.trial = made, None
        return _copied(made.outputs)

    def _recorded_pass(self, x: Any, dtype: np.dtype, device: str) -> RecordedPass:
        arrays = [_floating(array, dtype) for array in _arrays(x)]
        arena = self._arena(device)
        recording = Recording(arena)
        with use(arena, device), recording.listening():
            outputs = self._by_model(arrays if several(x) else arrays[0], dtype, device)
        return RecordedPass(recording, [Slot(recording, a) for a in arrays], outputs)

    def _arena(self, device: str) -> Pool:
        if device not in self._arenas:
            self._arenas[device] = (HostPool(MOST_BYTES) if device == HOST
                                    else DevicePool(devices.get(device)))
        return self._arenas[device]


def passes_of(model: Any) -> Passes:
    """Return what runs a model for its outputs, and stays with it."""
    passes = getattr(model, "_passes", None)
    if passes is None or not passes.of(model):
        passes = model._passes = Passes(model)
    return passes


def _none() -> None:
    return None


def _arrays(x: Any) -> Sequence[np.ndarray]:
    return x if several(x) else [x]


def _contiguous(x: Any) -> Any:
    return [np.ascontiguousarray(part) for part in x] if several(x) else np.ascontiguousarray(x)


def _floating(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return array.astype(dtype, copy=False) if array.dtype.kind == "f" else array


def _tensors(outputs: Any) -> Sequence[Tensor]:
    """Return the tensors of a model's outputs, none where there is anything else."""
    parts = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return parts if all(isinstance(part, Tensor) for part in parts) else []


def _copied(outputs: Any) -> Any:
    """Return outputs that a replay does not write over; those on a GPU are as they are."""
    if isinstance(outputs, (list, tuple)):
        return type(outputs)(map(_copied, outputs))
    if not isinstance(outputs, Tensor) or outputs.device != HOST:
        return outputs
    return Tensor.own(outputs.array.copy())
