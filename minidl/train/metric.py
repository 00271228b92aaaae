"""What a metric is: exact sums over samples, so that a short last batch weighs by its size.

`update(y_true, y_pred)` takes NumPy arrays; `result()` is the value over all samples since
`reset()`. State is a few numbers, which checkpoints carry, so that a resumed epoch ends with the
same figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..errors import ShapeError
from . import losses
from .losses import Loss

State = dict[str, Any]


class Metric:
    """Base of the metrics that are a mean over samples; a subclass gives `values`.

    Args:
        name: the column in logs and history.

    >>> from minidl.train.metrics import Accuracy
    >>> metric = Accuracy()
    >>> metric.update(np.array([1, 0]), np.array([[0.2, 0.8], [0.3, 0.7]]))
    >>> metric.result()
    0.5
    """

    default_name = "metric"

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.default_name
        self.reset()

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the value of every sample, or of every position in every sample."""
        raise NotImplementedError

    def update(self, y_true: np.ndarray, y_pred: np.ndarray) -> None:
        """Take a batch into account."""
        values = self.values(np.asarray(y_true), np.asarray(y_pred))
        self.total += float(values.sum(dtype=np.float64))
        self.count += values.size

    def result(self) -> float | dict[str, float]:
        """Return the mean over what was seen; not-a-number where nothing was."""
        return self.total / self.count if self.count else float("nan")

    def reset(self) -> None:
        """Forget what was seen."""
        self.total, self.count = 0.0, 0

    def get_state(self) -> State:
        """Return the sums so far."""
        return {"total": self.total, "count": self.count}

    def set_state(self, state: State) -> None:
        """Go on from sums that `get_state` returned."""
        self.total, self.count = float(state["total"]), int(state["count"])

    def get_config(self) -> dict[str, Any]:
        """Return what `get` needs to make this metric again."""
        return {"class": type(self).__name__, "name": self.name}


class Mean(Metric):
    """Mean of numbers, each counted `weight` times.

    >>> mean = Mean()
    >>> mean.add(1.0, 3), mean.add(2.0, 1)
    (None, None)
    >>> mean.result()
    1.25
    """

    default_name = "mean"

    def add(self, value: float, weight: int = 1) -> None:
        """Take one value into account."""
        self.total += float(value) * weight
        self.count += weight

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the predictions themselves."""
        return y_pred


class MeanLoss(Metric):
    """Mean over samples of a loss, or of a function (y_true, y_pred) -> value of each sample."""

    def __init__(self, loss: str | Loss | Callable, name: str | None = None) -> None:
        self.loss = losses.get(loss)
        super().__init__(name or self.loss.name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the loss of every sample."""
        return self.loss(Tensor.own(y_true), Tensor.own(y_pred)).numpy()

    def get_config(self) -> dict[str, Any]:
        """Return what `get` needs to make this metric again."""
        return {**super().get_config(), "loss": self.loss.get_config()}


def class_of(name: str, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return integer labels (N, ...) from integer or one-hot ones, for predictions (N, ..., C)."""
    wanted = y_pred.shape[:-1]
    if y_true.shape == y_pred.shape:
        return y_true.argmax(axis=-1)
    if y_true.shape in (wanted, (*wanted, 1)):
        return y_true.reshape(wanted).astype(np.int64)
    raise ShapeError(name, f"got labels of shape {y_true.shape}",
                     f"the model gives {y_pred.shape}, so it expects integers {wanted} or one-hot "
                     f"labels {y_pred.shape}", "Change the labels or the last layer.")
