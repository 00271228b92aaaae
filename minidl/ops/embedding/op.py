"""Rows that integers choose, and integers as rows.

embedding: y[..., d] = table[ids[...], d], ids (...) integers, table (V, D); the gradient of the
table is dense, rows chosen several times add up in the order of the ids.
one_hot: y[..., c] = 1 where ids[...] = c, else 0.

An id that names nothing counts as in one_hot: its row is 0, and it gets no gradient. `functional`
refuses such ids, because they are nearly always a mistake.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import FLOATS, Spec, need_float, need_integer
from ..registry import BadCall, Inferred, Sample, define

Array = np.ndarray


def _infer_embedding(ids: Spec, table: Spec) -> Spec:
    need_integer("embedding", "ids", ids)
    need_float("embedding", table=table)
    if table.ndim != 2:
        raise ShapeError("embedding", f"got table of shape {table.shape}", "expected (V, D)",
                         "One row per id.")
    return Spec((*ids.shape, table.shape[1]), table.dtype)


def _embedding_gradient(run: Callable, gy: Array, ids: Array, table_spec: Spec) -> Array:
    return run("embedding_gradient", gy, ids, rows=table_spec.shape[0])


def _reference(ids: Array, table: Array) -> Array:
    known = (ids >= 0) & (ids < len(table))
    return np.vstack([table, np.zeros(table.shape[1])])[np.where(known, ids, len(table))]


def _reference_gradient(gy: Array, ids: Array, rows: int) -> Array:
    table = np.zeros((rows, gy.shape[-1]))
    for at in np.ndindex(ids.shape):
        if 0 <= ids[at] < rows:
            table[ids[at]] += gy[at]
    return table


def _ids(below: int, *shape: int) -> Callable[[np.random.Generator], Array]:
    return lambda rng: rng.integers(0, below, shape)


define("embedding", inputs=("ids", "table"), infer=_infer_embedding,
       reference=_reference, gradients={"table": _embedding_gradient},
       flops=lambda ids, table: 0,
       samples=(Sample((_ids(6, 3, 4), (6, 5))), Sample((_ids(3, 20), (3, 4))),
                Sample((_ids(9, 300), (40, 2))), Sample((np.array(2, np.int32), (6, 5))),
                Sample((np.array([-1, 6, 2]), (6, 5)))),
       bad_calls=(BadCall(((3,), (6, 5)), {}, "expected integers"),
                  BadCall((np.zeros(3, int), (6,)), {}, "expected (V, D)"),
                  BadCall((np.zeros(3, int), np.zeros((6, 5), int)), {}, "expected float")))
define("embedding_gradient", inputs=("gy", "ids"), reference=_reference_gradient,
       infer=lambda gy, ids, rows: Inferred((Spec((rows, gy.shape[-1]), gy.dtype),),
                                            attrs={"rows": rows}),
       doc="gtable[v] = sum of gy[...] where ids[...] = v", flops=lambda gy, ids, rows: gy.size,
       samples=(Sample(((3, 4, 5), _ids(6, 3, 4)), {"rows": 6}),
                Sample(((200, 3), _ids(50, 200)), {"rows": 70})))

# ---- one_hot -------------------------------------------------------------------------------


def _infer_one_hot(ids: Spec, classes: int, dtype: str = "float32") -> Inferred:
    need_integer("one_hot", "ids", ids)
    if classes < 1 or np.dtype(dtype) not in FLOATS:
        raise ArgumentError("one_hot", f"got classes={classes}, dtype={dtype}",
                            "expected at least 1 class and a float type", "Change them.")
    return Inferred((Spec((*ids.shape, int(classes)), np.dtype(dtype)),),
                    attrs={"classes": int(classes), "dtype": np.dtype(dtype).name})


define("one_hot", inputs=("ids",), infer=_infer_one_hot, flops=lambda ids, **_: 0,
       reference=lambda ids, classes, dtype="float32": 1.0 * (ids[..., None] == np.arange(classes)),
       samples=(Sample((_ids(5, 4),), {"classes": 5}),
                Sample((np.array([-1, 4, 2]),), {"classes": 4}),
                Sample((_ids(3, 2, 3),), {"classes": 4, "dtype": "float64"})),
       bad_calls=(BadCall(((3,),), {"classes": 4}, "expected integers"),
                  BadCall((np.zeros(3, int),), {"classes": 0}, "at least 1 class")))
