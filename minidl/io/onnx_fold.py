"""Nodes that compute with shapes and constants, done while a file is read.

Exporters write `x.view(len(x), -1)` as a dozen nodes about shapes. Everything is computed for two
trial sizes of the data, as symbols have them: what differs between the two depends on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from .onnx_flow import Flow, Known

MOST = 1 << 20  # elements that a result may have where it has more than its inputs
Attributes = dict[str, Any]


class TooLargeError(ValueError):
    """A result would have too many elements."""


def _limited(shape: Sequence[int], inputs: Sequence[np.ndarray]) -> None:
    count = prod(int(n) for n in shape)
    if count > max(MOST, *(a.size for a in inputs)):
        raise TooLargeError(f"a constant of {count} elements would be made")


def _arithmetic(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def fold(attrs: Attributes, *inputs: np.ndarray) -> np.ndarray:
        _limited(np.broadcast_shapes(*(a.shape for a in inputs)), inputs)
        with np.errstate(all="ignore"):
            return np.asarray(function(*inputs)).astype(inputs[-1].dtype, copy=False)
    return fold


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, whole numbers rounded towards 0."""
    return np.trunc(np.true_divide(a, b)) if b.dtype.kind in "iu" else np.divide(a, b)


def _axes(attrs: Attributes, inputs: Sequence[np.ndarray]) -> tuple[int, ...] | None:
    """Return the axes from the attribute (older operator sets) or the second input."""
    given = inputs[1] if len(inputs) > 1 else attrs.get("axes")
    return None if given is None else tuple(int(a) for a in np.ravel(given))


def _cast(attrs: Attributes, x: np.ndarray) -> np.ndarray:
    from .onnx_file import library
    wanted = library().helper.tensor_dtype_to_np_dtype(attrs["to"])
    return x.astype(np.float32 if wanted.kind not in "iub" else wanted, copy=False)


def _concat(attrs: Attributes, *inputs: np.ndarray) -> np.ndarray:
    _limited((sum(a.size for a in inputs),), inputs)
    return np.concatenate(inputs, attrs["axis"])


def _constant_of_shape(attrs: Attributes, shape: np.ndarray) -> np.ndarray:
    _limited(shape.tolist(), (shape,))
    value = attrs.get("value", np.zeros(1, np.float32))
    return np.full(shape.tolist(), value.reshape(-1)[0])


def _gather(attrs: Attributes, x: np.ndarray, index: np.ndarray) -> np.ndarray:
    axis = attrs.get("axis", 0)
    _limited((x.size // max(x.shape[axis], 1), index.size), (x, index))
    return np.take(x, index, axis)


def _slice(attrs: Attributes, x: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
    starts, ends, *rest = inputs if inputs else (attrs["starts"], attrs["ends"])
    axes = rest[0] if rest else attrs.get("axes", range(len(starts)))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    parts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        stop = None if int(step) < 0 and int(end) < -x.shape[axis] else int(end)
        parts[axis] = slice(int(start), stop, int(step))
    return x[tuple(parts)]


def _unsqueeze(attrs: Attributes, *inputs: np.ndarray) -> np.ndarray:
    return np.expand_dims(inputs[0], _axes(attrs, inputs) or ())


def _reshape(attrs: Attributes, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    lengths = [x.shape[i] if n == 0 and not attrs.get("allowzero") else int(n)
               for i, n in enumerate(shape)]
    return x.reshape(lengths)


def _product(attrs: Attributes, *inputs: np.ndarray) -> np.ndarray:
    return np.prod(inputs[0], _axes(attrs, inputs), keepdims=bool(attrs.get("keepdims", 1)))


FOLDS: dict[str, Callable[..., np.ndarray]] = {
    "Add": _arithmetic(np.add), "Sub": _arithmetic(np.subtract), "Mul": _arithmetic(np.multiply),
    "Div": _arithmetic(_divide), "Cast": _cast, "Concat": _concat, "Gather": _gather,
    "ConstantOfShape": _constant_of_shape, "Slice": _slice, "Unsqueeze": _unsqueeze,
    "Squeeze": lambda attrs, *inputs: np.squeeze(inputs[0], _axes(attrs, inputs)),
    "Reshape": _reshape, "ReduceProd": _product, "Identity": lambda attrs, x: x,
    "Transpose": lambda attrs, x: np.transpose(x, attrs.get("perm")),
    "Sqrt": lambda attrs, x: np.sqrt(x), "Floor": lambda attrs, x: np.floor(x),
    "Shape": lambda attrs, x: _part(np.array(x.shape, np.int64), attrs),
}
"""How each operator computes known arrays."""


def fold(op: str, attrs: Attributes, inputs: Sequence[Known]) -> Known:
    """Return what a node makes of known arrays."""
    first, second = zip(*(known.trials for known in inputs), strict=True)
    made = FOLDS[op](attrs, *first)
    same = all(a is b for a, b in zip(first, second, strict=True))
    return Known((made, made if same else FOLDS[op](attrs, *second)))


def shape_of(flow: Flow, attrs: Attributes) -> Known:
    """Return the shape of a tensor, or the part of it that a `Shape` node asks for."""
    first, second = (_part(np.array(flow.trial(i), np.int64), attrs) for i in range(2))
    return Known((first, second))


def _part(shape: np.ndarray, attrs: Attributes) -> np.ndarray:
    return shape[attrs.get("start", 0):attrs.get("end")]
