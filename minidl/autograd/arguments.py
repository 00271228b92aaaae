"""How the functions of tensors take their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.arrays import HOST
from ..errors import ArgumentError, DTypeError
from ..spec import is_float
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor

Axis = int | Sequence[int] | None
Pair = int | Sequence[int]
Padding = str | int | Sequence


def pair(a: TensorLike, b: TensorLike) -> tuple[Tensor, Tensor]:
    """Make tensors of both, of one type: the wider one, but an integer never widens a float."""
    a = as_tensor(a, b if isinstance(b, Tensor) else None)
    b = as_tensor(b, a)
    if a.dtype == b.dtype:
        return a, b
    if is_float(a.dtype) != is_float(b.dtype):
        common = a.dtype if is_float(a.dtype) else b.dtype
    else:
        common = np.result_type(a.dtype, b.dtype)
    return astype(a, common), astype(b, common)


def floating(x: TensorLike) -> Tensor:
    """Make a tensor; integers become float32."""
    x = as_tensor(x)
    return x if is_float(x.dtype) else astype(x, np.float32)


def astype(x: TensorLike, dtype: str | np.dtype | type) -> Tensor:
    """Return x with its elements converted to another type."""
    x = as_tensor(x)
    return x if x.dtype == np.dtype(dtype) else apply("copy", x, dtype=np.dtype(dtype).name)


def optional(x: TensorLike | None) -> Tensor | None:
    """Make a tensor, but keep None."""
    return None if x is None else as_tensor(x)


def hashable(axis: Axis) -> int | tuple[int, ...] | None:
    """Return axes as an integer, a tuple or None, which a table of plans can hold."""
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis  # type: ignore[return-value]


def nested(value: Any) -> Any:
    """Return nested lists as nested tuples, which a table of plans can hold."""
    return tuple(map(nested, value)) if isinstance(value, (list, tuple)) else value


def outside(ids: Tensor, count: int) -> bool:
    """Say whether integers lie outside 0 to count - 1.

    The values of those on a GPU are not looked at: that would wait for it.
    """
    return bool(ids.device == HOST and ids.size
                and (ids.array.min() < 0 or ids.array.max() >= count))


def check_labels(where: str, labels: Tensor, classes: int) -> None:
    """Raise unless labels are integers from 0 to classes - 1.

    On a GPU this is not checked (see `outside`): labels outside make a loss that is no number.
    """
    if labels.dtype.kind not in "iu":
        raise DTypeError(where, f"got labels of type {labels.dtype}", "expected integers",
                         'Convert them: y.astype("int64").')
    if outside(labels, classes):
        raise ArgumentError(where, f"got labels from {labels.array.min()} to {labels.array.max()}",
                            f"expected 0 to {classes - 1} for {classes} classes",
                            "Check the number of classes, and that labels start at 0.")
