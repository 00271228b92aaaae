"""Arrays as tensors take them: from anything, in a type, on any device."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dispatch
from ..backend import device as devices
from ..backend.arrays import HOST, device_of
from ..backend.device import to_host
from ..errors import DTypeError, ShapeError


def array_of(data: Any) -> np.ndarray:
    """Return what a tensor is made of: its array, a given one, or one of numbers or lists."""
    own = getattr(data, "array", None)
    if own is not None and hasattr(data, "storage"):
        return own
    if hasattr(data, "__cuda_array_interface__"):
        devices.get("cuda")  # from now on its arrays are known
    if device_of(data) != HOST:
        return data
    try:
        return np.asarray(data)
    except ValueError as error:
        if type(error) is not ValueError:  # not NumPy's
            raise
        raise ShapeError("Tensor", f"NumPy makes no array of it ({error})", "expected numbers, or "
                         "lists of equal lengths", "Make inner lists equally long.") from None


def converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return an array of a type, itself if it has it."""
    if array.dtype == dtype:
        return array
    if device_of(array) != HOST:
        return dispatch.run("copy", array, dtype=dtype.name)
    return array.astype(dtype)


def like(value: Any, dtype: np.dtype) -> np.ndarray:
    """Return an array, on whatever device it lies, of a type."""
    return converted(array_of(value), dtype)


def write(source: np.ndarray, target: np.ndarray) -> None:
    """Write values over an array of their shape, on any device; a single one everywhere."""
    if device_of(source) == device_of(target) == HOST:
        np.copyto(target, source, casting="same_kind")
        return
    if not np.can_cast(source.dtype, target.dtype, "same_kind"):
        raise DTypeError("assign", f"got values of type {source.dtype}",
                         f"expected {target.dtype}", "Convert them first.")
    if device_of(target) == HOST:
        np.copyto(target, to_host(source), casting="same_kind")
        return
    moved = dispatch.move(source, device_of(target))
    whole = moved if moved.shape == target.shape else np.broadcast_to(moved, target.shape)
    dispatch.run("copy", whole, dtype=target.dtype.name, out=[target])
