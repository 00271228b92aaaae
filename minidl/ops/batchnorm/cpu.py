"""CPU kernels of batch and group normalisation on x (samples, rows, width), see `layout.py`.

Forward: one pass reads x for the statistics, one reads it again and writes y. Backward: one pass
reads gy and x for two sums per column, one reads them again and writes
gx = gy factor + (x - mean) b + c, plus the gradient so far where there is one. The loops lie in
`cpu_passes.py`.

Relu is part of the passes: y is limited from below by `floor`, and backward takes gy where
(x - mean) factor + offset, with the numbers of forward, is above 0. So x alone is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, ranges, run_ranges, run_slots
from ...backend.simd import is_far
from .cpu_passes import (
    coefficients,
    gradient_sums,
    gradient_writer,
    moments,
    normaliser,
    statistics,
)
from .layout import Layout, layout

NO_FLOOR = -np.inf
NEAR = 8  # rows, at least, whose mean is near that of all

# ---- running the passes --------------------------------------------------------------------


def _shaped(plan: Layout, *arrays: np.ndarray) -> list[np.ndarray]:
    return [a.reshape(plan.samples, plan.rows, plan.width) for a in arrays]


def _average(x: np.ndarray, near: np.ndarray, large: np.ndarray, plan: Layout) -> None:
    """Write the mean of some rows of each sample, from all over it, once per channel.

    It is rounded to a few digits (Dekker 1971), so that differences from it are exact as a rule.
    """
    some = x[:, ::max(1, plan.rows // NEAR)]
    folded = np.add.reduce(some, axis=1, out=near).reshape(plan.samples, plan.fold, plan.channels)
    mean = folded[:, 0]
    for i in range(1, plan.fold):
        mean += folded[:, i]
    mean *= x.dtype.type(1 / (some.shape[1] * plan.fold))
    np.multiply(mean, 8193, out=large)
    np.subtract(large, mean, out=mean)
    np.subtract(large, mean, out=mean)
    folded[:, 1:] = folded[:, :1]


def _added(work: dict, plan: Layout) -> np.ndarray:
    """Return the sums of all parts, (samples, 2, channels)."""
    total = np.add.reduce(work["sums"], axis=1, out=work["total"])
    if plan.fold == 1:
        return total
    wide = total.reshape(plan.samples, 2, plan.fold, plan.channels)
    return np.add.reduce(wide, axis=2, out=work["moments"])


def _repeat(terms: np.ndarray, first: int, plan: Layout) -> None:
    """Repeat the terms of the channels along the rows that are laid side by side."""
    wide = terms.reshape(plan.samples, terms.shape[1], plan.fold, plan.channels)
    wide[:, first:, 1:] = wide[:, first:, :1]


def _write(plan: Layout, x: np.ndarray, terms: np.ndarray, y: np.ndarray, relu: bool) -> None:
    floor = x.dtype.type(0 if relu else NO_FLOOR)
    run_ranges(normaliser(is_far(y, plan.width)), plan.samples * plan.rows, _row_grain(plan), x,
               terms, y, floor)


def _row_grain(plan: Layout) -> int:
    """Return how many rows make a range."""
    return max(1, POINTWISE_GRAIN // plan.width)


def _forward(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, y: np.ndarray,
             found: tuple[np.ndarray, ...], work: dict, plan: Layout, epsilon: float,
             relu: bool = False) -> None:
    """Write y, and `found`: mean, var, inv_std and lost (samples, groups)."""
    v, target = _shaped(plan, x, y)
    near, terms = work["near"], work["terms"]
    _average(v, near, work["large"], plan)
    run_slots(moments, ranges(*plan.tasks(POINTWISE_GRAIN)), v, near, work["lanes"], work["sums"],
              plan.length)
    statistics(0, plan.samples, _added(work, plan), near, gamma, beta, *found, terms,
               plan.rows * plan.fold, epsilon)
    _repeat(terms, 0, plan)
    _write(plan, v, terms, target, relu)


def _term(terms: np.ndarray, i: int, plan: Layout) -> np.ndarray:
    """Return a row of terms as (samples, fold, groups, channels of a group)."""
    return terms[:, i].reshape(plan.samples, plan.fold, plan.groups, plan.channels // plan.groups)


def _backward(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
              inv_std: np.ndarray, lost: np.ndarray | None, out: tuple[np.ndarray, ...],
              work: dict, plan: Layout, input_gradient: bool,
              so_far: np.ndarray | None = None, offset: np.ndarray | None = None) -> None:
    """Write ggamma and gbeta, and gx first where it is wanted.

    Args:
        mean, inv_std, lost: (samples, groups).
        so_far: what is added to gx.
        offset: of the channels, where relu follows.
    """
    g, v = _shaped(plan, gy, x)
    terms, totals, each = work["terms"], work["totals"], (plan.samples, 1, plan.groups, 1)
    np.copyto(_term(terms, 0, plan), mean.reshape(each))
    np.multiply(inv_std.reshape(each), 1 if gamma is None else gamma.reshape(plan.groups, -1),
                out=_term(terms, 1, plan))
    np.copyto(_term(terms, 2, plan), 0 if offset is None else offset.reshape(plan.groups, -1))
    relu = offset is not None
    run_slots(gradient_sums(relu), ranges(*plan.tasks(POINTWISE_GRAIN)), g, v, terms,
              work["lanes"], work["sums"], plan.length)
    totals.fill(0)
    coefficients(0, plan.samples, _added(work, plan), gamma, inv_std, lost, terms, totals,
                 plan.rows * plan.fold)
    np.copyto(out[-2], totals[0], casting="same_kind")
    np.copyto(out[-1], totals[1], casting="same_kind")
    if input_gradient:
        _repeat(terms, 3, plan)
        more, target = _shaped(plan, out[0] if so_far is None else so_far, out[0])
        write = gradient_writer(relu, is_far(target, plan.width), so_far is not None)
        run_ranges(write, plan.samples * plan.rows, _row_grain(plan), g, v, terms, more, target)


def _as_sample(*channels: np.ndarray | None) -> tuple[Any, ...]:
    """Return arrays (C) as (1, C): the whole batch is one sample."""
    return tuple(a if a is None else a.reshape(1, -1) for a in channels)


# ---- the kernels ---------------------------------------------------------------------------


def batch_norm(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
               out: tuple[np.ndarray, ...], saved: dict, work: dict, epsilon: float) -> None:
    """Write y, the means and the variances."""
    y, mean, var = out
    found = _as_sample(mean, var, saved["inv_std"], saved["lost"])
    _forward(x, gamma, beta, y, found, work, layout(x.shape), epsilon)


def batch_norm_relu(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
                    out: tuple[np.ndarray, ...], saved: dict, work: dict, epsilon: float) -> None:
    """Write max(y, 0), the means and the variances."""
    y, mean, var = out
    found = _as_sample(mean, var, saved["inv_std"], saved["lost"])
    _forward(x, gamma, beta, y, found, work, layout(x.shape), epsilon, relu=True)
    np.copyto(saved["offset"], work["terms"][0, 2, :x.shape[-1]])


def group_norm(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, *,
               out: np.ndarray, saved: dict, work: dict, groups: int, epsilon: float) -> None:
    """Write y."""
    found = (saved["mean"], work["var"], saved["inv_std"], saved["lost"])
    _forward(x, gamma, beta, out, found, work, layout(x.shape, groups), epsilon)


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
                        inv_std: np.ndarray, lost: np.ndarray | None, so_far: np.ndarray | None,
                        *, out: tuple[np.ndarray, ...], saved: dict, work: dict,
                        input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta."""
    mean, inv_std, lost = _as_sample(mean, inv_std, lost)
    _backward(gy, x, gamma, mean, inv_std, lost, out, work, layout(x.shape), input_gradient,
              so_far)


def batch_norm_relu_gradient(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None,
                             mean: np.ndarray, inv_std: np.ndarray, lost: np.ndarray,
                             so_far: np.ndarray | None, offset: np.ndarray, *,
                             out: tuple[np.ndarray, ...], saved: dict, work: dict,
                             input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta, for gy of max(y, 0)."""
    mean, inv_std, lost = _as_sample(mean, inv_std, lost)
    _backward(gy, x, gamma, mean, inv_std, lost, out, work, layout(x.shape), input_gradient,
              so_far, offset)


def group_norm_gradient(gy: np.ndarray, x: np.ndarray, gamma: np.ndarray | None, mean: np.ndarray,
                        inv_std: np.ndarray, lost: np.ndarray, *, out: tuple[np.ndarray, ...],
                        saved: dict, work: dict, groups: int, input_gradient: bool) -> None:
    """Write gx if it is wanted, ggamma and gbeta."""
    _backward(gy, x, gamma, mean, inv_std, lost, out, work, layout(x.shape, groups),
              input_gradient)
