"""Buffer pool: arrays whose memory is used again once no tensor and no NumPy view needs it.

A fresh large array costs a page fault for every 4 KiB; a used one costs nothing. NumPy keeps the
base of a view alive, so the owner of each buffer (`_Block`) is finalised exactly when the last
view of it is gone, and gives its memory back to the pool then.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections import defaultdict
from typing import Any

import numpy as np

SMALLEST = 1 << 14  # bytes; below this NumPy's own allocation is as fast
ALIGNMENT = 64      # bytes; one cache line, one AVX-512 register


class _Block(np.ndarray):
    """Raw bytes owned by a pool; every array handed out is a view of one of these."""

    _pool: Pool | None = None

    def __del__(self) -> None:
        pool = self._pool
        if pool is not None:
            pool._give_back(self.base)


class Pool:
    """Hands out uninitialised C-contiguous arrays and takes their memory back.

    Attributes:
        held: bytes that lie free in the pool.
        taken: bytes in arrays that are alive.
        peak: the largest `taken` since `reset_peak()`.
    """

    def __init__(self) -> None:
        self._free: defaultdict[int, list[Any]] = defaultdict(list)
        self._lock = threading.RLock()  # a block may be finalised while this thread holds it
        self.held = 0
        self.taken = 0
        self.peak = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return an array of the given shape and type with arbitrary contents."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < SMALLEST:
            return np.empty(shape, dtype)
        return np.ndarray(shape, dtype, buffer=self._take(_size_class(nbytes)))

    def _take(self, size: int) -> _Block:
        with self._lock:
            if free := self._free[size]:
                raw = free.pop()
                self.held -= size
            else:
                raw = _aligned(size)  # nothing is counted where this raises MemoryError
            self.taken += size
            self.peak = max(self.peak, self.taken)
        block = _Block((size,), np.uint8, buffer=raw)
        block._pool = self
        return block

    def _give_back(self, raw: Any) -> None:
        size = len(raw)
        with self._lock:
            self._free[size].append(raw)
            self.held += size
            self.taken -= size

    def reset_peak(self) -> None:
        """Start measuring `peak` afresh."""
        self.peak = self.taken

    def trim(self) -> None:
        """Give the free memory back to the operating system."""
        with self._lock:
            self._free.clear()
            self.held = 0


def _size_class(nbytes: int) -> int:
    """Round up to one of eight sizes per power of two, so that buffers of like sizes are shared."""
    step = max(1 << (nbytes.bit_length() - 4), ALIGNMENT)
    return -(-nbytes // step) * step


def _aligned(size: int) -> Any:
    """Return fresh memory as a ctypes array: NumPy looks for the owner through arrays only."""
    owner = np.empty(size + ALIGNMENT, np.uint8)
    return (ctypes.c_ubyte * size).from_buffer(owner.data, -owner.ctypes.data % ALIGNMENT)


pool = Pool()
"""The pool of the CPU; all results of ops come from it."""


class _Lease(np.ndarray):
    """Owner of a view that was handed to the user; it lives as long as any view of that view."""


def lease(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a view of a C-contiguous array, and an object that dies with the view's last user."""
    raw: Any = (ctypes.c_ubyte * array.nbytes).from_buffer(array)  # type: ignore[arg-type]
    owner = _Lease((array.nbytes,), np.uint8, buffer=raw)
    return np.ndarray(array.shape, array.dtype, buffer=owner), owner
