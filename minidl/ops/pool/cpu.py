"""CPU kernels of the pooling ops; ranges are output rows (forward) or images (backward)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ...backend.cpu import inline, kernel, run_ranges
from ...spec import Pads, Shape

GRAIN = 1 << 15  # window elements per range


def _row_grain(out: np.ndarray, window: Shape) -> int:
    work = out.shape[2] * out.shape[3] * window[0] * window[1]
    return max(1, GRAIN // max(work, 1))


def _image_grain(gx: np.ndarray) -> int:
    return max(1, GRAIN // max(gx[0].size, 1)) if len(gx) else 1


@inline
def _clip(start, length, size):
    """Return the part of [start, start + length) that lies in [0, size)."""
    return max(start, 0), min(start + length, size)


# Flat arrays and unsigned indices: numba checks signed ones for being negative. The window is a
# constant of each kernel, so that its loops unroll and the loop over channels becomes vector code
# (measured: 15 times faster).


@cache
def _max_rows(kh: int, kw: int, place_type: type) -> Callable:
    """Return the max pooling kernel of one window."""
    @kernel
    def rows(start, stop, x, y, place, sh, sw, top, left):
        height, width, p_count, q_count = x.shape[1], x.shape[2], y.shape[1], y.shape[2]
        channels = np.uint64(x.shape[3])
        source, result, places = x.reshape(-1), y.reshape(-1), place.reshape(-1)
        for row in range(start, stop):
            n, p = row // p_count, row % p_count
            h0, h1 = _clip(p * sh - top, kh, height)
            for q in range(q_count):
                w0, w1 = _clip(q * sw - left, kw, width)
                to = np.uint64(row * q_count + q) * channels
                line = np.uint64((n * height + h0) * width + w0) * channels
                if h1 - h0 == kh and w1 - w0 == kw:
                    for c in range(channels):
                        best, found = source[line + c], place_type(0)
                        for i in range(kh):
                            for j in range(kw):
                                value = source[line + np.uint64(i * width + j) * channels + c]
                                larger = value > best or value != value  # a NaN goes through
                                best = value if larger else best
                                found = place_type(i * kw + j) if larger else found
                        result[to + c] = best
                        places[to + c] = found
                    continue
                at = (h0 - p * sh + top) * kw + w0 - q * sw + left
                for c in range(channels):
                    best, where = source[line + c], at
                    for i in range(h1 - h0):
                        for j in range(w1 - w0):
                            value = source[line + np.uint64(i * width + j) * channels + c]
                            if value > best or value != value:
                                best, where = value, at + i * kw + j
                    result[to + c] = best
                    places[to + c] = where
    return rows


def max_pool2d(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, window: Shape,
               stride: Shape, padding: Pads) -> None:
    """Write the maxima, and their places within the windows."""
    function = _max_rows(*window, saved["place"].dtype.type)
    run_ranges(lambda a, b: function(a, b, x, out, saved["place"], *stride, padding[0][0],
                                     padding[1][0]),
               out.shape[0] * out.shape[1], _row_grain(out, window))


@kernel
def _max_gradient(start, stop, gy, place, gx, offset, sh, sw, top, left):
    """Add gy at the maxima; offset[place] is the distance in memory from the window's corner."""
    channels, width = gx.shape[3], gx.shape[2]
    gx[start:stop] = 0
    target, source, places = gx.reshape(-1), gy.reshape(-1), place.reshape(-1)
    for n in range(start, stop):
        for p in range(gy.shape[1]):
            for q in range(gy.shape[2]):
                here = np.uint64(((n * gy.shape[1] + p) * gy.shape[2] + q) * channels)
                corner = ((n * gx.shape[1] + p * sh - top) * width + q * sw - left) * channels
                for c in range(np.uint64(channels)):
                    to = np.uint64(corner + offset[np.uint64(places[here + c])]) + c
                    target[to] += source[here + c]


def max_pool2d_gradient(gy: np.ndarray, place: np.ndarray, *, out: np.ndarray, saved: dict,
                        work: dict, size: Shape, window: Shape, stride: Shape, padding: Pads
                        ) -> None:
    """Write gx: each element of gy goes to the place of its maximum."""
    offset = work["offset"]
    for at in range(window[0] * window[1]):
        offset[at] = (at // window[1] * out.shape[2] + at % window[1]) * out.shape[3]
    run_ranges(lambda a, b: _max_gradient(a, b, gy, place, out, offset, *stride, padding[0][0],
                                          padding[1][0]), len(out), _image_grain(out))


@inline
def _share(h0, h1, w0, w1, kh, kw, everything):
    return kh * kw if everything else (h1 - h0) * (w1 - w0)


@kernel
def _average_rows(start, stop, x, y, kh, kw, sh, sw, top, left, everything):
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    for row in range(start, stop):
        n, p = row // y.shape[1], row % y.shape[1]
        h0, h1 = _clip(p * sh - top, kh, height)
        for q in range(y.shape[2]):
            w0, w1 = _clip(q * sw - left, kw, width)
            for c in range(channels):
                y[n, p, q, c] = 0
            for h in range(h0, h1):
                for w in range(w0, w1):
                    for c in range(channels):
                        y[n, p, q, c] += x[n, h, w, c]
            count = _share(h0, h1, w0, w1, kh, kw, everything)
            for c in range(channels):
                y[n, p, q, c] /= count


def average_pool2d(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, window: Shape,
                   stride: Shape, padding: Pads, count_include_pad: bool) -> None:
    """Write the means of the windows."""
    run_ranges(lambda a, b: _average_rows(a, b, x, out, *window, *stride, padding[0][0],
                                          padding[1][0], count_include_pad),
               out.shape[0] * out.shape[1], _row_grain(out, window))


@kernel
def _average_gradient(start, stop, gy, gx, kh, kw, sh, sw, top, left, everything):
    height, width = gx.shape[1], gx.shape[2]
    gx[start:stop] = 0
    for n in range(start, stop):
        for p in range(gy.shape[1]):
            h0, h1 = _clip(p * sh - top, kh, height)
            for q in range(gy.shape[2]):
                w0, w1 = _clip(q * sw - left, kw, width)
                count = _share(h0, h1, w0, w1, kh, kw, everything)
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        for c in range(gy.shape[3]):
                            gx[n, h, w, c] += gy[n, p, q, c] / count


def average_pool2d_gradient(gy: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                            size: Shape, window: Shape, stride: Shape, padding: Pads,
                            count_include_pad: bool) -> None:
    """Write gx: each element of gy is shared by its window."""
    run_ranges(lambda a, b: _average_gradient(a, b, gy, out, *window, *stride, padding[0][0],
                                              padding[1][0], count_include_pad),
               len(out), _image_grain(out))
