"""CPU kernels of affine warps; ranges are images."""

from __future__ import annotations

import math

import numpy as np

from ... import config
from ...backend.cpu import POINTWISE_GRAIN, inline, kernel, run_ranges
from .op import FILL_MODES

FAR = 10**9  # pixels; a matrix may hold anything, NaN too


@inline
def _below(place):
    """Return the largest whole number that is not above a place, within reach."""
    if not place > -FAR:
        return -FAR
    return math.floor(min(place, FAR))


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
def _pixel(image, row, column, k, fill):
    return fill if row < 0 or column < 0 else np.float64(image[row, column, k])


@inline
def _between(image, row, column, u, v, k):
    """Return channel k between this pixel and its three neighbours below and to the right."""
    above = (1 - v) * image[row, column, k] + v * image[row, column + 1, k]
    below = (1 - v) * image[row + 1, column, k] + v * image[row + 1, column + 1, k]
    return (1 - u) * above + u * below


@inline
def _beyond(image, r0, r1, c0, c1, u, v, k, fill):
    """Return the same between any four pixels, some of which may be missing."""
    above = (1 - v) * _pixel(image, r0, c0, k, fill) + v * _pixel(image, r0, c1, k, fill)
    below = (1 - v) * _pixel(image, r1, c0, k, fill) + v * _pixel(image, r1, c1, k, fill)
    return (1 - u) * above + u * below


@kernel
def _warp(start, stop, x, matrix, mode, fill, half, y):
    """Write warped images; half is 0.5 where y is whole numbers and has to be rounded."""
    rows, columns, channels = x.shape[1:]
    kind = y.dtype.type
    for n in range(start, stop):
        image, target, m = x[n], y[n], matrix[n]
        for i in range(rows):
            top, left = np.float64(m[0]) * i + m[2], np.float64(m[3]) * i + m[5]
            for j in range(columns):
                u, v = top + np.float64(m[1]) * j, left + np.float64(m[4]) * j
                r0, c0 = _below(u), _below(v)
                u, v = u - r0, v - c0
                if 0 <= r0 < rows - 1 and 0 <= c0 < columns - 1:
                    if channels == 3:  # unrolled: most images are RGB
                        target[i, j, 0] = kind(_between(image, r0, c0, u, v, 0) + half)
                        target[i, j, 1] = kind(_between(image, r0, c0, u, v, 1) + half)
                        target[i, j, 2] = kind(_between(image, r0, c0, u, v, 2) + half)
                    else:
                        for k in range(channels):
                            target[i, j, k] = kind(_between(image, r0, c0, u, v, k) + half)
                    continue
                r1, c1 = _stand_in(r0 + 1, rows, mode), _stand_in(c0 + 1, columns, mode)
                r0, c0 = _stand_in(r0, rows, mode), _stand_in(c0, columns, mode)
                for k in range(channels):
                    target[i, j, k] = kind(
                        _beyond(image, r0, r1, c0, c1, u, v, k, fill) + half)


@kernel
def _spread(start, stop, gy, matrix, mode, gx):
    """Add each gy to the four pixels that it was made of."""
    rows, columns, channels = gy.shape[1:]
    for n in range(start, stop):
        given, target, m = gy[n], gx[n], matrix[n]
        target[:] = 0
        for i in range(rows):
            for j in range(columns):
                u = np.float64(m[0]) * i + np.float64(m[1]) * j + m[2]
                v = np.float64(m[3]) * i + np.float64(m[4]) * j + m[5]
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


def warp(x: np.ndarray, matrix: np.ndarray, out: np.ndarray, fill_mode: str, fill_value: float
         ) -> None:
    """Write images of floats or bytes, warped; `out` has their type."""
    half = 0.0 if out.dtype.kind == "f" else 0.5
    _run(_warp, x, matrix, FILL_MODES.index(fill_mode), float(fill_value), half, out)


def affine_warp(x: np.ndarray, matrix: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                fill_mode: str, fill_value: float) -> None:
    """Write y."""
    warp(x, matrix, out, fill_mode, fill_value)


def affine_warp_gradient(gy: np.ndarray, matrix: np.ndarray, *, out: np.ndarray, saved: dict,
                         work: dict, fill_mode: str) -> None:
    """Write gx."""
    _run(_spread, gy, matrix, FILL_MODES.index(fill_mode), out)
