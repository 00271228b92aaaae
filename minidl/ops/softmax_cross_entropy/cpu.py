"""CPU kernels of softmax and cross-entropy; ranges are rows of x (rows, classes)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...backend.cpu import inline, kernel, run_ranges

GRAIN = 1 << 12  # elements per range: exponentials are slow


def _over_rows(function: Callable, x: np.ndarray, *others: np.ndarray, **numbers: float) -> None:
    """Call a kernel for ranges of rows of arrays (..., classes), then numbers."""
    rows = x.reshape(-1, x.shape[-1])
    flat = [a.reshape(-1, x.shape[-1]) if a.ndim == x.ndim else a.reshape(-1) for a in others]
    run_ranges(function, rows.shape[0], max(1, GRAIN // x.shape[-1]), rows, *flat,
               *numbers.values())


@inline
def _log_sum_exp(x, i):
    """Return log(sum(exp(x[i]))); the largest element is taken out first."""
    largest = x[i, 0]
    for c in range(1, x.shape[1]):
        largest = max(largest, x[i, c])
    total = 0.0
    for c in range(x.shape[1]):
        total += np.float64(math.exp(x[i, c] - largest))
    return largest + math.log(total)


@kernel
def _softmax(start, stop, x, y):
    for i in range(start, stop):
        row, largest, total = y[i], x[i, 0], 0.0
        for c in range(1, row.size):
            largest = max(largest, x[i, c])
        for c in range(row.size):
            row[c] = math.exp(x[i, c] - largest)
        for c in range(row.size):  # apart: see `kernel`
            total += np.float64(row[c])
        for c in range(row.size):
            row[c] /= total


@kernel
def _log_softmax(start, stop, x, y):
    for i in range(start, stop):
        log_sum = _log_sum_exp(x, i)
        for c in range(x.shape[1]):
            y[i, c] = x[i, c] - log_sum


@kernel
def _softmax_gradient(start, stop, gy, y, gx):
    for i in range(start, stop):
        total = 0.0
        for c in range(y.shape[1]):
            total += np.float64(gy[i, c]) * y[i, c]
        for c in range(y.shape[1]):
            gx[i, c] = y[i, c] * (gy[i, c] - total)


@kernel
def _log_softmax_gradient(start, stop, gy, y, gx):
    for i in range(start, stop):
        total = 0.0
        for c in range(y.shape[1]):
            total += np.float64(gy[i, c])
        for c in range(y.shape[1]):
            gx[i, c] = gy[i, c] - math.exp(y[i, c]) * total


def softmax(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict) -> None:
    """Write the probabilities."""
    _over_rows(_softmax, x, out)


def softmax_gradient(gy: np.ndarray, y: np.ndarray, *, out: np.ndarray, saved: dict, work: dict
                     ) -> None:
    """Write the input gradient of softmax."""
    _over_rows(_softmax_gradient, gy, y, out)


def log_softmax(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict) -> None:
    """Write the logarithms of the probabilities."""
    _over_rows(_log_softmax, x, out)


def log_softmax_gradient(gy: np.ndarray, y: np.ndarray, *, out: np.ndarray, saved: dict,
                         work: dict) -> None:
    """Write the input gradient of log_softmax."""
    _over_rows(_log_softmax_gradient, gy, y, out)


@inline
def _at(x, i, label):
    """Return x[i, label], NaN for a label that is no class: kernels never read outside."""
    return x[i, label] if 0 <= label < x.shape[1] else x.dtype.type(np.nan)


@kernel
def _loss_labels(start, stop, x, t, loss, log_sums, smoothing):
    for i in range(start, stop):
        log_sum = _log_sum_exp(x, i)
        log_sums[i] = log_sum
        total = 0.0
        if smoothing > 0:
            for c in range(x.shape[1]):
                total += np.float64(x[i, c]) - log_sum
        loss[i] = -((1 - smoothing) * (_at(x, i, t[i]) - log_sum) + smoothing / x.shape[1] * total)


@kernel
def _loss_probabilities(start, stop, x, t, loss, log_sums, smoothing):
    for i in range(start, stop):
        log_sum = _log_sum_exp(x, i)
        log_sums[i] = log_sum
        total = 0.0
        for c in range(x.shape[1]):
            target = (1 - smoothing) * t[i, c] + smoothing / x.shape[1]
            total += target * (x[i, c] - log_sum)
        loss[i] = -total


@kernel
def _gradient_labels(start, stop, x, gy, t, log_sums, gx, smoothing):
    for i in range(start, stop):
        low = smoothing / x.shape[1]
        for c in range(x.shape[1]):
            gx[i, c] = gy[i] * (math.exp(x[i, c] - log_sums[i]) - low)
        if 0 <= t[i] < x.shape[1]:
            gx[i, t[i]] -= gy[i] * (1 - smoothing)


@kernel
def _gradient_probabilities(start, stop, x, gy, t, log_sums, gx, smoothing):
    for i in range(start, stop):
        low = smoothing / x.shape[1]
        total = smoothing
        for c in range(x.shape[1]):
            total += (1 - smoothing) * t[i, c]
        for c in range(x.shape[1]):
            target = (1 - smoothing) * t[i, c] + low
            gx[i, c] = gy[i] * (math.exp(x[i, c] - log_sums[i]) * total - target)


def softmax_cross_entropy(x: np.ndarray, t: np.ndarray, *, out: np.ndarray, saved: dict,
                          work: dict, smoothing: float) -> None:
    """Write the loss of every row."""
    function = _loss_probabilities if t.dtype.kind == "f" else _loss_labels
    _over_rows(function, x, t, out, saved["log_sum"], smoothing=smoothing)


def softmax_cross_entropy_gradient(gy: np.ndarray, x: np.ndarray, t: np.ndarray,
                                   log_sum: np.ndarray, *, out: np.ndarray, saved: dict,
                                   work: dict, smoothing: float) -> None:
    """Write the gradient of the logits."""
    function = _gradient_probabilities if t.dtype.kind == "f" else _gradient_labels
    _over_rows(function, x, gy, t, log_sum, out, smoothing=smoothing)


@kernel
def _nll(start, stop, x, t, loss):
    for i in range(start, stop):
        loss[i] = -_at(x, i, t[i])


@kernel
def _nll_gradient(start, stop, gx, gy, t):
    for i in range(start, stop):
        gx[i, :] = 0
        if 0 <= t[i] < gx.shape[1]:
            gx[i, t[i]] = -gy[i]


def nll(x: np.ndarray, t: np.ndarray, *, out: np.ndarray, saved: dict, work: dict) -> None:
    """Write minus the log-probability of every label."""
    _over_rows(_nll, x, t, out)


def nll_gradient(gy: np.ndarray, t: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                 classes: int) -> None:
    """Write -gy at the labels and 0 elsewhere."""
    _over_rows(_nll_gradient, out, gy, t)
