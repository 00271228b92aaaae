"""Weight gradient of the direct convolution, in register tiles.

gw is a product with the pixels as its inner axis. A tile holds ROWS neighbouring numbers of a
window x VECTORS vectors of filters, and walks the pixels of a block:

    for panel of filters: copy gy[pixels, panel] together
        for ROWS numbers of a window:
            tile[r, v] += in[pixel + runs[run] + r] * gy[pixel, panel, v]

Blocks, slabs and tables are those of the forward pass (`cpu_direct.py`); a tile's sums are added
to a partial gw after each block. Each of a few ranges of blocks has a partial gw of its own, and
these are added up in order at the end, so the result does not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ... import config
from ...backend.cpu import Range, kernel, ranges, run_ranges, run_slots
from ...backend.simd import lanes, load_up_to, store
from ...backend.tiles import add_products, add_tile, store_tile, take, tile_for, zeros
from ...spec import Pads, Shape, Spec
from . import correlation
from .correlation import WEIGHT_PIXELS, Correlation
from .cpu_direct import block_at, fill_slab

PARTIAL_BYTES = 1 << 22  # of all partial gradients together, as far as there are at least MOST / 4
MOST_PARTS = 16


@cache
def _weights_kernel(rows: int, vectors: int, width: int) -> Any:
    """Return the kernel for tiles of so many rows and vectors, `width` columns in all."""
    count, lane_count = rows * vectors, width // vectors

    @kernel
    def weights(start, stop, slot, parts, x, slabs, gy, panels_gy, partials, pixels, runs, run,
                lefts, tops, numbers):
        """Write partials (parts, groups taps depth, padded filters) of parts [start, stop)."""
        slab, panel_gy = slabs[slot], panels_gy[slot]
        columns, padded, groups, filters = numbers[5], numbers[13], numbers[14], numbers[16]
        panels = -(-filters // width)
        for number in range(start, stop):
            partial = partials[number]
            partial[:] = 0
            for block in range(parts[number, 0], parts[number, 1]):
                image, row, images, here, base = block_at(block, numbers)
                total = images * here * columns
                first_pixel = (image * numbers[4] + row) * columns
                source = x
                if padded:
                    fill_slab(slab, x, image, images, row, here, numbers)
                    source, base = slab, 0
                for unit in range(groups * panels):
                    group, panel = unit // panels, unit % panels
                    there = min(width, filters - panel * width)
                    for pixel in range(total):
                        at = ((first_pixel + pixel) * groups + group) * filters + panel * width
                        for v in range(0, width, lane_count):
                            store(panel_gy, pixel * width + v, load_up_to(gy, at + v, there - v))
                    for r in range(len(runs)):
                        shift = base + group * numbers[15] + runs[r]
                        top = ((group * len(runs) + r) * run * panels + panel) * width
                        for k in range(0, run, rows):
                            tile = zeros(x, count)
                            left = take(lefts, k, rows)
                            for pixel in range(total):
                                tile = add_products(tile, source, left, shift + pixels[pixel],
                                                    panel_gy, pixel * width, vectors)
                            to_rows = take(tops, k, rows)
                            tile = add_tile(tile, partial, to_rows, top, vectors)
                            store_tile(tile, partial, to_rows, top, vectors)

    return weights


@kernel
def _add_up(start, stop, partial, out, parts, groups, filters, padded):
    """Write rows [start, stop) of gw (taps depth, groups filters), the sum of the partial ones."""
    rows = len(out) // (groups * filters)
    for row in range(start, stop):
        for group in range(groups):
            to = out[(row * groups + group) * filters:(row * groups + group + 1) * filters]
            to[:] = 0
            for part in range(parts):
                at = ((part * groups + group) * rows + row) * padded
                more = partial[at:at + filters]
                for k in range(filters):
                    to[k] += more[k]


def _parts(c: Correlation, size: int) -> list[tuple[int, int]]:
    """Return the ranges of blocks that have a partial gradient of `size` bytes each."""
    wanted = min(max(PARTIAL_BYTES // max(size, 1), MOST_PARTS // 4), MOST_PARTS)
    return ranges(c.blocks, -(-c.blocks // wanted))


def _shapes(c: Correlation, dtype: np.dtype) -> tuple[int, int, Shape]:
    """Return rows and vectors of the tile, and the shape of a partial gradient."""
    rows, vectors = tile_for(c.filters // c.groups, dtype.itemsize)
    width = vectors * lanes(dtype.itemsize)
    padded = -(-(c.filters // c.groups) // width) * width
    return rows, vectors, (c.groups, c.taps * c.depth, padded)


def conv2d_weight_gradient_accepts(x: Spec, gy: Spec, **attrs: Any) -> bool:
    """Return whether the variant can serve a call: any but one without elements."""
    return bool(x.size and gy.size)


def conv2d_weight_gradient_workspace(x: Spec, gy: Spec, window: Shape, stride: Shape,
                                     padding: Pads, dilation: Shape, groups: int
                                     ) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: a slab and a panel of gy per thread, partial gw."""
    c = correlation.forward(x.shape, window, gy.shape, stride, padding, dilation, groups,
                            WEIGHT_PIXELS)
    rows, vectors, shape = _shapes(c, x.dtype)
    width, threads = vectors * lanes(x.dtype.itemsize), config.num_threads()
    parts = _parts(c, int(np.prod(shape)) * x.dtype.itemsize)
    return {"slab": Spec((threads, c.slab), x.dtype),
            "panel": Spec((threads, len(c.tables(rows).pixels) * width), x.dtype),
            "partial": Spec((len(parts), *shape), x.dtype)}


def conv2d_weight_gradient(x: np.ndarray, gy: np.ndarray, *, out: np.ndarray, saved: dict,
                           work: dict, window: Shape, stride: Shape, padding: Pads,
                           dilation: Shape, groups: int) -> None:
    """Write gw: sums over a few ranges of blocks, which are then added in order."""
    c = correlation.forward(x.shape, window, gy.shape, stride, padding, dilation, groups,
                            WEIGHT_PIXELS)
    rows, vectors, shape = _shapes(c, x.dtype)
    partial, tables = work["partial"], c.tables(rows)
    parts, lefts, tops = _tables(c, rows, shape[2], partial[0].nbytes)
    count = len(parts)
    run_slots(_weights_kernel(rows, vectors, vectors * lanes(x.itemsize)), _each(count), parts,
              x.reshape(-1), work["slab"], gy.reshape(-1), work["panel"],
              partial.reshape(count, -1), tables.pixels, tables.runs, tables.run, lefts, tops,
              tables.numbers)
    run_ranges(_add_up, shape[1], max(1, (1 << 15) // (count * shape[2] * groups)),
               partial.reshape(-1), out.reshape(-1), count, groups, c.filters // groups, shape[2])


@lru_cache(1 << 10)
def _tables(c: Correlation, rows: int, padded: int, size: int
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the parts, and where the rows of tiles begin in a run and in a partial gradient."""
    lefts = np.minimum(np.arange(-(-c.run // rows) * rows, dtype=np.int64), c.run - 1)
    return np.array(_parts(c, size), np.int64), lefts, lefts * padded


@cache
def _each(count: int) -> tuple[Range, ...]:
    return tuple(ranges(count, 1))
