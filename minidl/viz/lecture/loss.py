"""The number whose gradients are shown: what the output of a model costs for a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...autograd import functional as F  # noqa: N812 (its usual short name)
from ...autograd.tensor import Tensor
from ...errors import ArgumentError

TINY = 1e-37  # added to a probability before its logarithm
NEAR = 1e-3   # how far a sum of probabilities may be from 1


@dataclass
class Loss:
    """A loss of one sample.

    Attributes:
        tensor: the value, a tensor of one element.
        kind: "probabilities", "log_probabilities", "logits", "binary" or "score".
        label: of the sample, None where the output has no classes.
        predicted: likewise.
        probability: of the predicted class.
    """

    tensor: Tensor
    kind: str
    label: int | None = None
    predicted: int | None = None
    probability: float | None = None


def loss_of(y: Tensor, label: int | None) -> Loss:
    """Return the loss of an output (1, ...): the cross-entropy, where it is one of classes.

    What the output is, is seen from its values: one number in [0, 1], or one for each class that
    sum to 1, or whose exponentials do, or logits. Of anything else the largest element counts.

    Raises:
        ArgumentError: there is no such class.

    >>> loss = loss_of(Tensor([[0.25, 0.75]]), 0)
    >>> loss.kind, loss.predicted, round(loss.tensor.item(), 3)
    ('probabilities', 1, 1.386)
    """
    if y.size != y.shape[-1]:
        return Loss(F.max(y), "score")
    row = np.asarray(y.array, np.float64).reshape(-1)
    if len(row) == 1:
        return _binary(y, float(row[0]), label)
    kind = _kind(row)
    predicted = int(row.argmax())
    label = predicted if label is None else _checked(label, len(row))
    logs = {"probabilities": lambda: F.log(y + TINY), "log_probabilities": lambda: y,
            "logits": lambda: F.log_softmax(y)}[kind]()
    one_hot = np.zeros(y.shape, y.dtype)
    one_hot.reshape(-1)[label] = -1
    return Loss(F.sum(logs * Tensor(one_hot)), kind, label, predicted, _share(row, kind))


def _binary(y: Tensor, p: float, label: int | None) -> Loss:
    if not 0 <= p <= 1:
        return Loss(F.sum(y), "score")
    predicted = int(p > 0.5)
    label = predicted if label is None else _checked(label, 2)
    share = y if label else 1.0 - y
    return Loss(F.negative(F.sum(F.log(share + TINY))), "binary", label, predicted,
                p if predicted else 1 - p)


def _kind(row: np.ndarray) -> str:
    if row.min() >= 0 and abs(row.sum() - 1) < NEAR:
        return "probabilities"
    if row.max() <= 0 and abs(np.exp(row).sum() - 1) < NEAR:
        return "log_probabilities"
    return "logits"


def _share(row: np.ndarray, kind: str) -> float:
    if kind == "probabilities":
        return float(row.max())
    shares = np.exp(row - row.max())
    return float((shares / shares.sum()).max())


def _checked(label: Any, classes: int) -> int:
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or not (
            0 <= label < classes):
        raise ArgumentError("lecture_view", f"got label={label!r}",
                            f"expected a whole number from 0 to {classes - 1}",
                            "Labels count from 0.")
    return int(label)
