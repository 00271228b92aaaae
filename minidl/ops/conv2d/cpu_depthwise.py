"""Depthwise convolution (the "depthwise" variant): every channel by itself, one filter each.

Forward and input gradient. Vectors run along the channels, which lie together in x, w and out, so
nothing is packed or copied. A tile holds PIXELS neighbouring results of a row x 2 vectors:

    for every row of out, for PIXELS pixels of it, for each pair c of vectors of channels:
        tile[r, c] += in[pixel r + tap][c] * w[tap][c]     for all taps, the tile in registers
        out[pixel r][c] = min(max(tile[r, c] + bias[c], floor), ceiling)

Rows and pixels at the border run over the taps whose input exists; no zeros are read, and a weight
that is NaN or infinite shows only in results that have an input for it.
The last pair of vectors ends with the last channel and overlaps the one before, as the last tile
of a row overlaps the one before: both compute the same bits twice.

Taps are equally spaced (`correlation.py`), also in every phase of an input gradient's stride. All
phases of a row of gx are computed together, while the rows of gy that they read are in the cache.

Weight gradient: in `cpu_depthwise_weights.py`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np

from ...backend.cpu import inline, kernel, run_ranges
from ...backend.simd import (
    BYTES,
    lanes,
    lanes_of,
    load_up_to,
    maximum,
    minimum,
    multiply_add,
    prefetch,
    spread,
    store_up_to,
)
from ...backend.tiles import take
from ...spec import Pads, Shape, Spec
from . import correlation
from .correlation import Axis, Correlation

PIXELS = 4        # of a tile; written out in the kernel
AHEAD = 8         # pixels by which input is asked for early
LINES = max(1, 2 * BYTES // 64)  # cache lines of a pair of vectors
GRAIN = 1 << 17   # elements of out per range
NO_FLOOR = -np.inf

# What `axis_numbers` holds: lengths, the offsets of taps, the outputs [BEGIN, END) that meet all
# taps, and where the outputs go.
SIZE, COUNT, STEP, FIRST, APART, TAPS, BEGIN, END, ORIGIN, SPREAD = range(10)


# ---- tables --------------------------------------------------------------------------------


def axis_numbers(axis: Axis) -> tuple[int, ...]:
    """Return one axis of a correlation as integers for kernels."""
    taps = axis.taps
    begin = min(max(0, -(taps[0] // axis.step)), axis.count)
    end = min((axis.size - 1 - taps[-1]) // axis.step + 1, axis.count)
    apart = taps[1] - taps[0] if len(taps) > 1 else 1
    return (axis.size, axis.count, axis.step, taps[0], apart, len(taps), begin, max(begin, end),
            axis.origin, axis.spread)


def tap_offsets(c: Correlation, window: Shape) -> list[tuple[int, int]]:
    """Return, tap by tap, the offsets from an output's first tap in the input, and in w."""
    return [((e - c.rows.first) * c.columns.size * c.channels + (f - c.columns.first) * c.channels,
             (i * window[1] + j) * c.channels)
            for e, i in zip(c.rows.taps, c.rows.kept, strict=True)
            for f, j in zip(c.columns.taps, c.columns.kept, strict=True)]


@lru_cache(1 << 10)
def tables(parts: tuple[Correlation, ...], window: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return (phase, rows or columns, 10) numbers of axes and (phase, tap, 2) offsets of taps."""
    phases = [(axis_numbers(c.rows), axis_numbers(c.columns)) for c in parts]
    offsets = np.zeros((len(parts), max(c.taps for c in parts), 2), np.int64)
    for table, c in zip(offsets, parts, strict=True):
        table[:c.taps] = tap_offsets(c, window)
    return np.array(phases, np.int64), offsets.reshape(-1)


@inline
def valid_taps(axis, output):
    """Return first and last + 1 of the taps whose input exists."""
    start = output * axis[STEP] + axis[FIRST]
    return (max(0, -(start // axis[APART])),
            min(axis[TAPS], (axis[SIZE] - 1 - start) // axis[APART] + 1))


@inline
def ask_early(array, at, step, count):
    """Have a pair of vectors brought in for some pixels."""
    for i in range(count):
        for line in range(LINES):
            prefetch(array, at + i * step + line * (2 * lanes_of(array) // LINES))


# ---- the kernel ----------------------------------------------------------------------------


@inline
def _add_to_tile(tile, x, at, step, w, w_at, gap, count):
    """Return a tile plus PIXELS pixels, `step` apart, times one tap; pairs are `gap` apart."""
    a0, a1, b0, b1, c0, c1, d0, d1 = tile
    w0, w1 = load_up_to(w, w_at, count), load_up_to(w, w_at + gap, count)
    a0 = multiply_add(load_up_to(x, at, count), w0, a0)
    a1 = multiply_add(load_up_to(x, at + gap, count), w1, a1)
    at += step
    b0 = multiply_add(load_up_to(x, at, count), w0, b0)
    b1 = multiply_add(load_up_to(x, at + gap, count), w1, b1)
    at += step
    c0 = multiply_add(load_up_to(x, at, count), w0, c0)
    c1 = multiply_add(load_up_to(x, at + gap, count), w1, c1)
    at += step
    d0 = multiply_add(load_up_to(x, at, count), w0, d0)
    d1 = multiply_add(load_up_to(x, at + gap, count), w1, d1)
    return a0, a1, b0, b1, c0, c1, d0, d1


@inline
def _store_pair(out, at, first, second, floor, ceiling, gap, count):
    """Write two vectors, limited to [floor, ceiling]."""
    store_up_to(out, at, minimum(maximum(first, floor), ceiling), count)
    store_up_to(out, at + gap, minimum(maximum(second, floor), ceiling), count)


@cache
def _convolve_kernel(narrow: bool) -> Any:
    """Return the kernel for many channels, or for fewer than a vector holds."""

    @kernel
    def convolve(start, stop, x, w, b, out, phases, offsets, channels, most, height, width,
                 biased, lowest, highest):
        """Write rows [start, stop) of (image, row of a phase), of which there are `most`."""
        lane = lanes_of(x)
        count = min(channels, lane - 1) if narrow else lane
        gap = 0 if narrow else min(lane, channels - lane)
        zero, floor, ceiling = spread(x, 0), spread(x, lowest), spread(x, highest)
        for index in range(start, stop):
            image, u = index // most, index % most
            for phase in range(len(phases)):
                rows, columns = phases[phase, 0], phases[phase, 1]
                if u >= rows[COUNT]:
                    continue
                begin, end, wide = columns[BEGIN], columns[END], columns[TAPS]
                taps = phase * (len(offsets) // (2 * len(phases)))
                top, bottom = valid_taps(rows, u)
                in_row = ((image * rows[SIZE] + u * rows[STEP] + rows[FIRST]) * columns[SIZE]
                          + columns[FIRST]) * channels
                in_step = columns[STEP] * channels
                tap_row = rows[APART] * columns[SIZE] * channels
                out_row = ((image * height + rows[ORIGIN] + u * rows[SPREAD]) * width
                           + columns[ORIGIN]) * channels
                out_step = columns[SPREAD] * channels
                v = 0
                while v < columns[COUNT]:
                    whole = v >= begin and v < end and end - begin >= PIXELS
                    v = min(v, end - PIXELS) if whole else v
                    left, right = (0, wide) if whole else valid_taps(columns, v)
                    corner, place = in_row + v * in_step, out_row + v * out_step
                    ahead = corner + AHEAD * in_step
                    for chunk in range(0, channels, 2 * lane):
                        c = max(0, min(chunk, channels - 2 * lane))
                        first = load_up_to(b, c, count) if biased else zero
                        second = load_up_to(b, c + gap, count) if biased else zero
                        to = place + c
                        if whole:
                            tile = first, second, first, second, first, second, first, second
                            for row in range(max(top, bottom - rows[STEP]), bottom):
                                ask_early(x, ahead + row * tap_row + c, channels,
                                          PIXELS * columns[STEP])
                            for tap in range(taps + top * wide, taps + bottom * wide):
                                at, w_at = take(offsets, 2 * tap, 2)
                                tile = _add_to_tile(tile, x, corner + at + c, in_step, w,
                                                    w_at + c, gap, count)
                            _store_pair(out, to, tile[0], tile[1], floor, ceiling, gap, count)
                            to += out_step
                            _store_pair(out, to, tile[2], tile[3], floor, ceiling, gap, count)
                            to += out_step
                            _store_pair(out, to, tile[4], tile[5], floor, ceiling, gap, count)
                            to += out_step
                            _store_pair(out, to, tile[6], tile[7], floor, ceiling, gap, count)
                            continue
                        for row in range(top, bottom):
                            for tap in range(taps + row * wide + left, taps + row * wide + right):
                                at, w_at = take(offsets, 2 * tap, 2)
                                first = multiply_add(load_up_to(x, corner + at + c, count),
                                                     load_up_to(w, w_at + c, count), first)
                                second = multiply_add(
                                    load_up_to(x, corner + at + c + gap, count),
                                    load_up_to(w, w_at + c + gap, count), second)
                        _store_pair(out, to, first, second, floor, ceiling, gap, count)
                    v += PIXELS if whole else 1

    return convolve


def _run(parts: tuple[Correlation, ...], x: np.ndarray, w: np.ndarray, b: np.ndarray | None,
         out: np.ndarray, relu: bool = False, ceiling: float = np.inf) -> None:
    """Write correlations of x with w, which differ in the outputs that they make, into out."""
    c, channels = parts[0], w.shape[3]
    most = max(part.rows.count for part in parts)
    row = max(1, out.size // max(1, c.images * most))
    flat_w = w.reshape(-1)
    run_ranges(_convolve_kernel(channels < lanes(x.itemsize)), c.images * most,
               max(1, GRAIN // row), x.reshape(-1), flat_w, flat_w if b is None else b,
               out.reshape(-1), *tables(parts, w.shape[:2]), channels, most, c.height, c.width,
               b is not None, x.dtype.type(0 if relu else NO_FLOOR),
               x.dtype.type(ceiling))


# ---- the ops -------------------------------------------------------------------------------


def _is_depthwise(pixels: Spec, w: Spec, groups: int) -> bool:
    return bool(pixels.size and w.size) and w.shape[2:] == (1, groups)


def conv2d_accepts(x: Spec, w: Spec, b: Spec | None, *, groups: int, **attrs: Any) -> bool:
    """Return whether every channel has one filter of its own."""
    return _is_depthwise(x, w, groups)


def conv2d_workspace(x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> dict[str, Spec]:
    """Return that no work arrays are needed."""
    return {}


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, out: np.ndarray, saved: dict,
           work: dict, stride: Shape, padding: Pads, dilation: Shape, groups: int,
           relu: bool = False, ceiling: float = np.inf) -> None:
    """Write the convolution of x with w, plus b; limited to [0, ceiling] where `relu`."""
    c = correlation.forward(x.shape, w.shape[:2], out.shape, stride, padding, dilation, groups)
    _run((c,), x, w, b, out, relu, ceiling)


def conv2d_input_gradient_accepts(gy: Spec, w: Spec, *, groups: int, **attrs: Any) -> bool:
    """Return whether every channel has one filter of its own."""
    return _is_depthwise(gy, w, groups)


def conv2d_input_gradient_workspace(gy: Spec, w: Spec, **attrs: Any) -> dict[str, Spec]:
    """Return that no work arrays are needed."""
    return {}


def conv2d_input_gradient(gy: np.ndarray, w: np.ndarray, *, out: np.ndarray, saved: dict,
                          work: dict, size: Shape, stride: Shape, padding: Pads, dilation: Shape,
                          groups: int) -> None:
    """Write gx, the correlations of gy with the turned kernel, one per phase of the stride."""
    parts = correlation.backward(gy.shape, w.shape[:2], out.shape, stride, padding, dilation,
                                 groups)
    if sum(c.outputs for c in parts) < out.size:
        out.fill(0)  # inputs that no window reaches
    if parts:
        _run(parts, gy, w, None, out)
