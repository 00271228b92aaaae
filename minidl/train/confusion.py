"""The confusion counts, and precision, recall and F1 from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .metric import Metric, State, class_of


class ConfusionCounts(Metric):
    """Counts of (true class, predicted class), and precision, recall and F1 from them.

    In logs it gives three columns, the means over the classes; where there are two classes, the
    figures of class 1.

    Args:
        threshold: for models with one output.

    Attributes:
        matrix: int64 (classes, classes); rows are true classes, columns predicted ones.

    >>> counts = ConfusionCounts()
    >>> counts.update(np.array([0, 1, 1]), np.array([[0.1], [0.9], [0.2]]))
    >>> counts.matrix.tolist(), counts.precision().tolist(), counts.recall().tolist()
    ([[1, 0], [1, 1]], [0.5, 1.0], [1.0, 0.5])
    """

    default_name = "confusion"

    matrix: np.ndarray

    def __init__(self, threshold: float = 0.5, name: str | None = None) -> None:
        self.threshold = threshold
        super().__init__(name)

    def update(self, y_true: np.ndarray, y_pred: np.ndarray) -> None:
        """Take a batch into account."""
        y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
        if y_pred.shape[-1] == 1:
            classes = 2
            labels = (y_true.reshape(y_pred.shape) > 0.5).astype(np.int64)
            predicted = (y_pred > self.threshold).astype(np.int64)
        else:
            classes = y_pred.shape[-1]
            labels, predicted = class_of(self.name, y_true, y_pred), y_pred.argmax(axis=-1)
        pairs = labels.reshape(-1) * classes + predicted.reshape(-1)
        counts = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
        self.matrix = self.matrix + counts if self.matrix.size else counts

    def precision(self) -> np.ndarray:
        """Return, per class, the share of its predictions that are right; 0 where it has none."""
        return _share(np.diag(self.matrix), self.matrix.sum(axis=0))

    def recall(self) -> np.ndarray:
        """Return, per class, the share of its samples that were found; 0 where it has none."""
        return _share(np.diag(self.matrix), self.matrix.sum(axis=1))

    def f1(self) -> np.ndarray:
        """Return, per class, the harmonic mean of precision and recall."""
        return _share(2 * np.diag(self.matrix), self.matrix.sum(axis=0) + self.matrix.sum(axis=1))

    def result(self) -> dict[str, float]:
        """Return precision, recall and F1 as numbers."""
        figures = {"precision": self.precision(), "recall": self.recall(), "f1": self.f1()}
        return {name: float(v[1] if len(v) == 2 else v.mean()) if v.size else float("nan")
                for name, v in figures.items()}

    def reset(self) -> None:
        """Forget what was seen."""
        self.matrix = np.zeros((0, 0), np.int64)

    def get_state(self) -> State:
        """Return the matrix so far."""
        return {"matrix": self.matrix.copy()}

    def set_state(self, state: State) -> None:
        """Go on from a matrix that `get_state` returned."""
        self.matrix = np.array(state["matrix"], np.int64)

    def get_config(self) -> dict[str, Any]:
        """Return what `get` needs to make this metric again."""
        return {**super().get_config(), "threshold": self.threshold}


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)
