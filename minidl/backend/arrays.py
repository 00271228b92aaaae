"""What the engine asks of an array, whatever device it lies on.

Arrays of the CPU are NumPy's; those of another device are of the type that its backend registers
here (`register`), and have NumPy's shapes, strides, slices and views.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

HOST = "cpu"
_devices: dict[type, str] = {}  # by type of array


def register(kind: type, device: str) -> None:
    """Let arrays of a type count as those of a device."""
    _devices[kind] = device


def device_of(array: Any) -> str:
    """Return the name of the device that an array lies on."""
    return _devices.get(type(array), HOST)


def address(array: Any) -> int:
    """Return the address of an array's first element."""
    return array.ctypes.data if device_of(array) == HOST else array.data.ptr


def packed(array: Any) -> bool:
    """Say whether an array is C-contiguous, aligned and writable, as kernels want it."""
    flags = array.flags  # carray is NumPy's name for all three; arrays of a GPU are writable
    return flags.carray if device_of(array) == HOST else flags.c_contiguous


def pitch(array: Any) -> int | None:
    """Return how many elements lie from one row of the last axis to the next, None if that varies.

    >>> x = np.zeros((2, 3, 8), "float32")
    >>> pitch(x), pitch(x[..., 2:6]), pitch(x[:, :2, 2:6]), pitch(x[..., ::2])
    (8, 8, None, None)
    """
    if array.flags.c_contiguous or array.ndim < 2:
        return array.shape[-1] if array.flags.c_contiguous and array.ndim else None
    if array.strides[-1] != array.itemsize and array.shape[-1] != 1:
        return None
    rows = [axis for axis in zip(array.shape, array.strides, strict=True) if axis[0] != 1]
    if array.shape[-1] != 1:
        rows.pop()
    for (_, outer), (count, inner) in itertools.pairwise(rows):
        if outer != count * inner:
            return None
    return rows[-1][1] // array.itemsize


def share_memory(one: Any, other: Any) -> bool:
    """Say whether two arrays may have memory in common."""
    if device_of(one) != device_of(other):
        return False
    if device_of(one) == HOST:
        return np.may_share_memory(one, other)
    first, second = extent(one), extent(other)
    return first[0] < second[1] and second[0] < first[1]


def extent(array: Any) -> tuple[int, int]:
    """Return the addresses where an array's memory begins and ends."""
    start = end = address(array)
    if not array.size:
        return start, start
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            start += (length - 1) * stride
        else:
            end += (length - 1) * stride
    return start, end + array.dtype.itemsize
