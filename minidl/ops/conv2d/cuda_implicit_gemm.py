"""GPU kernels of the convolutions on tensor cores (`implicit_gemm.cu`).

Two variants: "implicit_gemm" multiplies float32 as TF32, with 10 bits of mantissa and sums in
float32, which is what GPU libraries do in convolutions by default; "implicit_gemm_exact" takes
three such products and comes near float32, at a third of the speed. `config.avoid` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...backend.arrays import address
from ...backend.device import Source, blocks_for, integers
from ...backend.mma import Cut, cut
from ...spec import Pads, Shape, Spec
from ..registry import kernel_for

CODE = Source(__file__, "implicit_gemm.cu")
VECTOR = 16          # bytes that a thread copies at once
LIMIT = 1 << 31      # of pixels, and of the length of a sum
MOST_BLOCKS = 65535  # of a grid's third axis
TOLERANCE, EXACT_TOLERANCE = 1000, 4

Array = np.ndarray


# ---- geometry ------------------------------------------------------------------------------


class Axis(NamedTuple):
    """Rows or columns: lengths of x, y and the window, and the attributes."""

    before: int
    after: int
    window: int
    stride: int
    pad: int
    dilation: int

    @property
    def phased(self) -> int:
        """Elements of x that meet the same taps."""
        return -(-self.before // self.stride)

    @property
    def taps(self) -> int:
        """Taps that an element of x meets at most."""
        return -(-self.window // (self.stride // int(np.gcd(self.stride, self.dilation))))


class Geometry(NamedTuple):
    """Numbers of a convolution x (images, rows, columns, channels) to y (..., filters)."""

    images: int
    channels: int
    filters: int
    groups: int
    rows: Axis
    columns: Axis

    @property
    def pixels(self) -> tuple[int, int]:
        """Pixels of all images of x and of y."""
        return (self.images * self.rows.before * self.columns.before,
                self.images * self.rows.after * self.columns.after)

    @property
    def phases(self) -> int:
        """Kinds of pixels of x that meet the same taps."""
        return self.rows.stride * self.columns.stride

    @property
    def depth(self) -> int:
        """Channels of x in a group."""
        return self.channels // self.groups

    @property
    def width(self) -> int:
        """Channels of y in a group."""
        return self.filters // self.groups

    def packed(self, share: int) -> bytes:
        """Return the struct that kernels take."""
        return integers((*self[:4], share, *self.rows, *self.columns), 17)


def _geometry(x: Shape, w: Shape, stride: Shape, padding: Pads, dilation: Shape, groups: int
              ) -> Geometry:
    def axis(i: int) -> Axis:
        extent = x[1 + i] + sum(padding[i]) - (w[i] - 1) * dilation[i] - 1
        return Axis(x[1 + i], extent // stride[i] + 1, w[i], stride[i], padding[i][0], dilation[i])
    return Geometry(x[0], x[3], w[3], groups, axis(0), axis(1))


def _of_forward(x: Any, w: Any, *_: Any, **attrs: Any) -> Geometry:
    return _geometry(x.shape, w.shape, **attrs)


def _of_input_gradient(gy: Any, w: Any, *_: Any, size: Shape, groups: int, **attrs: Any
                       ) -> Geometry:
    x = (gy.shape[0], *size, w.shape[2] * groups)
    return _geometry(x, w.shape, groups=groups, **attrs)


def _of_weight_gradient(x: Any, gy: Any, *, window: Shape, groups: int, **attrs: Any) -> Geometry:
    w = (*window, x.shape[3] // groups, gy.shape[3])
    return _geometry(x.shape, w, groups=groups, **attrs)


# ---- how the products are cut -------------------------------------------------------------


def _cut_forward(g: Geometry, itemsize: int, exact: bool) -> Cut:
    return cut(g.pixels[1], g.width, g.rows.window * g.columns.window * g.depth, g.groups,
               itemsize, exact)


def _cut_input_gradient(g: Geometry, itemsize: int, exact: bool) -> Cut:
    return cut(g.images * g.rows.phased * g.columns.phased, g.depth,
               g.rows.taps * g.columns.taps * g.width, g.groups * g.phases, itemsize, exact)


def _cut_weight_gradient(g: Geometry, itemsize: int, exact: bool) -> Cut:
    return cut(g.rows.window * g.columns.window * g.depth, g.width, g.pixels[1], g.groups,
               itemsize, exact)


def _shape_forward(g: Geometry) -> Shape:
    return (g.images, g.rows.after, g.columns.after, g.filters)


def _shape_input_gradient(g: Geometry) -> Shape:
    return (g.images, g.rows.before, g.columns.before, g.channels)


def _shape_weight_gradient(g: Geometry) -> Shape:
    return (g.rows.window, g.columns.window, g.depth, g.filters)


class _Form(NamedTuple):
    """One of the three products: its geometry from specs, its cut, the shape of its result."""

    geometry: Callable[..., Geometry]
    cut: Callable[[Geometry, int, bool], Cut]
    shape: Callable[[Geometry], Shape]


FORWARD = _Form(_of_forward, _cut_forward, _shape_forward)
INPUT_GRADIENT = _Form(_of_input_gradient, _cut_input_gradient, _shape_input_gradient)
WEIGHT_GRADIENT = _Form(_of_weight_gradient, _cut_weight_gradient, _shape_weight_gradient)


# ---- variants ------------------------------------------------------------------------------


def _accepts(form: _Form, exact: bool, *specs: Spec, **attrs: Any) -> bool:
    """Say whether numbers fit in 32 bits and the type is one of tensor cores."""
    g = form.geometry(*specs, **attrs)
    length = g.rows.window * g.columns.window * max(g.depth, g.width)
    return (specs[0].dtype.itemsize in ((4,) if exact else (2, 4))
            and max(*g.pixels, length) < LIMIT and g.groups * g.phases <= MOST_BLOCKS)


def _pays(form: _Form, *specs: Spec, **attrs: Any) -> bool:
    """Say whether groups are large enough to fill some of a tile."""
    g = form.geometry(*specs, **attrs)
    return g.groups == 1 or min(g.depth, g.width) >= 4


def _workspace(form: _Form, exact: bool, *specs: Spec, **attrs: Any) -> Mapping[str, Spec]:
    """Return the spec of the parts of sums, where there are several."""
    g = form.geometry(*specs, **attrs)
    parts = form.cut(g, specs[0].dtype.itemsize, exact).parts
    return {"partial": Spec((parts, *form.shape(g)), np.dtype("float32"))} if parts > 1 else {}


def _variants(name: str, form: _Form) -> Callable[[Callable], Callable]:
    """Decorate the function of an op; it also gets `exact`."""
    def note(function: Callable) -> Callable:
        for algorithm, exact in (("implicit_gemm", False), ("implicit_gemm_exact", True)):
            kernel_for(name, algorithm=algorithm, accepts=partial(_accepts, form, exact),
                       pays=partial(_pays, form), workspace=partial(_workspace, form, exact),
                       tolerance=EXACT_TOLERANCE if exact else TOLERANCE,
                       )(partial(function, exact=exact))
        return function
    return note


# ---- the ops -------------------------------------------------------------------------------


@_variants("conv2d", FORWARD)
def conv2d(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict,
           exact: bool, **attrs: Any) -> None:
    """Write the convolution of x with w, plus b."""
    _correlate(FORWARD.geometry(x, w, **attrs), FORWARD, x, w, b, None, out, work, exact)


@_variants("conv2d_relu", FORWARD)
def conv2d_relu(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict,
                exact: bool, **attrs: Any) -> None:
    """Write the convolution of x with w, plus b, or 0 where that is less."""
    _correlate(FORWARD.geometry(x, w, **attrs), FORWARD, x, w, b, None, out, work, exact, relu=1)


@_variants("conv2d_add", FORWARD)
def conv2d_add(x: Array, w: Array, b: Array | None, more: Array, *, out: Array, saved: dict,
               work: dict, exact: bool, **attrs: Any) -> None:
    """Write the convolution of x with w, plus b, plus more."""
    _correlate(FORWARD.geometry(x, w, **attrs), FORWARD, x, w, b, more, out, work, exact)


@_variants("conv2d_input_gradient", INPUT_GRADIENT)
def conv2d_input_gradient(gy: Array, w: Array, *, out: Array, saved: dict, work: dict,
                          exact: bool, **attrs: Any) -> None:
    """Write gx."""
    _correlate(INPUT_GRADIENT.geometry(gy, w, **attrs), INPUT_GRADIENT, gy, w, None, None, out,
               work, exact)


@_variants("conv2d_input_gradient_add", INPUT_GRADIENT)
def conv2d_input_gradient_add(gy: Array, w: Array, more: Array, *, out: Array, saved: dict,
                              work: dict, exact: bool, **attrs: Any) -> None:
    """Write gx plus more."""
    _correlate(INPUT_GRADIENT.geometry(gy, w, **attrs), INPUT_GRADIENT, gy, w, None, more, out,
               work, exact)


@_variants("conv2d_weight_gradient", WEIGHT_GRADIENT)
def conv2d_weight_gradient(x: Array, gy: Array, *, out: Array, saved: dict, work: dict,
                           exact: bool, **attrs: Any) -> None:
    """Write gw."""
    g = WEIGHT_GRADIENT.geometry(x, gy, **attrs)
    c = WEIGHT_GRADIENT.cut(g, x.dtype.itemsize, exact)
    part = work["partial"] if c.parts > 1 else None
    defines = {**_defines(g, c, exact, (x,), (gy, out)), "BACKWARD": "0"}
    _launch("weight_gradient", c, g.groups, (False, False), x, gy, out, part, g.packed(c.share),
            defines=defines, size=out.size)
    _finish(c, part, None, None, out, g.filters, "0")


# ---- launches ------------------------------------------------------------------------------


def _correlate(g: Geometry, form: _Form, x: Array, w: Array, b: Array | None, more: Array | None,
               out: Array, work: dict, exact: bool, relu: int = 0) -> None:
    """Launch a convolution, or the gradient of its input: then x is gy and out is gx."""
    backward, c = form is INPUT_GRADIENT, form.cut(g, x.dtype.itemsize, exact)
    part = work["partial"] if c.parts > 1 else None
    of_c, of_k = ((out, more), (x, w)) if backward else ((x,), (w, out, more))
    defines = {**_defines(g, c, exact, of_c, of_k), "BACKWARD": str(int(backward)),
               "RELU": str(relu)}
    _launch("correlate", c, g.groups * (g.phases if backward else 1), (True, backward), x, w, b,
            more, out, part, g.packed(c.share), defines=defines, size=out.size)
    _finish(c, part, b, more, out, out.shape[-1], str(relu))


def _launch(kernel: str, c: Cut, count: int, along: tuple[bool, bool], *arguments: Any,
            defines: dict[str, str], size: int) -> None:
    """Launch a kernel of products, if there is anything to write."""
    dtype = arguments[0].dtype
    if size:
        CODE.launch(kernel, dtype, (c.blocks, c.parts, count), c.tile.threads, *arguments,
                    shared=c.tile.shared(dtype.itemsize, along), defines=defines)


def _finish(c: Cut, part: Array | None, b: Array | None, more: Array | None, out: Array,
            channels: int, relu: str) -> None:
    """Add up the parts of the sums."""
    if part is not None:
        CODE.launch("finish", out.dtype, blocks_for(out.size), 256, part, b, more, out, out.size,
                    channels, c.parts, defines={"RELU": relu})


def _defines(g: Geometry, c: Cut, exact: bool, of_c: tuple[Array | None, ...],
             of_k: tuple[Array | None, ...]) -> dict[str, str]:
    """Return the definitions; arrays of which channels of x, or of y, are copied at once."""
    places = max(a.size for a in (*of_c, *of_k) if a is not None)
    return {**c.tile.defines(), "EXACT": str(int(exact)), "WIDTH_C": _width(g.depth, of_c),
            "WIDTH_K": _width(g.width, of_k), "INDEX": "int" if 2 * places < LIMIT else "Int"}


def _width(channels: int, arrays: tuple[Array | None, ...]) -> str:
    """Return how many channels of a group can be copied at once: at most 16 bytes."""
    given = [a for a in arrays if a is not None]
    width = VECTOR // given[0].dtype.itemsize
    while width > 1 and (channels % width or any(
            address(a) % (width * a.dtype.itemsize) for a in given)):
        width //= 2
    return str(width)
