"""Weight gradient of the Winograd convolution, for 3x3 and 5x5 windows with stride 1.

A tile of m x m pixels of gy is the window here, and gw the r x r outputs; m, n and the transforms
are as in the forward pass (`cpu_winograd.py`). For blocks of some dozen tiles:

    V[p][tile, channel] = B d B'        of n x n pixels of x
    Z[p][panel][tile, filter] = G gy G'
    S[p][channel, filter] += sum over tiles of V[p] Z[p]    n n products, in register tiles

and at the end gw = A S A'. A few ranges of blocks have an S of their own; they are added up in
order, so the result does not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from ... import config
from ...backend.cpu import inline, kernel, ranges, run_slots
from ...backend.simd import lanes, load, load_every, load_inside, store, store_every
from ...backend.tiles import add_products, add_tile, store_tile, take, zeros
from ...spec import Pads, Shape, Spec
from .cpu_winograd import accepts, pays
from .cpu_winograd_transforms import of_window, transform_data, transform_products
from .tiling import SIDE, Tiling, points, tiling

SUM_BYTES = 16 << 20  # of all S together, as far as there are at least two
MOST_PARTS = 8


@inline
def transform_gradient(gy, spare, z, tile, place, numbers, lane_count, m, r, n):
    """Write G gy G' of one tile of gy, for all filters.

    Args:
        spare: holds n n vectors.
        place: row of the tile in Z.
    """
    height, length, filters = numbers[4], numbers[5], numbers[6]
    width, tiles, gap = numbers[12], numbers[14], numbers[15]
    down, across = -(-height // m), -(-length // m)
    panels = -(-filters // width)
    step = panels * tiles * width + gap
    h, w = tile // across % down * m, tile % across * m
    line = length * filters
    corner = ((tile // (down * across)) * height + h) * line + w * filters
    for k in range(0, panels * width, lane_count):
        for j in range(m):
            last = height - h if w + j < length else 0
            column = load_inside(gy, corner + j * filters + k, line, m, 0, last, filters - k)
            store_every(spare, j * lane_count, m * lane_count, of_window(column, r, m))
        to = (k // width * tiles + place) * width + k % width
        for i in range(n):
            row = load_every(spare, i * m * lane_count, lane_count, m)
            store_every(z, i * n * step + to, step, of_window(row, r, m))


@cache
def _sums_kernel(rows: int, vectors: int, lane_count: int, r: int) -> Any:
    """Return the kernel for register tiles of so many rows and vectors, windows of r x r."""
    count, width = rows * vectors, vectors * lane_count
    m, n = SIDE, points(r)

    @kernel
    def sums(start, stop, slot, parts, x, gy, totals, vs, zs, spares, lefts, tops, numbers):
        """Write S (n n, channels, panels * width) of parts [start, stop)."""
        v, z, spare = vs[slot], zs[slot], spares[slot]
        channels, filters = numbers[3], numbers[6]
        depth, tiles, gap = numbers[13], numbers[14], numbers[15]
        number = numbers[0] * -(-numbers[4] // m) * -(-numbers[5] // m)
        panels = -(-filters // width)
        step, z_step = tiles * depth + gap, panels * tiles * width + gap
        size = channels * panels * width
        for part in range(start, stop):
            total = totals[part]
            total[:] = 0
            for block in range(parts[part, 0], parts[part, 1]):
                first = block * tiles
                here = min(tiles, number - first)
                for tile in range(here):
                    transform_data(x, spare, v, first + tile, tile, numbers, lane_count, m, r, n)
                    transform_gradient(gy, spare, z, first + tile, tile, numbers, lane_count, m,
                                       r, n)
                for p in range(n * n):
                    for panel in range(panels):
                        right = p * z_step + panel * tiles * width
                        top = p * size + panel * width
                        for c in range(0, channels, rows):
                            left = take(lefts, c, rows)
                            tile_sums = zeros(x, count)
                            at = p * step
                            for tile in range(here):
                                tile_sums = add_products(tile_sums, v, left, at, z,
                                                         right + tile * width, vectors)
                                at += depth
                            to = take(tops, c, rows)
                            tile_sums = add_tile(tile_sums, total, to, top, vectors)
                            store_tile(tile_sums, total, to, top, vectors)

    return sums


@cache
def _outputs_kernel(r: int, width: int, lane_count: int) -> Any:
    """Return the kernel that adds up all S and writes windows of r x r."""
    m, n = SIDE, points(r)
    products = n * n

    @kernel
    def outputs(start, stop, slot, total, out, spares, parts, channels, filters, panels):
        """Write gw = A S A' for input channels [start, stop)."""
        spare = spares[slot]
        step = channels * panels * width
        half = products * lane_count
        for c in range(start, stop):
            for k in range(0, filters, lane_count):
                at = c * panels * width + k
                for p in range(products):
                    value = load(total, p * step + at)
                    for part in range(1, parts):
                        value = value + load(total, (part * products + p) * step + at)
                    store(spare, p * lane_count, value)
                transform_products(spare, 0, lane_count, spare[half:], lane_count, r, m, n)
                there = min(lane_count, filters - k)
                for i in range(r):
                    for j in range(r):
                        to = ((i * r + j) * channels + c) * filters + k
                        for lane in range(there):
                            out[to + lane] = spare[half + (i * n + j) * lane_count + lane]

    return outputs


# ---- the op --------------------------------------------------------------------------------


def conv2d_weight_gradient_accepts(x: Spec, gy: Spec, window: Shape, stride: Shape, padding: Pads,
                                   dilation: Shape, groups: int) -> bool:
    """Return whether the variant can serve a call."""
    return accepts(x, gy, window, stride, dilation, groups)


def conv2d_weight_gradient_pays(x: Spec, gy: Spec, window: Shape, **attrs: Any) -> bool:
    """Return whether the variant is the fastest for a call that it accepts."""
    return pays(gy.size // gy.shape[3], x.shape[3], gy.shape[3], window[0])


def _tiling(x: Shape, gy: Shape, window: Shape, padding: Pads, itemsize: int) -> Tiling:
    return tiling(x, gy, window[0], padding[0][0], padding[1][0], itemsize)


def _sum_shape(t: Tiling) -> Shape:
    return (t.n ** 2, t.channels, t.panels * t.width)


def _parts(t: Tiling, itemsize: int) -> list[tuple[int, int]]:
    """Return the ranges of blocks that have an S of their own."""
    size = int(np.prod(_sum_shape(t))) * itemsize
    wanted = min(max(SUM_BYTES // size, 2), MOST_PARTS)
    return ranges(t.blocks, -(-t.blocks // wanted))


def conv2d_weight_gradient_workspace(x: Spec, gy: Spec, window: Shape, stride: Shape,
                                     padding: Pads, dilation: Shape, groups: int
                                     ) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: V and Z of a block for every thread, S per part."""
    t = _tiling(x.shape, gy.shape, window, padding, x.dtype.itemsize)
    threads = config.num_threads()
    z_size = t.n ** 2 * (t.panels * t.tiles * t.width + t.gap)
    return {"v": Spec((threads, t.data_size), x.dtype), "z": Spec((threads, z_size), x.dtype),
            "sums": Spec((len(_parts(t, x.dtype.itemsize)), *_sum_shape(t)), x.dtype),
            "spare": Spec((threads, 2 * t.n ** 2 * lanes(x.dtype.itemsize)), x.dtype)}


def conv2d_weight_gradient(x: np.ndarray, gy: np.ndarray, *, out: np.ndarray, saved: dict,
                           work: dict, window: Shape, stride: Shape, padding: Pads,
                           dilation: Shape, groups: int) -> None:
    """Write gw: sums over a few ranges of tiles, which are then added in order."""
    t = _tiling(x.shape, gy.shape, window, padding, x.itemsize)
    parts, sums, spare = _parts(t, x.itemsize), work["sums"], work["spare"]
    lane_count = t.width // t.vectors
    lefts = np.minimum(np.arange(-(-t.channels // t.rows) * t.rows, dtype=np.int64),
                       t.channels - 1)
    table = np.array(parts, np.int64)
    run_slots(_sums_kernel(t.rows, t.vectors, lane_count, t.r), tuple(ranges(len(parts), 1)),
              table, x.reshape(-1), gy.reshape(-1), sums.reshape(len(parts), -1), work["v"],
              work["z"], spare, lefts, lefts * (t.panels * t.width), tuple(t))
    grain = max(1, (1 << 13) // (t.filters * len(parts)))
    run_slots(_outputs_kernel(t.r, t.width, lane_count), tuple(ranges(t.channels, grain)),
              sums.reshape(-1), out.reshape(-1), spare, len(parts), t.channels, t.filters,
              t.panels)
