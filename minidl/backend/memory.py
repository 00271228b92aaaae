"""Buffer pools: arrays whose memory is used again once no tensor and no view needs it.

A fresh large array costs a page fault for every 4 KiB; a used one costs nothing. NumPy keeps the
base of a view alive, so the owner of each buffer (`_Block`) is finalised exactly when the last
view of it is gone, and gives its memory back to the pool then. Buffers are cut from a few large
regions (`space.py`), of which only what was used so far takes memory of the machine.

`Pool` does the counting, whatever the memory is; `HostPool` hands out NumPy arrays. The pool of a
GPU lies in `device.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import sys
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from .arrays import HOST, address
from .space import Space

SMALLEST = 1 << 14  # bytes; below this NumPy's own allocation is as fast
ALIGNMENT = 64      # bytes; one cache line, one AVX-512 register
REGION = 1 << (28 if os.name == "nt" else 34)  # bytes of address space that a pool asks for


_BYTE = np.dtype(np.uint8)
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)


class _Block(np.ndarray):
    """Raw bytes owned by a pool; every array handed out is a view of one of these."""

    _ticket: Any = None  # (where to note the return, (start, size))

    def __del__(self) -> None:
        if self._ticket is not None:
            returned, part = self._ticket
            returned.append(part)


class Pool:
    """Hands out uninitialised C-contiguous arrays and takes their memory back.

    A subclass says how to get a region (`_reserve`) and makes the arrays (`empty`, `unowned`).

    Attributes:
        peak: the largest `taken` since `reset_peak()`.
    """

    spare = SMALLEST  # bytes that are left over of a part and not worth one of their own

    def __init__(self) -> None:
        self._space = Space()
        self._starts: list[int] = []  # of the regions, sorted
        self._regions: list[Any] = []  # their memory, in this order
        # A block may be finalised at any moment, also while this thread holds the lock, so it only
        # notes here what comes back; appending is atomic.
        self._returned: deque[tuple[int, int]] = deque()
        self._lock = threading.Lock()
        self._taken = 0
        self.peak = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """Return an array of the given shape and type with arbitrary contents."""
        raise NotImplementedError

    def unowned(self, array: Any) -> Any:
        """Return the same array as one that does not keep the pool from using its memory again.

        The memory itself stays for as long as this array, also when the pool is gone. An array
        that lies elsewhere is returned as it is.
        """
        raise NotImplementedError

    def _reserve(self, least: int) -> tuple[Any, int, int]:
        """Return a fresh region of at least so many bytes, its address and its size."""
        raise NotImplementedError

    @property
    def taken(self) -> int:
        """Bytes in arrays that are alive."""
        with self._lock:
            self._collect()
            return self._taken

    @property
    def held(self) -> int:
        """Bytes that lie free in the pool; with `taken` this is the memory that it ever used."""
        with self._lock:
            self._collect()
            return self._space.free

    def reset_peak(self) -> None:
        """Start measuring `peak` afresh."""
        self.peak = self.taken

    def trim(self) -> None:
        """Give regions of which nothing is in use back to the operating system."""
        with self._lock:
            self._collect()
            regions = zip(self._starts, self._regions, strict=True)
            kept = [(start, memory) for start, memory in regions
                    if not self._space.close(start, start + memory[1])]
            self._starts, self._regions = [s for s, _ in kept], [m for _, m in kept]

    def holds(self, array: Any) -> bool:
        """Say whether an array lies in memory of this pool."""
        return self._place(address(array)) is not None

    def _place(self, start: int) -> tuple[Any, int] | None:
        """Return the region that an address lies in, and where in it."""
        with self._lock:
            at = bisect_right(self._starts, start) - 1
            if at < 0 or start >= self._starts[at] + self._regions[at][1]:
                return None
            return self._regions[at][0], start - self._starts[at]

    def _take(self, size: int) -> tuple[tuple[int, int], Any, int]:
        """Return (start, size) of a part of at least so many bytes, its region, and where in it."""
        with self._lock:
            part = self._part(size)
            at = bisect_right(self._starts, part[0]) - 1
            return part, self._regions[at][0], part[0] - self._starts[at]

    def _part(self, size: int) -> tuple[int, int]:
        """Return (start, size) of a part of at least `size` bytes; the caller has the lock."""
        if self._returned:
            last = self._returned.pop()
            if last[1] == size:  # what came back last is in the cache still
                return last
            self._returned.append(last)
            self._collect()
        part = self._space.take(size, self.spare) or self._grow(size)
        self._taken += part[1]
        if self._taken > self.peak:
            self.peak = self._taken
        return part

    def _collect(self) -> None:
        """Enter what came back; the caller has the lock."""
        returned = self._returned
        while returned:
            start, size = returned.popleft()
            self._space.give(start, size)
            self._taken -= size

    def _grow(self, size: int) -> tuple[int, int]:
        """Cut a part from a new region."""
        memory, start, length = self._reserve(size)
        at = bisect_right(self._starts, start)
        self._starts.insert(at, start)
        self._regions.insert(at, (memory, length))
        self._space.open(start, start + length)
        part = self._space.take(size, self.spare)
        if part is None:
            raise MemoryError(size)
        return part


class HostPool(Pool):
    """Hands out NumPy arrays."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return an array of the given shape and type with arbitrary contents."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < SMALLEST:
            return np.empty(shape, dtype)
        part, region, offset = self._take(-(-nbytes // ALIGNMENT) * ALIGNMENT)
        block = _Block(part[1], _BYTE, region, offset)
        block._ticket = self._returned, part
        return np.ndarray(shape, dtype, buffer=block)

    def unowned(self, array: np.ndarray) -> np.ndarray:
        """Return the same array as one that does not keep its memory from being used again."""
        place = self._place(array.ctypes.data)
        if place is None:
            return array
        return np.ndarray(array.shape, array.dtype, place[0], place[1], array.strides)

    def _reserve(self, least: int) -> tuple[Any, int, int]:
        memory = _region(least)
        return memory, ctypes.addressof(memory), len(memory)


def _region(least: int) -> Any:
    """Return a region of at least so many bytes, a large one if there is so much address space."""
    size = max(least, REGION)
    while size > least:
        try:
            return _memory(size)
        except (OSError, MemoryError):
            size = max(size // 4, least)
    try:
        return _memory(least)
    except OSError as error:
        raise MemoryError(least) from error


def _memory(size: int) -> Any:
    """Return fresh memory as a ctypes array: NumPy looks for the owner through arrays only.

    Raises:
        OSError, MemoryError: there is not so much.
    """
    if os.name == "nt":
        owner = np.empty(size + ALIGNMENT, np.uint8)
        return (ctypes.c_ubyte * size).from_buffer(owner.data, -owner.ctypes.data % ALIGNMENT)
    region = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system without them
            region.madvise(mmap.MADV_HUGEPAGE)  # a page fault for 2 MiB, not for 4 KiB
    return (ctypes.c_ubyte * size).from_buffer(region)


pool = HostPool()
"""The pool of the CPU; all results of ops come from it, unless another one is in use."""

_pools: dict[str, Pool] = {HOST: pool}  # by device
_current: ContextVar[Mapping[str, Pool]] = ContextVar("current", default=_pools)


def install(device: str, own: Pool) -> None:
    """Let the results of ops on a device come from a pool."""
    _pools[device] = own


def of(device: str) -> Pool:
    """Return the pool of a device that is there for the whole process."""
    return _pools[device]


def current(device: str = HOST) -> Pool:
    """Return the pool that results of ops on a device come from."""
    return _current.get().get(device) or _pools[device]


@contextmanager
def use(own: Pool, device: str = HOST) -> Iterator[None]:
    """Let the results of ops inside the block come from a pool of the caller's."""
    token = _current.set({**_current.get(), device: own})
    try:
        yield
    finally:
        _current.reset(token)

# ---- rehearsals ----------------------------------------------------------------------------

_rehearsed: ContextVar[Pool | None] = ContextVar("rehearsed", default=None)


@contextmanager
def rehearsal() -> Iterator[Pool]:
    """Let ops inside the block that compute no values take their arrays from a pool of their own.

    Nothing is written there, so it takes no memory of the machine, but its counts are those that
    computing would give (see `config.shapes_only`). What the arrays hold is arbitrary, and NumPy
    gives no warnings of it.
    """
    own = HostPool()
    token = _rehearsed.set(own)
    try:
        with np.errstate(all="ignore"):
            yield own
    finally:
        _rehearsed.reset(token)


def rehearsed() -> Pool | None:
    """Return the pool of the rehearsal that runs, if one does."""
    return _rehearsed.get()


# ---- leases --------------------------------------------------------------------------------


class _Lease(np.ndarray):
    """Owner of a view that was handed to the user; it lives as long as any view of that view."""


def lease(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a view of a C-contiguous array, and an object that dies with the view's last user."""
    raw: Any = (ctypes.c_ubyte * array.nbytes).from_buffer(array)  # type: ignore[arg-type]
    owner = _Lease((array.nbytes,), np.uint8, buffer=raw)
    return np.ndarray(array.shape, array.dtype, buffer=owner), owner
