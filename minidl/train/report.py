"""What is said of a classifier: rank-k accuracies, confusion counts, a report by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, MinidlError, ShapeError
from . import probabilities
from .metric import class_of

HEADS = ("precision", "recall", "f1-score", "support")
TOTAL = "avg / total"


def rank_accuracy(y_true: Any, y_prob: Any, k: Sequence[int] = (1, 5)) -> tuple[float, ...]:
    """Return, for each k, the share of samples whose class is among the k likeliest.

    Equal probabilities are ranked by class number, as argmax does, so that rank 1 is the
    accuracy. A row with not-a-number in it counts as wrong.

    Args:
        y_true: classes (N,) or one-hot (N, classes).
        y_prob: (N, classes), in any increasing scale.
        k: ranks to count.

    Raises:
        ShapeError: the arrays do not belong together.
        ArgumentError: a label is outside the classes, or k is below 1.

    >>> rank_accuracy([2, 0], [[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]], k=(1, 2, 3))
    (0.5, 0.5, 1.0)
    """
    scores = np.asarray(y_prob)
    if scores.ndim != 2 or not len(scores):
        raise ShapeError("rank_accuracy", f"got y_prob of shape {scores.shape}",
                         "expected (N, classes) with at least one row", "Give model.predict(x).")
    if min(k, default=0) < 1:
        raise ArgumentError("rank_accuracy", f"got k={tuple(k)}", "expected numbers from 1 on",
                            "Change k.")
    labels = class_of("rank_accuracy", np.asarray(y_true), scores)
    _check_labels("rank_accuracy", labels, scores.shape[1])
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    first = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & first)).sum(axis=1)
    rank[np.isnan(scores).any(axis=1)] = scores.shape[1]
    return tuple(float((rank < n).mean()) for n in k)


def confusion_counts(y_true: Any, y_pred: Any, classes: int) -> np.ndarray:
    """Return how often each true class (row) was taken for each class (column), int64.

    Args:
        y_true: classes (N,).
        y_pred: classes (N,).
        classes: how many there are.

    Raises:
        ArgumentError, ShapeError: as in `classification_report`.

    >>> confusion_counts([0, 1, 1], [0, 0, 1], 2).tolist()
    [[1, 0], [1, 1]]
    """
    true, said = _pair("confusion_counts", y_true, y_pred, classes)
    counts = np.bincount(true * classes + said, minlength=classes * classes)
    return counts.reshape(classes, classes)


def classification_report(y_true: Any, y_pred: Any, names: Sequence[str] | int,
                          digits: int = 2) -> str:
    """Return precision, recall, F1 and number of samples of each class, and their mean, as a table.

    The last row weighs each class by its samples; there, recall is the accuracy. scikit-learn
    (the extra "ml") computes the figures; what has no samples or no predictions is 0.

    Args:
        y_true: classes (N,) or one-hot (N, classes).
        y_pred: classes (N,), or probabilities (N, classes) or (N, 1).
        names: of the classes, or how many there are.
        digits: decimals.

    Raises:
        MinidlError: scikit-learn is not installed.
        ShapeError: the arrays differ in length.
        ArgumentError: there are classes without a name.

    >>> print(classification_report([0, 1, 1], [0, 0, 1], ["cat", "dog"]))
                 precision    recall  f1-score   support
    <BLANKLINE>
            cat       0.50      1.00      0.67         1
            dog       1.00      0.50      0.67         2
    <BLANKLINE>
    avg / total       0.83      0.67      0.67         3
    """
    named = [str(i) for i in range(names)] if isinstance(names, int) else list(names)
    true, said = _pair("classification_report", y_true, y_pred, len(named))
    figures = _figures(true, said, named)
    width = max(len(TOTAL), *map(len, named))
    rows = [_row(name, figures[str(i)], width, digits) for i, name in enumerate(named)]
    head = " " * width + "  " + "".join(f"{h:>{10 if i else 9}}" for i, h in enumerate(HEADS))
    return "\n".join([head, "", *rows, "", _row(TOTAL, figures["weighted avg"], width, digits)])


def _row(name: str, figures: Mapping[str, float], width: int, digits: int) -> str:
    numbers = "".join(f"{figures[h]:>{10 if i else 9}.{digits}f}" for i, h in enumerate(HEADS[:3]))
    return f"{name:>{width}}  {numbers}{int(figures['support']):>10}"


def _figures(true: np.ndarray, said: np.ndarray, names: Sequence[str]
             ) -> dict[str, Mapping[str, float]]:
    """Return the figures by class number and of "weighted avg"."""
    try:
        from sklearn.metrics import classification_report as report
    except ImportError:
        raise MinidlError("classification_report", "scikit-learn is not installed",
                          "it computes the figures", 'Install it: pip install "minidl[ml]"'
                          ) from None
    numbers = range(len(names))
    return report(true, said, labels=list(numbers), target_names=[str(i) for i in numbers],
                  output_dict=True, zero_division=0)


def _pair(where: str, y_true: Any, y_pred: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted classes (N,), checked."""
    true, said = np.asarray(y_true), np.asarray(y_pred)
    true = true.argmax(axis=1) if true.ndim == 2 and true.shape[1] > 1 else true.reshape(-1)
    said = probabilities.classes(said) if said.ndim == 2 else said
    if said.shape != true.shape or not true.size:
        raise ShapeError(where, f"got {len(true)} labels and predictions of shape {said.shape}",
                         "expected one prediction for each of at least one label",
                         "Predict all samples, each once.")
    true, said = true.astype(np.int64), said.astype(np.int64)
    for labels in (true, said):
        _check_labels(where, labels, classes)
    return true, said


def _check_labels(where: str, labels: np.ndarray, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise ArgumentError(where, f"got labels from {labels.min()} to {labels.max()}",
                            f"expected 0 to {classes - 1}, as there are {classes} classes",
                            "Number the classes from 0, or name all of them.")
