"""What a recorded step reads from outside: arrays that change, and arrays that must not.

Every array that a call reads was made by an earlier call of the step, or is one of those that the
caller hands in anew for each replay (`Slot`), or lies where it lay in the step before (weights,
state of the optimizer), or holds the same values as in the step before (constants). Two recorded
steps tell these apart; where they differ in anything else, the step cannot be replayed. What
something else than a recorded call writes into memory of the step itself looks like a weight here:
layers do not do that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..backend.arrays import address, device_of
from ..backend.device import to_host
from ..dispatch import Call
from .record import Recording

Reading = tuple[int, int]  # number of the call, position among its inputs


class Slot:
    """The places where a recorded step reads an array that is another one in each replay.

    Args:
        array: the one that the step was recorded with, C-contiguous.

    >>> from minidl import dispatch
    >>> from minidl.plan import record
    >>> x = np.array([1.0, 4.0])
    >>> with record() as step:
    ...     y = dispatch.run("sqrt", x)
    >>> Slot(step, x).put(np.array([16.0, 25.0]))
    >>> step.replay()
    >>> y
    array([4., 5.])
    """

    def __init__(self, recording: Recording, array: np.ndarray) -> None:
        start = address(array)
        self._calls, self._views = recording.calls, [
            (number, position, address(read) - start, read.shape, read.strides, read.dtype)
            for number, position, read in readings(recording) if _inside(read, array)]

    @property
    def readings(self) -> set[Reading]:
        """The calls, and their inputs, that read the array."""
        return {(number, position) for number, position, *_ in self._views}

    def put(self, values: np.ndarray) -> None:
        """Let the next replay read other values of the same shape and type."""
        whole = values if values.flags.carray else np.array(values, order="C")
        for number, position, offset, shape, strides, dtype in self._views:
            call = self._calls[number]
            view = np.ndarray(shape, dtype, whole, offset, strides)
            call.inputs = (*call.inputs[:position], view, *call.inputs[position + 1:])

    def release(self) -> None:
        """Let go of the array; the next replay needs another one."""
        for number, position, *_ in self._views:
            call = self._calls[number]
            call.inputs = (*call.inputs[:position], None, *call.inputs[position + 1:])


def readings(recording: Recording) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield number of the call, position and array of everything that a recorded step reads."""
    for number, call in enumerate(recording.calls):
        for position, array in enumerate(call.inputs):
            if array is not None:
                yield number, position, array


def outside(recording: Recording, slots: Sequence[Slot]) -> dict[Reading, np.ndarray]:
    """Return what a step reads that no call before it wrote and that no slot puts there."""
    handed_in = set().union(*[slot.readings for slot in slots])
    made: dict[int, int] = {}
    found, written = {}, 0
    for number, position, array in readings(recording):
        made.update(_made(recording.calls[written:number]))
        written = number
        if (number, position) not in handed_in and not _within(array, made):
            found[number, position] = array
    return found


def wrote(recording: Recording, array: np.ndarray) -> bool:
    """Say whether a recorded step writes an array, so that each replay does."""
    return _within(array, dict(_made(recording.calls)))


def repeatable(first: Recording, second: Recording, outside_first: dict[Reading, np.ndarray],
               outside_second: dict[Reading, np.ndarray]) -> bool:
    """Say whether two recorded steps do the same, so that replaying one does what the next would.

    They make the same calls and read the same from outside: arrays at the same place, or of equal
    contents.
    """
    return (_same_plans(first, second)
            and outside_first.keys() == outside_second.keys()
            and all(_alike(array, outside_second[at]) for at, array in outside_first.items()))


def _same_plans(first: Recording, second: Recording) -> bool:
    try:
        return [call.plan for call in first.calls] == [call.plan for call in second.calls]
    except TypeError:  # an index with arrays, which may be other ones each time
        return False


def _made(calls: Sequence[Call]) -> Iterator[tuple[int, int]]:
    """Yield the addresses of what calls write: of the first byte, and behind the last."""
    for call in calls:
        for array in (*call.out, *call.saved.values()):
            yield address(array), address(array) + array.nbytes


def _inside(part: np.ndarray, whole: np.ndarray) -> bool:
    return (device_of(part) == device_of(whole)
            and 0 <= address(part) - address(whole) < max(whole.nbytes, 1))


def _within(array: np.ndarray, made: dict[int, int]) -> bool:
    start = address(array)
    return start in made or any(first <= start < last for first, last in made.items())


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return (one.shape, one.dtype, one.strides) == (other.shape, other.dtype, other.strides) and (
        address(one) == address(other) or to_host(one).tobytes() == to_host(other).tobytes())
