"""CPU kernels of fused ops: relu on a result in place, and the gradient of a bias and relu."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
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


@cache
def _summed(far: bool) -> Callable:
    """Return the pass that writes gz and adds it up; where gz is far, past the caches."""
    @kernel
    def write(start, stop, slot, gy, y, gz, lanes, sums, length):
        """Write gy where y > 0, and per part the sums of its columns; arrays are (rows, width)."""
        rows, width, zero, short = gy.shape[0], gy.shape[1], gy.dtype.type(0), lanes[slot, 0]
        whole = width - width % lanes_of(gy)
        source, result, target = gy.reshape(-1), y.reshape(-1), gz.reshape(-1)
        for p in range(start, stop):
            total, last = sums[0, p, 0], min((p + 1) * length, rows)
            total[:] = 0
            for some in range(p * length, last, SPAN):
                short[:] = 0
                for j in range(some, min(some + SPAN, last)):
                    at = j * width
                    for k in range(0, whole, lanes_of(gy)):
                        t = where_positive(load(result, at + k), load(source, at + k))
                        if far:
                            stream(target, at + k, t)
                        else:
                            store(target, at + k, t)
                        store(short, k, load(short, k) + t)
                    for k in range(whole, width):
                        t = source[at + k] if result[at + k] > 0 else zero
                        target[at + k] = t
                        short[k] += t
                for k in range(width):
                    total[k] += np.float64(short[k])
    return write


@kernel
def _masked(start, stop, gy, y, gz):
    """Write gy where y > 0; arrays are flat."""
    whole = stop - (stop - start) % lanes_of(gy)
    for i in range(start, whole, lanes_of(gy)):
        store(gz, i, where_positive(load(y, i), load(gy, i)))
    for i in range(whole, stop):
        gz[i] = gy[i] if y[i] > 0 else gy.dtype.type(0)


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
    run_slots(_summed(far), ranges(*plan.tasks(POINTWISE_GRAIN)), g, v, gz, work["lanes"], sums,
              plan.length)
    np.add.reduce(sums.reshape(plan.parts * plan.fold, plan.channels), axis=0, out=work["total"])
    np.copyto(out[1], work["total"], casting="same_kind")
