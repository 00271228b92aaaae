"""Winograd convolution (the "winograd" variant): 3x3 and 5x5 windows with stride 1.

Forward and input gradient. The output is cut into tiles of m x m pixels, m = 4, each of which needs
n x n pixels of the input, n = m + r - 1, for windows of r x r. For blocks of some dozen tiles, so
that all stays in the second-level cache:

    V[p][tile, channel] = B d B'                       n n numbers p per tile and channel
    for panel of filters:
        M[p][tile, filter] = V[p] U[p][panel]          n n products, in register tiles
        out = min(max(A M A' + bias, floor), ceiling) + more

U = G w G' is made once per call. Nothing is padded in memory: inputs outside are read as zeros.
Of the multiplications of the direct form this takes n n / (m m r r): 25 % for 3x3, 16 % for 5x5.

The matrices are in `winograd.py`, the transforms in `cpu_winograd_transforms.py`, the weight
gradient in `cpu_winograd_weights.py`, the tiles' shapes in `backend/tiles.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from ... import config
from ...backend.arrays import pitch
from ...backend.cpu import Range, inline, kernel, ranges, run_slots
from ...backend.rows import flat
from ...backend.simd import (
    lanes,
    load,
    load_every,
    load_up_to,
    maximum,
    minimum,
    spread,
    store_every,
    store_up_to,
)
from ...backend.tiles import add_products, store_tile, take, zeros
from ...spec import Pads, Shape, Spec
from .cpu_winograd_transforms import of_window, transform_data, transform_products
from .tiling import DEEPEST, SIDE, Tiling, points, tiling

LEAST_RANGES = 16
LEAST_CHANNELS = 8  # a vector's, in the least
LEAST_FLOPS = 10**8   # less takes no longer than it takes to start a few more kernels


# ---- weights -------------------------------------------------------------------------------


@cache
def _weights_kernel(r: int, width: int, lane_count: int) -> Any:
    """Return the kernel that transforms windows of r x r."""
    m, n = SIDE, points(r)

    @kernel
    def weights(start, stop, slot, w, out, spares, channels, depth, filters, panels, taps,
                channel, column):
        """Write U = G w G' for panels [start, stop).

        `taps` has the offset of each of the r r weights, `channel` and `column` the steps from one
        input channel and filter to the next.
        """
        spare, half = spares[slot], r * r * width
        step = panels * depth * width
        for number in range(start * channels, stop * channels):
            panel, c = number // channels, number % channels
            row = panel * depth + c
            there = min(width, filters - panel * width)
            for tap in range(r * r):
                source = taps[tap] + c * channel + panel * width * column
                for v in range(width):
                    spare[tap * width + v] = w[source + v * column] if v < there else 0
            for v in range(0, width, lane_count):
                for j in range(r):
                    down = load_every(spare, j * width + v, r * width, r)
                    store_every(spare, half + j * lane_count, r * lane_count,
                                of_window(down, m, r))
                for i in range(n):
                    across = load_every(spare, half + i * r * lane_count, lane_count, r)
                    store_every(out, i * n * step + row * width + v, step,
                                of_window(across, m, r))

    return weights


# ---- output --------------------------------------------------------------------------------


@inline
def put_pixel(y, at, value, bias, floor, ceiling, count, more, adds):
    """Write value + bias limited to [floor, ceiling], plus more if asked to, in `count` lanes."""
    value = minimum(maximum(value + bias, floor), ceiling)
    store_up_to(y, at, value + load_up_to(more, at, count) if adds else value, count)


@cache
def _forward_kernel(rows: int, vectors: int, lane_count: int, r: int, adds: bool) -> Any:
    """Return the kernel for register tiles of so many rows and vectors, windows of r x r.

    Args:
        adds: whether it adds `more`.
    """
    count, width = rows * vectors, vectors * lane_count
    m, n = SIDE, points(r)

    @kernel
    def forward(start, stop, slot, x, u, bias, more, y, vs, all_products, spares, lefts, tops,
                numbers, pitch, floor, ceiling):
        """Compute blocks [start, stop); `pitch` is from one pixel of y to the next."""
        v, products, spare = vs[slot], all_products[slot], spares[slot]
        out_height, out_length, filters = numbers[4], numbers[5], numbers[6]
        depth, tiles, gap = numbers[13], numbers[14], numbers[15]
        down, across = -(-out_height // m), -(-out_length // m)
        total, panels = numbers[0] * down * across, -(-filters // width)
        step, product_step = tiles * depth + gap, tiles * width + gap
        floors, ceilings = spread(x, floor), spread(x, ceiling)
        for block in range(start, stop):
            first = block * tiles
            here = min(tiles, total - first)
            for tile in range(here):
                transform_data(x, spare, v, first + tile, tile, numbers, lane_count, m, r, n)
            for panel in range(panels):
                for p in range(n * n):
                    for top in range(0, here, rows):
                        left = take(lefts, top, rows)
                        at = (p * panels + panel) * depth * width
                        sums = zeros(x, count)
                        for k in range(depth):
                            sums = add_products(sums, v, left, p * step + k, u, at, vectors)
                            at += width
                        store_tile(sums, products, take(tops, top, rows), p * product_step,
                                   vectors)
                for tile in range(here):
                    number = first + tile
                    row, column = number // across % down * m, number % across * m
                    corner = ((number // (down * across) * out_height + row) * out_length
                              + column) * pitch
                    for lane in range(0, width, lane_count):
                        k = panel * width + lane
                        b = load(bias, k)
                        transform_products(products, tile * width + lane, product_step, spare,
                                           lane_count, m, r, n)
                        for i in range(min(m, out_height - row)):
                            at = corner + i * out_length * pitch + k
                            for j in range(min(m, out_length - column)):
                                put_pixel(y, at + j * pitch,
                                          load(spare, (i * n + j) * lane_count), b, floors,
                                          ceilings, filters - k, more, adds)

    return forward


# ---- the ops -------------------------------------------------------------------------------


def accepts(a: Spec, b: Spec, window: Shape, stride: Shape, dilation: Shape, groups: int) -> bool:
    """Return whether the variant can serve a convolution; a and b must have elements."""
    plain = (stride, dilation, groups) == ((1, 1), (1, 1), 1) and window[0] == window[1]
    return bool(a.size and b.size) and plain and a.shape[3] <= DEEPEST.get(window[0], 0)


def pays(pixels: int, channels: int, filters: int, r: int) -> bool:
    """Return whether the products are worth the transforms, which vectors of channels share."""
    flops = 2 * pixels * channels * filters * r * r
    return min(channels, filters) >= LEAST_CHANNELS and flops >= LEAST_FLOPS


def _workspace(t: Tiling, dtype: np.dtype) -> Mapping[str, Spec]:
    threads = config.num_threads()
    return {"u": Spec((t.n ** 2, t.panels, t.depth, t.width), dtype),
            "bias": Spec((t.panels * t.width,), dtype),
            "v": Spec((threads, t.data_size), dtype),
            "products": Spec((threads, t.product_size), dtype),
            "spare": Spec((threads, t.n ** 2 * lanes(dtype.itemsize) + t.r ** 2 * t.width), dtype)}


def _run(t: Tiling, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, out: np.ndarray,
         work: Mapping[str, np.ndarray], turned: bool, relu: bool = False,
         ceiling: float = np.inf, more: np.ndarray | None = None) -> None:
    """Write a convolution of x; of gy with the turned kernel for an input gradient."""
    _transform_weights(t, w, work, turned)
    work["bias"].fill(0)
    if b is not None:
        work["bias"][:t.filters] = b
    result = flat(out)
    run_slots(_forward_kernel(t.rows, t.vectors, t.width // t.vectors, t.r, more is not None),
              _parts(t), x.reshape(-1), work["u"].reshape(-1), work["bias"],
              result if more is None else more.reshape(-1), result, work["v"], work["products"],
              work["spare"], _steps(t.tiles, t.depth), _steps(t.tiles, t.width), tuple(t),
              pitch(out), x.dtype.type(0 if relu else -np.inf), x.dtype.type(ceiling))


@cache
def _parts(t: Tiling) -> tuple[Range, ...]:
    return tuple(ranges(t.blocks, max(1, t.blocks // LEAST_RANGES)))


@cache
def _steps(count: int, step: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * step


def _transform_weights(t: Tiling, w: np.ndarray, work: Mapping[str, np.ndarray], turned: bool
                       ) -> None:
    r, channels, filters = t.r, t.channels, t.filters
    taps = np.arange(r * r, dtype=np.int64)[::-1 if turned else 1] * (channels * filters)
    steps = (1, w.shape[3]) if turned else (w.shape[3], 1)
    if t.depth > t.channels:
        work["u"].fill(0)
    run_slots(_weights_kernel(r, t.width, t.width // t.vectors), tuple(ranges(t.panels, 1)),
              w.reshape(-1), work["u"].reshape(-1), work["spare"], channels, t.depth, filters,
              t.panels, np.ascontiguousarray(taps), *steps)


def conv2d_accepts(x: Spec, w: Spec, b: Spec | None, stride: Shape, padding: Pads,
                   dilation: Shape, groups: int) -> bool:
    """Return whether the variant can serve a call."""
    return accepts(x, w, w.shape[:2], stride, dilation, groups)


def _forward_tiling(x: Shape, w: Shape, padding: Pads, itemsize: int) -> Tiling:
    r = w[0]
    y = (x[0], *(x[1 + a] + sum(padding[a]) - r + 1 for a in range(2)), w[3])
    return tiling(x, y, r, padding[0][0], padding[1][0], itemsize)


def conv2d_pays(x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> bool:
    """Return whether the variant is the fastest for a call that it accepts."""
    return pays(x.size // x.shape[3], w.shape[2], w.shape[3], w.shape[0])


def conv2d_workspace(x: Spec, w: Spec, b: Spec | None, stride: Shape, padding: Pads,
                     dilation: Shape, groups: int) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: U, and V and M of a block for every thread."""
    return _workspace(_forward_tiling(x.shape, w.shape, padding, x.dtype.itemsize), x.dtype)


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, out: np.ndarray, saved: dict,
           work: dict, stride: Shape, padding: Pads, dilation: Shape, groups: int,
           relu: bool = False, ceiling: float = np.inf, more: np.ndarray | None = None) -> None:
    """Write the convolution of x with w, plus b; limited to [0, ceiling] if `relu`; plus more."""
    t = _forward_tiling(x.shape, w.shape, padding, x.itemsize)
    _run(t, x, w, b, out, work, turned=False, relu=relu, ceiling=ceiling, more=more)


def conv2d_input_gradient_accepts(gy: Spec, w: Spec, size: Shape, stride: Shape, padding: Pads,
                                  dilation: Shape, groups: int) -> bool:
    """Return whether the variant can serve a call."""
    return accepts(gy, w, w.shape[:2], stride, dilation, groups)


def _backward_tiling(gy: Shape, w: Shape, size: Shape, padding: Pads, itemsize: int) -> Tiling:
    r = w[0]
    return tiling(gy, (gy[0], *size, w[2]), r, r - 1 - padding[0][0], r - 1 - padding[1][0],
                  itemsize)


def conv2d_input_gradient_pays(gy: Spec, w: Spec, size: Shape, **attrs: Any) -> bool:
    """Return whether the variant is the fastest for a call that it accepts."""
    return pays(gy.size // gy.shape[3], w.shape[2], w.shape[3], w.shape[0])


def conv2d_input_gradient_workspace(gy: Spec, w: Spec, size: Shape, stride: Shape, padding: Pads,
                                    dilation: Shape, groups: int) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: U, and V and M of a block for every thread."""
    return _workspace(_backward_tiling(gy.shape, w.shape, size, padding, gy.dtype.itemsize),
                      gy.dtype)


def conv2d_input_gradient(gy: np.ndarray, w: np.ndarray, *, out: np.ndarray, saved: dict,
                          work: dict, size: Shape, stride: Shape, padding: Pads, dilation: Shape,
                          groups: int, more: np.ndarray | None = None) -> None:
    """Write gx, the convolution of gy with the kernel turned by half a circle; plus more."""
    t = _backward_tiling(gy.shape, w.shape, size, padding, gy.itemsize)
    _run(t, gy, w, None, out, work, turned=True, more=more)
