"""What the engine asks of an array, whatever device it lies on.

Arrays of the CPU are NumPy's; those of another device are of the type that its backend registers
here (`register`), and have NumPy's shapes, strides, slices and views.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Rows(NamedTuple):
    """How the elements of an array lie: `number` rows of `width`, each `step` after the last."""

    number: int
    width: int
    step: int


def rows_of(array: np.ndarray) -> Rows | None:
    """Return how an array lies, None where not in rows at equal distances.

    >>> x = np.zeros((2, 3, 8), "float32")
    >>> rows_of(x), rows_of(x[:, :, 2:6]), rows_of(x[:, 1:, 2:6])
    (Rows(number=1, width=48, step=48), Rows(number=6, width=4, step=8), None)
    """
    size = array.itemsize
    axes = [axis for axis in zip(array.shape, array.strides, strict=True) if axis[0] != 1]
    width = 1
    while axes and axes[-1][1] == width * size:
        width *= axes.pop()[0]
    if not axes:
        return Rows(1, width, width)
    count, step = axes.pop()
    while axes and axes[-1][1] == step * count:
        count *= axes.pop()[0]
    if axes or step < width * size or step % size:  # fields of records may be odd bytes apart
        return None
    return Rows(count, width, step // size)


def pitch(array: Any) -> int | None:
    """Return how many elements lie from one row of the last axis to the next, None if that varies.

    >>> x = np.zeros((2, 3, 8), "float32")
    >>> pitch(x), pitch(x[..., 2:6]), pitch(x[:, :2, 2:6]), pitch(x[..., ::2])
    (8, 8, None, None)
    """
    if array.flags.c_contiguous:
        return array.shape[-1] if array.ndim else None
    rows = rows_of(array)
    return rows.step if rows is not None and rows.width == array.shape[-1] else None


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
