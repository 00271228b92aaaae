"""The forward passes of `predict` and `evaluate`: the first ones by the model, then by replaying.

A small network takes longer in Python than in its kernels. So the second and the third pass of one
kind (shapes, types, threads) are recorded, and where both did the same, later ones replay the last
one, to the same bits; `replay.py` does so with training steps. The recordings stay as long as the
model, so images that come one at a time are replayed, too.

Whatever may change a pass ends the replaying: a hook, a layer or weight that is not as it was. Two
more passes are recorded then; where that never leads to a replay, it is tried ever more rarely. Of
large passes, which spend their time in kernels, nothing is recorded. All models share one arena:
a pass writes over what the one before left there, so results are copied out of it, and one thread
at a time replays, while others run their model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from weakref import ref

import numpy as np

from .. import config, dispatch, random
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..backend import device as devices
from ..backend.arrays import HOST
from ..backend.device import DevicePool
from ..backend.memory import HostPool, Pool, rehearsal, use
from ..errors import MinidlError
from ..plan import Recorded, Recording, Slot, conditions, outside, wrote
from ..spec import spec_of
from ..watch import inference
from .feed import several

MOST_KINDS = 4        # of passes that a model has recordings of
MOST_BYTES = 1 << 26  # that the arrays of a recorded pass take
RAREST = 10           # a pass that is never replayed is recorded again after 2**RAREST others

_arenas: dict[str, Pool] = {}  # by device; who has the lock uses them
_lock = threading.Lock()


def kind_of(parameters: Iterable[Parameter]) -> tuple[np.dtype, str]:
    """Return element type and device of the weights; float32 on the CPU where there are none."""
    return next(((p.dtype, p.device) for p in parameters if p.dtype.kind == "f"),
                (np.dtype("float32"), HOST))


def inputs_of(x: Any, dtype: np.dtype, device: str) -> Any:
    """Return a batch's inputs as tensors on a device, floating ones of the given type."""
    if isinstance(x, list):
        return [inputs_of(part, dtype, device) for part in x]
    return Tensor.own(x.astype(dtype, copy=False) if x.dtype.kind == "f" else x).to(device)


# ---- one kind of pass ----------------------------------------------------------------------


@dataclass
class RecordedPass(Recorded):
    """A recorded pass: its slots are the inputs.

    Attributes:
        outputs: a tensor or several, which a replay writes anew.
        dtype: what floating inputs become.
        keys: random keys that were drawn; there may be others each time.
    """

    outputs: Any
    dtype: np.dtype
    keys: list[np.ndarray]

    def replayable(self, arena: Pool) -> bool:
        """Say whether a replay gives all that the pass gave.

        All of it was written by recorded calls, on one device, and these read nothing that only
        others wrote to the arena.
        """
        tensors = _tensors(self.outputs)
        waits = self.recording.device != HOST and self.recording.waits
        return (not waits and not self.keys and bool(tensors)
                and all(wrote(self.recording, t.array) for t in tensors)
                and not any(map(arena.holds, outside(self.recording, self.slots).values())))

    def release(self) -> None:
        """Let go of the inputs."""
        for slot in self.slots:
            slot.release()


@dataclass
class _State:
    """How far passes of one kind have got.

    Attributes:
        snapshot: the model as it was before the first one was recorded.
        trial: the first recording.
        recorded: the one that is replayed.
        replayed: whether it was.
        failures: how often in a row it came to no replay.
        rest: passes that the model does before one is recorded again.
    """

    snapshot: Any = None
    trial: RecordedPass | None = None
    recorded: RecordedPass | None = None
    replayed: bool = False
    failures: int = 0
    rest: int = 1

    def give_up(self) -> None:
        """Let go of the recordings; there are others at once, or later where these were no use."""
        self.failures = 0 if self.replayed else self.failures + 1
        self.rest = 0 if self.replayed else 1 << min(self.failures, RAREST)
        self.snapshot, self.trial, self.recorded, self.replayed = None, None, None, False


class Passes:
    """Runs a model that is not in training, without gradients, a batch at a call.

    Args:
        gone: called when there is no model any more.

    Attributes:
        replayed: number of passes that were replayed.
    """

    def __init__(self, model: Any, gone: Callable[[Any], Any] | None = None) -> None:
        self._model = ref(model, gone)
        self._states: dict[Any, _State] = {}  # those that were used last are the last
        self.replayed = 0

    def __call__(self, x: Any, dtype: np.dtype, device: str) -> Any:
        """Return the outputs for inputs x; nobody else writes them.

        Args:
            dtype: what floating inputs become.
            device: where the model is.
        """
        with _recordings() as at_hand:
            if at_hand:
                return self._pass(_contiguous(x), dtype, device)
        return self._by_model(x, dtype, device)

    def replay(self, x: Any) -> Any | None:
        """Return the outputs by a replay; None where none was recorded of the model as it is."""
        with _recordings() as at_hand:
            if at_hand and (kind := _kind_of_pass(x := _contiguous(x))) in self._states:
                state = self._state_of(kind)
                if state.recorded is not None and state.snapshot.holds():
                    return self._replay(state, state.recorded, x)
        return None

    def _by_model(self, x: Any, dtype: np.dtype, device: str) -> Any:
        return self._model()(inputs_of(x, dtype, device))  # type: ignore[misc]

    def _pass(self, x: Any, dtype: np.dtype, device: str) -> Any:
        state = self._state_of(_kind_of_pass(x))
        if state.snapshot is not None and not state.snapshot.holds():
            state.give_up()
        if state.rest:
            state.rest -= 1
            return self._by_model(x, dtype, device)
        if state.snapshot is None:
            self._take_up(state, x, dtype, device)
        if state.snapshot is None:
            return self._by_model(x, dtype, device)
        if state.recorded is None:
            return self._record(state, x, dtype, device)
        return self._replay(state, state.recorded, x)

    def _replay(self, state: _State, recorded: RecordedPass, x: Any) -> Any:
        recorded.replay([_floating(array, recorded.dtype) for array in _arrays(x)])
        recorded.release()
        state.replayed = True
        self.replayed += 1
        return _copied(recorded.outputs)

    def _state_of(self, kind: Any) -> _State:
        if kind not in self._states and len(self._states) == MOST_KINDS:
            del self._states[next(iter(self._states))]
        state = self._states.pop(kind) if kind in self._states else _State()
        self._states[kind] = state
        return state

    def _forget_changed(self) -> None:
        """Let go of recordings of the model as it was before: they keep its weights."""
        for state in self._states.values():
            if state.snapshot is not None and not state.snapshot.holds():
                state.give_up()

    def _take_up(self, state: _State, x: Any, dtype: np.dtype, device: str) -> None:
        """Let a state begin with the model as it is now, if it is one for recordings."""
        self._forget_changed()
        snapshot = self._model().snapshot()  # type: ignore[union-attr]
        apart = not any(np.may_share_memory(*pair) for pair in combinations(_arrays(x), 2))
        if snapshot is not None and apart and self._is_small(x, dtype, device):
            state.snapshot = snapshot
        else:
            state.give_up()

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
        """Do a pass by the model and record it; the second recording is kept, if it is the same.

        A pass that cannot be replayed is done once more: what it gave lies in the arena.
        """
        before, arena = random.default.state, _arena(device)
        made = self._recorded(x, dtype, device, arena)
        if not (made.replayable(arena) and state.snapshot.holds()
                and (state.trial is None or made.repeats(state.trial))):
            state.give_up()
            random.default.state = before
            return self._by_model(x, dtype, device)
        if state.trial is None:
            state.trial = made
        else:
            state.recorded, state.trial = made, None
        made.release()
        return _copied(made.outputs)

    def _recorded(self, x: Any, dtype: np.dtype, device: str, arena: Pool) -> RecordedPass:
        arrays, keys = [_floating(array, dtype) for array in _arrays(x)], list[np.ndarray]()
        recording = Recording(arena)
        with use(arena, device), random.default.noting(keys), recording.listening():
            outputs = self._by_model(arrays if several(x) else arrays[0], dtype, device)
        outputs = _each(outputs, lambda t: Tensor.own(arena.unowned(t.array)))
        return RecordedPass(recording, [Slot(recording, a) for a in arrays], outputs, dtype, keys)


_known: dict[int, Passes] = {}  # by the model's id: some models have no hash


def passes_of(model: Any) -> Passes:
    """Return what runs a model for its outputs; it lasts as long as the model."""
    key = id(model)
    if key not in _known:
        _known[key] = Passes(model, lambda _: _known.pop(key, None))
    return _known[key]


@contextmanager
def running(model: Any) -> Iterator[Callable[[Any], Any]]:
    """Give what returns the outputs for inputs, of a model out of training, without gradients.

    Only the first pass that is not replayed brings the model out of training: looking at every
    layer takes longer than the kernels of a small network.
    """
    passes, kind = passes_of(model), None

    def run(x: Any) -> Any:
        nonlocal kind
        if kind is None:
            if (outputs := passes.replay(x)) is not None:
                return outputs
            block.enter_context(inference(model))
            kind = kind_of(model.parameters())
        return passes(x, *kind)

    with ExitStack() as block:
        yield run


@contextmanager
def _recordings() -> Iterator[bool]:
    """Say whether recorded passes can be used, and keep other threads from them for the block."""
    if dispatch.hooked() or config.only_shapes() or not _lock.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        _lock.release()


def _kind_of_pass(x: Any) -> tuple[Any, ...]:
    return *map(spec_of, _arrays(x)), several(x), *conditions()


# ---- arrays --------------------------------------------------------------------------------


def _arena(device: str) -> Pool:
    if device not in _arenas:
        _arenas[device] = HostPool() if device == HOST else DevicePool(devices.get(device))
    return _arenas[device]


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


def _each(outputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return outputs with something else for each tensor; those that are anything else as is."""
    if isinstance(outputs, Tensor):
        return function(outputs)
    if not _tensors(outputs):
        return outputs
    parts = map(function, outputs)
    return type(outputs)(*parts) if hasattr(outputs, "_fields") else type(outputs)(parts)


def _copied(outputs: Any) -> Any:
    """Return outputs that no replay writes over."""
    return _each(outputs, lambda t: Tensor.own(dispatch.run("copy", t.array)))
