"""CPU kernels of layer normalisation; ranges are rows of x (rows, channels), or parts of them."""

from __future__ import annotations

import math

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, kernel, run_ranges

# ---- forward -------------------------------------------------------------------------------


@kernel
def _forward(start, stop, x, gamma, beta, y, mean, inv_std, epsilon):
    for i in range(start, stop):
        row, target = x[i], y[i]
        total = square = 0.0
        for k in range(row.size):
            total += np.float64(row[k])
        middle = total / row.size
        for k in range(row.size):
            gap = np.float64(row[k]) - middle
            square += gap * gap
        inverse = 1 / math.sqrt(square / row.size + epsilon)
        mean[i], inv_std[i] = middle, inverse
        for k in range(row.size):
            value = (np.float64(row[k]) - middle) * inverse
            if gamma is not None:
                value *= gamma[k]
            if beta is not None:
                value += beta[k]
            target[k] = value


def _rows(*arrays: np.ndarray) -> list[np.ndarray]:
    """Return arrays (..., channels) as (rows, channels)."""
    return [a.reshape(-1, a.shape[-1]) for a in arrays]


def layer_norm(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
               out: np.ndarray, saved: dict, work: dict, epsilon: float) -> None:
    """Write y."""
    v, y = _rows(x, out)
    mean, inv_std = saved["mean"].reshape(-1), saved["inv_std"].reshape(-1)
    run_ranges(lambda a, b: _forward(a, b, v, gamma, beta, y, mean, inv_std, epsilon), len(v),
               max(1, POINTWISE_GRAIN // v.shape[1]))


# ---- gradients -----------------------------------------------------------------------------


@kernel
def _input_gradient(start, stop, gy, x, gamma, mean, inv_std, gx):
    for i in range(start, stop):
        g, row, target = gy[i], x[i], gx[i]
        middle, inverse = np.float64(mean[i]), np.float64(inv_std[i])
        plain = scaled = 0.0
        for k in range(row.size):
            value = np.float64(g[k])
            if gamma is not None:
                value *= gamma[k]
            plain += value
            scaled += value * (np.float64(row[k]) - middle)
        plain /= row.size
        scaled *= inverse * inverse / row.size
        for k in range(row.size):
            value = np.float64(g[k])
            if gamma is not None:
                value *= gamma[k]
            target[k] = (value - plain - (np.float64(row[k]) - middle) * scaled) * inverse


def layer_norm_gradient(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
                        inv_std: np.ndarray, *, out: np.ndarray, saved: dict, work: dict) -> None:
    """Write gx."""
    g, v, gx = _rows(gy, x, out)
    middle, inverse = mean.reshape(-1), inv_std.reshape(-1)
    run_ranges(lambda a, b: _input_gradient(a, b, g, v, gamma, middle, inverse, gx), len(v),
               max(1, POINTWISE_GRAIN // v.shape[1]))


@kernel
def _parameter_sums(start, stop, gy, x, mean, inv_std, sums):
    """Write, per part of the rows, the sums of gy z and of gy."""
    length = (x.shape[0] + sums.shape[0] - 1) // sums.shape[0]
    for p in range(start, stop):
        scaled, plain = sums[p, 0], sums[p, 1]
        scaled[:] = 0
        plain[:] = 0
        for i in range(min(p * length, x.shape[0]), min((p + 1) * length, x.shape[0])):
            g, row, middle, inverse = gy[i], x[i], np.float64(mean[i]), np.float64(inv_std[i])
            for k in range(plain.size):
                value = np.float64(g[k])
                plain[k] += value
                scaled[k] += value * ((np.float64(row[k]) - middle) * inverse)


def layer_norm_parameter_gradient(gy: np.ndarray, x: np.ndarray, mean: np.ndarray,
                                  inv_std: np.ndarray, *, out: tuple[np.ndarray, np.ndarray],
                                  saved: dict, work: dict) -> None:
    """Write ggamma and gbeta."""
    g, v = _rows(gy, x)
    middle, inverse, sums = mean.reshape(-1), inv_std.reshape(-1), work["sums"]
    run_ranges(lambda a, b: _parameter_sums(a, b, g, v, middle, inverse, sums), len(sums), 1)
    total = sums[0]
    for part in sums[1:]:
        np.add(total, part, out=total)
    for target, values in zip(out, total, strict=True):
        np.copyto(target, values, casting="same_kind")
