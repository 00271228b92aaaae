"""CPU kernels of the update ops: one pass over the memory of each parameter.

The loops work in place on the results and count from 0: only then does the compiler see that
arrays do not overlap and indices are not negative, and uses vectors. Inputs that are not
overwritten are copied into the results first. A slot that a call does not have is None, and numba
leaves out the branches that need it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import sqrt

import numpy as np

from ...backend.cpu import kernel, ranges, run_ranges, run_slots
from .op import nadam_momentum

GRAIN = 1 << 15  # elements per range, over all parameters


# ---- all parameters ------------------------------------------------------------------------

def _over_all(loop: Callable, columns: Sequence[tuple]) -> None:
    """Call `loop(*column)` for all columns, in parts.

    The arrays of a column are flat and of one length; column[0] is one of them. Parts are cut from
    all lengths laid end to end: small arrays are done together, large ones by several threads.
    """
    sizes = [column[0].size for column in columns]
    ends = list(accumulate(sizes))

    def part(start: int, stop: int) -> None:
        at = bisect_right(ends, start)
        while at < len(ends) and (begin := ends[at] - sizes[at]) < stop:
            loop(*_cut(columns[at], max(start - begin, 0), min(stop - begin, sizes[at])))
            at += 1

    run_ranges(part, ends[-1], GRAIN)


def _cut(column: tuple, start: int, stop: int) -> tuple:
    if stop - start == column[0].size:
        return column
    return tuple(a[start:stop] if isinstance(a, np.ndarray) else a for a in column)


def _in_place(sources: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the results, flat, holding the values of the sources."""
    for source, result in zip(sources, results, strict=True):
        if source is not result:
            np.copyto(result, source)
    return [result.reshape(-1) for result in results]


def _update(loop: Callable, arrays: Sequence[np.ndarray], out: np.ndarray | tuple,
            present: Sequence[bool], *numbers: float) -> None:
    """Run a loop over all parameters; `present` says which of its slots the call has."""
    results = out if isinstance(out, tuple) else (out,)
    count = len(arrays) - len(results)
    flat = _in_place((*arrays[:count], *arrays[2 * count:]), results)
    typed = {dtype: tuple(map(dtype.type, numbers)) for dtype in {a.dtype for a in flat}}
    columns = []
    for i in range(count):
        own = iter(flat[i::count])
        p, g = next(own), arrays[count + i].reshape(-1)
        slots = [next(own) if is_there else None for is_there in present]
        columns.append((p, g, *slots, *typed[p.dtype]))
    _over_all(loop, columns)


def _decay(hyper: np.ndarray, weight_decay: float) -> float:
    """Return the share of the parameters that weight decay takes away."""
    return float(hyper[0]) * weight_decay


# ---- loops ---------------------------------------------------------------------------------

@kernel
def _sgd(p, g, velocity, decay, rate, momentum, of_velocity, of_step):
    for i in range(p.size):
        step = rate * g[i]
        if velocity is None:
            p[i] -= decay * p[i] + step
        else:
            velocity[i] = momentum * velocity[i] - step
            p[i] -= decay * p[i] - of_velocity * velocity[i] + of_step * step


@kernel
def _rmsprop(p, g, square, mean, velocity, decay, rate, fresh, momentum, epsilon):
    for i in range(p.size):
        square[i] += fresh * (g[i] * g[i] - square[i])
        spread = square[i]
        if mean is not None:
            mean[i] += fresh * (g[i] - mean[i])
            spread = abs(spread - mean[i] * mean[i])  # rounding may bring it below 0
        step = rate * g[i] / sqrt(spread + epsilon)
        if velocity is not None:
            velocity[i] = momentum * velocity[i] + step
            step = velocity[i]
        p[i] -= decay * p[i] + step


@kernel
def _adam(p, g, mean, square, largest, decay, rate, fresh_1, fresh_2, epsilon):
    for i in range(p.size):
        mean[i] += fresh_1 * (g[i] - mean[i])
        square[i] += fresh_2 * (g[i] * g[i] - square[i])
        spread = square[i]
        if largest is not None:
            largest[i] = max(largest[i], spread)
            spread = largest[i]
        p[i] -= decay * p[i] + rate * mean[i] / (sqrt(spread) + epsilon)


@kernel
def _nadam(p, g, mean, square, decay, of_mean, of_g, of_square, fresh_1, fresh_2,
           epsilon):
    for i in range(p.size):
        mean[i] += fresh_1 * (g[i] - mean[i])
        square[i] += fresh_2 * (g[i] * g[i] - square[i])
        step = of_mean * mean[i] + of_g * g[i]
        p[i] -= decay * p[i] + step / (sqrt(of_square * square[i]) + epsilon)


@kernel
def _adagrad(p, g, total, decay, rate, epsilon):
    for i in range(p.size):
        total[i] += g[i] * g[i]
        p[i] -= decay * p[i] + rate * g[i] / sqrt(total[i] + epsilon)


@kernel
def _adadelta(p, g, square, step_square, decay, rate, fresh, epsilon):
    for i in range(p.size):
        square[i] += fresh * (g[i] * g[i] - square[i])
        step = g[i] * sqrt((step_square[i] + epsilon) / (square[i] + epsilon))
        step_square[i] += fresh * (step * step - step_square[i])
        p[i] -= decay * p[i] + rate * step


@kernel
def _blend(x, z, keep, take):
    # keep and take are float64: in float32 they would not add up to 1
    for i in range(x.size):
        x[i] = keep * x[i] + take * z[i]


@kernel
def _sum_squares(x):
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


# ---- kernels -------------------------------------------------------------------------------

def sgd(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict,
        momentum: float, nesterov: bool, weight_decay: float) -> None:
    """Write a step of gradient descent."""
    weights = (momentum, 1) if nesterov else (1, 0)
    _update(_sgd, arrays, out, (bool(momentum),), _decay(hyper, weight_decay), float(hyper[0]),
            momentum, *weights)


def rmsprop(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
            work: dict, rho: float, momentum: float, epsilon: float, centered: bool,
            weight_decay: float) -> None:
    """Write a step of RMSprop."""
    _update(_rmsprop, arrays, out, (True, centered, bool(momentum)),
            _decay(hyper, weight_decay), float(hyper[0]), 1 - rho, momentum, epsilon)


def adam(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict,
         beta_1: float, beta_2: float, epsilon: float, amsgrad: bool, weight_decay: float) -> None:
    """Write a step of Adam."""
    rate, t = hyper.tolist()
    _update(_adam, arrays, out, (True, True, amsgrad), _decay(hyper, weight_decay),
            rate * sqrt(1 - beta_2**t) / (1 - beta_1**t), 1 - beta_1, 1 - beta_2, epsilon)


def nadam(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
          work: dict, beta_1: float, beta_2: float, epsilon: float, weight_decay: float) -> None:
    """Write a step of Nadam."""
    rate, t, before = hyper.tolist()
    u, u_next = nadam_momentum(beta_1, t), nadam_momentum(beta_1, t + 1)
    _update(_nadam, arrays, out, (True, True), _decay(hyper, weight_decay),
            rate * u_next / (1 - before * u * u_next), rate * (1 - u) / (1 - before * u),
            1 / (1 - beta_2**t), 1 - beta_1, 1 - beta_2, epsilon)


def adagrad(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
            work: dict, epsilon: float, weight_decay: float) -> None:
    """Write a step of Adagrad."""
    _update(_adagrad, arrays, out, (True,), _decay(hyper, weight_decay), float(hyper[0]), epsilon)


def adadelta(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
             work: dict, rho: float, epsilon: float, weight_decay: float) -> None:
    """Write a step of Adadelta."""
    _update(_adadelta, arrays, out, (True, True), _decay(hyper, weight_decay), float(hyper[0]),
            1 - rho, epsilon)


def blend(*arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict, keep: float,
          take: float) -> None:
    """Write keep x + take z for all pairs."""
    results = out if isinstance(out, tuple) else (out,)
    flat = _in_place(arrays[:len(results)], results)
    _over_all(_blend, [(x, z.reshape(-1), keep, take)
                       for x, z in zip(flat, arrays[len(results):], strict=True)])


def clip_parts(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (array, start, stop) of the ranges whose squares are summed one by one."""
    return [(i, *part) for i, size in enumerate(sizes) for part in ranges(size, GRAIN)]


def clip_gradients(*gradients: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict,
                   norm: float | None, value: float | None) -> None:
    """Write the gradients limited by their common norm or element by element."""
    results = out if isinstance(out, tuple) else (out,)
    if norm is None:
        for g, result in zip(gradients, results, strict=True):
            np.clip(g, -value, value, out=result)  # type: ignore[operator]
        return
    parts, squares = clip_parts([g.size for g in gradients]), work["squares"]

    def add_up(first: int, last: int, slot: int) -> None:
        for k in range(first, last):
            i, start, stop = parts[k]
            squares[k] = _sum_squares(gradients[i].reshape(-1)[start:stop])

    run_slots(add_up, ranges(len(parts), 1))
    scale = norm / np.maximum(np.sqrt(squares.sum()), norm)
    for g, result in zip(gradients, results, strict=True):
        np.multiply(g, g.dtype.type(scale), out=result)
