"""Buffers that show what a kernel does wrong: contents not written, bytes written outside.

Also finer ranges, so that small arrays are cut among threads as large ones are.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import dispatch
from ..backend import device as devices
from ..backend.arrays import HOST, address

GUARD = 64        # bytes on either side of a buffer
MALLOC = 16       # bytes; where arrays begin that NumPy allocates is a multiple of it
PATTERN = 0xA5
NAN = 0xFF        # as every byte of a float it makes a NaN


class Buffers:
    """The buffers handed out inside `guarded_buffers`."""

    def __init__(self, fill: int) -> None:
        self._fill = fill
        self._whole: list[tuple[np.ndarray, int, int]] = []

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return an array between two guards, every byte of it the fill."""
        size = math.prod(shape) * dtype.itemsize
        whole = np.full(size + 3 * GUARD, PATTERN, np.uint8)
        start = GUARD + -(whole.ctypes.data + GUARD) % GUARD
        whole[start:start + size] = self._fill
        self._whole.append((whole, start, start + size))
        return np.ndarray(shape, dtype, buffer=whole, offset=start)

    def damaged(self) -> int:
        """Return how many buffers were written to outside their bounds."""
        return sum(bool(np.any(whole[:start] != PATTERN) or np.any(whole[stop:] != PATTERN))
                   for whole, start, stop in self._whole)


class DeviceBuffers(Buffers):
    """The same of another device: guards are written by copies to it, and read by copies back."""

    def __init__(self, fill: int, device: str) -> None:
        super().__init__(fill)
        self._device, self._pool = devices.get(device), devices.pool(device)
        self._take = self._pool.empty

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return an array between two guards, every byte of it the fill."""
        size = math.prod(shape) * dtype.itemsize
        start = devices.ALIGNMENT
        bytes_ = np.full(size + 2 * start, PATTERN, np.uint8)
        bytes_[start:start + size] = self._fill
        whole = self._take(bytes_.shape, bytes_.dtype)
        self._device.upload(bytes_, whole)
        self._whole.append((whole, start, start + size))
        return self._device.array(shape, dtype, address(whole) + start, whole)

    def damaged(self) -> int:
        """Return how many buffers were written to outside their bounds."""
        self._whole = [(devices.to_host(whole), a, b) for whole, a, b in self._whole]
        return super().damaged()


def side_by_side(call: dispatch.Call, gap: int, backwards: bool = False) -> dispatch.Call:
    """Return a call with copies of its arrays, in one piece of memory.

    Args:
        gap: bytes between an array and the next one.
        backwards: results first, inputs last.
    """
    work = {name: np.empty(*spec) for name, spec in call.plan.work.items()}
    arrays = [*call.inputs, *call.out, *call.saved.values(), *work.values()]
    sizes = [0 if a is None else -(-(a.nbytes + gap) // MALLOC) * MALLOC for a in arrays]
    whole = np.empty(sum(sizes) + GUARD, np.uint8)
    ends = np.cumsum(sizes[::-1])[::-1] if backwards else np.cumsum(sizes)
    starts = -whole.ctypes.data % GUARD + ends - sizes
    copies = [_copied_to(whole, start, a) for start, a in zip(starts, arrays, strict=True)]
    inputs, out, rest = _cut(copies, len(call.inputs), len(call.out))
    saved, made = _cut(rest, len(call.saved))
    return dispatch.Call(call.plan, tuple(inputs), tuple(out),
                         dict(zip(call.saved, saved, strict=True)),
                         dict(zip(work, made, strict=True)))


def _copied_to(whole: np.ndarray, start: int, array: np.ndarray | None) -> Any:
    if array is None:
        return None
    copy = np.ndarray(array.shape, array.dtype, buffer=whole, offset=start)
    copy[...] = array
    return copy


def _cut(items: list[Any], *lengths: int) -> list[list[Any]]:
    """Return parts of such lengths, and the rest."""
    edges = [0, *itertools.accumulate(lengths), len(items)]
    return [items[a:b] for a, b in itertools.pairwise(edges)]


@contextmanager
def guarded_buffers(fill: int = NAN, device: str = HOST) -> Iterator[Buffers]:
    """Let every op inside the block compute into buffers full of one byte, between guards."""
    buffers = Buffers(fill) if device == HOST else DeviceBuffers(fill, device)
    pool = devices.pool(device)
    before = pool.empty
    pool.empty = buffers.empty  # type: ignore[method-assign]
    try:
        yield buffers
    finally:
        pool.empty = before  # type: ignore[method-assign]


@contextmanager
def fine_ranges(parts: int = 5) -> Iterator[None]:
    """Cut every range inside the block into `parts` at least and about 8 `parts` at most."""
    from ..backend import cpu
    ranges, run_slots = cpu.ranges, cpu.run_slots

    def finer(total: int, grain: int) -> list[tuple[int, int]]:
        return ranges(total, max(1, min(max(grain, total // (8 * parts)), total // parts)))

    def run_finer(function: Callable[..., object], total: int, grain: int, *arguments: object
                  ) -> None:
        run_slots(lambda start, stop, slot: function(start, stop, *arguments),
                  finer(total, grain))

    changes = {"ranges": (ranges, finer), "run_ranges": (cpu.run_ranges, run_finer),
               "POINTWISE_GRAIN": (cpu.POINTWISE_GRAIN, 1)}
    _replace(changes)
    try:
        yield
    finally:
        _replace({name: (new, old) for name, (old, new) in changes.items()})


def _replace(changes: Mapping[str, tuple[object, object]]) -> None:
    """Put new objects in the place of old ones in every module of the engine that holds them."""
    modules = [m for name, m in list(sys.modules.items()) if name.startswith("minidl.")]
    for attribute, (old, new) in changes.items():
        for module in modules:
            if getattr(module, attribute, None) is old:
                setattr(module, attribute, new)
    dispatch._plans.clear()  # they hold workspace that was cut by the ranges
