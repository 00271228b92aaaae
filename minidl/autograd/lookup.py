"""Functions of tensors: what integers choose."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError
from .arguments import check_labels, outside
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor


def embedding(ids: TensorLike, table: TensorLike) -> Tensor:
    """Return the rows of table (V, D) that integers ids (...) name, as (..., D).

    Raises:
        ArgumentError: an id lies outside 0 to V - 1. On a GPU this is not checked: its row is 0.

    >>> embedding([2, 0], [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]).tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """
    ids, table = as_tensor(ids), as_tensor(table)
    rows = table.shape[0] if table.ndim else 0
    if ids.dtype.kind in "iu" and outside(ids, rows):
        raise ArgumentError("embedding", f"got ids from {ids.array.min()} to {ids.array.max()}",
                            f"expected 0 to {rows - 1}, as the table has {rows} rows",
                            "Check the ids, or make the table larger.")
    return apply("embedding", ids, table)


def one_hot(labels: TensorLike, classes: int, dtype: str | np.dtype = "float32") -> Tensor:
    """Return integer labels (...) as rows (..., classes) of 0 with a 1 at the label.

    Raises:
        ArgumentError: a label lies outside 0 to classes - 1.

    >>> one_hot([1, 0], 3).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    labels = as_tensor(labels)
    check_labels("one_hot", labels, classes)
    return apply("one_hot", labels, classes=int(classes), dtype=np.dtype(dtype).name)
