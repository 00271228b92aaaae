"""Metrics by their names, as `minidl.metrics`: accuracies, top-k, means of losses, confusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from . import losses
from .confusion import ConfusionCounts
from .losses import Loss
from .metric import Mean, MeanLoss, Metric, class_of
from .report import classification_report, confusion_counts, rank_accuracy

__all__ = ["Accuracy", "BinaryAccuracy", "ConfusionCounts", "Mean", "MeanLoss", "Metric", "TopK",
           "classification_report", "confusion_counts", "get", "get_all", "rank_accuracy"]


class BinaryAccuracy(Metric):
    """Share of outputs on the right side of a threshold.

    Args:
        threshold: predictions above it count as 1; 0.5 for probabilities, 0 for logits.
    """

    default_name = "binary_accuracy"

    def __init__(self, threshold: float = 0.5, name: str | None = None) -> None:
        self.threshold = threshold
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return whether each output is right."""
        if y_true.size != y_pred.size:
            raise ShapeError(self.name, f"got labels of shape {y_true.shape}",
                             f"the model gives {y_pred.shape}, so it expects labels of that shape",
                             "Change the labels or the metric.")
        return (y_true.reshape(y_pred.shape) > 0.5) == (y_pred > self.threshold)

    def get_config(self) -> dict[str, Any]:
        """Return what `get` needs to make this metric again."""
        return {**super().get_config(), "threshold": self.threshold}


class Accuracy(BinaryAccuracy):
    """Share of samples whose largest output is that of their class.

    Labels are integers (N, ...) or one-hot (N, ..., classes), told apart by their shape. Where
    the model has one output, it is compared with the threshold.
    """

    default_name = "accuracy"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return whether each sample is right."""
        if y_pred.shape[-1] == 1:
            return super().values(y_true, y_pred)
        return class_of(self.name, y_true, y_pred) == y_pred.argmax(axis=-1)


class TopK(Metric):
    """Share of samples whose class is among the k largest outputs.

    Args:
        k: how many outputs count; among equal ones all count as the highest.
    """

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        if k < 1:
            raise ArgumentError("TopK", f"got k={k}", "expected at least 1", "Change k.")
        self.k = k
        super().__init__(name or f"top_{k}_accuracy")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return whether each sample is right."""
        labels = class_of(self.name, y_true, y_pred)
        own = np.take_along_axis(y_pred, labels[..., None], axis=-1)
        return (np.sum(y_pred > own, axis=-1) < self.k) & ~np.isnan(own[..., 0])

    def get_config(self) -> dict[str, Any]:
        """Return what `get` needs to make this metric again."""
        return {**super().get_config(), "k": self.k}


# ---- by name -------------------------------------------------------------------------------

_NAMED: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy, "acc": lambda: Accuracy(name="acc"), "binary_accuracy": BinaryAccuracy,
    "top_k_accuracy": TopK, "top_5_accuracy": TopK, "confusion": ConfusionCounts,
    **{name: lambda name=name: MeanLoss(name, name) for name in losses.NAMES}}  # type: ignore[misc]
_CLASSES: dict[str, type[Metric]] = {c.__name__: c for c in (
    Mean, MeanLoss, BinaryAccuracy, Accuracy, TopK, ConfusionCounts)}


def get(metric: str | Metric | Callable | Mapping[str, Any], loss: Loss | None = None,
        custom_objects: Mapping[str, Callable] | None = None) -> Metric:
    """Return a metric from its name, its config, a function of each sample, or itself.

    "accuracy" compares classes, or with a threshold where the loss is binary cross-entropy or
    the model has one output.

    Raises:
        ArgumentError: there is no metric of that name; the text lists those that exist.

    >>> get("top_5_accuracy").name
    'top_5_accuracy'
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, Mapping):
        return _from_config(metric, custom_objects or {})
    if isinstance(metric, type):
        raise ArgumentError("metrics", f"got the class {metric.__name__}",
                            "expected an object of it", f"Write {metric.__name__}().")
    if callable(metric):
        return MeanLoss(metric)
    if metric in ("accuracy", "acc") and isinstance(loss, losses.BinaryCrossentropy):
        return BinaryAccuracy(0.0 if loss.from_logits else 0.5, metric)
    if metric not in _NAMED:
        raise ArgumentError("metrics", f"got {metric!r}", f"there are {', '.join(sorted(_NAMED))}",
                            "Or give a function (y_true, y_pred) -> value of each sample.")
    return _NAMED[metric]()


def _from_config(config: Mapping[str, Any], custom: Mapping[str, Callable]) -> Metric:
    arguments = dict(config)
    name = arguments.pop("class")
    if name not in _CLASSES and name not in custom:
        raise ArgumentError("metrics", f"got the class {name!r}",
                            f"there are {', '.join(sorted(_CLASSES))}",
                            "Give your own classes as custom_objects={name: class}.")
    if name == "MeanLoss":
        arguments["loss"] = losses.get(arguments["loss"], custom)
    return (custom.get(name) or _CLASSES[name])(**arguments)


def get_all(metrics: Sequence[Any], loss: Loss) -> list[Metric]:
    """Return the metrics of a model; raise where two have the same name."""
    listed = [metrics] if isinstance(metrics, (str, Metric)) else metrics
    found = [get(m, loss) for m in listed]
    names = ["loss", *(m.name for m in found)]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise ArgumentError("metrics", f"got {', '.join(sorted(twice))} twice",
                            "expected different names", "Give name= to one of them.")
    return found
