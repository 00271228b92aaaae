"""Convolution as a matrix product on a GPU (the "im2col" variant), the form the lectures teach.

The windows are laid out as the rows of a matrix, cols (positions, groups, depth) with depth = KH KW
C / groups, so that y = cols w, gw = transpose(cols) gy, and gx gathers gy transpose(w) from the
places that its elements went to. The batch is cut into slices, so that cols stays bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...backend.arrays import address
from ...backend.device import Source, blocks_for, integers
from ...spec import Pads, Shape, Spec
from ..matmul.cuda import add_parts, partial_spec, product, product_parts
from ..matmul.tiles import Cut, cut
from ..registry import kernel_for
from .geometry import Geometry, geometry, of_forward, of_input_gradient, of_weight_gradient

CODE = Source(__file__, "im2col.cu")
COLS_BYTES = 1 << 28  # of cols of a slice
THREADS = 256
VECTOR = 16           # bytes that a thread takes at once

Array = np.ndarray


# ---- slices --------------------------------------------------------------------------------


class Slice(NamedTuple):
    """Images [start, stop) of the batch, and the rows of cols that are theirs."""

    start: int
    stop: int
    rows: int


def _step(g: Geometry, itemsize: int) -> int:
    """Return the number of images of a slice."""
    image = g.p * g.q * g.groups * g.depth * itemsize
    return max(1, g.images if g.plain else min(g.images, COLS_BYTES // max(image, 1)))


def _slices(g: Geometry, itemsize: int) -> Iterator[Slice]:
    step = _step(g, itemsize)
    for start in range(0, g.images, step):
        stop = min(start + step, g.images)
        yield Slice(start, stop, (stop - start) * g.p * g.q)


def _cols_spec(g: Geometry, dtype: np.dtype) -> dict[str, Spec]:
    rows = 0 if g.plain else _step(g, dtype.itemsize) * g.p * g.q
    return {"cols": Spec((rows, g.groups, g.depth), dtype)}


def _product_specs(g: Geometry, dtype: np.dtype, columns: int, depth: int) -> dict[str, Spec]:
    """Return the spec of the partial sums of a product (rows of a slice, columns), the largest."""
    found = [partial_spec(dtype, cut(s.rows, columns, depth, g.groups).parts, s.rows, columns,
                          g.groups) for s in _slices(g, dtype.itemsize)]
    return max(found, key=lambda specs: sum(s.size for s in specs.values()), default={})


# ---- windows to rows and back --------------------------------------------------------------


def _cols(g: Geometry, x: Array, cols: Array) -> Array:
    """Return cols of some images (rows, groups, depth): x itself, or a filled buffer."""
    if g.plain:
        return x.reshape(math.prod(x.shape[:3]), g.groups, g.depth)
    _launch("im2col", g, cols, x, cols)
    return cols


def _gather(g: Geometry, cols: Array, gx: Array, bias: Array | None, more: Array | None) -> None:
    """Write into gx the sums of what cols holds for its elements, plus bias and more."""
    _launch("col2im", g, gx, cols, gx, bias, more)


def _launch(name: str, g: Geometry, written: Array, *arrays: Array | None) -> None:
    wide = _wide(g, *arrays)
    packs = written.size // wide
    window = integers((g.height, g.width, g.channels, g.p, g.q, g.kh, g.kw, *g.stride, *g.dilation,
                       g.top, g.left, g.groups), 14)
    CODE.launch(name, written.dtype, blocks_for(packs, THREADS, 1 << 20), THREADS, *arrays, packs,
                window, defines={"WIDE": str(wide),
                                 "INDEX": "unsigned" if packs < 1 << 32 else "Int"})


def _wide(g: Geometry, *arrays: Array | None) -> int:
    """Return how many channels of a group may be taken at once."""
    given = [a for a in arrays if a is not None]
    size = given[0].dtype.itemsize
    wide = VECTOR // size
    while (g.channels // g.groups) % wide or any(address(a) % (wide * size) for a in given):
        wide //= 2
    return wide


def _matrices(w: Array, groups: int) -> Array:
    """Return w (KH, KW, C, filters) as one matrix (depth, filters) for each group."""
    return _by_group(w.reshape(math.prod(w.shape[:3]), w.shape[3]), groups)


def _by_group(rows: Array, groups: int) -> Array:
    """Return rows (r, groups columns) as (groups, r, columns)."""
    return rows.reshape(rows.shape[0], groups, rows.shape[1] // groups).transpose(1, 0, 2)


def _pixels(y: Array) -> Array:
    return y.reshape(math.prod(y.shape[:3]), y.shape[3])


# ---- forward -------------------------------------------------------------------------------


def conv2d_workspace(x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> dict[str, Spec]:
    """Return the specs of the work arrays: cols of a slice, sums of parts of the product."""
    g = of_forward(x, w, b, **attrs)
    return {**_cols_spec(g, x.dtype), **_product_specs(g, x.dtype, g.filters // g.groups, g.depth)}


def conv2d_add_workspace(x: Spec, w: Spec, b: Spec | None, more: Spec, **attrs: Any
                         ) -> dict[str, Spec]:
    """Return the specs of the work arrays."""
    return conv2d_workspace(x, w, b, **attrs)


@kernel_for("conv2d", algorithm="im2col", workspace=conv2d_workspace)
def conv2d(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict,
           stride: Shape, padding: Pads, dilation: Shape, groups: int) -> None:
    """Write the convolution of x with w, plus b."""
    g = geometry(x.shape, w.shape, out.shape, stride, padding, dilation, groups)
    _forward(g, x, w, b, out, work)


@kernel_for("conv2d_relu", algorithm="im2col", workspace=conv2d_workspace)
def conv2d_relu(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict,
                stride: Shape, padding: Pads, dilation: Shape, groups: int) -> None:
    """Write the convolution of x with w, plus b, and 0 where that is less."""
    g = geometry(x.shape, w.shape, out.shape, stride, padding, dilation, groups)
    _forward(g, x, w, b, out, work, relu=True)


@kernel_for("conv2d_add", algorithm="im2col", workspace=conv2d_add_workspace)
def conv2d_add(x: Array, w: Array, b: Array | None, more: Array, *, out: Array, saved: dict,
               work: dict, stride: Shape, padding: Pads, dilation: Shape, groups: int) -> None:
    """Write the convolution of x with w, plus b and more."""
    g = geometry(x.shape, w.shape, out.shape, stride, padding, dilation, groups)
    _forward(g, x, w, b, out, work, more=more)


def _forward(g: Geometry, x: Array, w: Array, b: Array | None, y: Array, work: dict, *,
             more: Array | None = None, relu: bool = False) -> None:
    """y = cols w, group by group."""
    bias = None if b is None else b.reshape(g.groups, g.filters // g.groups)
    for s in _slices(g, x.dtype.itemsize):
        some = slice(s.start, s.stop)
        cols = _cols(g, x[some], work["cols"][:s.rows])
        also = None if more is None else _by_group(_pixels(more[some]), g.groups)
        product(cols.transpose(1, 0, 2), _matrices(w, g.groups),
                _by_group(_pixels(y[some]), g.groups), work, bias=bias, more=also, relu=relu)


# ---- input gradient ------------------------------------------------------------------------


def conv2d_input_gradient_workspace(gy: Spec, w: Spec, **attrs: Any) -> dict[str, Spec]:
    """Return the specs of the work arrays: cols of a slice, sums of parts of the product."""
    g = of_input_gradient(gy, w, **attrs)
    return {**_cols_spec(g, gy.dtype), **_product_specs(g, gy.dtype, g.depth,
                                                        g.filters // g.groups)}


def conv2d_input_gradient_add_workspace(gy: Spec, w: Spec, more: Spec, **attrs: Any
                                        ) -> dict[str, Spec]:
    """Return the specs of the work arrays."""
    return conv2d_input_gradient_workspace(gy, w, **attrs)


@kernel_for("conv2d_input_gradient", algorithm="im2col", workspace=conv2d_input_gradient_workspace)
def conv2d_input_gradient(gy: Array, w: Array, *, out: Array, saved: dict, work: dict, size: Shape,
                          stride: Shape, padding: Pads, dilation: Shape, groups: int,
                          bias: Array | None = None) -> None:
    """Write gx, plus a bias per channel, of a transposed convolution."""
    g = geometry(out.shape, w.shape, gy.shape, stride, padding, dilation, groups)
    _backward(g, gy, w, out, work, bias=bias)


@kernel_for("conv2d_input_gradient_add", algorithm="im2col",
            workspace=conv2d_input_gradient_add_workspace)
def conv2d_input_gradient_add(gy: Array, w: Array, more: Array, *, out: Array, saved: dict,
                              work: dict, size: Shape, stride: Shape, padding: Pads,
                              dilation: Shape, groups: int) -> None:
    """Write gx plus more."""
    g = geometry(out.shape, w.shape, gy.shape, stride, padding, dilation, groups)
    _backward(g, gy, w, out, work, more=more)


def _backward(g: Geometry, gy: Array, w: Array, gx: Array, work: dict, *,
              bias: Array | None = None, more: Array | None = None) -> None:
    """cols = gy transpose(w), group by group; gx gathers them."""
    turned = _matrices(w, g.groups).transpose(0, 2, 1)
    for s in _slices(g, gy.dtype.itemsize):
        some = slice(s.start, s.stop)
        pixels = _by_group(_pixels(gy[some]), g.groups)
        also = None if more is None else more[some]
        if g.plain:
            product(pixels, turned, _by_group(_pixels(gx[some]), g.groups), work,
                    bias=None if bias is None else bias.reshape(g.groups, g.depth),
                    more=None if also is None else _by_group(_pixels(also), g.groups))
            continue
        cols = work["cols"][:s.rows]
        product(pixels, turned, cols.transpose(1, 0, 2), work)
        _gather(g, cols, gx[some], bias, also)


# ---- weight gradient -----------------------------------------------------------------------


def _weight_cuts(g: Geometry, itemsize: int) -> list[Cut]:
    """Return how each slice's product is cut: its rows are what is added up."""
    return [cut(g.depth, g.filters // g.groups, s.rows, g.groups) for s in _slices(g, itemsize)]


def conv2d_weight_gradient_workspace(x: Spec, gy: Spec, **attrs: Any) -> dict[str, Spec]:
    """Return the specs of the work arrays: cols of a slice, gw of every part of every slice."""
    g = of_weight_gradient(x, gy, **attrs)
    parts = sum(c.parts for c in _weight_cuts(g, x.dtype.itemsize))
    return {**_cols_spec(g, x.dtype), **partial_spec(x.dtype, parts, g.depth, g.filters)}


@kernel_for("conv2d_weight_gradient", algorithm="im2col",
            workspace=conv2d_weight_gradient_workspace)
def conv2d_weight_gradient(x: Array, gy: Array, *, out: Array, saved: dict, work: dict,
                           window: Shape, stride: Shape, padding: Pads, dilation: Shape,
                           groups: int) -> None:
    """Write gw = transpose(cols) gy: parts of the positions, which are then added in order."""
    g = geometry(x.shape, window, gy.shape, stride, padding, dilation, groups)
    gw = _matrices(out, groups)
    if not gw.size:
        return
    cuts, parts = _weight_cuts(g, x.dtype.itemsize), 0
    for s, c in zip(_slices(g, x.dtype.itemsize), cuts, strict=True):
        some = slice(s.start, s.stop)
        cols = _cols(g, x[some], work["cols"][:s.rows]).transpose(1, 2, 0)
        pixels = _by_group(_pixels(gy[some]), groups)
        if len(cuts) == c.parts == 1:
            product(cols, pixels, gw, work)
            return
        product_parts(c, cols, pixels, gw.shape, work["partial"], parts)
        parts += c.parts
    add_parts(work.get("partial"), parts, gw)
