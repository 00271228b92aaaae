"""Direct convolution in register tiles (the "direct" variant): any window, stride and groups.

Forward and input gradient. A tile holds ROWS pixels x VECTORS vectors of filters. It walks the
window of its pixels once, tap by tap and channel by channel, and each step reads one number of
every pixel and the next row of a panel of weights (`panels.py`):

    for panel of filters, for ROWS pixels:              the panel stays in the cache
        tile[r, v] += in[pixels[r] + runs[run] + k] * packed[panel][run, k, v]
        out[places[r] + panel] = min(max(tile + bias, floor), ceiling) + more

`correlation.py` says where pixels and runs are, so the same kernel serves every stride, dilation
and phase of an input gradient, and no window is ever copied. Input that reaches over the border is
copied, with its zeros, into a slab of a few rows that stays in the second-level cache.

Weight gradient: in `cpu_direct_weights.py`. Tile shapes: `backend/tiles.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ... import config
from ...backend.arrays import pitch
from ...backend.cpu import Range, inline, kernel, ranges, run_slots
from ...backend.rows import flat
from ...backend.simd import lanes, load, prefetch, store
from ...backend.tiles import (
    add_products,
    add_row,
    add_tile,
    store_tile,
    take,
    tile_for,
    zeros,
)
from ...spec import Pads, Shape, Spec
from . import correlation
from .correlation import Correlation
from .panels import pack, packed_shape

AHEAD = 96         # pixels by which input that is read once, in order, is asked for early
LEAST_RANGES = 16  # so that threads share the blocks evenly
NO_FLOOR = -np.inf
INDEX = np.dtype("int64")


@inline
def _copy(to, at, source, start, count):
    """Copy numbers; unsigned offsets let the compiler see that this is one block of memory."""
    a, b = np.uint64(at), np.uint64(start)
    for i in range(np.uint64(max(count, 0))):
        to[a + i] = source[b + i]


@inline
def _zero(to, at, count):
    a = np.uint64(at)
    for i in range(np.uint64(max(count, 0))):
        to[a + i] = 0


@inline
def fill_slab(slab, x, image, images, row, rows, numbers):
    """Copy the input of output rows [row, row + rows) of some images into the slab."""
    height, width, channels = numbers[1], numbers[2], numbers[3]
    step, first_row, first_column = numbers[8], numbers[9], numbers[10]
    line, block_image = numbers[11], numbers[12]
    lines = block_image // line
    left = min(max(0, -first_column) * channels, line)
    begin = max(0, first_column) * channels
    length = max(0, min(width * channels - begin, line - left))
    for i in range(images):
        for j in range(lines):
            at = i * block_image + j * line
            h = row * step + first_row + j
            if 0 <= h < height:
                _zero(slab, at, left)
                _copy(slab, at + left, x, ((image + i) * height + h) * width * channels + begin,
                      length)
                _zero(slab, at + left + length, line - left - length)
            else:
                _zero(slab, at, line)


@inline
def block_at(block, numbers):
    """Return first image and row of a block, their numbers, and where its input begins in x."""
    row_blocks = -(-numbers[4] // numbers[7])
    image, row = block // row_blocks * numbers[6], block % row_blocks * numbers[7]
    begin = (image * numbers[12] + (row * numbers[8] + numbers[9]) * numbers[11]
             + numbers[10] * numbers[3])
    return image, row, min(numbers[6], numbers[0] - image), min(numbers[7], numbers[4] - row), begin


@inline
def _runs_inside(heights, top, bottom, height):
    """Return the runs [first, last) that meet rows of the input, for windows at top to bottom."""
    first, last = 0, len(heights)
    while first < last and bottom + heights[first] < 0:
        first += 1
    while last > first and top + heights[last - 1] >= height:
        last -= 1
    return first, last


@inline
def _cut(table, total, short):
    """Write a table that repeats the last of its first `total` entries from there on."""
    for i in range(len(table)):
        short[i] = table[min(i, total - 1)]


@inline
def _store_part(spare, width, columns, out, more, places, pixel, pixels, base, lane_count, adds):
    """Write some columns of some rows of a tile that lies in `spare`."""
    whole = columns // lane_count * lane_count
    for i in range(pixels):
        place = base + places[pixel + i]
        for v in range(0, whole, lane_count):
            value = load(spare, i * width + v)
            store(out, place + v, value + load(more, place + v) if adds else value)
        for v in range(whole, columns):  # few: faster than a masked store
            at = np.uint64(place + v)
            value = spare[np.uint64(i * width + v)]
            out[at] = value + more[at] if adds else value


@cache
def _correlate_kernel(rows: int, vectors: int, width: int, adds: bool) -> Any:
    """Return the kernel for tiles of so many rows and vectors, `width` columns in all.

    Args:
        adds: whether it adds `more`; asked here, because a question per tile takes longer.
    """
    count, lane_count = rows * vectors, width // vectors

    @kernel
    def correlate(start, stop, slot, x, slabs, packed, bias, more, out, spares, shorts, pixels,
                  places, runs, heights, run, numbers, flat, finish, ahead, floor, ceiling):
        """Compute blocks [start, stop); a row of `spares` holds a tile, one of `shorts` a table.

        `heights` has the row offset of each run. `finish` asks for bias, floor and
        ceiling; `ahead` is how far input is fetched early, 0 for not.
        """
        slab, spare, short = slabs[slot], spares[slot], shorts[slot]
        columns, padded, groups, filters = numbers[5], numbers[13], numbers[14], numbers[16]
        panels = -(-filters // width)
        size = len(runs) * run * width
        for block in range(start, stop):
            image, row, images, here, base = block_at(block, numbers)
            image_pixels = here * columns
            total = images * image_pixels
            out_base = image * numbers[17] + row * numbers[18] + numbers[19]
            source = x
            if padded:
                fill_slab(slab, x, image, images, row, here, numbers)
                source, base = slab, 0
            begins = pixels
            if total % rows:  # a tile would read windows of pixels that do not exist
                _cut(pixels, total, short)
                begins = short
            for part in range(groups * panels):
                group, panel = part // panels, part % panels
                first = out_base + group * filters + panel * width
                there = min(width, filters - panel * width)
                for pixel in range(0, total, rows):
                    windows = take(begins, pixel, rows)
                    if ahead > 0 and part == 0:
                        for near in range(0, rows * run, lane_count):
                            prefetch(source, base + windows[0] + ahead + near)
                    first_run, last_run = 0, len(runs)
                    last = pixel % image_pixels + rows - 1
                    if padded and last < image_pixels:  # a tile of one image
                        first_run, last_run = _runs_inside(
                            heights, (row + (last - rows + 1) // columns) * numbers[8],
                            (row + last // columns) * numbers[8], numbers[1])
                    tile = zeros(x, count)
                    at = part * size + first_run * run * width
                    for r in range(first_run, last_run):
                        shift = base + group * numbers[15] + runs[r]
                        for k in range(run):
                            tile = add_products(tile, source, windows, shift + k, packed, at,
                                                vectors)
                            at += width
                    if finish:
                        tile = add_row(tile, bias, part * width, floor, ceiling, vectors)
                    if there < width or pixel + rows > total:
                        store_tile(tile, spare, take(flat, 0, rows), 0, vectors)
                        _store_part(spare, width, there, out, more, places, pixel,
                                    min(rows, total - pixel), first, lane_count, adds)
                        continue
                    spots = take(places, pixel, rows)
                    if adds:
                        tile = add_tile(tile, more, spots, first, vectors)
                    store_tile(tile, out, spots, first, vectors)

    return correlate


# ---- running a correlation -----------------------------------------------------------------


def correlation_workspace(parts: tuple[Correlation, ...], dtype: np.dtype) -> Mapping[str, Spec]:
    """Return the specs of the work arrays of correlations that run one after the other."""
    if not parts:
        return {}
    rows, vectors = _tile(parts[0], dtype)
    width, threads = vectors * lanes(dtype.itemsize), config.num_threads()
    packed = [packed_shape(c, width) for c in parts]
    return {"packed": Spec((max(map(math.prod, packed)),), dtype),
            "bias": Spec((packed[0][0] * packed[0][1] * width,), dtype),
            "slab": Spec((threads, max(c.slab for c in parts)), dtype),
            "spare": Spec((threads, rows * width), dtype),
            "short": Spec((threads, max(len(c.tables(rows).pixels) for c in parts)), INDEX)}


def _tile(c: Correlation, dtype: np.dtype) -> tuple[int, int]:
    return tile_for(c.filters // c.groups, dtype.itemsize)


def run_correlation(c: Correlation, x: np.ndarray, w: np.ndarray, b: np.ndarray | None,
                    out: np.ndarray, work: Mapping[str, np.ndarray], turned: bool,
                    relu: bool = False, ceiling: float = np.inf, more: np.ndarray | None = None
                    ) -> None:
    """Write a correlation of x into out.

    Args:
        w: weights of the convolution.
        turned: whether this is part of an input gradient.
        relu: whether to write max(y, 0), and at most `ceiling`.
        more: what is added to it, an array like `out`.
    """
    rows, vectors = _tile(c, x.dtype)
    width = vectors * lanes(x.itemsize)
    shape = packed_shape(c, width)
    packed = work["packed"][:math.prod(shape)]
    pack(w, packed.reshape(shape), c, width, turned)
    if b is not None or relu:
        _pack_bias(work["bias"], b, shape, c.filters // c.groups)
    floor = x.dtype.type(0 if relu else NO_FLOOR)
    finish, ahead = relu or b is not None, AHEAD * c.channels if c.taps == 1 else 0
    result = flat(out)
    run_slots(_correlate_kernel(rows, vectors, width, more is not None), _parts(c),
              x.reshape(-1), work["slab"], packed, work["bias"],
              result if more is None else more.reshape(-1), result, work["spare"], work["short"],
              *c.tables(rows), _flat(rows, width), finish, ahead, floor,
              x.dtype.type(ceiling))


@lru_cache(1 << 10)
def _parts(c: Correlation) -> tuple[Range, ...]:
    return tuple(ranges(c.blocks, max(1, c.blocks // LEAST_RANGES)))


def _pack_bias(packed: np.ndarray, b: np.ndarray | None, shape: Shape, filters: int) -> None:
    packed.fill(0)
    if b is not None:
        table = packed.reshape(shape[0], -1)
        table[:, :filters] = b.reshape(shape[0], filters)


@cache
def _flat(rows: int, width: int) -> np.ndarray:
    return np.arange(rows, dtype=np.int64) * width


# ---- the ops -------------------------------------------------------------------------------


def conv2d_accepts(x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> bool:
    """Return whether the variant can serve a call: any but one without elements."""
    return bool(x.size and w.size)


def conv2d_workspace(x: Spec, w: Spec, b: Spec | None, stride: Shape, padding: Pads,
                     dilation: Shape, groups: int) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: packed weights and bias, a slab for every thread."""
    from .op import infer
    y = infer(x, w, b, stride, padding, dilation, groups).out[0]
    c = correlation.forward(x.shape, w.shape[:2], y.shape, stride, padding, dilation, groups)
    return correlation_workspace((c,), x.dtype)


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, out: np.ndarray, saved: dict,
           work: dict, stride: Shape, padding: Pads, dilation: Shape, groups: int,
           relu: bool = False, ceiling: float = np.inf, more: np.ndarray | None = None) -> None:
    """Write the convolution of x with w, plus b; limited to [0, ceiling] if `relu`; plus more."""
    c = correlation.forward(x.shape, w.shape[:2], out.shape, stride, padding, dilation, groups,
                            pitch=pitch(out) or 0)
    run_correlation(c, x, w, b, out, work, turned=False, relu=relu, ceiling=ceiling, more=more)


def conv2d_input_gradient_accepts(gy: Spec, w: Spec, **attrs: Any) -> bool:
    """Return whether the variant can serve a call: any but one without elements."""
    return bool(gy.size and w.size)


def conv2d_input_gradient_workspace(gy: Spec, w: Spec, size: Shape, stride: Shape, padding: Pads,
                                    dilation: Shape, groups: int) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: packed weights, a slab for every thread."""
    gx = (gy.shape[0], *size, w.shape[2] * groups)
    parts = correlation.backward(gy.shape, w.shape[:2], gx, stride, padding, dilation, groups)
    return correlation_workspace(parts, gy.dtype)


def conv2d_input_gradient(gy: np.ndarray, w: np.ndarray, *, out: np.ndarray, saved: dict,
                          work: dict, size: Shape, stride: Shape, padding: Pads, dilation: Shape,
                          groups: int, more: np.ndarray | None = None) -> None:
    """Write gx, the correlation of gy with the turned kernel, phase by phase; plus more."""
    parts = correlation.backward(gy.shape, w.shape[:2], out.shape, stride, padding, dilation,
                                 groups)
    if sum(c.outputs for c in parts) < out.size:  # there are inputs that no window reaches
        out[...] = 0 if more is None else more
    for c in parts:
        run_correlation(c, gy, w, None, out, work, turned=True, more=more)
