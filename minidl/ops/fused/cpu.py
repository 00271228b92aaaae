"""CPU kernels of fused ops: relu on a result in place, and the gradient of a bias and relu."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.cpu import POINTWISE_GRAIN, kernel, ranges, run_ranges, run_slots
from ...backend.simd import is_far, lanes_of, load, store, stream, where_positive
from ..batchnorm.layout import SPAN, layout


@kernel
def _rectify(start, stop, y):
    part = y[start:stop]
    zero = y.dtype.type(0)
    for i in range(part.size):
        part[i] = zero if part[i] < 0 else part[i]


def rectify(y: np.ndarray) -> None:
    """Write max(y, 0) over y."""
    run_ranges(_rectify, y.size, POINTWISE_GRAIN, y.reshape(-1))


@kernel
def _gradient(start, stop, slot, gy, y, gz, lanes, sums, length):
    """Write gy where y > 0, and per part the sums of its columns; arrays are (rows, width)."""
    rows, zero, short = gy.shape[0], gy.dtype.type(0), lanes[slot, 0]
    for p in range(start, stop):
        total, last = sums[0, p, 0], min((p + 1) * length, rows)
        total[:] = 0
        for some in range(p * length, last, SPAN):
            short[:] = 0
            for j in range(some, min(some + SPAN, last)):
                g, v, target = gy[j], y[j], gz[j]
                for k in range(short.size):
                    t = g[k] if v[k] > 0 else zero
                    target[k] = t
                    short[k] += t
            for k in range(short.size):
                total[k] += np.float64(short[k])


@kernel
def _gradient_far(start, stop, slot, gy, y, gz, lanes, sums, length):
    """Do what `_gradient` does, past the caches; the width is a multiple of a vector's."""
    rows, width, short = gy.shape[0], gy.shape[1], lanes[slot, 0]
    source, result, target = gy.reshape(-1), y.reshape(-1), gz.reshape(-1)
    for p in range(start, stop):
        total, last = sums[0, p, 0], min((p + 1) * length, rows)
        total[:] = 0
        for some in range(p * length, last, SPAN):
            short[:] = 0
            for j in range(some, min(some + SPAN, last)):
                for k in range(0, width, lanes_of(gy)):
                    at = j * width + k
                    t = where_positive(load(result, at), load(source, at))
                    stream(target, at, t)
                    store(short, k, load(short, k) + t)
            for k in range(short.size):
                total[k] += np.float64(short[k])


@kernel
def _masked(start, stop, gy, y, gz):
    """Write gy where y > 0; arrays are flat."""
    zero, g, v, target = gy.dtype.type(0), gy[start:stop], y[start:stop], gz[start:stop]
    for i in range(target.size):
        target[i] = g[i] if v[i] > 0 else zero


def relu_bias_gradient(gy: np.ndarray, y: np.ndarray, *, out: Any, saved: dict, work: dict,
                       summed: bool) -> None:
    """Write gz, and its sums part by part of the rows; the parts' sums are added in order."""
    if not summed:
        run_ranges(_masked, gy.size, POINTWISE_GRAIN, gy.reshape(-1), y.reshape(-1),
                   out.reshape(-1))
        return
    plan, sums = layout(gy.shape), work["sums"]
    g, v, gz = (a.reshape(plan.rows, plan.width) for a in (gy, y, out[0]))
    far = is_far(gz, plan.width) and gz.ctypes.data != g.ctypes.data
    run_slots(_gradient_far if far else _gradient, ranges(*plan.tasks(POINTWISE_GRAIN)), g, v, gz,
              work["lanes"], sums, plan.length)
    np.add.reduce(sums.reshape(plan.parts * plan.fold, plan.channels), axis=0, out=work["total"])
    np.copyto(out[1], work["total"], casting="same_kind")
