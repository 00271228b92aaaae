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
    """Return minus the log-probability (..., classes) of each integer label (...)."""
    logs, labels = as_tensor(log_probabilities), as_tensor(labels)
    check_labels("nll", labels, logs.shape[-1])
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
