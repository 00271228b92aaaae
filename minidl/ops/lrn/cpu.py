"""CPU kernels of local response normalisation; ranges are rows of x (rows, channels)."""

from __future__ import annotations

import math

import numpy as np

from ...backend.cpu import inline, kernel, ranges, run_ranges, run_slots

GRAIN = 1 << 13  # elements per range: powers are slow


@inline
def _add_around(values, radius, total):
    """Add to every element of total the values at most radius away."""
    for offset in range(-min(radius, total.size - 1), min(radius, total.size - 1) + 1):
        shifted = values[max(offset, 0):total.size + min(offset, 0)]
        target = total[max(-offset, 0):total.size - max(offset, 0)]
        for k in range(target.size):
            target[k] += shifted[k]


@inline
def _inverse_powers(scale, beta, out):
    """Write scale^-beta; the common exponents are roots, which are fast."""
    if beta == 0.5:
        for k in range(out.size):
            out[k] = 1 / math.sqrt(scale[k])
    elif beta == 0.75:
        for k in range(out.size):
            root = math.sqrt(scale[k])
            out[k] = 1 / (root * math.sqrt(root))
    else:
        for k in range(out.size):
            out[k] = scale[k] ** -beta


@kernel
def _forward(start, stop, x, scale, y, radius, bias, alpha, beta):
    for i in range(start, stop):
        row, total, target = x[i], scale[i], y[i]
        total[:] = 0
        for k in range(row.size):
            target[k] = row[k] * row[k]
        _add_around(target, radius, total)
        for k in range(row.size):
            total[k] = bias + alpha * total[k]
        _inverse_powers(total, beta, target)
        for k in range(row.size):
            target[k] *= row[k]


def local_response_norm(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                        depth_radius: int, bias: float, alpha: float, beta: float) -> None:
    """Write y and the scale."""
    v, scale, y = (a.reshape(-1, a.shape[-1]) for a in (x, saved["scale"], out))
    numbers = map(x.dtype.type, (bias, alpha, beta))
    arguments = v, scale, y, depth_radius, *numbers
    run_ranges(lambda a, b: _forward(a, b, *arguments), len(v), max(1, GRAIN // v.shape[1]))


@kernel
def _gradient(start, stop, gy, x, scale, gx, rows, radius, factor, beta):
    term, power = rows[0], rows[1]
    for i in range(start, stop):
        g, row, total, target = gy[i], x[i], scale[i], gx[i]
        _inverse_powers(total, beta, power)
        for k in range(row.size):
            term[k] = g[k] * row[k] * power[k] / total[k]
        target[:] = 0
        _add_around(term, radius, target)
        for k in range(row.size):
            target[k] = g[k] * power[k] - factor * row[k] * target[k]


def local_response_norm_gradient(gy: np.ndarray, x: np.ndarray, scale: np.ndarray, *,
                                 out: np.ndarray, saved: dict, work: dict, depth_radius: int,
                                 alpha: float, beta: float) -> None:
    """Write gx."""
    g, v, s, gx = (a.reshape(-1, a.shape[-1]) for a in (gy, x, scale, out))
    numbers = depth_radius, x.dtype.type(2 * alpha * beta), x.dtype.type(beta)
    run_slots(lambda a, b, slot: _gradient(a, b, g, v, s, gx, work["rows"][slot], *numbers),
              ranges(len(v), max(1, GRAIN // v.shape[1])))
