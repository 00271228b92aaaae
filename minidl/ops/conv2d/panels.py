"""Weights as panels: the right factor of a product in the order in which a tile reads it.

packed[group, panel, tap, channel, column] holds `width` neighbouring filters for every tap and
input channel, so that each step of a tile reads the next `width` numbers. Filters beyond the last
are zeros.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...backend.cpu import kernel, run_ranges
from ...spec import Shape
from .correlation import Correlation

GRAIN = 1 << 15  # weights per range


@kernel
def _pack(start, stop, w, packed, taps, depth, filters, width, panels, group, channel, column):
    """Write rows [start, stop) of (group panel tap); the last three are steps in w."""
    count = len(taps)
    for row in range(start, stop):
        tap, panel, g = row % count, row // count % panels, row // count // panels
        source = taps[tap] + g * group + panel * width * column
        there = min(width, filters - panel * width)
        at = row * depth * width
        for _ in range(depth):
            for v in range(there):
                packed[at + v] = w[source + v * column]
            for v in range(there, width):
                packed[at + v] = 0
            at += width
            source += channel


def panel_count(filters: int, width: int) -> int:
    """Return how many panels so many filters of a group take."""
    return -(-filters // width)


def packed_shape(c: Correlation, width: int) -> Shape:
    """Return the shape of packed weights, groups and panels first."""
    panels = panel_count(c.filters // c.groups, width)
    return (c.groups, panels, c.taps, c.depth, width)


def pack(w: np.ndarray, packed: np.ndarray, c: Correlation, width: int, turned: bool) -> None:
    """Write the weights of a correlation as panels.

    Args:
        w: (KH, KW, C / groups, K) of the convolution.
        turned: for an input gradient, whose input channels are the K filters.
    """
    _, kw, depth, filters = w.shape
    group, panels = filters // c.groups, packed.shape[1]
    steps = (group, 1, filters) if turned else (group, filters, 1)
    rows = c.groups * panels * c.taps
    run_ranges(_pack, rows, max(1, GRAIN // max(c.depth * width, 1)), w.reshape(-1),
               packed.reshape(-1), _taps(c, kw, depth * filters), c.depth,
               c.filters // c.groups, width, panels, *steps)


@lru_cache(1 << 10)
def _taps(c: Correlation, kw: int, step: int) -> np.ndarray:
    """Return where the weights of each tap begin, for kernels kw wide and `step` per tap."""
    return np.array([(i * kw + j) * step for i in c.rows.kept for j in c.columns.kept], np.int64)
