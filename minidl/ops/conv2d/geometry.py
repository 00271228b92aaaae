"""The numbers of one convolution, as kernels get them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...spec import Pads, Shape, Spec
from .op import infer


class Geometry(NamedTuple):
    """Sizes of x (images, height, width, channels), y (images, p, q, filters) and the window.

    Attributes:
        top, left: rows and columns of zeros before x.
    """

    images: int
    height: int
    width: int
    channels: int
    p: int
    q: int
    filters: int
    kh: int
    kw: int
    stride: Shape
    dilation: Shape
    top: int
    left: int
    groups: int

    @property
    def depth(self) -> int:
        """Elements of a window of one group."""
        return self.kh * self.kw * self.channels // self.groups

    @property
    def plain(self) -> bool:
        """Whether every window is one pixel and y has the pixels of x."""
        return (self.kh, self.kw, self.stride, self.top, self.left, self.p, self.q) == (
            1, 1, (1, 1), 0, 0, self.height, self.width)


def geometry(x_shape: Shape, window: Shape, y_shape: Shape, stride: Shape, padding: Pads,
             dilation: Shape, groups: int) -> Geometry:
    """Return the geometry of a convolution of x with a window (KH, KW) that makes y."""
    return Geometry(*x_shape, *y_shape[1:], *window[:2], stride, dilation,  # type: ignore
                    padding[0][0], padding[1][0], groups)


def of_forward(x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> Geometry:
    """Return the geometry of a call of conv2d."""
    return geometry(x.shape, w.shape, infer(x, w, b, **attrs).out[0].shape, **attrs)


def of_input_gradient(gy: Spec, w: Spec, size: Shape, groups: int, **attrs: Any) -> Geometry:
    """Return the geometry of a call of conv2d_input_gradient."""
    x_shape = gy.shape[0], *size, w.shape[2] * groups
    return geometry(x_shape, w.shape, gy.shape, groups=groups, **attrs)


def of_weight_gradient(x: Spec, gy: Spec, window: Shape, **attrs: Any) -> Geometry:
    """Return the geometry of a call of conv2d_weight_gradient."""
    return geometry(x.shape, window, gy.shape, **attrs)
