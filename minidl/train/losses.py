"""Losses by their Keras names: what each sample costs, `loss(y_true, y_pred) -> (N,)`.

Where a sample has several positions, (N, L, classes) say, its loss is their mean. Losses of
probabilities go back to the logits when softmax or sigmoid just made the probabilities: the same
value, but exact for confident wrong answers too, where log(p) has lost its digits. That also makes
one op of the loss and one of its gradient; log-probabilities of log_softmax go back for this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.arguments import check_labels
from ..autograd.tensor import Tensor, TensorLike, as_tensor
from ..backend.device import to_host
from ..errors import ArgumentError, ShapeError
from ..own import is_own

EPSILON = 1e-7  # probabilities are kept this far from 0 and 1


class Loss:
    """Base of the losses; a subclass gives `values`.

    Attributes:
        repeatable: `values` makes the same calls for all labels that `checked` has passed.

    >>> MeanSquaredError()(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])).numpy()
    array([2.])
    """

    name = "loss"
    repeatable = True

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of every sample, or of every position in every sample."""
        raise NotImplementedError

    def checked(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels as `values` takes them, all that depends on their values being done.

        Raises:
            ShapeError, DTypeError, ArgumentError: they are no labels for these predictions.
        """
        return y_true

    def __call__(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """Return the loss of each sample (N,)."""
        y_true, y_pred = as_tensor(y_true), as_tensor(y_pred)
        values = self.values(self.checked(y_true, y_pred).to(y_pred.device), y_pred)
        _check_values(self.name, values, y_true, y_pred)
        if values.ndim < 2:
            return values
        if values.size == len(values):  # one position, such as the output of a binary classifier
            return F.reshape(values, (len(values),))
        return F.mean(values, axis=tuple(range(1, values.ndim)))

    def get_config(self) -> dict[str, Any]:
        """Return what `get` needs to make this loss again: its name and attributes."""
        kind = type(self)
        return {"name": self.name, **({} if is_own(kind) else {"class": kind.__name__}),
                **vars(self)}


# ---- classification ------------------------------------------------------------------------


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """Cross-entropy of one-hot labels: - sum over classes of t log p.

    Labels are probabilities (N, ..., classes), such as one-hot rows.

    Args:
        from_logits: the model gives logits, not probabilities.
        label_smoothing: s in (1 - s) t + s / classes (Szegedy et al. 2016).
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    name = "categorical_crossentropy"

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the cross-entropy (N, ...)."""
        if y_true.shape != y_pred.shape:
            raise ShapeError(self.name, f"got labels of shape {y_true.shape}",
                             f"the model gives {y_pred.shape}, so it expects one-hot labels of "
                             "that shape",
                             "For integer labels use sparse_categorical_crossentropy.")
        logits = y_pred if self.from_logits else logits_of(y_pred, "softmax")
        if logits is not None:
            return F.cross_entropy(logits, F.astype(y_true, logits.dtype), self.label_smoothing)
        log_p, target = _log_probabilities(y_pred), F.astype(y_true, y_pred.dtype)
        smooth = self.label_smoothing
        if smooth:
            target = target * (1 - smooth) + smooth / y_pred.shape[-1]
        return F.negative(F.sum(target * log_p, axis=-1))


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of integer labels (N, ...): - log p[label].

    Args:
        from_logits: the model gives logits, not probabilities.
        label_smoothing: as in `CategoricalCrossentropy`.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    name = "sparse_categorical_crossentropy"

    def checked(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels as integers (N, ...)."""
        return _integer_labels(self.name, y_true, y_pred)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the cross-entropy (N, ...)."""
        logits = y_pred if self.from_logits else logits_of(y_pred, "softmax")
        if logits is not None:
            return F.cross_entropy(logits, y_true, self.label_smoothing)
        log_p, smooth = _log_probabilities(y_pred), self.label_smoothing
        picked = F.nll(log_p, y_true)
        return picked * (1 - smooth) - F.mean(log_p, axis=-1) * smooth if smooth else picked


@dataclass(frozen=True)
class NLL(Loss):
    """Negative log-likelihood of integer labels (N, ...) for log-probabilities: - logp[label]."""

    name = "nll"

    def checked(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels as integers (N, ...)."""
        return _integer_labels(self.name, y_true, y_pred)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return minus the log-probability of each label (N, ...)."""
        logits = logits_of(y_pred, "log_softmax")
        return F.nll(y_pred, y_true) if logits is None else F.cross_entropy(logits, y_true)


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """Binary cross-entropy: - t log p - (1 - t) log(1 - p), mean over the outputs of a sample.

    Args:
        from_logits: the model gives logits, not probabilities.
        label_smoothing: s in (1 - s) t + s / 2.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    name = "binary_crossentropy"

    def checked(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels in shape and type of the predictions."""
        target = F.astype(_same_shape(self.name, y_true, y_pred), y_pred.dtype)
        _check_range(self.name, target)
        return target

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the binary cross-entropy of every output."""
        target = y_true
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / 2
        logits = y_pred if self.from_logits else logits_of(y_pred, "sigmoid")
        if logits is not None:
            return F.binary_cross_entropy_with_logits(logits, target)
        return F.binary_cross_entropy(y_pred, target, EPSILON)


# ---- regression ----------------------------------------------------------------------------


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """(t - y)^2, mean over the outputs of a sample."""

    name = "mse"

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the squared error of every output."""
        target = _same_shape(self.name, y_true, y_pred)
        return F.mse(y_pred, F.astype(target, y_pred.dtype))


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """|t - y|, mean over the outputs of a sample."""

    name = "mae"

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the absolute error of every output."""
        target = _same_shape(self.name, y_true, y_pred)
        return F.abs(y_pred - F.astype(target, y_pred.dtype))


class FunctionLoss(Loss):
    """A user's own `function(y_true, y_pred) -> Tensor` with one value per sample or position."""

    repeatable = False

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return what the function returns."""
        return self.function(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the name, which `get` looks up in custom_objects."""
        return {"name": self.name}


def _check_values(name: str, values: Any, y_true: Tensor, y_pred: Tensor) -> None:
    """Raise unless these are losses of samples or of positions."""
    count = len(y_pred)
    if not isinstance(values, Tensor) or values.shape[:1] != (count,):
        got = f"values of shape {values.shape}" if isinstance(values, Tensor) else repr(values)
        raise ShapeError(name, f"returned {got}", f"expected a tensor with one value for each of "
                         f"{count} samples", "Leave the mean over the batch to fit.")
    if values.size > y_pred.size:
        raise ShapeError(name, f"returned values of shape {values.shape}",
                         f"labels {y_true.shape} and predictions {y_pred.shape} were broadcast to "
                         "more than there are predictions",
                         "Reshape the labels first: y_true.reshape(y_pred.shape).")


# ---- by name -------------------------------------------------------------------------------

_CLASSES: tuple[type[Loss], ...] = (CategoricalCrossentropy, SparseCategoricalCrossentropy,
                                    BinaryCrossentropy, NLL, MeanSquaredError, MeanAbsoluteError)
NAMES: dict[str, type[Loss]] = {c.name: c for c in _CLASSES} | {
    "mean_squared_error": MeanSquaredError, "mean_absolute_error": MeanAbsoluteError}


def get(loss: str | Loss | Callable | Mapping[str, Any],
        custom_objects: Mapping[str, Callable] | None = None) -> Loss:
    """Return a loss from its name, its config, a function, or itself.

    Args:
        custom_objects: functions and classes of your own, by the names that a config has of them.

    Raises:
        ArgumentError: there is no loss of that name; the text lists those that exist.

    >>> get("sparse_categorical_crossentropy")
    SparseCategoricalCrossentropy(from_logits=False, label_smoothing=0.0)
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type):
        raise ArgumentError("loss", f"got the class {loss.__name__}", "expected an object of it",
                            f"Write {loss.__name__}().")
    if callable(loss):
        return FunctionLoss(loss)
    config = {"name": loss} if isinstance(loss, str) else dict(loss)
    name, kind = config.pop("name"), config.pop("class", None)
    for known in (kind, name):
        if known in (custom_objects or {}):
            own = custom_objects[known]  # type: ignore[index]
            return own(**config) if isinstance(own, type) else get(own)
    if name not in NAMES or kind:
        given = kind or name
        raise ArgumentError("loss", f"got {given!r}", f"there are {', '.join(sorted(NAMES))}",
                            "Or give a function (y_true, y_pred) -> loss of each sample; for a "
                            f'saved model, custom_objects={{"{given}": ...}}.')
    return NAMES[name](**config)


# ---- shapes and logits ---------------------------------------------------------------------


def logits_of(y_pred: Tensor, activation: str) -> Tensor | None:
    """Return what `activation` was applied to if that is how a recorded tensor was made.

    None also where a hook wants to see the gradient of the tensor itself.
    """
    node = y_pred.node
    plain = node is not None and node.op.name == activation and not node.hooks
    return node.source if plain else None  # type: ignore[union-attr]


def _log_probabilities(p: Tensor) -> Tensor:
    """Return log p of probabilities that need not quite add up to 1."""
    p = p / F.sum(p, axis=-1, keepdims=True)
    return F.log(F.clip(p, EPSILON, 1 - EPSILON))


def _integer_labels(name: str, y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Return labels of shape (N, ...) for predictions (N, ..., classes); (N, ..., 1) will do."""
    wanted = y_pred.shape[:-1]
    if y_true.shape == (*wanted, 1):
        y_true = F.reshape(y_true, wanted)
    if y_true.shape != wanted:
        raise ShapeError(name, f"got labels of shape {y_true.shape}",
                         f"the model gives {y_pred.shape}, so it expects integer labels {wanted}",
                         "For one-hot labels use categorical_crossentropy.")
    labels = F.astype(y_true, np.int64) if _whole(y_true.array) else y_true
    check_labels(name, labels, y_pred.shape[-1])
    return labels


def _whole(labels: np.ndarray) -> bool:
    """Say whether floats, such as labels read from a CSV file, are class numbers."""
    return labels.dtype.kind == "f" and bool(np.all(np.mod(to_host(labels), 1) == 0))


def _same_shape(name: str, y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Return the targets in the shape of the predictions; (N,) stands for (N, 1) and back."""
    if y_true.shape == y_pred.shape:
        return y_true
    if (*y_true.shape, 1) == y_pred.shape or y_true.shape == (*y_pred.shape, 1):
        return F.reshape(y_true, y_pred.shape)
    raise ShapeError(name, f"got labels of shape {y_true.shape}",
                     f"the model gives {y_pred.shape}, so it expects labels of that shape",
                     "Change the labels, the last layer or the loss.")


def _check_range(name: str, target: Tensor) -> None:
    """Raise unless the targets are probabilities; not-a-number passes, as in every loss."""
    values = target.numpy()
    low, high = (values.min(), values.max()) if target.size else (0.0, 1.0)
    if low < 0 or high > 1:
        raise ArgumentError(name, f"got labels from {low:g} to {high:g}", "expected 0 to 1",
                            "For more than two classes use sparse_categorical_crossentropy.")
