"""Loops of batch and group normalisation over x (samples, rows, width), see `layout.py`.

Sums are taken of SPAN rows in the type of x, then in float64, and of differences from a near
number, the mean of a few rows: so few digits are lost (Chan, Golub and LeVeque, "Algorithms for
computing the sample variance", 1983). The loops that write go from the end to the start, because
the end is what the cache still holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from ...backend.cpu import kernel
from ...backend.simd import (
    lanes_of,
    load,
    maximum,
    multiply_add,
    spread,
    store,
    stream,
    where_positive,
)
from .layout import SPAN

# ---- passes over x -------------------------------------------------------------------------


@kernel
def moments(start, stop, slot, x, near, lanes, sums, length):
    """Write, per part and column, the sums of x - near and of its square."""
    rows, parts = x.shape[1], sums.shape[1]
    s, q = lanes[slot, 0], lanes[slot, 1]
    for task in range(start, stop):
        n, p = task // parts, task % parts
        shift, first, second = near[n], sums[n, p, 0], sums[n, p, 1]
        first[:] = 0
        second[:] = 0
        last = min((p + 1) * length, rows)
        for some in range(p * length, last, SPAN):
            s[:] = 0
            q[:] = 0
            for j in range(some, min(some + SPAN, last)):
                row = x[n, j]
                for k in range(s.size):
                    d = row[k] - shift[k]
                    s[k] += d
                    q[k] += d * d
            for k in range(s.size):
                first[k] += np.float64(s[k])
                second[k] += np.float64(q[k])


@cache
def normaliser(far: bool) -> Callable:
    """Return the pass that writes y; where that is far, past the caches."""
    @kernel
    def write(start, stop, x, terms, y, floor):
        """Write (x - mean) factor + offset, or floor where that is less; terms hold these three."""
        rows, width = x.shape[1], x.shape[2]
        whole, total = width - width % lanes_of(x), x.shape[0] * rows
        source, target, numbers = x.reshape(-1), y.reshape(-1), terms.reshape(-1)
        low = spread(x, floor)
        for row in range(total - stop, total - start):
            n, at = row // rows, row * width
            for k in range(0, whole, lanes_of(x)):
                mean = n * 3 * width + k
                d = load(source, at + k) - load(numbers, mean)
                factor, offset = load(numbers, mean + width), load(numbers, mean + 2 * width)
                z = maximum(multiply_add(d, factor, offset), low)
                if far:
                    stream(target, at + k, z)
                else:
                    store(target, at + k, z)
            for k in range(whole, width):
                z = (source[at + k] - terms[n, 0, k]) * terms[n, 1, k] + terms[n, 2, k]
                target[at + k] = floor if z < floor else z
    return write


@cache
def gradient_sums(relu: bool) -> Callable:
    """Return the first pass of backward; terms are mean, factor, offset, b and c."""
    @kernel
    def add_up(start, stop, slot, gy, x, terms, lanes, sums, length):
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
                for k in range(s.size):
                    plain[k] += np.float64(s[k])
                    scaled[k] += np.float64(q[k])
    return add_up


@cache
def gradient_writer(relu: bool, far: bool, adds: bool) -> Callable:
    """Return the second pass of backward.

    Args:
        far: whether gx is written past the caches.
        adds: whether `more` is added.
    """
    @kernel
    def write(start, stop, gy, x, terms, more, gx):
        """Write gy factor + (x - mean) b + c, plus more."""
        rows, width, zero = x.shape[1], x.shape[2], x.dtype.type(0)
        whole, total = width - width % lanes_of(x), x.shape[0] * rows
        source, gradient = x.reshape(-1), gy.reshape(-1)
        target, numbers, before = gx.reshape(-1), terms.reshape(-1), more.reshape(-1)
        for row in range(total - stop, total - start):
            n, at = row // rows, row * width
            for k in range(0, whole, lanes_of(x)):
                mean = n * 5 * width + k
                d, t = load(source, at + k) - load(numbers, mean), load(gradient, at + k)
                factor = load(numbers, mean + width)
                if relu:
                    t = where_positive(
                        multiply_add(d, factor, load(numbers, mean + 2 * width)), t)
                b, c = load(numbers, mean + 3 * width), load(numbers, mean + 4 * width)
                value = multiply_add(t, factor, multiply_add(d, b, c))
                if adds:
                    value = value + load(before, at + k)
                if far:
                    stream(target, at + k, value)
                else:
                    store(target, at + k, value)
            for k in range(whole, width):
                d, t = source[at + k] - terms[n, 0, k], gradient[at + k]
                if relu:
                    t = t if d * terms[n, 1, k] + terms[n, 2, k] > 0 else zero
                value = t * terms[n, 1, k] + d * terms[n, 3, k] + terms[n, 4, k]
                target[at + k] = value + before[at + k] if adds else value
    return write


# ---- from sums to coefficients -------------------------------------------------------------


@kernel
def statistics(start, stop, sums, near, gamma, beta, mean, var, inv_std, lost, terms, count,
               epsilon):
    """Write mean, var, inv_std and lost (samples, groups), and the terms of `normaliser`.

    sums (samples, 2, channels) are those of `moments`, of `count` rows.
    """
    size = sums.shape[2] // mean.shape[1]
    for n in range(start, stop):
        for g in range(mean.shape[1]):
            middle = spread = 0.0
            for k in range(g * size, g * size + size):
                middle += (np.float64(near[n, k]) + sums[n, 0, k] / count) / size
            for k in range(g * size, g * size + size):
                gap = sums[n, 0, k] / count
                spread += sums[n, 1, k] / count - gap * gap
                gap += np.float64(near[n, k]) - middle
                spread += gap * gap
            spread = max(spread / size, 0.0)
            mean[n, g], var[n, g], inv_std[n, g] = middle, spread, 1 / math.sqrt(spread + epsilon)
            rest = np.float64(mean[n, g]) - middle
            lost[n, g] = rest
            for k in range(g * size, g * size + size):
                factor = np.float64(inv_std[n, g]) * (1.0 if gamma is None else gamma[k])
                terms[n, 0, k] = mean[n, g]
                terms[n, 1, k] = factor
                terms[n, 2, k] = (0.0 if beta is None else beta[k]) + rest * factor


@kernel
def coefficients(start, stop, sums, gamma, inv_std, lost, terms, totals, count):
    """Write b and c of the input gradient, and add up ggamma and gbeta in totals.

    sums (samples, 2, channels) are those of `gradient_sums`, of `count` rows.
    """
    size = sums.shape[2] // inv_std.shape[1]
    for n in range(start, stop):
        for g in range(inv_std.shape[1]):
            inverse, plain, scaled = np.float64(inv_std[n, g]), 0.0, 0.0
            rest = 0.0 if lost is None else np.float64(lost[n, g])
            for k in range(g * size, g * size + size):
                factor = 1.0 if gamma is None else np.float64(gamma[k])
                product = sums[n, 1, k] + rest * sums[n, 0, k]
                plain += factor * sums[n, 0, k]
                scaled += factor * product
                totals[0, k] += product * inverse
                totals[1, k] += sums[n, 0, k]
            b = -scaled * inverse * inverse * inverse / (count * size)
            c = rest * b - plain * inverse / (count * size)
            for k in range(g * size, g * size + size):
                terms[n, 3, k], terms[n, 4, k] = b, c
