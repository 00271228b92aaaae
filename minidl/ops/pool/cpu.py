"""CPU kernels of the pooling ops; ranges are output rows (forward) or images (backward)."""

from __future__ import annotations

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


@kernel
def _max_rows(start, stop, x, y, place, kh, kw, sh, sw, top, left):
    # Flat arrays and unsigned indices: numba checks signed ones for being negative.
    height, width, p_count, q_count = x.shape[1], x.shape[2], y.shape[1], y.shape[2]
    channels = np.uint64(x.shape[3])
    source, result, places = x.reshape(-1), y.reshape(-1), place.reshape(-1)
    for row in range(start, stop):
        n, p = row // p_count, row % p_count
        h0, h1 = _clip(p * sh - top, kh, height)
        for q in range(q_count):
            w0, w1 = _clip(q * sw - left, kw, width)
            to = np.uint64(row * q_count + q) * channels
            for c in range(channels):
                result[to + c] = -np.inf
                places[to + c] = (h0 - p * sh + top) * kw + w0 - q * sw + left
            for h in range(h0, h1):
                for w in range(w0, w1):
                    at = (h - p * sh + top) * kw + w - q * sw + left
                    here = np.uint64((n * height + h) * width + w) * channels
                    for c in range(channels):
                        value, best = source[here + c], result[to + c]
                        larger = value > best or value != value  # a NaN goes through
                        result[to + c] = value if larger else best
                        places[to + c] = at if larger else places[to + c]


def max_pool2d(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, window: Shape,
               stride: Shape, padding: Pads) -> None:
    """Write the maxima, and their places within the windows."""
    run_ranges(lambda a, b: _max_rows(a, b, x, out, saved["place"], *window, *stride,
                                      padding[0][0], padding[1][0]),
               out.shape[0] * out.shape[1], _row_grain(out, window))


@kernel
def _max_gradient(start, stop, gy, place, gx, kw, sh, sw, top, left):
    gx[start:stop] = 0
    for n in range(start, stop):
        for p in range(gy.shape[1]):
            for q in range(gy.shape[2]):
                for c in range(gy.shape[3]):
                    at = np.int64(place[n, p, q, c])
                    gx[n, p * sh - top + at // kw, q * sw - left + at % kw, c] += gy[n, p, q, c]


def max_pool2d_gradient(gy: np.ndarray, place: np.ndarray, *, out: np.ndarray, saved: dict,
                        work: dict, size: Shape, window: Shape, stride: Shape, padding: Pads
                        ) -> None:
    """Write gx: each element of gy goes to the place of its maximum."""
    run_ranges(lambda a, b: _max_gradient(a, b, gy, place, out, window[1], *stride, padding[0][0],
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
