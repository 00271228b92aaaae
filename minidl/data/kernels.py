"""Compiled loops over images: resampling by weights, and changes of colour; ranges are images."""

from __future__ import annotations

import numpy as np

from .. import config
from ..backend.cpu import inline, kernel, run_ranges


@kernel
def _resample(start, stop, x, tops, row_weights, lefts, column_weights, half, y):
    """Write y = R x C for banded R and C; a band begins at tops[i], or at lefts[j]."""
    rows, columns, channels = y.shape[1:]
    kind, width = y.dtype.type, x.shape[2]
    line = np.empty(width * channels, np.float32)
    for n in range(start, stop):
        image = x[n].reshape(-1)
        for i in range(rows):
            line[:] = 0
            for a in range(row_weights.shape[1]):
                weight, first = row_weights[i, a], (tops[i] + a) * line.size
                row = image[first:first + line.size]
                for j in range(line.size):
                    line[j] += weight * row[j]
            for j in range(columns):
                band = line[lefts[j] * channels:]
                for k in range(channels):
                    total = half
                    for a in range(column_weights.shape[1]):
                        total += column_weights[j, a] * band[a * channels + k]
                    y[n, i, j, k] = kind(total)


ZERO, ONE, TWO, THREE, FOUR, SIX = np.arange(7, dtype=np.float32)[[0, 1, 2, 3, 4, 6]]
"""As whole numbers they would make float64 of float32."""


@inline
def _unit(value):
    return min(max(value, ZERO), ONE)


@inline
def _turn_hue(planes, turn):
    """Move the hue by `turn` sixths of the circle; the largest and least channel stay as large."""
    red, green, blue = planes[0], planes[1], planes[2]
    for p in range(red.size):
        r, g, b = red[p], green[p], blue[p]
        high, low = max(max(r, g), b), min(min(r, g), b)
        chroma = high - low
        part = ONE / (chroma if chroma > ZERO else ONE)
        hue = (g - b) * part if high == r else (
            (b - r) * part + TWO if high == g else (r - g) * part + FOUR)
        hue += turn  # of -3 to 3
        hue += SIX if hue < ZERO else (-SIX if hue >= SIX else ZERO)
        red[p] = low + chroma * _unit(abs(hue - THREE) - ONE)
        green[p] = low + chroma * _unit(TWO - abs(hue - TWO))
        blue[p] = low + chroma * _unit(TWO - abs(hue - FOUR))


@inline
def _stretch(planes, factor, shift):
    """Scale each channel about its mean, then add."""
    for k in range(len(planes)):
        plane, total = planes[k], 0.0
        for p in range(plane.size):
            total += plane[p]
        offset = np.float32(total / plane.size * (1 - factor) + shift)
        for p in range(plane.size):
            plane[p] = plane[p] * factor + offset


@inline
def _saturate(planes, factor):
    """Scale the saturation (HSV) and keep it in [0, 1]; hue and value stay."""
    red, green, blue = planes[0], planes[1], planes[2]
    for p in range(red.size):
        r, g, b = red[p], green[p], blue[p]
        high = max(max(r, g), b)
        chroma = high - min(min(r, g), b)
        # above 1 / saturation the least channel would fall below 0; black has no saturation
        scale = min(factor, max(high, ZERO) / (chroma if chroma > ZERO else ONE))
        red[p] = high - (high - r) * scale
        green[p] = high - (high - g) * scale
        blue[p] = high - (high - b) * scale


@kernel
def _colour(start, stop, x, changes, one, half, low, high, y):
    """Write images in other colours; x and y (N, pixels, C), `one` is what stands for 1 in them."""
    kind, size, channels = y.dtype.type, x.shape[1], x.shape[2]
    planes = np.empty((channels, size), np.float32)  # a channel at a time fills the registers
    for n in range(start, stop):
        hue, contrast, brightness, saturation = changes[n]
        given, target = x[n].reshape(-1), y[n].reshape(-1)
        for k in range(channels):
            plane = planes[k]
            for p in range(size):
                plane[p] = given[p * channels + k] * (ONE / one)
        if hue != 0:
            _turn_hue(planes, SIX * hue)
        if contrast != 1 or brightness != 0:
            _stretch(planes, contrast, brightness)
        if saturation != 1:
            _saturate(planes, saturation)
        for k in range(channels):
            plane = planes[k]
            for p in range(size):
                target[p * channels + k] = kind(min(max(plane[p], low), high) * one + half)


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
