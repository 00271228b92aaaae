"""Arithmetic on shapes and element types; no arrays are touched here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from .errors import ArgumentError, DTypeError, ShapeError

Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
FLOATS = (np.dtype("float32"), np.dtype("float64"))
HALVES = ("float16", "bfloat16")
"""Names of the types of 16 bits, which kernels of a GPU take; NumPy knows bfloat16 by ml_dtypes."""

_with_halves: ContextVar[bool] = ContextVar("with_halves", default=False)


@contextmanager
def halves(allowed: bool) -> Iterator[None]:
    """Say whether `need_float` lets half types pass inside the block."""
    token = _with_halves.set(allowed)
    try:
        yield
    finally:
        _with_halves.reset(token)


def is_float(dtype: np.dtype) -> bool:
    """Say whether a type is a floating one; of bfloat16 NumPy does not know that.

    >>> is_float(np.dtype("float16")), is_float(np.dtype("int64"))
    (True, False)
    """
    return dtype.kind == "f" or dtype.name == "bfloat16"


def wide(dtype: np.dtype) -> np.dtype:
    """Return the type of statistics and parameters beside elements of a type.

    >>> wide(np.dtype("float16")), wide(np.dtype("float64"))
    (dtype('float32'), dtype('float64'))
    """
    return FLOATS[0] if dtype.name in HALVES else dtype


class Spec(NamedTuple):
    """Shape and element type of an array that need not exist yet."""

    shape: Shape
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


_tuple: Any = tuple.__new__


def spec_of(array: np.ndarray) -> Spec:
    """Return the spec of an array."""
    return _tuple(Spec, (array.shape, array.dtype))  # Spec(...) takes three times as long


def broadcast(op: str, *specs: Spec) -> Shape:
    """Return the shape that NumPy's broadcasting gives, or raise naming `op`."""
    try:
        return np.broadcast_shapes(*(s.shape for s in specs))
    except ValueError:
        shapes = " and ".join(str(s.shape) for s in specs)
        raise ShapeError(op, f"got shapes {shapes}",
                         "shapes must be equal or 1 on each axis, counted from the last",
                         "Reshape or broadcast one of them.") from None


def need_ndim(op: str, name: str, spec: Spec, ndim: int, layout: str) -> None:
    """Raise unless `spec` has `ndim` axes; `layout` says which, such as "(N, H, W, C)"."""
    if spec.ndim != ndim:
        raise ShapeError(op, f"got {name} of shape {spec.shape}", f"expected {layout}",
                         f"Give {name} {ndim} axes.")


def need_float(op: str, **specs: Spec) -> np.dtype:
    """Raise unless all specs are of one float type; return that type."""
    names = list(specs)
    dtype = specs[names[0]].dtype
    for name, spec in specs.items():
        known = spec.dtype in FLOATS or (_with_halves.get() and spec.dtype.name in HALVES)
        if not known or spec.dtype != dtype:
            raise DTypeError(op, f"got {name} of type {spec.dtype}",
                             f"expected {dtype if dtype in FLOATS else 'float32 or float64'}",
                             _float_remedy(name, spec.dtype))
    return dtype


def _float_remedy(name: str, dtype: np.dtype) -> str:
    if dtype == np.uint8:  # pixels, most likely
        return (f'Convert it: {name}.astype("float32") / 255, or begin the model with '
                "Rescaling(1 / 255).")
    return f'Convert it: {name}.astype("float32").'


def need_integer(op: str, name: str, spec: Spec) -> None:
    """Raise unless `spec` holds integers."""
    if spec.dtype.kind not in "iu":
        raise DTypeError(op, f"got {name} of type {spec.dtype}", "expected integers",
                         f"Convert it: {name}.astype(\"int64\").")


def normal_axis(op: str, axis: int, ndim: int) -> int:
    """Turn an axis counted from either end into one counted from the front."""
    if not -ndim <= axis < ndim:
        raise ArgumentError(op, f"got axis {axis}", f"expected {-ndim} to {ndim - 1}",
                            f"The array has {ndim} axes.")
    return axis % ndim


def normal_axes(op: str, axes: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Turn None (all), one axis or several into a sorted tuple without repeats."""
    if axes is None:
        return tuple(range(ndim))
    several = (axes,) if isinstance(axes, (int, np.integer)) else tuple(axes)
    normal = sorted(normal_axis(op, int(a), ndim) for a in several)
    if len(set(normal)) != len(normal):
        raise ArgumentError(op, f"got axes {several}", "expected each axis once",
                            "Remove the repeated one.")
    return tuple(normal)


def tuple_of(op: str, name: str, value: int | Sequence[int], length: int,
             lowest: int = 1) -> tuple[int, ...]:
    """Turn an int or a sequence into a tuple of `length` integers of at least `lowest`."""
    several = tuple(value) if isinstance(value, Iterable) else (value,) * length
    whole = all(isinstance(v, (int, np.integer)) for v in several)
    if len(several) != length or not whole or min(several) < lowest:
        wanted = ("an integer of at least {}" if length == 1 else
                  f"{length} integers of at least {{}}, or one for all").format(lowest)
        raise ArgumentError(op, f"got {name}={value!r}", f"expected {wanted}", f"Change {name}.")
    return tuple(int(v) for v in several)


def padding_pairs(op: str, padding: str | int | Sequence, sizes: Shape, window: Shape,
                  stride: Shape, dilation: Shape) -> Pads:
    """Return (before, after) for each window axis.

    Args:
        padding: "valid", "same" (output length ceil(size / stride); an odd pad goes after, as in
            TensorFlow), one int, an int per axis, or a (before, after) pair per axis.
        sizes: lengths of the input along the window axes.
    """
    if padding == "valid":
        return ((0, 0),) * len(sizes)
    if padding == "same":
        return tuple(_same_pair(*a) for a in zip(sizes, window, stride, dilation, strict=True))
    if isinstance(padding, (int, np.integer)):
        padding = (int(padding),) * len(sizes)
    try:
        pairs = tuple((int(p), int(p)) if isinstance(p, (int, np.integer)) else
                      (int(p[0]), int(p[1])) for p in padding)
        good = len(pairs) == len(sizes) and min(min(p) for p in pairs) >= 0
        good = good and not isinstance(padding, str)
    except (TypeError, ValueError, IndexError):
        good = False
    if not good:
        raise ArgumentError(op, f"got padding={padding!r}",
                            'expected "valid", "same", an integer, or (before, after) per axis',
                            "Change padding.")
    return pairs


def _same_pair(size: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = (window - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def window_output(op: str, sizes: Shape, window: Shape, stride: Shape, pads: Pads,
                  dilation: Shape) -> Shape:
    """Return how many window positions fit along each axis; raise where none does."""
    out = []
    for size, k, s, (before, after), d in zip(sizes, window, stride, pads, dilation, strict=True):
        room = size + before + after - ((k - 1) * d + 1)
        if room < 0 or not size:
            raise ShapeError(op, f"got an input of {' x '.join(map(str, sizes))}, padded by {pads}",
                             f"a window of {' x '.join(map(str, window))} with dilation "
                             f"{dilation} does not fit",
                             'Use padding="same", a smaller window or a larger input.')
        out.append(room // s + 1)
    return tuple(out)
