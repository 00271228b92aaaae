"""Weight gradient of the Winograd convolution, for 3x3 and 5x5 windows with stride 1.

A tile of m x m pixels of gy (m = 4 for 3x3, 2 for 5x5) is the window here, and gw the r x r
outputs; the six-point transforms are the same (`winograd.py`). For blocks of some dozen tiles:

    V[p][tile, channel] = B d B'        of 6 x 6 pixels of x, as in the forward pass
    Z[p][panel][tile, filter] = G gy G'
    S[p][channel, filter] += sum over tiles of V[p] Z[p]    36 products, in register tiles

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
from ...backend.simd import lanes, load, store
from ...backend.tiles import add_products, add_tile, store_tile, take, zeros
from ...spec import Pads, Shape, Spec
from .cpu_winograd import accepts, pays
from .tiling import PRODUCTS, Tiling, tiling
from .winograd import (
    POINTS,
    of_window,
    pick,
    put_column,
    row_of_outputs,
    transform_data,
    transform_products,
)

SUM_BYTES = 16 << 20  # of all S together, as far as there are at least two
MOST_PARTS = 8


@inline
def transform_gradient(gy, spare, z, tile, place, numbers, lane_count, m):
    """Write G gy G' of one tile of gy, for all filters.

    Args:
        spare: holds 36 vectors.
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
    zero = zeros(gy, 1)[0]
    for k in range(0, panels * width, lane_count):
        count = filters - k
        for j in range(m):
            inside = w + j < length and count > 0
            at = corner + j * filters + k
            third, fourth = zero, zero
            if m > 2:
                third = pick(gy, at + 2 * line, inside and h + 2 < height, count)
                fourth = pick(gy, at + 3 * line, inside and h + 3 < height, count)
            put_column(spare, j * lane_count, m * lane_count, of_window(
                pick(gy, at, inside, count),
                pick(gy, at + line, inside and h + 1 < height, count),
                third, fourth, zero, m))
        to = (k // width * tiles + place) * width + k % width
        for i in range(POINTS):
            at = i * m * lane_count
            third, fourth = zero, zero
            if m > 2:
                third, fourth = load(spare, at + 2 * lane_count), load(spare, at + 3 * lane_count)
            put_column(z, i * POINTS * step + to, step, of_window(
                load(spare, at), load(spare, at + lane_count), third, fourth, zero, m))


@cache
def _sums_kernel(rows: int, vectors: int, lane_count: int, m: int) -> Any:
    """Return the kernel for register tiles of so many rows and vectors, tiles of m x m of gy."""
    count = rows * vectors
    width = vectors * lane_count

    @kernel
    def sums(start, stop, slot, parts, x, gy, totals, vs, zs, spares, lefts, tops, numbers):
        """Write S (36, channels, panels * width) of parts [start, stop)."""
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
                    transform_data(x, spare, v, first + tile, tile, numbers, lane_count)
                    transform_gradient(gy, spare, z, first + tile, tile, numbers, lane_count, m)
                for p in range(PRODUCTS):
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

    @kernel
    def outputs(start, stop, slot, total, out, spares, parts, channels, filters, panels):
        """Write gw = A S A' for input channels [start, stop)."""
        spare = spares[slot]
        step = channels * panels * width
        half = PRODUCTS * lane_count
        for c in range(start, stop):
            for k in range(0, filters, lane_count):
                at = c * panels * width + k
                for p in range(PRODUCTS):
                    value = load(total, p * step + at)
                    for part in range(1, parts):
                        value = value + load(total, (part * PRODUCTS + p) * step + at)
                    store(spare, p * lane_count, value)
                transform_products(spare, 0, lane_count, spare[half:], r, lane_count)
                there = min(lane_count, filters - k)
                for i in range(r):
                    five = row_of_outputs(spare[half:], i, r, lane_count)
                    store(spare, 0, five[0])
                    store(spare, lane_count, five[1])
                    store(spare, 2 * lane_count, five[2])
                    store(spare, 3 * lane_count, five[3])
                    store(spare, 4 * lane_count, five[4])
                    for j in range(r):
                        to = ((i * r + j) * channels + c) * filters + k
                        for lane in range(there):
                            out[to + lane] = spare[j * lane_count + lane]

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
    return (PRODUCTS, t.channels, t.panels * t.width)


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
    z_size = PRODUCTS * (t.panels * t.tiles * t.width + t.gap)
    return {"v": Spec((threads, t.data_size), x.dtype), "z": Spec((threads, z_size), x.dtype),
            "sums": Spec((len(_parts(t, x.dtype.itemsize)), *_sum_shape(t)), x.dtype),
            "spare": Spec((threads, 2 * PRODUCTS * lanes(x.dtype.itemsize)), x.dtype)}


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
    run_slots(_sums_kernel(t.rows, t.vectors, lane_count, t.m), tuple(ranges(len(parts), 1)),
              table, x.reshape(-1), gy.reshape(-1), sums.reshape(len(parts), -1), work["v"],
              work["z"], spare, lefts, lefts * (t.panels * t.width), tuple(t))
    grain = max(1, (1 << 13) // (t.filters * len(parts)))
    run_slots(_outputs_kernel(t.r, t.width, lane_count), tuple(ranges(t.channels, grain)),
              sums.reshape(-1), out.reshape(-1), spare, len(parts), t.channels, t.filters,
              t.panels)
