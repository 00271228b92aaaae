"""CPU kernels of batch and group normalisation on x (samples, rows, width), see `layout.py`.

Forward: one pass reads x for the statistics, one reads it again and writes y. Backward: one pass
reads gy and x for two sums per column, one reads them again and writes
gx = gy factor + (x - mean) b + c. The second passes go from the end to the start, because the end
is what the cache still holds.

Relu is part of the passes: y is limited from below by `floor`, and backward takes gy where
(x - mean) factor + offset, with the numbers of forward, is above 0. So x alone is kept.

Sums: SPAN rows, of differences from a near number, in the type of x, then float64; parts of rows
are joined as in Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ...backend.cpu import (
    POINTWISE_GRAIN,
    inline,
    kernel,
    ranges,
    run_ranges,
    run_slots,
)
from ..reduce.layout import SPAN
from .layout import Layout, layout

NO_FLOOR = -np.inf
NEAR = 8  # rows whose mean is near that of all: differences from it lose fewer digits

# ---- passes over x -------------------------------------------------------------------------


@inline
def _fold(s, q, first, second):
    """Add two rows of sums to sums in float64."""
    for k in range(s.size):
        first[k] += np.float64(s[k])
        second[k] += np.float64(q[k])


@inline
def _average(x, near):
    """Write the mean of a few rows."""
    near[:] = 0
    for j in range(x.shape[0]):
        row = x[j]
        for k in range(near.size):
            near[k] += row[k]
    share = x.dtype.type(1 / x.shape[0])
    for k in range(near.size):
        near[k] *= share


@kernel
def _moments(start, stop, slot, x, lanes, sums, length):
    """Write, per part and column, the mean and the sum of the squared distances from it."""
    rows, parts = x.shape[1], sums.shape[1]
    s, q, near = lanes[slot, 0], lanes[slot, 1], lanes[slot, 2]
    for task in range(start, stop):
        n, p = task // parts, task % parts
        mean, square = sums[n, p, 0], sums[n, p, 1]
        mean[:] = 0
        square[:] = 0
        first, last = p * length, min((p + 1) * length, rows)
        _average(x[n, first:min(first + NEAR, last)], near)
        for some in range(first, last, SPAN):
            s[:] = 0
            q[:] = 0
            for j in range(some, min(some + SPAN, last)):
                row = x[n, j]
                for k in range(s.size):
                    d = row[k] - near[k]
                    s[k] += d
                    q[k] += d * d
            _fold(s, q, mean, square)
        for k in range(mean.size):
            shift = mean[k] / (last - first)
            square[k] -= shift * mean[k]
            mean[k] = np.float64(near[k]) + shift


@kernel
def _normalise(start, stop, x, terms, y, floor):
    """Write (x - mean) factor + offset, or floor where that is less; terms hold these three."""
    rows = x.shape[1]
    total = x.shape[0] * rows
    for row in range(total - stop, total - start):
        n, j = row // rows, row % rows
        a, b, mean, factor, offset = x[n, j], y[n, j], terms[n, 0], terms[n, 1], terms[n, 2]
        for k in range(b.size):
            z = (a[k] - mean[k]) * factor[k] + offset[k]
            b[k] = floor if z < floor else z


@cache
def _gradient_passes(relu: bool) -> tuple[Callable, Callable]:
    """Return the two passes of backward; terms are mean, factor, offset, b and c."""
    @kernel
    def gradient_sums(start, stop, slot, gy, x, terms, lanes, sums, length):
        """Write, per part and column, the sums of gy and of gy (x - mean)."""
        rows, parts, zero = x.shape[1], sums.shape[1], x.dtype.type(0)
        s, q = lanes[slot, 0], lanes[slot, 1]
        for task in range(start, stop):
            n, p = task // parts, task % parts
            plain, scaled = sums[n, p, 0], sums[n, p, 1]
            mean, factor, offset = terms[n, 0], terms[n, 1], terms[n, 2]
            plain[:] = 0
            scaled[:] = 0
            last = min((p + 1) * length, rows)
            for some in range(p * length, last, SPAN):
                s[:] = 0
                q[:] = 0
                for j in range(some, min(some + SPAN, last)):
                    row, g = x[n, j], gy[n, j]
                    for k in range(s.size):
                        d, t = row[k] - mean[k], g[k]
                        if relu:
                            t = t if d * factor[k] + offset[k] > 0 else zero
                        s[k] += t
                        q[k] += t * d
                _fold(s, q, plain, scaled)

    @kernel
    def input_gradient(start, stop, gy, x, terms, gx):
        """Write gy factor + (x - mean) b + c."""
        rows = x.shape[1]
        total, zero = x.shape[0] * rows, x.dtype.type(0)
        for row in range(total - stop, total - start):
            n, j = row // rows, row % rows
            g, v, target, mean, factor = gy[n, j], x[n, j], gx[n, j], terms[n, 0], terms[n, 1]
            offset, b, c = terms[n, 2], terms[n, 3], terms[n, 4]
            for k in range(target.size):
                d, t = v[k] - mean[k], g[k]
                if relu:
                    t = t if d * factor[k] + offset[k] > 0 else zero
                target[k] = t * factor[k] + d * b[k] + c[k]

    return gradient_sums, input_gradient


# ---- from sums to coefficients -------------------------------------------------------------


@inline
def _tile(terms, n, first, channels):
    """Repeat the terms of the channels along the rows that are laid side by side."""
    for i in range(first, terms.shape[1]):
        row = terms[n, i]
        for k in range(channels, row.size):
            row[k] = row[k - channels]


@inline
def _join(parts, moments, rows, length, channels):
    """Write mean and sum of squared distances per channel from those of all parts (of a sample)."""
    mean, square = moments[0], moments[1]
    mean[:] = 0
    square[:] = 0
    for i in range(2):
        for p in range(parts.shape[0]):
            count = min(length, rows - p * length)
            for first in range(0, parts.shape[2], channels):
                means, squares = parts[p, 0, first:], parts[p, 1, first:]
                if i == 0:
                    for k in range(channels):
                        mean[k] += means[k] * count
                else:
                    for k in range(channels):
                        gap = means[k] - mean[k]
                        square[k] += squares[k] + gap * gap * count
        if i == 0:
            for k in range(channels):
                mean[k] /= rows * (parts.shape[2] // channels)


@kernel
def _statistics(start, stop, sums, gamma, beta, mean, var, inv_std, lost, terms, moments, rows,
                length, epsilon):
    """Write mean, var, inv_std and lost (samples, groups), and the terms of `_normalise`."""
    channels = moments.shape[2]
    size, count = channels // mean.shape[1], rows * (sums.shape[3] // channels)
    for n in range(start, stop):
        _join(sums[n], moments[n], rows, length, channels)
        means, squares = moments[n, 0], moments[n, 1]
        for g in range(mean.shape[1]):
            middle = spread = 0.0
            for k in range(g * size, g * size + size):
                middle += means[k] / size
            for k in range(g * size, g * size + size):
                spread += squares[k] + count * (means[k] - middle) ** 2
            spread /= count * size
            mean[n, g], var[n, g], inv_std[n, g] = middle, spread, 1 / math.sqrt(spread + epsilon)
            rest = np.float64(mean[n, g]) - middle
            lost[n, g] = rest
            for k in range(g * size, g * size + size):
                factor = np.float64(inv_std[n, g]) * (1.0 if gamma is None else gamma[k])
                terms[n, 0, k] = mean[n, g]
                terms[n, 1, k] = factor
                terms[n, 2, k] = (0.0 if beta is None else beta[k]) + rest * factor
        _tile(terms, n, 0, channels)


@kernel
def _coefficients(start, stop, sums, gamma, inv_std, lost, terms, totals, rows):
    """Write b and c of the input gradient, and add up ggamma and gbeta in totals."""
    channels = totals.shape[1]
    size, count = channels // inv_std.shape[1], rows * (sums.shape[3] // channels)
    for n in range(start, stop):
        total = sums[n, 0]
        for p in range(1, sums.shape[1]):
            total += sums[n, p]
        for k in range(channels, sums.shape[3]):
            total[0, k % channels] += total[0, k]
            total[1, k % channels] += total[1, k]
        for g in range(inv_std.shape[1]):
            inverse, plain, scaled = np.float64(inv_std[n, g]), 0.0, 0.0
            rest = 0.0 if lost is None else np.float64(lost[n, g])
            for k in range(g * size, g * size + size):
                total[1, k] += rest * total[0, k]
                factor = 1.0 if gamma is None else np.float64(gamma[k])
                plain += factor * total[0, k]
                scaled += factor * total[1, k]
                totals[0, k] += total[1, k] * inverse
                totals[1, k] += total[0, k]
            for k in range(g * size, g * size + size):
                b = -scaled * inverse * inverse * inverse / (count * size)
                terms[n, 3, k] = b
                terms[n, 4, k] = rest * b - plain * inverse / (count * size)
        _tile(terms, n, 3, channels)


# ---- running the passes --------------------------------------------------------------------


def _shaped(plan: Layout, *arrays: np.ndarray) -> list[np.ndarray]:
    return [a.reshape(plan.samples, plan.rows, plan.width) for a in arrays]


def _row_grain(plan: Layout) -> int:
    """Return how many rows make a range."""
    return max(1, POINTWISE_GRAIN // plan.width)


def _write(plan: Layout, x: np.ndarray, terms: np.ndarray, y: np.ndarray, relu: bool) -> None:
    floor = x.dtype.type(0 if relu else NO_FLOOR)
    run_ranges(_normalise, plan.samples * plan.rows, _row_grain(plan), x, terms, y, floor)


def _forward(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, y: np.ndarray,
             statistics: tuple[np.ndarray, ...], work: dict, plan: Layout, epsilon: float,
             relu: bool = False) -> None:
    """Write y, and mean, var, inv_std and lost (samples, groups)."""
    v, target = _shaped(plan, x, y)
    sums, terms = work["sums"], work["terms"]
    run_slots(_moments, ranges(*plan.tasks(POINTWISE_GRAIN)), v, work["lanes"], sums, plan.length)
    _statistics(0, plan.samples, sums, gamma, beta, *statistics, terms, work["moments"], plan.rows,
                plan.length, epsilon)
    _write(plan, v, terms, target, relu)


def _term(terms: np.ndarray, i: int, plan: Layout) -> np.ndarray:
    """Return a row of terms as (samples, fold, groups, channels of a group)."""
    return terms[:, i].reshape(plan.samples, plan.fold, plan.groups, plan.channels // plan.groups)


def _backward(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
              inv_std: np.ndarray, lost: np.ndarray | None, out: tuple[np.ndarray, ...],
              work: dict, plan: Layout, input_gradient: bool,
              offset: np.ndarray | None = None) -> None:
    """Write ggamma and gbeta, and gx first where it is wanted.

    Args:
        mean, inv_std, lost: (samples, groups).
        offset: of the channels, where relu follows.
    """
    g, v = _shaped(plan, gy, x)
    sums, terms, totals = work["sums"], work["terms"], work["totals"]
    each = plan.samples, 1, plan.groups, 1
    np.copyto(_term(terms, 0, plan), mean.reshape(each))
    np.multiply(inv_std.reshape(each), 1 if gamma is None else gamma.reshape(plan.groups, -1),
                out=_term(terms, 1, plan))
    np.copyto(_term(terms, 2, plan), 0 if offset is None else offset.reshape(plan.groups, -1))
    add_up, write = _gradient_passes(offset is not None)
    run_slots(add_up, ranges(*plan.tasks(POINTWISE_GRAIN)), g, v, terms, work["lanes"], sums,
              plan.length)
    totals.fill(0)
    _coefficients(0, plan.samples, sums, gamma, inv_std, lost, terms, totals, plan.rows)
    np.copyto(out[-2], totals[0], casting="same_kind")
    np.copyto(out[-1], totals[1], casting="same_kind")
    if input_gradient:
        target, = _shaped(plan, out[0])
        run_ranges(write, plan.samples * plan.rows, _row_grain(plan), g, v, terms, target)


def _as_sample(*channels: np.ndarray | None) -> tuple[Any, ...]:
    """Return arrays (C) as (1, C): the whole batch is one sample."""
    return tuple(a if a is None else a.reshape(1, -1) for a in channels)


# ---- the kernels ---------------------------------------------------------------------------


def batch_norm(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
               out: tuple[np.ndarray, ...], saved: dict, work: dict, epsilon: float) -> None:
    """Write y, the means and the variances."""
    y, mean, var = out
    statistics = _as_sample(mean, var, saved["inv_std"], saved["lost"])
    _forward(x, gamma, beta, y, statistics, work, layout(x.shape), epsilon)


def batch_norm_relu(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
                    out: tuple[np.ndarray, ...], saved: dict, work: dict, epsilon: float) -> None:
    """Write max(y, 0), the means and the variances."""
    y, mean, var = out
    statistics = _as_sample(mean, var, saved["inv_std"], saved["lost"])
    _forward(x, gamma, beta, y, statistics, work, layout(x.shape), epsilon, relu=True)
    np.copyto(saved["offset"], work["terms"][0, 2, :x.shape[-1]])


def group_norm(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
               out: np.ndarray, saved: dict, work: dict, groups: int, epsilon: float) -> None:
    """Write y."""
    statistics = (saved["mean"], work["var"], saved["inv_std"], saved["lost"])
    _forward(x, gamma, beta, out, statistics, work, layout(x.shape, groups), epsilon)


def _by_statistics(x: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray | None,
                   beta: np.ndarray | None, out: np.ndarray, inverse: np.ndarray,
                   terms: np.ndarray, epsilon: float, relu: bool) -> None:
    plan = layout(x.shape)
    np.sqrt(np.add(var, epsilon, out=inverse), out=inverse)
    np.divide(1, inverse, out=inverse)
    np.copyto(_term(terms, 0, plan), mean.reshape(-1, 1))
    np.multiply(inverse.reshape(-1, 1), 1 if gamma is None else gamma.reshape(-1, 1),
                out=_term(terms, 1, plan))
    np.copyto(_term(terms, 2, plan), 0 if beta is None else beta.reshape(-1, 1))
    v, target = _shaped(plan, x, out)
    _write(plan, v, terms, target, relu)


def batch_norm_inference(x: np.ndarray, mean: np.ndarray, var: np.ndarray,
                         gamma: np.ndarray | None, beta: np.ndarray | None, *, out: np.ndarray,
                         saved: dict, work: dict, epsilon: float) -> None:
    """Write y, by statistics that are given."""
    _by_statistics(x, mean, var, gamma, beta, out, saved["inv_std"], work["terms"], epsilon,
                   relu=False)


def batch_norm_inference_relu(x: np.ndarray, mean: np.ndarray, var: np.ndarray,
                              gamma: np.ndarray | None, beta: np.ndarray | None, *,
                              out: np.ndarray, saved: dict, work: dict, epsilon: float) -> None:
    """Write max(y, 0), by statistics that are given."""
    _by_statistics(x, mean, var, gamma, beta, out, saved["inv_std"], work["terms"], epsilon,
                   relu=True)


def move_statistics(moving_mean: np.ndarray, moving_variance: np.ndarray, mean: np.ndarray,
                    variance: np.ndarray, *, out: tuple[np.ndarray, ...], saved: dict, work: dict,
                    momentum: float) -> None:
    """Write the moving statistics, a step nearer to those of the batch."""
    pairs = ((moving_mean, mean), (moving_variance, variance))
    for (moving, batch), target in zip(pairs, out, strict=True):
        np.multiply(batch, 1 - momentum, out=work["part"])
        np.multiply(moving, momentum, out=target)
        np.add(target, work["part"], out=target)


def batch_norm_gradient(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
                        inv_std: np.ndarray, lost: np.ndarray | None, *,
                        out: tuple[np.ndarray, ...], saved: dict, work: dict,
                        input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta."""
    mean, inv_std, lost = _as_sample(mean, inv_std, lost)
    _backward(gy, x, gamma, mean, inv_std, lost, out, work, layout(x.shape), input_gradient)


def batch_norm_relu_gradient(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None,
                             mean: np.ndarray, inv_std: np.ndarray, lost: np.ndarray,
                             offset: np.ndarray, *, out: tuple[np.ndarray, ...], saved: dict,
                             work: dict, input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta, for gy of max(y, 0)."""
    mean, inv_std, lost = _as_sample(mean, inv_std, lost)
    _backward(gy, x, gamma, mean, inv_std, lost, out, work, layout(x.shape), input_gradient, offset)


def group_norm_gradient(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
                        inv_std: np.ndarray, lost: np.ndarray, *, out: tuple[np.ndarray, ...],
                        saved: dict, work: dict, groups: int, input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta."""
    _backward(gy, x, gamma, mean, inv_std, lost, out, work, layout(x.shape, groups),
              input_gradient)
