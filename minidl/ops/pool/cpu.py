"""CPU kernels of the pooling ops, in vectors of channels.

Forward, ranges are output rows: for each window and vector of channels, the elements of the window
that lie inside x are taken one after the other, and best value and place stay in registers.
Backward, where windows do not overlap, ranges are output rows too, and each writes the rows of gx
below it; where they do, ranges are rows of gx, and each element adds up the windows that it lies
in. So gx is written once, by one thread, in one order.

The last vector of a row of channels overlaps the one before, so that it is full; where there are
fewer channels than lanes, it is not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...backend.cpu import inline, kernel, run_ranges
from ...backend.simd import lanes_of, load_up_to, spread, store_up_to
from ...spec import Pads, Shape
from .cpu_places import load_places, store_places, where_equal, where_larger, without_first

GRAIN = 1 << 16  # window elements per range


def _run(function: Callable, rows: int, work: int, *arguments: object) -> None:
    """Call a kernel for ranges of rows; `work` counts the window elements of all."""
    run_ranges(function, rows, max(1, GRAIN * rows // max(work, 1)), *arguments)


@inline
def _clip(start, length, size):
    """Return the part of [start, start + length) that lies in [0, size)."""
    return max(start, 0), min(start + length, size)


@inline
def _place(c, channels, lanes):
    """Return where the vector of channels at c begins."""
    return max(0, min(c, channels - lanes))


# ---- maxima --------------------------------------------------------------------------------


@kernel
def _max_rows(start, stop, x, y, place, kh, kw, sh, sw, top, left):
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    source, result, places, lanes = x.reshape(-1), y.reshape(-1), place.reshape(-1), lanes_of(x)
    number, one = x.dtype.type, spread(x, x.dtype.type(1))
    for row in range(start, stop):
        n, p = row // y.shape[1], row % y.shape[1]
        h0, h1 = _clip(p * sh - top, kh, height)
        for q in range(y.shape[2]):
            w0, w1 = _clip(q * sw - left, kw, width)
            corner = (n * height + h0) * width + w0
            first = (h0 - p * sh + top) * kw + w0 - q * sw + left
            next_line = spread(x, number(kw - (w1 - w0)))
            for some in range(0, channels, lanes):
                c = _place(some, channels, lanes)
                best = load_up_to(source, corner * channels + c, channels)
                here = best_place = spread(x, number(first))
                for i in range(h1 - h0):
                    at = (corner + i * width) * channels + c
                    for _ in range(w1 - w0):
                        value = load_up_to(source, at, channels)
                        best_place = where_larger(value, best, here, best_place)
                        best = where_larger(value, best, value, best)
                        here = here + one
                        at += channels
                    here = here + next_line
                to = (row * y.shape[2] + q) * channels + c
                store_up_to(result, to, best, channels)
                store_places(places, x, to, best_place, channels)


def max_pool2d(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, window: Shape,
               stride: Shape, padding: Pads) -> None:
    """Write the maxima, and their places within the windows."""
    _run(_max_rows, out.shape[0] * out.shape[1], out.size * window[0] * window[1], x, out,
         saved["place"], *window, *stride, padding[0][0], padding[1][0])


@kernel
def _max_gradient_apart(start, stop, gy, place, gx, kh, kw, sh, sw, top, left):
    """Write the rows of gx under output rows [start, stop): gy, or 0 where it is no maximum."""
    height, width, channels = gx.shape[1], gx.shape[2], gx.shape[3]
    p_count, q_count, lanes = gy.shape[1], gy.shape[2], lanes_of(gy)
    source, places, target = gy.reshape(-1), place.reshape(-1), gx.reshape(-1)
    number, one = gy.dtype.type, spread(gy, gy.dtype.type(1))
    whole = (sh == kh and sw == kw and top == 0 and left == 0 and p_count * kh == height
             and q_count * kw == width)
    for row in range(start, stop):
        n, p = row // p_count, row % p_count
        h0, h1 = _clip(p * sh - top, kh, height)
        if not whole:  # some elements may lie in no window
            last = height if p == p_count - 1 else (p + 1) * sh - top
            gx[n, 0 if p == 0 else p * sh - top:last] = 0
        for q in range(q_count):
            w0, w1 = _clip(q * sw - left, kw, width)
            corner = (n * height + h0) * width + w0
            first = (h0 - p * sh + top) * kw + w0 - q * sw + left
            next_line = spread(gy, number(kw - (w1 - w0)))
            for some in range(0, channels, lanes):
                c = _place(some, channels, lanes)
                at = (row * q_count + q) * channels + c
                g = load_up_to(source, at, channels)
                best = load_places(places, gy, at, g, channels)
                here = spread(gy, number(first))
                for i in range(h1 - h0):
                    to = (corner + i * width) * channels + c
                    for _ in range(w1 - w0):
                        store_up_to(target, to, where_equal(best, here, g), channels)
                        here = here + one
                        to += channels
                    here = here + next_line


@inline
def _windows_on(h, length, step, before, count):
    """Return the range of windows that hold place h."""
    return max(0, (h + before - length + step) // step), min(count, (h + before) // step + 1)


@kernel
def _max_gradient_shared(start, stop, gy, place, gx, kh, kw, sh, sw, top, left):
    """Write rows [start, stop) of gx (N H): the sum of gy over the windows whose maximum it is."""
    height, width, channels = gx.shape[1], gx.shape[2], gx.shape[3]
    p_count, q_count, lanes = gy.shape[1], gy.shape[2], lanes_of(gy)
    source, places, target = gy.reshape(-1), place.reshape(-1), gx.reshape(-1)
    number, one = gy.dtype.type, spread(gy, gy.dtype.type(1))
    for row in range(start, stop):
        n, h = row // height, row % height
        target[row * width * channels:(row + 1) * width * channels] = 0
        p0, p1 = _windows_on(h, kh, sh, top, p_count)
        for p in range(p0, p1):
            for q in range(q_count):
                w0, w1 = _clip(q * sw - left, kw, width)
                first = spread(gy, number((h - p * sh + top) * kw + w0 - q * sw + left))
                for some in range(0, channels, lanes):
                    c = _place(some, channels, lanes)
                    at = ((n * p_count + p) * q_count + q) * channels + c
                    g = without_first(load_up_to(source, at, channels), some - c)
                    best, here = load_places(places, gy, at, g, channels), first
                    to = (row * width + w0) * channels + c
                    for _ in range(w1 - w0):
                        total = load_up_to(target, to, channels) + where_equal(best, here, g)
                        store_up_to(target, to, total, channels)
                        here = here + one
                        to += channels


def max_pool2d_gradient(gy: np.ndarray, place: np.ndarray, *, out: np.ndarray, saved: dict,
                        work: dict, size: Shape, window: Shape, stride: Shape, padding: Pads
                        ) -> None:
    """Write gx: each element of gy goes to the place of its maximum."""
    apart = all(s >= k for s, k in zip(stride, window, strict=True))
    rows = gy.shape[0] * gy.shape[1] if apart else out.shape[0] * out.shape[1]
    _run(_max_gradient_apart if apart else _max_gradient_shared, rows,
         gy.size * window[0] * window[1], gy, place, out, *window, *stride, padding[0][0],
         padding[1][0])


# ---- means ---------------------------------------------------------------------------------


@inline
def _share(h0, h1, w0, w1, kh, kw, everything):
    """Return what an element counts in the mean of a window."""
    return 1 / (kh * kw if everything else (h1 - h0) * (w1 - w0))


@kernel
def _average_rows(start, stop, x, y, kh, kw, sh, sw, top, left, everything):
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    source, result, lanes = x.reshape(-1), y.reshape(-1), lanes_of(x)
    number, zero = x.dtype.type, spread(x, x.dtype.type(0))
    for row in range(start, stop):
        n, p = row // y.shape[1], row % y.shape[1]
        h0, h1 = _clip(p * sh - top, kh, height)
        for q in range(y.shape[2]):
            w0, w1 = _clip(q * sw - left, kw, width)
            share = spread(x, number(_share(h0, h1, w0, w1, kh, kw, everything)))
            for some in range(0, channels, lanes):
                c = _place(some, channels, lanes)
                total = zero
                for i in range(h0, h1):
                    at = ((n * height + i) * width + w0) * channels + c
                    for _ in range(w1 - w0):
                        total = total + load_up_to(source, at, channels)
                        at += channels
                to = (row * y.shape[2] + q) * channels + c
                store_up_to(result, to, total * share, channels)


def average_pool2d(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, window: Shape,
                   stride: Shape, padding: Pads, count_include_pad: bool) -> None:
    """Write the means of the windows."""
    _run(_average_rows, out.shape[0] * out.shape[1], out.size * window[0] * window[1], x, out,
         *window, *stride, padding[0][0], padding[1][0], count_include_pad)


@kernel
def _average_gradient(start, stop, gy, gx, kh, kw, sh, sw, top, left, everything):
    """Write rows [start, stop) of gx (N H): the sum over the windows of their shares of gy."""
    height, width, channels = gx.shape[1], gx.shape[2], gx.shape[3]
    p_count, q_count, lanes = gy.shape[1], gy.shape[2], lanes_of(gy)
    source, target, number = gy.reshape(-1), gx.reshape(-1), gy.dtype.type
    for row in range(start, stop):
        n, h = row // height, row % height
        target[row * width * channels:(row + 1) * width * channels] = 0
        p0, p1 = _windows_on(h, kh, sh, top, p_count)
        for p in range(p0, p1):
            h0, h1 = _clip(p * sh - top, kh, height)
            for q in range(q_count):
                w0, w1 = _clip(q * sw - left, kw, width)
                share = spread(gy, number(_share(h0, h1, w0, w1, kh, kw, everything)))
                for some in range(0, channels, lanes):
                    c = _place(some, channels, lanes)
                    at = ((n * p_count + p) * q_count + q) * channels + c
                    g = without_first(load_up_to(source, at, channels) * share, some - c)
                    to = (row * width + w0) * channels + c
                    for _ in range(w1 - w0):
                        store_up_to(target, to, load_up_to(target, to, channels) + g, channels)
                        to += channels


def average_pool2d_gradient(gy: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                            size: Shape, window: Shape, stride: Shape, padding: Pads,
                            count_include_pad: bool) -> None:
    """Write gx: each element of gy is shared by its window."""
    _run(_average_gradient, out.shape[0] * out.shape[1], gy.size * window[0] * window[1], gy, out,
         *window, *stride, padding[0][0], padding[1][0], count_include_pad)
