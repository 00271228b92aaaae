"""Functions of tensors, one per op; each records itself for backward.

Arrays and numbers may stand where tensors are expected; a number takes the other side's type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import random
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.view import Index
from ..spec import Shape, normal_axes, normal_axis
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor

Axis = int | Sequence[int] | None
Pair = int | Sequence[int]
Padding = str | int | Sequence

# ---- arithmetic ----------------------------------------------------------------------------


def _pair(a: TensorLike, b: TensorLike) -> tuple[Tensor, Tensor]:
    """Make tensors of both, of one type: the wider one, but an integer never widens a float."""
    a = as_tensor(a, b if isinstance(b, Tensor) else None)
    b = as_tensor(b, a)
    if a.dtype == b.dtype:
        return a, b
    if "f" in (a.dtype.kind, b.dtype.kind) and a.dtype.kind != b.dtype.kind:
        common = a.dtype if a.dtype.kind == "f" else b.dtype
    else:
        common = np.result_type(a.dtype, b.dtype)
    return astype(a, common), astype(b, common)


def add(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a + b."""
    return apply("add", *_pair(a, b))


def subtract(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a - b."""
    return apply("subtract", *_pair(a, b))


def multiply(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a * b, element by element."""
    return apply("multiply", *_pair(a, b))


def _float(x: TensorLike) -> Tensor:
    x = as_tensor(x)
    return x if x.dtype.kind == "f" else astype(x, np.float32)


def divide(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a / b; integers are converted to float32 first."""
    return apply("divide", *map(_float, _pair(a, b)))


def power(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a ** b; the square has an op of its own."""
    if isinstance(b, (int, float)) and b == 2:
        return apply("square", _float(a))
    return apply("power", *map(_float, _pair(a, b)))


def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the larger of a and b; where they are equal, each gets half the gradient."""
    return apply("maximum", *_pair(a, b))


def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the smaller of a and b; where they are equal, each gets half the gradient."""
    return apply("minimum", *_pair(a, b))


def negative(x: TensorLike) -> Tensor:
    """Return -x."""
    return apply("negative", as_tensor(x))


def abs(x: TensorLike) -> Tensor:
    """Return the absolute values."""
    return apply("abs", as_tensor(x))


def sign(x: TensorLike) -> Tensor:
    """Return -1, 0 or 1."""
    return apply("sign", as_tensor(x))


def square(x: TensorLike) -> Tensor:
    """Return x * x."""
    return apply("square", _float(x))


def exp(x: TensorLike) -> Tensor:
    """Return e to the power of x."""
    return apply("exp", _float(x))


def log(x: TensorLike) -> Tensor:
    """Return the natural logarithm."""
    return apply("log", _float(x))


def sqrt(x: TensorLike) -> Tensor:
    """Return the square root."""
    return apply("sqrt", _float(x))


def equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a == b."""
    return apply("equal", *_pair(a, b))


def not_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a != b."""
    return apply("not_equal", *_pair(a, b))


def less(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a < b."""
    return apply("less", *_pair(a, b))


def less_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a <= b."""
    return apply("less_equal", *_pair(a, b))


def greater(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a > b."""
    return apply("greater", *_pair(a, b))


def greater_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a >= b."""
    return apply("greater_equal", *_pair(a, b))


def logical_and(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where both hold."""
    return apply("logical_and", as_tensor(a), as_tensor(b))


def logical_or(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where one holds at least."""
    return apply("logical_or", as_tensor(a), as_tensor(b))


def logical_not(x: TensorLike) -> Tensor:
    """Return where x does not hold."""
    return apply("logical_not", as_tensor(x))


def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """Return a where the condition holds, else b."""
    return apply("where", as_tensor(condition), *_pair(a, b))


def clip(x: TensorLike, low: float | None = None, high: float | None = None) -> Tensor:
    """Return x limited to [low, high]; outside, the gradient is 0."""
    if low is None and high is None:
        raise ArgumentError("clip", "got neither low nor high", "expected one at least", "Give one.")
    return apply("clip", _float(x), low=low, high=high)


def astype(x: TensorLike, dtype: str | np.dtype | type) -> Tensor:
    """Return x with its elements converted to another type."""
    x = as_tensor(x)
    return x if x.dtype == np.dtype(dtype) else apply("copy", x, dtype=np.dtype(dtype).name)


def copy(x: TensorLike) -> Tensor:
    """Return a copy with memory of its own."""
    return apply("copy", as_tensor(x))


# ---- activations ---------------------------------------------------------------------------


def relu(x: TensorLike) -> Tensor:
    """Return max(x, 0)."""
    return apply("relu", _float(x))


def leaky_relu(x: TensorLike, alpha: float = 0.3) -> Tensor:
    """Return x where positive, else alpha x."""
    return apply("leaky_relu", _float(x), alpha=float(alpha))


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return x where positive, else alpha (exp(x) - 1) (Clevert et al. 2015)."""
    return apply("elu", _float(x), alpha=float(alpha))


def softplus(x: TensorLike) -> Tensor:
    """Return log(1 + exp(x))."""
    return apply("softplus", _float(x))


def gelu(x: TensorLike) -> Tensor:
    """Return x times the normal distribution function of x (Hendrycks and Gimpel 2016)."""
    return apply("gelu", _float(x))


def sigmoid(x: TensorLike) -> Tensor:
    """Return 1 / (1 + exp(-x))."""
    return apply("sigmoid", _float(x))


def tanh(x: TensorLike) -> Tensor:
    """Return the hyperbolic tangent."""
    return apply("tanh", _float(x))


def softmax(x: TensorLike) -> Tensor:
    """Return probabilities along the last axis."""
    return apply("softmax", _float(x))


def log_softmax(x: TensorLike) -> Tensor:
    """Return the logarithm of softmax along the last axis."""
    return apply("log_softmax", _float(x))


# ---- reductions ----------------------------------------------------------------------------


def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum over axes, over all by default."""
    return apply("sum", as_tensor(x), axis=_hashable(axis), keepdims=keepdims)


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean over axes, over all by default."""
    return apply("mean", _float(x), axis=_hashable(axis), keepdims=keepdims)


def var(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the variance over axes, divided by the count (not count - 1)."""
    return apply("var", _float(x), axis=_hashable(axis), keepdims=keepdims)


def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest elements along axes; equal ones share the gradient."""
    return apply("max", as_tensor(x), axis=_hashable(axis), keepdims=keepdims)


def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest elements along axes; equal ones share the gradient."""
    return apply("min", as_tensor(x), axis=_hashable(axis), keepdims=keepdims)


def argmax(x: TensorLike, axis: int | None = None) -> Tensor:
    """Return the positions (int64) of the largest elements along an axis."""
    return apply("argmax", as_tensor(x), axis=axis)


def _hashable(axis: Axis) -> int | tuple[int, ...] | None:
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis  # type: ignore[return-value]


# ---- shape ---------------------------------------------------------------------------------


def reshape(x: TensorLike, shape: int | Sequence[int]) -> Tensor:
    """Return the elements in another shape, C order; one length may be -1."""
    wanted = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    return apply("reshape", as_tensor(x), shape=wanted)


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """Return a view with the axes in another order, reversed by default."""
    x = as_tensor(x)
    order = range(x.ndim)[::-1] if axes is None else (normal_axis("transpose", a, x.ndim) for a in axes)
    return apply("transpose", x, axes=tuple(order))


def broadcast_to(x: TensorLike, shape: Shape) -> Tensor:
    """Return x repeated along axes of length 1 and new leading axes; a view."""
    return apply("broadcast_to", as_tensor(x), shape=tuple(shape))


def getitem(x: TensorLike, index: Any) -> Tensor:
    """Return x[index]; slices give views, integer arrays copies, boolean arrays count as indices."""
    parts: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        part = part.data if isinstance(part, Tensor) else part
        if isinstance(part, (list, np.ndarray)):
            part = np.asarray(part)
            parts.extend(part.nonzero() if part.dtype == bool else (part,))
        else:
            parts.append(part)
    found = Index(tuple(parts))
    return apply("getitem" if found.basic else "take", as_tensor(x), index=found)


def concat(xs: Sequence[TensorLike], axis: int = -1) -> Tensor:
    """Return tensors one after another along an axis."""
    return apply("concat", *map(as_tensor, xs), axis=axis)


def stack(xs: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Return tensors of one shape along a new axis."""
    xs = [as_tensor(x) for x in xs]
    if not xs:
        raise ArgumentError("stack", "got no arrays", "expected at least one", "Give some.")
    at = normal_axis("stack", axis, xs[0].ndim + 1)
    return concat([reshape(x, (*x.shape[:at], 1, *x.shape[at:])) for x in xs], axis=at)


def split(x: TensorLike, parts: int | Sequence[int], axis: int = -1) -> list[Tensor]:
    """Return views of equal parts, or of parts of the given lengths, along an axis."""
    x = as_tensor(x)
    at = normal_axis("split", axis, x.ndim)
    if isinstance(parts, int):
        parts = [x.shape[at] // parts] * parts if parts > 0 else []
    ends = np.cumsum(parts).tolist()
    if not ends or ends[-1] != x.shape[at]:
        raise ShapeError("split", f"got parts {parts} of axis {at} of shape {x.shape}",
                         f"they must add up to {x.shape[at]}", "Change the parts.")
    starts = [0, *ends[:-1]]
    return [getitem(x, (slice(None),) * at + (slice(a, b),))
            for a, b in zip(starts, ends, strict=True)]


def pad(x: TensorLike, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Return x with `pads` (before, after) elements of a constant along each axis."""
    return apply("pad", as_tensor(x), pads=tuple(map(tuple, pads)), value=float(value))


def flatten(x: TensorLike) -> Tensor:
    """Return x with all axes but the first made one."""
    x = as_tensor(x)
    return reshape(x, (x.shape[0], -1)) if x.size else reshape(x, (x.shape[0], 0))


# ---- products and windows ------------------------------------------------------------------


def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the matrix product of (..., m, k) and (..., k, n), leading axes broadcast."""
    return apply("matmul", *_pair(a, b))


def linear(x: TensorLike, w: TensorLike, b: TensorLike | None = None) -> Tensor:
    """Return x w + b for x (..., features), w (features, units), b (units)."""
    return apply("linear", as_tensor(x), as_tensor(w), _optional(b))


def conv2d(x: TensorLike, w: TensorLike, b: TensorLike | None = None, stride: Pair = 1,
           padding: Padding = "valid", dilation: Pair = 1, groups: int = 1,
           algorithm: str | None = None) -> Tensor:
    """Return the convolution of images x (N, H, W, C) with w (KH, KW, C / groups, K), plus b (K).

    Args:
        padding: "valid", "same", an int, or (before, after) for rows and for columns.
        algorithm: a variant by name, such as "im2col"; the best one by default.
    """
    return apply("conv2d", as_tensor(x), as_tensor(w), _optional(b), algorithm=algorithm,
                 stride=_tuple(stride), padding=_tuple(padding), dilation=_tuple(dilation),
                 groups=groups)


def _optional(x: TensorLike | None) -> Tensor | None:
    return None if x is None else as_tensor(x)


def _tuple(value: Any) -> Any:
    """Return nested lists as nested tuples, which a table of plans can hold."""
    return tuple(map(_tuple, value)) if isinstance(value, (list, tuple)) else value


def max_pool2d(x: TensorLike, window: Pair = 2, stride: Pair | None = None,
               padding: Padding = "valid") -> Tensor:
    """Return the maxima of windows of images (N, H, W, C); stride is the window by default."""
    return apply("max_pool2d", as_tensor(x), window=_tuple(window), stride=_tuple(stride),
                 padding=_tuple(padding))


def average_pool2d(x: TensorLike, window: Pair = 2, stride: Pair | None = None,
                   padding: Padding = "valid", count_include_pad: bool = False) -> Tensor:
    """Return the means of windows of images (N, H, W, C); padding does not count by default."""
    return apply("average_pool2d", as_tensor(x), window=_tuple(window), stride=_tuple(stride),
                 padding=_tuple(padding), count_include_pad=count_include_pad)


# ---- dropout -------------------------------------------------------------------------------


def dropout(x: TensorLike, rate: float = 0.5, key: TensorLike | None = None,
            shared_axes: Sequence[int] = ()) -> Tensor:
    """Return x with a share `rate` of its elements 0 and the others divided by 1 - rate.

    Args:
        key: uint64 [seed, count]; the next one of `minidl.random` by default.
        shared_axes: axes along which one draw holds for all, such as (1, 2) of (N, H, W, C) to
            drop whole channels (spatial dropout, Tompson et al. 2015).
    """
    x = as_tensor(x)
    axes = normal_axes("dropout", tuple(shared_axes), x.ndim) if shared_axes else ()
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return apply("dropout", x, Tensor.own(random.default.key()) if key is None else as_tensor(key),
                 rate=float(rate), mask_shape=shape)


# ---- losses --------------------------------------------------------------------------------


def cross_entropy(logits: TensorLike, labels: TensorLike, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of each sample.

    Args:
        logits: (..., classes), before softmax.
        labels: integers (...), or probabilities (..., classes) such as one-hot rows.
        smoothing: share of the label spread evenly over the classes.
    """
    logits, labels = as_tensor(logits), as_tensor(labels)
    if labels.dtype.kind == "f":
        labels = astype(labels, logits.dtype)
    else:
        _check_labels("cross_entropy", labels, logits.shape[-1] if logits.ndim else 0)
    return apply("softmax_cross_entropy", logits, labels, smoothing=float(smoothing))


def _check_labels(where: str, labels: Tensor, classes: int) -> None:
    if labels.dtype.kind not in "iu":
        raise DTypeError(where, f"got labels of type {labels.dtype}", "expected integers or floats",
                         "Convert them.")
    if labels.size and not (0 <= labels.data.min() and labels.data.max() < classes):
        raise ArgumentError(where, f"got labels from {labels.data.min()} to {labels.data.max()}",
                            f"expected 0 to {classes - 1} for {classes} classes",
                            "Check the number of classes, and that labels start at 0.")


def nll(log_probabilities: TensorLike, labels: TensorLike) -> Tensor:
    """Return minus the log-probability (..., classes) of each integer label (...)."""
    logs, labels = as_tensor(log_probabilities), as_tensor(labels)
    _check_labels("nll", labels, logs.shape[-1])
    return apply("nll", logs, labels)


def binary_cross_entropy_with_logits(logits: TensorLike, labels: TensorLike) -> Tensor:
    """Return the binary cross-entropy of each element; labels lie in [0, 1]."""
    logits = as_tensor(logits)
    return apply("binary_cross_entropy_with_logits", logits, astype(labels, logits.dtype))


def binary_cross_entropy(probabilities: TensorLike, labels: TensorLike, epsilon: float = 1e-7
                         ) -> Tensor:
    """Return the binary cross-entropy of each element; probabilities are kept from 0 and 1."""
    p = clip(probabilities, epsilon, 1 - epsilon)
    t = astype(labels, p.dtype)
    return -(t * log(p) + (1 - t) * log(1 - p))


def mse(prediction: TensorLike, target: TensorLike) -> Tensor:
    """Return the squared difference of each element."""
    prediction = as_tensor(prediction)
    target = as_tensor(target)
    if prediction.shape != target.shape:
        raise ShapeError("mse", f"got a prediction of shape {prediction.shape}",
                         f"the target has shape {target.shape}", "Reshape one of them.")
    return square(subtract(prediction, target))
