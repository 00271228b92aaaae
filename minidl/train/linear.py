"""Logistic regression on features: found by scikit-learn, kept and used without it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import DataError, MinidlError, ShapeError
from . import checkpoint

GRID = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
"""Inverse strengths of the penalty that the book tries, chapter 3."""
KIND = "logistic regression"


@dataclass(frozen=True)
class LogisticRegression:
    """Probabilities softmax(z w + b) of features x (N, F), where z = (x - mean) / scale.

    Attributes:
        kernel: w, float64 (F, classes).
        bias: b, float64 (classes,).
        mean, scale: float64 (F,), by which features are standardised; 0 and 1 where they are not.
        class_names: by label.
        c: inverse strength of the penalty it was found with; the largest mean accuracy in
            cross-validation, the smallest c of equal ones.
        scores: that accuracy for each c tried, where several were.
        converged: whether the search came to its end; otherwise it stopped at `max_iter`.

    >>> found = fit_logistic_regression(np.eye(3).repeat(3, 0), np.arange(9) // 3, grid=[1.0])
    >>> found.predict(np.eye(3)).tolist()
    [0, 1, 2]
    """

    kernel: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    class_names: tuple[str, ...]
    c: float = 1.0
    scores: dict[float, float] = field(default_factory=dict)
    converged: bool = True

    def predict_proba(self, x: Any, rows: int = 1024) -> np.ndarray:
        """Return probabilities, float64 (N, classes).

        Args:
            x: features (N, F), an array or a source, read in pieces of `rows`.

        Raises:
            ShapeError: the features are of another number than F.
        """
        if len(x.shape) != 2 or x.shape[1] != len(self.kernel):
            raise ShapeError("LogisticRegression", f"got features of shape {tuple(x.shape)}",
                             f"expected (N, {len(self.kernel):,}), as it was fitted to",
                             "Extract them at the same layer of the same network.")
        pieces = [self._piece(np.asarray(x[at:at + rows])) for at in range(0, len(x), rows)]
        return np.concatenate(pieces) if pieces else np.zeros((0, len(self.bias)))

    def _piece(self, x: np.ndarray) -> np.ndarray:
        scores = (x - self.mean) / self.scale @ self.kernel + self.bias
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def predict(self, x: Any) -> np.ndarray:
        """Return the likeliest class of each row, int64 (N,)."""
        return self.predict_proba(x).argmax(axis=1)

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel (F, classes) and bias of a dense softmax layer that does the same."""
        kernel = self.kernel / self.scale[:, None]
        return kernel, self.bias - self.mean @ kernel

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write PATH.safetensors, and PATH.json to read; return the path of the file.

        Raises:
            CheckpointError: it cannot be written.
        """
        scores = [[c, score] for c, score in self.scores.items()]
        arrays = {name: getattr(self, name) for name in ("kernel", "bias", "mean", "scale")}
        return checkpoint.save_tree(path, KIND, {
            **arrays, "class_names": list(self.class_names), "c": self.c, "scores": scores,
            "converged": self.converged})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return what `save` wrote; ".safetensors" need not be given.

        Raises:
            CheckpointError: the file is missing, damaged or of another kind.
        """
        saved = checkpoint.load_tree(path, KIND)
        return cls(**{**saved, "class_names": tuple(saved["class_names"]),
                      "scores": dict(saved["scores"])})


# ---- fitting -------------------------------------------------------------------------------


def fit_logistic_regression(x: Any, y: Any, class_names: Sequence[str] | None = None, *,
                            grid: Sequence[float] = GRID, folds: int = 3, jobs: int | None = None,
                            standardize: bool = True, max_iter: int = 300, tol: float = 1e-4
                            ) -> LogisticRegression:
    """Return the logistic regression with the c of a grid that cross-validation likes best.

    Every c is judged by its mean accuracy over folds with the classes in proportion; the best one
    is fitted to all rows. scikit-learn (the extra "ml") does it, with an L2 penalty on w, not on
    b. Where there are more features than rows, the search goes on among the combinations of rows,
    which hold the same solution and are fewer.

    Args:
        x: features (N, F).
        y: labels (N,), whole numbers from 0.
        class_names: by label; numbers by default.
        grid: values of c, the inverse strength of the penalty.
        folds: parts of the cross-validation; it is left out where the grid has one value.
        jobs: processes that fit at the same time, -1 for one per processor.
        standardize: bring every feature to mean 0 and deviation 1 first; the search then needs
            far fewer steps.
        max_iter: steps of L-BFGS at most; large values of c on classes that overlap take many
            more, and are no better for it.
        tol: size of the largest component of the gradient at which it ends.

    Raises:
        MinidlError: scikit-learn is not installed.
        ShapeError: x is not (N, F), or there is not one label for each row.
        DataError: a feature is not finite, or a class has fewer samples than there are folds.
    """
    features, labels = np.asarray(x, np.float64), np.asarray(y)
    names = _checked(features, labels, class_names, folds if len(grid) > 1 else 1)
    mean, scale = _standard(features) if standardize else (
        np.zeros(features.shape[1]), np.ones(features.shape[1]))
    z = (features - mean) / scale
    rows, back = _among_rows(z)
    best, scores = _search(rows, labels, grid, folds, jobs, max_iter, tol)
    kernel, bias = best.coef_.T, best.intercept_
    if len(names) == 2:  # scikit-learn keeps the second class's score alone, against 0
        kernel, bias = np.hstack([0 * kernel, kernel]), np.array([0.0, *bias])
    return LogisticRegression(kernel if back is None else back @ kernel, bias, mean, scale, names,
                              float(best.C), scores, bool(np.max(best.n_iter_) < max_iter))


def _checked(x: np.ndarray, y: np.ndarray, names: Sequence[str] | None, least: int
             ) -> tuple[str, ...]:
    """Return the names of the classes; raise where features and labels cannot be fitted."""
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.size:
        raise ShapeError("fit_logistic_regression", f"got x {x.shape} and y {y.shape}",
                         "expected (N, F) and (N,)", "Give a row of features for each label.")
    if not np.isfinite(x).all():
        row = int(np.argmax(~np.isfinite(x).all(axis=1)))
        raise DataError("fit_logistic_regression", f"row {row} holds what is no finite number",
                        "expected finite features", "Look at the network and the samples.")
    named = tuple(map(str, range(int(y.max()) + 1) if names is None else names))
    counts = np.bincount(y, minlength=len(named))
    if len(named) < 2 or len(counts) > len(named):
        raise DataError("fit_logistic_regression", f"got labels up to {len(counts) - 1}",
                        f"there are {len(named)} classes", "Two classes or more are needed, each "
                        "with a name.")
    if counts.min() < least:
        few = int(counts.argmin())
        raise DataError("fit_logistic_regression",
                        f"got {counts[few]} samples of class {named[few]!r}",
                        f"expected at least {least}, one for each fold",
                        "Give more samples, fewer folds, or leave that class out.")
    return named


def _standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each feature; 1 for one that never changes."""
    scale = x.std(axis=0)
    return x.mean(axis=0), np.where(scale > 1e-12, scale, 1.0)


def _among_rows(z: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return coordinates (N, R) of rows within their span, and the span's axes (F, R).

    With a penalty on its length alone, w is a combination of rows, so R = N coordinates do for it.
    """
    if z.shape[1] <= len(z):
        return z, None
    values, vectors = np.linalg.eigh(z @ z.T)
    kept = values > values[-1] * 1e-12
    lengths = np.sqrt(values[kept])
    return vectors[:, kept] * lengths, z.T @ (vectors[:, kept] / lengths)


def _search(x: np.ndarray, y: np.ndarray, grid: Sequence[float], folds: int, jobs: int | None,
            max_iter: int, tol: float) -> tuple[Any, dict[float, float]]:
    """Return the fitted estimator of scikit-learn, and the accuracy of each c."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression as Estimator
        from sklearn.model_selection import GridSearchCV
    except ImportError:
        raise MinidlError("fit_logistic_regression", "scikit-learn is not installed",
                          "it finds the weights", 'Install it: pip install "minidl[ml]"') from None
    from ..backend.cpu import serial_blas

    # many small products: BLAS's own threads would wait for each other most of the time
    with serial_blas(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` says it once
        if len(grid) == 1:
            return Estimator(C=grid[0], max_iter=max_iter, tol=tol).fit(x, y), {}
        search = GridSearchCV(Estimator(max_iter=max_iter, tol=tol), {"C": list(grid)}, cv=folds,
                              n_jobs=jobs)
        search.fit(x, y)
    tried = zip(grid, search.cv_results_["mean_test_score"], strict=True)
    return search.best_estimator_, {float(c): float(score) for c, score in tried}
