"""Convolution as a matrix product (the "im2col" variant), the form that the lectures teach.

The windows of a block of output rows are laid out as the rows of a matrix, cols
(positions, KH KW C), so that y = cols w, gw = transpose(cols) gy, and gx adds up gy transpose(w) at
the places the windows came from. A block is small enough to stay in the second-level cache; blocks
and their order depend on the shapes alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ... import config
from ...backend.cpu import inline, kernel, ranges, run_slots, serial_blas
from ...spec import Pads, Shape, Spec
from .geometry import Geometry, geometry

COLS_BYTES = 1 << 19     # of cols in a block: fits the L2 cache with w and y
LEAST_BLOCKS = 8         # so that several threads have something to do
WEIGHT_PARTS = 4         # partial sums of gw; fixes the order of the additions


def _is_cols(g: Geometry) -> bool:
    """Say whether x itself is cols: a 1x1 window, stride 1, no padding, one group."""
    return g.plain and g.groups == 1


def _block(g: Geometry) -> int:
    """Return how many output rows (of Q positions) a block has."""
    fitting = COLS_BYTES // max(4 * g.q * g.depth, 1)
    return max(1, min(fitting, g.images * g.p // LEAST_BLOCKS))


# ---- windows to rows and back --------------------------------------------------------------


@inline
def _first(start, step):
    """Return the first window position that lies inside: start + i * step >= 0."""
    return 0 if start >= 0 else (-start + step - 1) // step


@inline
def _last(start, size, step, count):
    """Return one past the last window position inside: start + i * step < size."""
    inside = (size - start + step - 1) // step if size > start else 0
    return min(count, inside)


# Runs of memory are walked with unsigned indices: numba checks signed ones for being negative,
# which keeps the loops from becoming vector code (measured: 10 times slower).


@inline
def _copy(out, at, x, start, count):
    to, source = np.uint64(at), np.uint64(start)
    for k in range(np.uint64(count)):
        out[to + k] = x[source + k]


@inline
def _add(out, at, x, start, count):
    to, source = np.uint64(at), np.uint64(start)
    for k in range(np.uint64(count)):
        out[to + k] += x[source + k]


@inline
def _zero(out, at, count):
    to = np.uint64(at)
    for k in range(np.uint64(count)):
        out[to + k] = 0


@kernel
def _windows_to_rows(start, stop, x, cols, height, width, channels, p, q, kh, kw, sh, sw, top, left,
                     dh, dw, first, depth):
    """Write the windows of output rows [start, stop) of (N P) into cols (rows Q, KH KW depth).

    x (N height width channels) and cols are flat; `first` and `depth` choose the channels.
    """
    whole = dw == 1 and depth == channels  # then a window's row is one run of memory
    for row in range(start, stop):
        n, base = row // p, (row % p) * sh - top
        for i in range(kh):
            h = base + i * dh
            line = (n * height + h) * width
            for column in range(q):
                at = (((row - start) * q + column) * kh + i) * kw * depth
                edge = column * sw - left
                if h < 0 or h >= height:
                    _zero(cols, at, kw * depth)
                    continue
                if whole and 0 <= edge <= width - kw:
                    _copy(cols, at, x, (line + edge) * depth, kw * depth)
                    continue
                j0, j1 = _first(edge, dw), _last(edge, width, dw, kw)
                if j0 > 0 or j1 < kw:
                    _zero(cols, at, kw * depth)
                for j in range(j0, j1):
                    _copy(cols, at + j * depth, x, (line + edge + j * dw) * channels + first, depth)


@kernel
def _rows_to_windows(start, stop, gx, cols, height, width, channels, p, q, kh, kw, sh, sw, top,
                     left, dh, dw, first, depth):
    """Add cols of output rows [start, stop) of (N P) to the places of gx they came from."""
    whole = dw == 1 and depth == channels
    for row in range(start, stop):
        n, base = row // p, (row % p) * sh - top
        for i in range(kh):
            h = base + i * dh
            if h < 0 or h >= height:
                continue
            line = (n * height + h) * width
            for column in range(q):
                at = (((row - start) * q + column) * kh + i) * kw * depth
                edge = column * sw - left
                if whole and 0 <= edge <= width - kw:
                    _add(gx, (line + edge) * depth, cols, at, kw * depth)
                    continue
                j0, j1 = _first(edge, dw), _last(edge, width, dw, kw)
                for j in range(j0, j1):
                    _add(gx, (line + edge + j * dw) * channels + first, cols, at + j * depth, depth)


@kernel
def _add_bias(start, stop, y, b):
    for i in range(start, stop):
        for k in range(y.shape[1]):
            y[i, k] += b[k]


def _numbers(g: Geometry, group: int) -> tuple[int, ...]:
    """Return the arguments that both kernels above end with."""
    depth = g.channels // g.groups
    return (g.height, g.width, g.channels, g.p, g.q, g.kh, g.kw, *g.stride, g.top,
            g.left, *g.dilation, group * depth, depth)


def _fill(g: Geometry, start: int, stop: int, x: np.ndarray, cols: np.ndarray,
          group: int) -> np.ndarray:
    """Return cols of output rows [start, stop) for one group: x itself, or a filled buffer."""
    if _is_cols(g):
        return x.reshape(-1, g.channels)[start * g.q:stop * g.q]
    _windows_to_rows(start, stop, x.reshape(-1), cols.reshape(-1), *_numbers(g, group))
    return cols[:(stop - start) * g.q]


def _cols_spec(g: Geometry, slots: int, rows: int, dtype: np.dtype) -> Spec:
    return Spec((slots, 0 if _is_cols(g) else rows * g.q, g.depth), dtype)


# ---- forward -------------------------------------------------------------------------------


def conv2d_workspace(x: Spec, w: Spec, b: Spec | None, stride: Shape, padding: Pads,
                     dilation: Shape, groups: int) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: cols of a block for every thread."""
    from .op import infer
    y = infer(x, w, b, stride, padding, dilation, groups).out[0]
    g = geometry(x.shape, w.shape, y.shape, stride, padding, dilation, groups)
    return {"cols": _cols_spec(g, config.num_threads(), _longest(_blocks(g)), x.dtype)}


def _blocks(g: Geometry) -> list[tuple[int, int]]:
    return ranges(g.images * g.p, _block(g))


def _longest(parts: list[tuple[int, int]]) -> int:
    return max((b - a for a, b in parts), default=0)


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, out: np.ndarray, saved: dict,
           work: dict, stride: Shape, padding: Pads, dilation: Shape, groups: int) -> None:
    """Write the convolution of x with w, plus b."""
    g = geometry(x.shape, w.shape, out.shape, stride, padding, dilation, groups)
    y, k = out.reshape(-1, g.filters), g.filters // groups
    matrix = w.reshape(g.kh * g.kw * w.shape[2], g.filters)

    def part(start: int, stop: int, slot: int) -> None:
        block = y[start * g.q:stop * g.q]
        for group in range(groups):
            columns = slice(group * k, group * k + k)
            cols = _fill(g, start, stop, x, work["cols"][slot], group)
            np.matmul(cols, matrix[:, columns], out=block[:, columns])
        if b is not None:
            _add_bias(0, len(block), block, b)

    with serial_blas():
        run_slots(part, _blocks(g))


# ---- input gradient ------------------------------------------------------------------------


def conv2d_input_gradient_workspace(gy: Spec, w: Spec, size: Shape, stride: Shape, padding: Pads,
                                    dilation: Shape, groups: int) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: cols of a block for every thread."""
    g = geometry((gy.shape[0], *size, w.shape[2] * groups), w.shape, gy.shape, stride, padding,
                  dilation, groups)
    return {"cols": _cols_spec(g, config.num_threads(), _block(g), gy.dtype)}


def conv2d_input_gradient(gy: np.ndarray, w: np.ndarray, *, out: np.ndarray, saved: dict,
                          work: dict, size: Shape, stride: Shape, padding: Pads, dilation: Shape,
                          groups: int) -> None:
    """Write gx; threads take whole images, since windows of one image overlap."""
    g = geometry(out.shape, w.shape, gy.shape, stride, padding, dilation, groups)
    flat, k, c = gy.reshape(-1, g.filters), g.filters // groups, w.shape[2]
    matrix = w.reshape(g.kh * g.kw * c, g.filters).T

    def block(start: int, stop: int, slot: int) -> None:
        for group in range(groups):
            columns = slice(group * k, group * k + k)
            rows = flat[start * g.q:stop * g.q, columns]
            if _is_cols(g):
                np.matmul(rows, matrix, out=out.reshape(-1, c)[start * g.q:stop * g.q])
                continue
            cols = work["cols"][slot][:(stop - start) * g.q]
            np.matmul(rows, matrix[columns], out=cols)
            _rows_to_windows(start, stop, out.reshape(-1), cols.reshape(-1), *_numbers(g, group))

    def part(first: int, last: int, slot: int) -> None:
        if not _is_cols(g):
            out[first:last] = 0
        for row in range(first * g.p, last * g.p, _block(g)):
            block(row, min(row + _block(g), last * g.p), slot)

    with serial_blas():
        run_slots(part, ranges(g.images, max(1, g.images // 16)))


# ---- weight gradient -----------------------------------------------------------------------


def _weight_blocks(g: Geometry) -> list[list[tuple[int, int]]]:
    """Return the parts of the rows (N P), each a list of blocks that are summed in turn."""
    rows = g.images * g.p
    step = max(_block(g), -(-g.depth // max(g.q, 1)))  # a product must be worth adding up
    return [[(a, min(a + step, stop)) for a in range(start, stop, step)]
            for start, stop in ranges(rows, -(-rows // WEIGHT_PARTS))]


def conv2d_weight_gradient_workspace(x: Spec, gy: Spec, window: Shape, stride: Shape,
                                     padding: Pads, dilation: Shape, groups: int
                                     ) -> Mapping[str, Spec]:
    """Return the specs of the work arrays: cols and a product per thread, gw per part."""
    g = geometry(x.shape, window, gy.shape, stride, padding, dilation, groups)
    parts, threads = _weight_blocks(g), config.num_threads()
    longest = max((_longest(p) for p in parts), default=0)
    return {"cols": _cols_spec(g, threads, longest, x.dtype),
            "product": Spec((threads, g.depth, g.filters), x.dtype),
            "partial": Spec((len(parts), g.depth, g.filters), x.dtype)}


def conv2d_weight_gradient(x: np.ndarray, gy: np.ndarray, *, out: np.ndarray, saved: dict,
                           work: dict, window: Shape, stride: Shape, padding: Pads,
                           dilation: Shape, groups: int) -> None:
    """Write gw: sums over a few parts of the batch, which are then added in order."""
    g = geometry(x.shape, window, gy.shape, stride, padding, dilation, groups)
    flat, k, parts = gy.reshape(-1, g.filters), g.filters // groups, _weight_blocks(g)

    def block(start: int, stop: int, slot: int, target: np.ndarray) -> None:
        for group in range(groups):
            columns = slice(group * k, group * k + k)
            cols = _fill(g, start, stop, x, work["cols"][slot], group)
            np.matmul(cols.T, flat[start * g.q:stop * g.q, columns], out=target[:, columns])

    def part(first: int, last: int, slot: int) -> None:
        for at in range(first, last):
            total, product = work["partial"][at], work["product"][slot]
            block(*parts[at][0], slot, total)
            for start, stop in parts[at][1:]:
                block(start, stop, slot, product)
                np.add(total, product, out=total)

    result = out.reshape(g.depth, g.filters)
    with serial_blas():
        run_slots(part, ranges(len(parts), 1))
    if not parts:
        result.fill(0)
    for at in range(len(parts)):
        np.copyto(result, work["partial"][0]) if at == 0 else np.add(
            result, work["partial"][at], out=result)
