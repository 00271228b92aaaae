"""Weight gradient of the depthwise convolution.

gw[tap][c] is a sum over pixels of in[pixel + tap][c] gy[pixel][c]. Vectors run along the channels.
A tile holds TAPS_TOGETHER taps x 2 vectors and walks the pixels of a segment of a row:

    for every row of gy, for SEGMENT pixels of it, for each pair c of vectors, for a few taps:
        tile[t, c] += in[pixel + tap t][c] * gy[pixel][c]      for all pixels of the segment
        partial[tap t][c] += tile[t, c]

A segment is short enough for its gy to stay in the first-level cache until all taps have met it.
Pixels at the border go one by one over the taps whose input exists. A few ranges of rows, cut by
the shape, have a partial gw each, and these are added in order. As in `cpu_depthwise.py` the last
pair of vectors ends with the last channel; in a partial gw each pair has a place of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ...backend.cpu import inline, kernel, run_ranges
from ...backend.simd import lanes, lanes_of, load, load_up_to, multiply_add, spread, store
from ...backend.tiles import take
from ...spec import Pads, Shape, Spec
from . import correlation
from .correlation import Correlation
from .cpu_depthwise import (
    APART,
    BEGIN,
    COUNT,
    END,
    FIRST,
    SIZE,
    STEP,
    TAPS,
    ask_early,
    tables,
    valid_taps,
)

SEGMENT = 16
TAPS_TOGETHER = 3   # written out in the kernel
MOST_PARTS = 16
LEAST = 1 << 13     # elements of gy per part


@inline
def _add_to_tile(tile, x, at, t0, t1, t2, gy, g_at, gap, count):
    """Return a tile plus one pixel of gy times the inputs of three taps; pairs are `gap` apart."""
    a0, a1, b0, b1, c0, c1 = tile
    g0, g1 = load_up_to(gy, g_at, count), load_up_to(gy, g_at + gap, count)
    a0 = multiply_add(load_up_to(x, at + t0, count), g0, a0)
    a1 = multiply_add(load_up_to(x, at + t0 + gap, count), g1, a1)
    b0 = multiply_add(load_up_to(x, at + t1, count), g0, b0)
    b1 = multiply_add(load_up_to(x, at + t1 + gap, count), g1, b1)
    c0 = multiply_add(load_up_to(x, at + t2, count), g0, c0)
    c1 = multiply_add(load_up_to(x, at + t2 + gap, count), g1, c1)
    return a0, a1, b0, b1, c0, c1


@inline
def _add_pair(partial, at, first, second, lane):
    """Add two vectors to a partial gradient."""
    store(partial, at, load(partial, at) + first)
    store(partial, at + lane, load(partial, at + lane) + second)


@cache
def _weights_kernel(narrow: bool) -> Any:
    """Return the kernel for many channels, or for fewer than a vector holds."""

    @kernel
    def weights(start, stop, x, gy, partial, phases, offsets, steps, channels, total, parts):
        """Write the partial gradients [start, stop), each a sum over its share of `total` rows."""
        lane = lanes_of(x)
        count = min(channels, lane - 1) if narrow else lane
        gap = 0 if narrow else min(lane, channels - lane)
        rows, columns, wide = phases[0, 0], phases[0, 1], phases[0, 1, TAPS]
        tap_row = rows[APART] * columns[SIZE] * channels
        begin, end, zero = columns[BEGIN], columns[END], spread(x, 0)
        width = -(-channels // (2 * lane)) * 2 * lane
        size = rows[TAPS] * wide * width
        for part in range(start, stop):
            base = part * size
            partial[base:base + size] = 0
            for index in range(total * part // parts, total * (part + 1) // parts):
                image, u = index // rows[COUNT], index % rows[COUNT]
                top, bottom = valid_taps(rows, u)
                in_row = ((image * rows[SIZE] + u * rows[STEP] + rows[FIRST]) * columns[SIZE]
                          + columns[FIRST]) * channels
                v = 0
                while v < columns[COUNT]:
                    whole = v >= begin and v < end
                    pixels = min(SEGMENT, end - v) if whole else 1
                    left, right = (0, wide) if whole else valid_taps(columns, v)
                    corner = in_row + v * columns[STEP] * channels
                    ahead = corner + SEGMENT * columns[STEP] * channels
                    from_gy = (index * columns[COUNT] + v) * channels
                    for chunk in range(0, width, 2 * lane):
                        c = max(0, min(chunk, channels - 2 * lane))
                        g_at, to = from_gy + c, base + chunk
                        if whole:
                            last = bottom * wide - 1
                            ask_early(gy, g_at + SEGMENT * channels, channels, pixels)
                            for row in range(max(top, bottom - rows[STEP]), bottom):
                                ask_early(x, ahead + row * tap_row + c, channels,
                                          pixels * columns[STEP])
                            for tap in range(top * wide, bottom * wide, TAPS_TOGETHER):
                                t0 = corner + c + offsets[2 * tap]
                                t1 = corner + c + offsets[2 * min(tap + 1, last)]
                                t2 = corner + c + offsets[2 * min(tap + 2, last)]
                                tile = zero, zero, zero, zero, zero, zero
                                for i in range(pixels):
                                    at, more = take(steps, 2 * i, 2)
                                    tile = _add_to_tile(tile, x, at, t0, t1, t2, gy, g_at + more,
                                                        gap, count)
                                at = to + tap * width
                                _add_pair(partial, at, tile[0], tile[1], lane)
                                if tap + 1 <= last:
                                    _add_pair(partial, at + width, tile[2], tile[3], lane)
                                if tap + 2 <= last:
                                    _add_pair(partial, at + 2 * width, tile[4], tile[5], lane)
                            continue
                        g0, g1 = load_up_to(gy, g_at, count), load_up_to(gy, g_at + gap, count)
                        for row in range(top, bottom):
                            for tap in range(row * wide + left, row * wide + right):
                                at = corner + offsets[2 * tap] + c
                                _add_pair(partial, to + tap * width,
                                          load_up_to(x, at, count) * g0,
                                          load_up_to(x, at + gap, count) * g1, lane)
                    v += pixels

    return weights


@lru_cache(1 << 10)
def _steps(c: Correlation) -> np.ndarray:
    """Return how far the pixels of a segment are from its first one, in the input and in gy."""
    steps = np.array([c.columns.step * c.channels, c.channels], np.int64)
    return np.outer(np.arange(SEGMENT), steps).reshape(-1)


def _add_up(partial: np.ndarray, out: np.ndarray, lane: int) -> None:
    """Write the sum of partial gradients (parts, taps, pairs of vectors) into (taps, channels)."""
    channels, wide = out.shape[1], 2 * lane
    whole = channels // wide * wide
    np.add.reduce(partial[:, :, :whole], axis=0, out=out[:, :whole])
    first = max(0, channels - wide)          # the last pair begins here, its second vector ...
    second = first + max(0, min(lane, channels - lane))  # ... here
    for at, to in ((whole, first), (whole + lane, second)):
        there = min(lane, channels - to)
        if whole < channels:
            np.add.reduce(partial[:, :, at:at + there], axis=0, out=out[:, to:to + there])


def _partial(gy: Spec | np.ndarray, window: Shape) -> Shape:
    """Return the shape of the partial gradients (parts, taps, channels in pairs of vectors)."""
    images, rows, _, channels = gy.shape
    wide = 2 * lanes(gy.dtype.itemsize)
    parts = max(1, min(MOST_PARTS, images * rows, gy.size // LEAST))
    return (parts, window[0] * window[1], -(-channels // wide) * wide)


def conv2d_weight_gradient_accepts(x: Spec, gy: Spec, *, groups: int, **attrs: Any) -> bool:
    """Return whether every channel has one filter of its own."""
    return bool(x.size and gy.size) and groups == x.shape[3] == gy.shape[3]


def conv2d_weight_gradient_workspace(x: Spec, gy: Spec, *, window: Shape, **attrs: Any
                                     ) -> Mapping[str, Spec]:
    """Return the spec of the partial gradients."""
    return {"partial": Spec(_partial(gy, window), gy.dtype)}


def conv2d_weight_gradient(x: np.ndarray, gy: np.ndarray, *, out: np.ndarray, saved: dict,
                           work: dict, window: Shape, stride: Shape, padding: Pads,
                           dilation: Shape, groups: int) -> None:
    """Write gw: sums over a few ranges of rows, which are then added in order."""
    c = correlation.forward(x.shape, window, gy.shape, stride, padding, dilation, groups)
    partial, lane = work["partial"], lanes(x.itemsize)
    parts = len(partial)
    run_ranges(_weights_kernel(groups < lane), parts, 1, x.reshape(-1), gy.reshape(-1),
               partial.reshape(-1), *tables((c,), window), _steps(c), groups,
               c.images * c.rows.count, parts)
    _add_up(partial, out.reshape(-1, groups), lane)
