"""CPU kernels of batch and group normalisation on x (samples, rows, width), see `layout.py`.

Forward: sums over the rows, statistics from the sums, one pass that normalises. Backward: sums over
the rows, from them the coefficients of gx = gy a + (x - mean) b + c, one pass that applies them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, inline, kernel, run_ranges
from .layout import Layout, layout

# ---- passes over x -------------------------------------------------------------------------


@inline
def _bounds(p, rows, parts):
    """Return the first row of part p and one past its last."""
    length = (rows + parts - 1) // parts
    return min(p * length, rows), min((p + 1) * length, rows)


@kernel
def _moments(start, stop, x, shift, sums):
    """Write, per part and column, the sums of x - shift and of its square (Chan et al. 1983)."""
    rows, parts = x.shape[1], sums.shape[1]
    for task in range(start, stop):
        n, p = task // parts, task % parts
        near, first, second = shift[n, 0], sums[n, p, 0], sums[n, p, 1]
        first[:] = 0
        second[:] = 0
        j, last = _bounds(p, rows, parts)
        while j + 2 <= last:
            a, b = x[n, j], x[n, j + 1]
            for k in range(first.size):
                s = np.float64(a[k]) - np.float64(near[k])
                t = np.float64(b[k]) - np.float64(near[k])
                first[k] += s + t
                second[k] += s * s + t * t
            j += 2
        if j < last:
            a = x[n, j]
            for k in range(first.size):
                s = np.float64(a[k]) - np.float64(near[k])
                first[k] += s
                second[k] += s * s


@kernel
def _gradient_sums(start, stop, gy, x, mean, sums):
    """Write, per part and column, the sums of gy and of gy (x - mean)."""
    rows, parts = x.shape[1], sums.shape[1]
    for task in range(start, stop):
        n, p = task // parts, task % parts
        middle, first, second = mean[n, 0], sums[n, p, 0], sums[n, p, 1]
        first[:] = 0
        second[:] = 0
        j, last = _bounds(p, rows, parts)
        while j + 2 <= last:
            a, b, ga, gb = x[n, j], x[n, j + 1], gy[n, j], gy[n, j + 1]
            for k in range(first.size):
                s, t = np.float64(ga[k]), np.float64(gb[k])
                first[k] += s + t
                second[k] += s * np.float64(a[k] - middle[k]) + t * np.float64(b[k] - middle[k])
            j += 2
        if j < last:
            a, ga = x[n, j], gy[n, j]
            for k in range(first.size):
                first[k] += np.float64(ga[k])
                second[k] += np.float64(ga[k]) * np.float64(a[k] - middle[k])


@kernel
def _normalise(start, stop, x, terms, y):
    """Write (x - mean) factor + offset; terms (samples, 3, width) hold these three."""
    rows = x.shape[1]
    for row in range(start, stop):
        n, j = row // rows, row % rows
        a, b, mean, factor, offset = x[n, j], y[n, j], terms[n, 0], terms[n, 1], terms[n, 2]
        for k in range(b.size):
            b[k] = (a[k] - mean[k]) * factor[k] + offset[k]


@kernel
def _input_gradient(start, stop, gy, x, mean, terms, gx):
    """Write gy a + (x - mean) b + c; terms (samples, 3, width) hold a, b and c."""
    rows = x.shape[1]
    for row in range(start, stop):
        n, j = row // rows, row % rows
        g, v, target, middle = gy[n, j], x[n, j], gx[n, j], mean[n, 0]
        a, b, c = terms[n, 0], terms[n, 1], terms[n, 2]
        for k in range(target.size):
            target[k] = g[k] * a[k] + (v[k] - middle[k]) * b[k] + c[k]


# ---- from sums to coefficients -------------------------------------------------------------


@inline
def _add_up(sums, n, channels):
    """Return the sums of all parts and of rows laid side by side, (2, channels and more)."""
    total = sums[n, 0]
    for p in range(1, sums.shape[1]):
        for i in range(2):
            target, part = total[i], sums[n, p, i]
            for k in range(target.size):
                target[k] += part[k]
    for i in range(2):
        for k in range(channels, sums.shape[3]):
            total[i, k % channels] += total[i, k]
    return total


@inline
def _tile(terms, n, channels):
    """Repeat the terms of the channels along the rows that are laid side by side."""
    for i in range(3):
        row = terms[n, i]
        for k in range(channels, row.size):
            row[k] = row[k - channels]


@kernel
def _statistics(start, stop, sums, shift, gamma, beta, mean, var, inv_std, terms, channels, rows,
                epsilon):
    """Write mean, var and inv_std (samples, groups), and the terms of `_normalise`."""
    size = channels // mean.shape[1]
    for n in range(start, stop):
        total, near = _add_up(sums, n, channels), shift[n, 0]
        for g in range(mean.shape[1]):
            middle = square = 0.0
            for k in range(g * size, g * size + size):
                middle += total[0, k] / (rows * size) + np.float64(near[k]) / size
            for k in range(g * size, g * size + size):
                gap = np.float64(near[k]) - middle
                square += total[1, k] + gap * (2 * total[0, k] + rows * gap)
            spread = square / (rows * size)
            if spread < 0:
                spread = 0.0
            inverse = 1 / math.sqrt(spread + epsilon)
            mean[n, g], var[n, g], inv_std[n, g] = middle, spread, inverse
            lost = np.float64(mean[n, g]) - middle  # by rounding; the offset makes it good
            for k in range(g * size, g * size + size):
                factor = inverse if gamma is None else inverse * np.float64(gamma[k])
                offset = 0.0 if beta is None else np.float64(beta[k])
                terms[n, 0, k] = mean[n, g]
                terms[n, 1, k] = factor
                terms[n, 2, k] = offset + lost * factor
        _tile(terms, n, channels)


@kernel
def _coefficients(start, stop, sums, gamma, inv_std, terms, totals, channels, rows):
    """Write the terms of `_input_gradient`, and add up ggamma and gbeta in totals."""
    size = channels // inv_std.shape[1]
    for n in range(start, stop):
        total = _add_up(sums, n, channels)
        for g in range(inv_std.shape[1]):
            inverse, plain, scaled = np.float64(inv_std[n, g]), 0.0, 0.0
            for k in range(g * size, g * size + size):
                factor = 1.0 if gamma is None else np.float64(gamma[k])
                plain += factor * total[0, k]
                scaled += factor * total[1, k]
                totals[0, k] += total[1, k] * inverse
                totals[1, k] += total[0, k]
            plain *= inverse / (rows * size)
            scaled *= inverse * inverse * inverse / (rows * size)
            for k in range(g * size, g * size + size):
                factor = 1.0 if gamma is None else np.float64(gamma[k])
                terms[n, 0, k] = factor * inverse
                terms[n, 1, k] = -scaled
                terms[n, 2, k] = -plain
        _tile(terms, n, channels)


# ---- the kernels ---------------------------------------------------------------------------


def _shaped(plan: Layout, *arrays: np.ndarray) -> list[np.ndarray]:
    return [a.reshape(plan.samples, plan.rows, plan.width) for a in arrays]


def _over_parts(function: Callable, plan: Layout) -> None:
    """Call a kernel for ranges of the parts of all samples."""
    size = max(1, plan.rows * plan.width // plan.parts)
    run_ranges(function, plan.samples * plan.parts, max(1, POINTWISE_GRAIN // size))


def _over_rows(function: Callable, plan: Layout) -> None:
    """Call a kernel for ranges of the rows of all samples."""
    run_ranges(function, plan.samples * plan.rows, max(1, POINTWISE_GRAIN // plan.width))


def _forward(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, y: np.ndarray,
             statistics: tuple[np.ndarray, ...], work: dict, plan: Layout, epsilon: float) -> None:
    """Write y, and mean, var and inv_std (samples, groups)."""
    v, target = _shaped(plan, x, y)
    # the first row of every sample, (samples, fold, channels)
    first = v[:, 0].reshape(plan.samples, plan.fold, plan.channels)[:, :1]
    shift, sums, terms = work["shift"], work["sums"], work["terms"]
    np.copyto(shift.reshape(plan.samples, plan.fold, plan.channels), first)
    _over_parts(lambda a, b: _moments(a, b, v, shift, sums), plan)
    _statistics(0, plan.samples, sums, shift, gamma, beta, *statistics, terms, plan.channels,
                plan.rows * plan.fold, epsilon)
    _over_rows(lambda a, b: _normalise(a, b, v, terms, target), plan)


def batch_norm(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
               out: tuple[np.ndarray, ...], saved: dict, work: dict, epsilon: float) -> None:
    """Write y, the means and the variances."""
    y, mean, var = out
    statistics = tuple(a.reshape(1, -1) for a in (mean, var, saved["inv_std"]))
    _forward(x, gamma, beta, y, statistics, work, layout(x.shape), epsilon)


def group_norm(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
               out: np.ndarray, saved: dict, work: dict, groups: int, epsilon: float) -> None:
    """Write y."""
    statistics = (saved["mean"], work["var"], saved["inv_std"])
    _forward(x, gamma, beta, out, statistics, work, layout(x.shape, groups), epsilon)


def batch_norm_inference(x: np.ndarray, mean: np.ndarray, var: np.ndarray,
                         gamma: np.ndarray | None, beta: np.ndarray | None, *, out: np.ndarray,
                         saved: dict, work: dict, epsilon: float) -> None:
    """Write y, by statistics that are given."""
    plan, inverse = layout(x.shape), saved["inv_std"]
    terms = work["terms"].reshape(3, plan.fold, plan.channels)
    np.sqrt(np.add(var, epsilon, out=inverse), out=inverse)
    np.divide(1, inverse, out=inverse)
    np.multiply(inverse, 1 if gamma is None else gamma, out=terms[1])
    np.copyto(terms[0], mean)
    np.copyto(terms[2], 0 if beta is None else beta)
    v, target = _shaped(plan, x, out)
    _over_rows(lambda a, b: _normalise(a, b, v, work["terms"], target), plan)


def _backward(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
              inv_std: np.ndarray, out: tuple[np.ndarray, ...], work: dict, plan: Layout,
              input_gradient: bool) -> None:
    """Write ggamma and gbeta, and gx first where it is wanted; mean is (samples, groups)."""
    g, v = _shaped(plan, gy, x)
    middle, sums, terms, totals = work["mean"], work["sums"], work["terms"], work["totals"]
    shape = plan.samples, plan.fold, plan.groups, plan.channels // plan.groups
    np.copyto(middle.reshape(shape), mean.reshape(plan.samples, 1, plan.groups, 1))
    _over_parts(lambda a, b: _gradient_sums(a, b, g, v, middle, sums), plan)
    totals.fill(0)
    _coefficients(0, plan.samples, sums, gamma, inv_std.reshape(mean.shape), terms, totals,
                  plan.channels, plan.rows * plan.fold)
    np.copyto(out[-2], totals[0], casting="same_kind")
    np.copyto(out[-1], totals[1], casting="same_kind")
    if input_gradient:
        target, = _shaped(plan, out[0])
        _over_rows(lambda a, b: _input_gradient(a, b, g, v, middle, terms, target), plan)


def batch_norm_gradient(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
                        inv_std: np.ndarray, *, out: tuple[np.ndarray, ...], saved: dict,
                        work: dict, input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta."""
    _backward(gy, x, gamma, mean.reshape(1, -1), inv_std, out, work, layout(x.shape),
              input_gradient)


def group_norm_gradient(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
                        inv_std: np.ndarray, *, out: tuple[np.ndarray, ...], saved: dict,
                        work: dict, groups: int, input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta."""
    _backward(gy, x, gamma, mean, inv_std, out, work, layout(x.shape, groups), input_gradient)
