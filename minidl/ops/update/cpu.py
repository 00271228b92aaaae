"""CPU kernels of the update ops: all parameters, gradients and slots in one pass over memory.

A loop goes over the rows of a table (see `cpu_rows.py`) and within each row over the elements, in
place. A slot that a call does not have, or penalties, are None: numba leaves out what needs them.
The loops count from 0 over arrays of their own, so that the compiler makes vector code of them.
Measured on two cores: 50 GB/s for SGD with momentum, which is what the memory gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

import numba
import numpy as np

from ...backend.cpu import kernel, run_ranges
from .cpu_rows import Pieces, by_type, piece, pieces, table
from .formulas import nadam_momentum

_OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz", "arcp"},
                 "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inside = numba.njit(**_OPTIONS)
"""Decorator for functions of single elements; only kernels call them."""


# ---- gradients -----------------------------------------------------------------------------


@inside
def _pulls(penalties, row, zero):
    """Return l1 and 2 l2 of the parameter of a row."""
    if penalties is None:
        return zero, zero
    return penalties[row, 0], penalties[row, 1]


@inside
def _pulled(g, p, penalties, pulls):
    """Return g + l1 sign(p) + 2 l2 p."""
    if penalties is None:
        return g
    return g + (pulls[0] * np.sign(p) + pulls[1] * p)


@inside
def _sought(g, p, penalties, pulls, scale, limit):
    """Return the gradient that an element goes by: with penalties, scaled, and limited."""
    g = _pulled(g, p, penalties, pulls) * scale
    g = -limit if g < -limit else g  # a NaN goes through
    return limit if g > limit else g


@kernel
def _squares(start, stop, firsts, rows, like, penalties, squares):
    for part in range(start, stop):
        total = 0.0
        for row in range(firsts[part], firsts[part + 1]):
            p, g = piece(rows, row, 1, like), piece(rows, row, 2, like)
            pulls = _pulls(penalties, row, 0.0)
            for i in range(g.size):
                x = np.float64(_pulled(g[i], p[i], penalties, pulls))
                total += x * x
        squares[part] = total


# ---- steps ---------------------------------------------------------------------------------


@kernel
def _sgd(start, stop, firsts, rows, like, has_velocity, penalties, scale, limit, decay, rate,
         momentum, of_velocity, of_step):
    for row in range(firsts[start], firsts[stop]):
        p, g = piece(rows, row, 1, like), piece(rows, row, 2, like)
        velocity, pulls = piece(rows, row, 3, like), _pulls(penalties, row, rate)
        for i in range(p.size):
            step = rate * _sought(g[i], p[i], penalties, pulls, scale, limit)
            if has_velocity is None:
                p[i] -= decay * p[i] + step
            else:
                velocity[i] = momentum * velocity[i] - step
                p[i] -= decay * p[i] - of_velocity * velocity[i] + of_step * step


@kernel
def _rmsprop(start, stop, firsts, rows, like, has_square, has_mean, has_velocity, penalties, scale,
             limit, decay, rate, fresh, momentum, epsilon):
    for row in range(firsts[start], firsts[stop]):
        p, g, square = piece(rows, row, 1, like), piece(rows, row, 2, like), piece(
            rows, row, 3, like)
        mean, velocity = piece(rows, row, 4, like), piece(rows, row, 5, like)
        pulls = _pulls(penalties, row, rate)
        for i in range(p.size):
            gradient = _sought(g[i], p[i], penalties, pulls, scale, limit)
            square[i] += fresh * (gradient * gradient - square[i])
            spread = square[i]
            if has_mean is not None:
                mean[i] += fresh * (gradient - mean[i])
                spread = abs(spread - mean[i] * mean[i])  # rounding may bring it below 0
            step = rate * gradient / sqrt(spread + epsilon)
            if has_velocity is not None:
                velocity[i] = momentum * velocity[i] + step
                step = velocity[i]
            p[i] -= decay * p[i] + step


@kernel
def _adam(start, stop, firsts, rows, like, has_mean, has_square, has_largest, penalties, scale,
          limit, decay, rate, fresh_1, fresh_2, epsilon):
    for row in range(firsts[start], firsts[stop]):
        p, g, mean = piece(rows, row, 1, like), piece(rows, row, 2, like), piece(rows, row, 3, like)
        square, largest = piece(rows, row, 4, like), piece(rows, row, 5, like)
        pulls = _pulls(penalties, row, rate)
        for i in range(p.size):
            gradient = _sought(g[i], p[i], penalties, pulls, scale, limit)
            mean[i] += fresh_1 * (gradient - mean[i])
            square[i] += fresh_2 * (gradient * gradient - square[i])
            spread = square[i]
            if has_largest is not None:
                largest[i] = max(largest[i], spread)
                spread = largest[i]
            p[i] -= decay * p[i] + rate * mean[i] / (sqrt(spread) + epsilon)


@kernel
def _nadam(start, stop, firsts, rows, like, has_mean, has_square, penalties, scale, limit, decay,
           of_mean, of_g, of_square, fresh_1, fresh_2, epsilon):
    for row in range(firsts[start], firsts[stop]):
        p, g = piece(rows, row, 1, like), piece(rows, row, 2, like)
        mean, square = piece(rows, row, 3, like), piece(rows, row, 4, like)
        pulls = _pulls(penalties, row, of_g)
        for i in range(p.size):
            gradient = _sought(g[i], p[i], penalties, pulls, scale, limit)
            mean[i] += fresh_1 * (gradient - mean[i])
            square[i] += fresh_2 * (gradient * gradient - square[i])
            step = of_mean * mean[i] + of_g * gradient
            p[i] -= decay * p[i] + step / (sqrt(of_square * square[i]) + epsilon)


@kernel
def _adagrad(start, stop, firsts, rows, like, has_total, penalties, scale, limit, decay, rate,
             epsilon):
    for row in range(firsts[start], firsts[stop]):
        p, g = piece(rows, row, 1, like), piece(rows, row, 2, like)
        total, pulls = piece(rows, row, 3, like), _pulls(penalties, row, rate)
        for i in range(p.size):
            gradient = _sought(g[i], p[i], penalties, pulls, scale, limit)
            total[i] += gradient * gradient
            p[i] -= decay * p[i] + rate * gradient / sqrt(total[i] + epsilon)


@kernel
def _adadelta(start, stop, firsts, rows, like, has_square, has_step_square, penalties, scale, limit,
              decay, rate, fresh, epsilon):
    for row in range(firsts[start], firsts[stop]):
        p, g = piece(rows, row, 1, like), piece(rows, row, 2, like)
        square, step_square = piece(rows, row, 3, like), piece(rows, row, 4, like)
        pulls = _pulls(penalties, row, rate)
        for i in range(p.size):
            gradient = _sought(g[i], p[i], penalties, pulls, scale, limit)
            square[i] += fresh * (gradient * gradient - square[i])
            step = gradient * sqrt((step_square[i] + epsilon) / (square[i] + epsilon))
            step_square[i] += fresh * (step * step - step_square[i])
            p[i] -= decay * p[i] + rate * step


# ---- all parameters ------------------------------------------------------------------------


def in_place(sources: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> None:
    """Let the results hold the values of the sources."""
    for source, result in zip(sources, results, strict=True):
        if source is not result:
            np.copyto(result, source)


class _Group:
    """Parameters of one type with their gradients and slots, as the loops take them."""

    def __init__(self, columns: Sequence[Sequence[np.ndarray] | None],
                 penalties: Sequence[tuple[float, float]]) -> None:
        parameters: Any = columns[0]
        self.dtype = parameters[0].dtype
        self.like = np.empty(0, self.dtype)
        self.cut: Pieces = pieces(tuple([p.size for p in parameters]))
        self.rows = table(self.cut, columns)
        self.present = [None if column is None else self.like for column in columns[2:]]
        self.penalties = None
        if any(map(any, penalties)):
            factors = np.array([(l1, 2 * l2) for l1, l2 in penalties], self.dtype)
            self.penalties = factors[self.cut.owners]

    def square_sums(self, sums: np.ndarray) -> None:
        """Write the sum of the squares of the gradients of each part."""
        run_ranges(_squares, self.cut.parts, 1, self.cut.firsts, self.rows, self.like,
                   self.penalties, sums)

    def run(self, loop: Callable, *numbers: float) -> None:
        """Run a loop with numbers of the parameters' type."""
        run_ranges(loop, self.cut.parts, 1, self.cut.firsts, self.rows, self.like, *self.present,
                   self.penalties, *map(self.dtype.type, numbers))


def _update(loop: Callable, arrays: Sequence[np.ndarray], out: np.ndarray | tuple,
            present: Sequence[bool], work: dict, numbers: Sequence[float],
            penalties: Sequence[tuple[float, float]], clip_norm: float | None,
            clip_value: float | None, if_finite: bool) -> None:
    """Run a loop over all parameters; `present` says which of its slots the call has."""
    results = out if isinstance(out, tuple) else (out,)
    count = len(arrays) - len(results)
    in_place((*arrays[:count], *arrays[2 * count:]), results)
    slots = iter(results[k:k + count] for k in range(count, len(results), count))
    columns = [results[:count], arrays[count:2 * count],
               *(next(slots) if is_there else None for is_there in present)]
    groups = [_Group([None if c is None else [c[i] for i in chosen] for c in columns],
                     [penalties[i] for i in chosen] if penalties else ())
              for chosen in by_type(results[:count])]
    scale = 1.0
    if if_finite or clip_norm is not None:
        length = _length(groups, work["squares"])
        if if_finite and not np.isfinite(length):
            return
        if clip_norm is not None:
            scale = float(clip_norm / np.maximum(length, clip_norm))
    for group in groups:
        group.run(loop, scale, np.inf if clip_value is None else clip_value, *numbers)


def _length(groups: Sequence[_Group], squares: np.ndarray) -> float:
    """Return the common L2 norm of all gradients."""
    done = 0
    for group in groups:
        group.square_sums(squares[done:done + group.cut.parts])
        done += group.cut.parts
    return float(np.sqrt(squares.sum()))


def _decay(hyper: np.ndarray, weight_decay: float) -> float:
    """Return the share of the parameters that weight decay takes away."""
    return float(hyper[0]) * weight_decay


# ---- kernels; `gradient` stands for penalties, clip_norm, clip_value and if_finite -----------


def sgd(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict,
        momentum: float, nesterov: bool, weight_decay: float, **gradient: Any) -> None:
    """Write a step of gradient descent."""
    weights = (momentum, 1) if nesterov else (1, 0)
    _update(_sgd, arrays, out, (bool(momentum),), work,
            (_decay(hyper, weight_decay), float(hyper[0]), momentum, *weights), **gradient)


def rmsprop(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
            work: dict, rho: float, momentum: float, epsilon: float, centered: bool,
            weight_decay: float, **gradient: Any) -> None:
    """Write a step of RMSprop."""
    _update(_rmsprop, arrays, out, (True, centered, bool(momentum)), work,
            (_decay(hyper, weight_decay), float(hyper[0]), 1 - rho, momentum, epsilon), **gradient)


def adam(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict,
         beta_1: float, beta_2: float, epsilon: float, amsgrad: bool, weight_decay: float,
         **gradient: Any) -> None:
    """Write a step of Adam."""
    rate, t = hyper.tolist()
    _update(_adam, arrays, out, (True, True, amsgrad), work,
            (_decay(hyper, weight_decay), rate * sqrt(1 - beta_2**t) / (1 - beta_1**t),
             1 - beta_1, 1 - beta_2, epsilon), **gradient)


def nadam(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
          work: dict, beta_1: float, beta_2: float, epsilon: float, weight_decay: float,
          **gradient: Any) -> None:
    """Write a step of Nadam."""
    rate, t, before = hyper.tolist()
    u, u_next = nadam_momentum(beta_1, t), nadam_momentum(beta_1, t + 1)
    _update(_nadam, arrays, out, (True, True), work,
            (_decay(hyper, weight_decay), rate * u_next / (1 - before * u * u_next),
             rate * (1 - u) / (1 - before * u), 1 / (1 - beta_2**t), 1 - beta_1, 1 - beta_2,
             epsilon), **gradient)


def adagrad(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
            work: dict, epsilon: float, weight_decay: float, **gradient: Any) -> None:
    """Write a step of Adagrad."""
    _update(_adagrad, arrays, out, (True,), work,
            (_decay(hyper, weight_decay), float(hyper[0]), epsilon), **gradient)


def adadelta(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
             work: dict, rho: float, epsilon: float, weight_decay: float, **gradient: Any) -> None:
    """Write a step of Adadelta."""
    _update(_adadelta, arrays, out, (True, True), work,
            (_decay(hyper, weight_decay), float(hyper[0]), 1 - rho, epsilon), **gradient)
