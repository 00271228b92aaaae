"""Depthwise convolution on a GPU (the "depthwise" variant): every channel by itself.

Threads beside each other take neighbouring channels, so nothing is packed or copied. The weight
gradient adds up parts of the results in every block, and the parts in order afterwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.arrays import address
from ...backend.device import Source, blocks_for, integers
from ...spec import Pads, Shape, Spec
from ..matmul.cuda import add_parts
from ..registry import kernel_for
from .geometry import Geometry, geometry, of_weight_gradient

CODE = Source(__file__, "depthwise.cu")
THREADS = 256
VECTOR = 16       # bytes that a thread loads at once
PIXELS = 4        # neighbouring results of a thread
HELD = 64         # numbers of the input that a thread holds in registers
SUMS = 48         # sums that it holds in the weight gradient
MOST_LANES = 32   # of a block beside each other
BLOCKS = 4 * 132  # of the weight gradient: a few for each multiprocessor
LEAST = 4         # groups of PIXELS that a thread adds up, at least
REACH = 128       # of a window along a row, at most: kernels are unrolled
MOST_STRIDE = 8

Array = np.ndarray


# ---- what is accepted ----------------------------------------------------------------------


def _accepts(pixels: Spec, w_shape: Shape, groups: int, stride: Shape, dilation: Shape) -> bool:
    wide = (w_shape[1] - 1) * dilation[1] < REACH and w_shape[1] < HELD // 2
    return bool(pixels.size) and w_shape[2:] == (1, groups) and wide and stride[1] <= MOST_STRIDE


def conv2d_accepts(x: Spec, w: Spec, b: Spec | None, *, groups: int, stride: Shape,
                   dilation: Shape, **attrs: Any) -> bool:
    """Return whether every channel has one filter of its own, and not too long a one."""
    return _accepts(x, w.shape, groups, stride, dilation)


def conv2d_add_accepts(x: Spec, w: Spec, b: Spec | None, more: Spec, **attrs: Any) -> bool:
    """Return the same."""
    return conv2d_accepts(x, w, b, **attrs)


def conv2d_input_gradient_accepts(gy: Spec, w: Spec, *, groups: int, stride: Shape,
                                  dilation: Shape, **attrs: Any) -> bool:
    """Return the same."""
    return _accepts(gy, w.shape, groups, stride, dilation)


def conv2d_input_gradient_add_accepts(gy: Spec, w: Spec, more: Spec, **attrs: Any) -> bool:
    """Return the same."""
    return conv2d_input_gradient_accepts(gy, w, **attrs)


def conv2d_weight_gradient_accepts(x: Spec, gy: Spec, *, window: Shape, groups: int, stride: Shape,
                                   dilation: Shape, **attrs: Any) -> bool:
    """Return the same."""
    w_shape = *window, x.shape[3] // groups, gy.shape[3]
    return _accepts(gy, w_shape, groups, stride, dilation)


# ---- launches ------------------------------------------------------------------------------


def _defines(g: Geometry, wide: int, pixels: int, count: int) -> dict[str, str]:
    given = {"KH": g.kh, "KW": g.kw, "STRIDE": g.stride[1], "DILATION": g.dilation[1],
             "WIDE": wide, "PIXELS": pixels, "ROWS": _rows(g, wide), "LANES": _lanes(g, wide),
             "INDEX": "unsigned" if count < 1 << 31 else "Int"}
    return {name: str(value) for name, value in given.items()}


def _window(g: Geometry) -> bytes:
    return integers((g.height, g.width, g.channels, g.p, g.q, g.stride[0], g.dilation[0], g.top,
                     g.left), 9)


def _widest(g: Geometry, itemsize: int) -> int:
    """Return how many channels a thread may take at once: all of it stays in registers."""
    wide = VECTOR // itemsize
    while wide > 1 and (g.channels % wide or (g.kw + PIXELS - 1) * wide > HELD
                        or g.kw * wide > SUMS):
        wide //= 2
    return wide


def _wide(g: Geometry, *arrays: Array | None) -> int:
    given = [a for a in arrays if a is not None]
    size = given[0].dtype.itemsize
    wide = _widest(g, size)
    while any(address(a) % (wide * size) for a in given):
        wide //= 2
    return wide


def _pixels(length: int) -> int:
    """Return how many results of a row of this length a thread takes."""
    return PIXELS if length > 2 else max(length, 1)


# ---- forward -------------------------------------------------------------------------------


@kernel_for("conv2d", algorithm="depthwise", accepts=conv2d_accepts)
def conv2d(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict,
           stride: Shape, padding: Pads, dilation: Shape, groups: int) -> None:
    """Write the convolution of x with w, plus b."""
    g = geometry(x.shape, w.shape, out.shape, stride, padding, dilation, groups)
    _forward(g, x, w, b, None, out)


@kernel_for("conv2d_relu", algorithm="depthwise", accepts=conv2d_accepts)
def conv2d_relu(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict,
                stride: Shape, padding: Pads, dilation: Shape, groups: int) -> None:
    """Write the convolution of x with w, plus b, and 0 where that is less."""
    g = geometry(x.shape, w.shape, out.shape, stride, padding, dilation, groups)
    _forward(g, x, w, b, None, out, relu=True)


@kernel_for("conv2d_add", algorithm="depthwise", accepts=conv2d_add_accepts)
def conv2d_add(x: Array, w: Array, b: Array | None, more: Array, *, out: Array, saved: dict,
               work: dict, stride: Shape, padding: Pads, dilation: Shape, groups: int) -> None:
    """Write the convolution of x with w, plus b and more."""
    g = geometry(x.shape, w.shape, out.shape, stride, padding, dilation, groups)
    _forward(g, x, w, b, more, out)


def _forward(g: Geometry, x: Array, w: Array, b: Array | None, more: Array | None, y: Array,
             relu: bool = False) -> None:
    wide, pixels = _wide(g, x, w, b, more, y), _pixels(g.q)
    count = g.images * g.p * -(-g.q // pixels) * (g.channels // wide)
    CODE.launch("forward", y.dtype, blocks_for(count, THREADS, 1 << 24), THREADS, x, w, b, more, y,
                relu, count, _window(g), defines=_defines(g, wide, pixels, count))


# ---- input gradient ------------------------------------------------------------------------


@kernel_for("conv2d_input_gradient", algorithm="depthwise", accepts=conv2d_input_gradient_accepts)
def conv2d_input_gradient(gy: Array, w: Array, *, out: Array, saved: dict, work: dict, size: Shape,
                          stride: Shape, padding: Pads, dilation: Shape, groups: int,
                          bias: Array | None = None) -> None:
    """Write gx, plus a bias per channel, of a transposed convolution."""
    g = geometry(out.shape, w.shape, gy.shape, stride, padding, dilation, groups)
    _backward(g, gy, w, bias, None, out)


@kernel_for("conv2d_input_gradient_add", algorithm="depthwise",
            accepts=conv2d_input_gradient_add_accepts)
def conv2d_input_gradient_add(gy: Array, w: Array, more: Array, *, out: Array, saved: dict,
                              work: dict, size: Shape, stride: Shape, padding: Pads,
                              dilation: Shape, groups: int) -> None:
    """Write gx plus more."""
    g = geometry(out.shape, w.shape, gy.shape, stride, padding, dilation, groups)
    _backward(g, gy, w, None, more, out)


def _backward(g: Geometry, gy: Array, w: Array, b: Array | None, more: Array | None, gx: Array
              ) -> None:
    wide, step = _wide(g, gy, w, b, more, gx), g.stride[1]
    pixels = max(1, PIXELS // step) * step
    across = -(-(g.width + g.left % step) // pixels)
    count = g.images * g.height * across * (g.channels // wide)
    CODE.launch("input_gradient", gx.dtype, blocks_for(count, THREADS, 1 << 24), THREADS, gy, w, b,
                more, gx, count, _window(g), defines=_defines(g, wide, pixels, count))


# ---- weight gradient -----------------------------------------------------------------------


def _rows(g: Geometry, wide: int) -> int:
    """Return how many rows of the window a block takes."""
    return max(1, min(g.kh, SUMS // (g.kw * wide)))


def _lanes(g: Geometry, wide: int) -> int:
    """Return how many threads of a block lie beside each other along the channels."""
    return min(MOST_LANES, 1 << (g.channels // wide - 1).bit_length())


def _part(g: Geometry, wide: int) -> tuple[int, int]:
    """Return how many groups of PIXELS results there are, and how many of them make a part."""
    count, lanes = g.images * g.p * -(-g.q // _pixels(g.q)), _lanes(g, wide)
    across = -(-g.channels // (wide * lanes)) * -(-g.kh // _rows(g, wide))
    least = LEAST * THREADS // lanes
    return count, max(least, -(-count // max(1, BLOCKS // across)))


def conv2d_weight_gradient_workspace(x: Spec, gy: Spec, **attrs: Any) -> dict[str, Spec]:
    """Return the spec of the work array: gw of every part."""
    g = of_weight_gradient(x, gy, **attrs)
    parts, wide = 1, _widest(g, x.dtype.itemsize)
    while wide:  # an array may lie at a multiple of less
        count, length = _part(g, wide)
        parts, wide = max(parts, -(-count // length)), wide // 2
    dtype = np.dtype("float64" if x.dtype.itemsize == 8 else "float32")
    return {"partial": Spec((parts, g.kh * g.kw, g.channels), dtype)}


@kernel_for("conv2d_weight_gradient", algorithm="depthwise", accepts=conv2d_weight_gradient_accepts,
            workspace=conv2d_weight_gradient_workspace)
def conv2d_weight_gradient(x: Array, gy: Array, *, out: Array, saved: dict, work: dict,
                           window: Shape, stride: Shape, padding: Pads, dilation: Shape,
                           groups: int) -> None:
    """Write gw: parts of the results, which are then added in order."""
    g = geometry(x.shape, window, gy.shape, stride, padding, dilation, groups)
    wide = _wide(g, x, gy)
    count, length = _part(g, wide)
    parts = -(-count // length)
    across = -(-g.channels // (wide * _lanes(g, wide)))
    CODE.launch("weight_gradient", out.dtype, (across, parts, -(-g.kh // _rows(g, wide))), THREADS,
                x, gy, work["partial"], count, length, _window(g),
                defines=_defines(g, wide, _pixels(g.q), count))
    add_parts(work["partial"], parts, out.reshape(g.kh * g.kw, g.channels))
