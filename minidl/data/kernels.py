"""Compiled loops over images: resampling by weights, and changes of colour; ranges are images."""

from __future__ import annotations

import math

import numpy as np

from .. import config
from ..backend.cpu import inline, kernel, run_ranges


@kernel
def _resample(start, stop, x, tops, row_weights, lefts, column_weights, half, y):
    """Write y = R x C for banded R and C; a band begins at tops[i], or at lefts[j]."""
    rows, columns, channels = y.shape[1:]
    kind, width = y.dtype.type, x.shape[2]
    line = np.empty((width, channels), np.float32)
    for n in range(start, stop):
        for i in range(rows):
            line[:] = 0
            for a in range(row_weights.shape[1]):
                weight, row = row_weights[i, a], x[n, tops[i] + a]
                for j in range(width):
                    for k in range(channels):
                        line[j, k] += weight * row[j, k]
            for j in range(columns):
                for k in range(channels):
                    total = np.float32(0)
                    for a in range(column_weights.shape[1]):
                        total += column_weights[j, a] * line[lefts[j] + a, k]
                    y[n, i, j, k] = kind(total + half)


@inline
def _unit(value):
    return min(max(value, np.float32(0)), np.float32(1))


@inline
def _turn_hue(pixels, turn):
    """Move the hue by `turn` sixths of the circle; the largest and least channel stay as large."""
    for p in range(len(pixels)):
        r, g, b = pixels[p, 0], pixels[p, 1], pixels[p, 2]
        high, low = max(r, g, b), min(r, g, b)
        chroma = high - low
        if chroma == 0:
            continue
        if high == r:
            hue = (g - b) / chroma
        elif high == g:
            hue = 2 + (b - r) / chroma
        else:
            hue = 4 + (r - g) / chroma
        hue += turn
        hue -= 6 * math.floor(hue / 6)
        pixels[p, 0] = low + chroma * _unit(abs(hue - 3) - 1)
        pixels[p, 1] = low + chroma * _unit(2 - abs(hue - 2))
        pixels[p, 2] = low + chroma * _unit(2 - abs(hue - 4))


@inline
def _stretch(pixels, factor, shift):
    """Scale each channel about its mean, then add."""
    for k in range(pixels.shape[1]):
        total = 0.0
        for p in range(len(pixels)):
            total += pixels[p, k]
        offset = np.float32(total / len(pixels) * (1 - factor) + shift)
        for p in range(len(pixels)):
            pixels[p, k] = pixels[p, k] * factor + offset


@inline
def _saturate(pixels, factor):
    """Scale the saturation (HSV) and keep it in [0, 1]; hue and value stay."""
    for p in range(len(pixels)):
        r, g, b = pixels[p, 0], pixels[p, 1], pixels[p, 2]
        high = max(r, g, b)
        chroma = high - min(r, g, b)
        if high <= 0:
            scale = np.float32(0)
        else:
            scale = min(factor, high / chroma) if chroma > 0 else np.float32(1)
        pixels[p, 0], pixels[p, 1], pixels[p, 2] = (
            high - (high - r) * scale, high - (high - g) * scale, high - (high - b) * scale)


@kernel
def _colour(start, stop, x, changes, one, half, low, high, y):
    """Write images in other colours; x and y (N, pixels, C), `one` is what stands for 1 in them."""
    kind, size = y.dtype.type, x.shape[1] * x.shape[2]
    pixels = np.empty(x.shape[1:], np.float32)
    flat = pixels.reshape(-1)
    for n in range(start, stop):
        hue, contrast, brightness, saturation = changes[n]
        given, target = x[n].reshape(-1), y[n].reshape(-1)
        for p in range(size):
            flat[p] = given[p] / one
        if hue != 0:
            _turn_hue(pixels, 6 * hue)
        if contrast != 1 or brightness != 0:
            _stretch(pixels, contrast, brightness)
        if saturation != 1:
            _saturate(pixels, saturation)
        for p in range(size):
            target[p] = kind(min(max(flat[p], low), high) * one + half)


def _run(loop: object, x: np.ndarray, *arguments: object) -> None:
    # in a loader's worker, on one thread, the other threads are left to the model
    grain = len(x) if config.num_threads() == 1 else max(1, (1 << 14) // max(x[:1].size, 1))
    run_ranges(loop, len(x), grain, x, *arguments)  # type: ignore[arg-type]


def _half(array: np.ndarray) -> np.float32:
    """Return what is added before a number is stored, so that whole numbers are rounded."""
    return np.float32(0.5 if array.dtype == np.uint8 else 0)


def resample(x: np.ndarray, rows: tuple[np.ndarray, np.ndarray],
             columns: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return images (N, H, W, C), of bytes or float32, as weighted means of rows and columns.

    Args:
        rows: first row (h,), int64, and weights (h, band), float32, of each row of the result.
        columns: the same of its columns.
    """
    y = np.empty((len(x), len(rows[0]), len(columns[0]), x.shape[3]), x.dtype)
    _run(_resample, x, *rows, *columns, _half(y), y)
    return y


def recolour(x: np.ndarray, changes: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return images (N, H, W, C), of bytes or float32, in other colours.

    Args:
        changes: (N, 4), float32: turn of the hue as a share of the circle, factor of the contrast,
            brightness to add, factor of the saturation.
        low, high: where values are cut off; a byte of 255 counts as 1.
    """
    y = np.empty_like(x)
    one = np.float32(255 if x.dtype == np.uint8 else 1)
    pixels = (len(x), x.shape[1] * x.shape[2], x.shape[3])
    _run(_colour, x.reshape(pixels), changes, one, _half(y), np.float32(low), np.float32(high),
         y.reshape(pixels))
    return y
