"""Arrays that only kernels may read, with the part of CuPy's interface that the engine uses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

VIEWS = {np.broadcast_to, np.expand_dims, np.moveaxis, np.reshape, np.squeeze, np.swapaxes,
         np.transpose, np.atleast_1d}
"""Functions of NumPy that make views; CuPy answers them, too."""


class HostArray:
    """An array of the emulated GPU.

    Like a CuPy array it has NumPy's shape, strides, slices and views, and raises where NumPy would
    read it.

    Args:
        values: the memory.
    """

    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    strides = property(lambda self: self._values.strides)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    nbytes = property(lambda self: self._values.nbytes)
    itemsize = property(lambda self: self._values.itemsize)
    T = property(lambda self: HostArray(self._values.T))

    @property
    def data(self) -> Any:
        """The memory, as CuPy's `MemoryPointer`."""
        return SimpleNamespace(ptr=self._values.ctypes.data)

    @property
    def flags(self) -> Any:
        """Layout of the memory, as CuPy's."""
        flags = self._values.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous,
                               owndata=False)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"HostArray(shape={self.shape}, dtype={self.dtype})"

    def __getitem__(self, index: Any) -> HostArray:
        found = self._values[index]
        if not isinstance(found, np.ndarray) or (found.size and not np.may_share_memory(
                found, self._values)):
            raise TypeError("the engine may only take views of an array of a device")
        return HostArray(found)

    def reshape(self, *shape: Any) -> HostArray:
        """Return a view of another shape."""
        view = self._values.view()
        view.shape = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        return HostArray(view)

    def transpose(self, *axes: Any) -> HostArray:
        """Return a view with the axes in another order."""
        return HostArray(self._values.transpose(*axes))

    def view(self, dtype: Any = None) -> HostArray:
        """Return a view, of another element type if one is given."""
        return HostArray(self._values.view() if dtype is None else self._values.view(dtype))

    def __array__(self, *args: Any, **options: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in VIEWS:
            raise TypeError(f"numpy.{function.__name__} of an array of a device")
        bare = [a._values if isinstance(a, HostArray) else a for a in args]
        return HostArray(function(*bare, **kwargs))

    def _refuse(self, *args: Any) -> Any:
        raise TypeError("arithmetic on an array of a device outside its kernels")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __eq__ = __ne__ = __lt__ = __gt__ = __bool__ = __float__ = __int__ = _refuse
    __setitem__ = _refuse
