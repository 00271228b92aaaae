"""CPU kernels of affine warps; ranges are images."""

from __future__ import annotations

import math

import numpy as np

from ... import config
from ...backend.cpu import POINTWISE_GRAIN, inline, kernel, run_ranges
from .op import FILL_MODES, INTERPOLATIONS

FAR = 10**9  # pixels; a matrix may hold anything, NaN too


@inline
def _below(place):
    """Return the largest whole number that is not above a place, within reach."""
    if not place > -FAR:
        return -FAR
    return math.floor(min(place, FAR))


@inline
def _place(place, rounded):
    """Return a place, or the middle of the pixel that is nearest."""
    return np.floor(place + 0.5) if rounded else place


@inline
def _stand_in(i, size, mode):
    """Return the pixel that stands for pixel i, -1 for none; the mode counts in FILL_MODES."""
    if 0 <= i < size:
        return i
    if mode == 0:
        return 0 if i < 0 else size - 1
    if mode == 1:
        i %= 2 * size
        return min(i, 2 * size - 1 - i)
    return i % size if mode == 2 else -1


@inline
def _pixel(row, column, columns, channels):
    """Return where a pixel begins, unsigned: no test of its sign is needed then."""
    return np.uint64((row * columns + column) * channels)


@inline
def _mean(pixels, places, shares):
    (a, b, c, d), (p, q, r, s) = places, shares
    return p * pixels[a] + q * pixels[b] + r * pixels[c] + s * pixels[d]


@inline
def _mean_with_gaps(image, rows, columns, shares, k, fill):
    """Return channel k between four pixels; for those of a negative place, fill stands."""
    total = 0.0
    for corner in range(4):
        row, column = rows[corner // 2], columns[corner % 2]
        missing = row < 0 or column < 0
        total += shares[corner] * (fill if missing else np.float64(image[row, column, k]))
    return total


@kernel
def _warp(start, stop, x, matrix, mode, rounded, fill, half, y):
    """Write warped images; half (1) is what rounds whole numbers, in the type to compute in."""
    rows, columns, channels = x.shape[1:]
    kind, real, one, up = y.dtype.type, half.dtype.type, half.dtype.type(1), half[0]
    for n in range(start, stop):
        image, m, pixels, target = x[n], matrix[n], x[n].reshape(-1), y[n].reshape(-1)
        for i in range(rows):
            top, left = np.float64(m[0]) * i + m[2], np.float64(m[3]) * i + m[5]
            for j in range(columns):
                u = _place(top + np.float64(m[1]) * j, rounded)
                v = _place(left + np.float64(m[4]) * j, rounded)
                r0, c0 = _below(u), _below(v)
                r1, c1, down, across = r0 + 1, c0 + 1, real(u - r0), real(v - c0)
                shares = ((one - down) * (one - across), (one - down) * across,
                          down * (one - across), down * across)
                to = _pixel(i, j, columns, channels)
                if not (0 <= r0 < rows - 1 and 0 <= c0 < columns - 1):
                    r0, r1 = _stand_in(r0, rows, mode), _stand_in(r1, rows, mode)
                    c0, c1 = _stand_in(c0, columns, mode), _stand_in(c1, columns, mode)
                    if min(min(r0, r1), min(c0, c1)) < 0:
                        for k in range(channels):
                            target[to + np.uint64(k)] = kind(_mean_with_gaps(
                                image, (r0, r1), (c0, c1), shares, k, fill) + up)
                        continue
                places = (_pixel(r0, c0, columns, channels), _pixel(r0, c1, columns, channels),
                          _pixel(r1, c0, columns, channels), _pixel(r1, c1, columns, channels))
                if channels == 3:  # unrolled: most images are RGB
                    target[to] = kind(_mean(pixels, places, shares) + up)
                    target[to + np.uint64(1)] = kind(_mean(pixels[1:], places, shares) + up)
                    target[to + np.uint64(2)] = kind(_mean(pixels[2:], places, shares) + up)
                else:
                    for k in range(channels):
                        target[to + np.uint64(k)] = kind(_mean(pixels[k:], places, shares) + up)


@kernel
def _spread(start, stop, gy, matrix, mode, rounded, gx):
    """Add each gy to the pixels that it was made of."""
    rows, columns, channels = gy.shape[1:]
    for n in range(start, stop):
        given, target, m = gy[n], gx[n], matrix[n]
        target[:] = 0
        for i in range(rows):
            for j in range(columns):
                u = _place(np.float64(m[0]) * i + m[2] + np.float64(m[1]) * j, rounded)
                v = _place(np.float64(m[3]) * i + m[5] + np.float64(m[4]) * j, rounded)
                r0, c0 = _below(u), _below(v)
                u, v = u - r0, v - c0
                for corner in range(4):
                    lower, right = corner // 2, corner % 2
                    row = _stand_in(r0 + lower, rows, mode)
                    column = _stand_in(c0 + right, columns, mode)
                    share = (u if lower else 1 - u) * (v if right else 1 - v)
                    if row >= 0 and column >= 0:
                        for k in range(channels):
                            target[row, column, k] += share * given[i, j, k]


def _run(loop: object, x: np.ndarray, *arguments: object) -> None:
    # on one thread the board is left to the others: a loader's worker must not slow a model down
    pixels = max(x[:1].size, 1)
    grain = len(x) if config.num_threads() == 1 else max(1, POINTWISE_GRAIN // (4 * pixels))
    run_ranges(loop, len(x), grain, x, *arguments)  # type: ignore[arg-type]


def _modes(fill_mode: str, interpolation: str) -> tuple[int, int]:
    """Return the numbers by which the kernels know the modes."""
    return FILL_MODES.index(fill_mode), INTERPOLATIONS.index(interpolation)


def warp(x: np.ndarray, matrix: np.ndarray, out: np.ndarray, fill_mode: str, fill_value: float,
         interpolation: str = "bilinear") -> None:
    """Write images of floats or bytes, warped; `out` has their type."""
    half = (np.zeros(1, out.dtype) if out.dtype.kind == "f" else
            np.full(1, 0.5, np.float32))
    _run(_warp, x, matrix, *_modes(fill_mode, interpolation), float(fill_value), half, out)


def affine_warp(x: np.ndarray, matrix: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                fill_mode: str, fill_value: float, interpolation: str) -> None:
    """Write y."""
    warp(x, matrix, out, fill_mode, fill_value, interpolation)


def affine_warp_gradient(gy: np.ndarray, matrix: np.ndarray, *, out: np.ndarray, saved: dict,
                         work: dict, fill_mode: str, interpolation: str) -> None:
    """Write gx."""
    _run(_spread, gy, matrix, *_modes(fill_mode, interpolation), out)
