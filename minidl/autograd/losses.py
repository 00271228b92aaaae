"""Functions of tensors: losses, one value per sample or element."""

from __future__ import annotations

from ..errors import ShapeError
from ..spec import is_float
from .arguments import astype, check_labels
from .arithmetic import clip, log, square, subtract
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor


def cross_entropy(logits: TensorLike, labels: TensorLike, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of each sample.

    Args:
        logits: (..., classes), before softmax.
        labels: integers (...), or probabilities (..., classes) such as one-hot rows.
        smoothing: share of the label spread evenly over the classes.
    """
    logits, labels = as_tensor(logits), as_tensor(labels)
    if is_float(labels.dtype):
        labels = astype(labels, logits.dtype)
    else:
        check_labels("cross_entropy", labels, logits.shape[-1] if logits.ndim else 0)
    return apply("softmax_cross_entropy", logits, labels, smoothing=float(smoothing))


def nll(log_probabilities: TensorLike, labels: TensorLike) -> Tensor:
    """Return minus the log-probability (..., classes) of each integer label (...).

    Raises:
        ArgumentError: a label is below 0 or not below the number of classes.
        DTypeError: the labels are not integers.
    """
    logs, labels = as_tensor(log_probabilities), as_tensor(labels)
    check_labels("nll", labels, logs.shape[-1])
    return apply("nll", logs, labels)


def binary_cross_entropy_with_logits(logits: TensorLike, labels: TensorLike) -> Tensor:
    """Return the binary cross-entropy of each element; labels lie in [0, 1].

    Raises:
        ShapeError: logits and labels differ in shape.
    """
    logits = as_tensor(logits)
    return apply("binary_cross_entropy_with_logits", logits, astype(labels, logits.dtype))


def binary_cross_entropy(probabilities: TensorLike, labels: TensorLike, epsilon: float = 1e-7
                         ) -> Tensor:
    """Return the binary cross-entropy of each element; probabilities are kept from 0 and 1.

    Raises:
        ShapeError: probabilities and labels differ in shape.
    """
    p = clip(probabilities, epsilon, 1 - epsilon)
    t = astype(labels, p.dtype)
    _need_equal_shapes("binary_cross_entropy", p, t)
    return -(t * log(p) + (1 - t) * log(1 - p))


def mse(prediction: TensorLike, target: TensorLike) -> Tensor:
    """Return the squared difference of each element.

    Raises:
        ShapeError: prediction and target differ in shape.
    """
    prediction = as_tensor(prediction)
    target = as_tensor(target)
    _need_equal_shapes("mse", prediction, target)
    return square(subtract(prediction, target))


def _need_equal_shapes(where: str, prediction: Tensor, target: Tensor) -> None:
    """Raise where one would be broadcast, as (N, 1) and (N,) to (N, N)."""
    if prediction.shape != target.shape:
        raise ShapeError(where, f"got a prediction of shape {prediction.shape}",
                         f"the target has shape {target.shape}", "Reshape one of them.")
