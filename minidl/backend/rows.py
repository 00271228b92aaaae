"""Copies between arrays whose elements lie in rows at equal distances, on all threads.

Such are channels cut from images, and where they are joined. NumPy copies on one thread, and every
line of a large target is read before it is written; here it goes past the caches.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from .arrays import Rows, rows_of
from .cpu import POINTWISE_GRAIN, kernel, run_ranges
from .simd import is_far, lanes, lanes_of, load, store, stream

WORDS: dict[int, np.dtype] = {4: np.dtype("float32"), 8: np.dtype("float64")}
"""Types that elements of so many bytes are copied as; their bits stay as they are."""


def copy(source: np.ndarray, target: np.ndarray) -> None:
    """Write an array into another of its shape and type, whatever their strides."""
    rows = _together(source, target) if target.size > POINTWISE_GRAIN else None
    if rows is None or source.itemsize not in WORDS:
        np.copyto(target, source)
        return
    here, there = rows
    done, word = here.number * here.width, WORDS[source.itemsize]
    a, b = flat(source).view(word), flat(target).view(word)
    far = there.width >= lanes(target.itemsize) and is_far(b, there.step) and is_far(b, there.width)
    run_ranges(_copy_kernel(far), here.number, max(1, POINTWISE_GRAIN // here.width), a, b,
               here.width, here.step, there.step)
    if done < target.size:  # of both contiguous
        b[done:] = a[done:]


def _together(source: np.ndarray, target: np.ndarray) -> tuple[Rows, Rows] | None:
    """Return both arrays as rows of one width, the end of contiguous ones apart."""
    here, there = rows_of(source), rows_of(target)
    if here is None or there is None:
        return None
    if here.number == there.number == 1:
        lines = Rows(source.size // POINTWISE_GRAIN, POINTWISE_GRAIN, POINTWISE_GRAIN)
        return lines, lines
    if here.number == 1:
        return Rows(there.number, there.width, there.width), there
    if there.number == 1:
        return here, Rows(here.number, here.width, here.width)
    return (here, there) if here.width == there.width else None


def flat(array: np.ndarray) -> np.ndarray:
    """Return the memory from the first element of an array to the last as a flat array."""
    if array.flags.c_contiguous:
        return array.reshape(-1)
    extent = 1 + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)
                     ) // array.itemsize
    return np.lib.stride_tricks.as_strided(array, (extent,), (array.itemsize,))


@cache
def _copy_kernel(far: bool) -> Callable:
    """Return the kernel; where the target is far, it writes past the caches."""
    @kernel
    def copy(start, stop, source, target, width, source_step, target_step):
        """Write rows [start, stop)."""
        lane = lanes_of(source)
        whole = width - width % lane
        for row in range(start, stop):
            a, b = row * source_step, row * target_step
            for i in range(0, whole, lane):
                if far:
                    stream(target, b + i, load(source, a + i))
                else:
                    store(target, b + i, load(source, a + i))
            for i in range(whole, width):
                target[b + i] = source[a + i]
    return copy
