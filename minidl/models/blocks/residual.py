"""Residual modules: y = f(x) + x.

Sources: He et al. 2015 (activation after the addition), He et al. 2016 (before each convolution).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...nn import Symbol
from ...nn.layers import Activation, Add, Conv2D
from .modules import BN_ACT, Order, conv_module, named, norm_act, penalty

BN: Mapping[str, Any] = {"epsilon": 2e-5, "momentum": 0.9}
"""Batch normalisation in the book's residual networks, after He et al. and Wu."""


def residual_module(x: Symbol, filters: int, strides: int = 1, project: bool = False,
                    reg: float = 0.0001, bn: Mapping[str, Any] | None = None,
                    name: str | None = None) -> Symbol:
    """Return the pre-activation bottleneck of x: (batch norm, relu, convolution) x 3, plus x.

    1x1 of filters / 4, 3x3 of filters / 4 with the steps, 1x1 of filters, all without bias: the
    batch normalisation after each gives the shift. Names: {name}_1_bn, {name}_1_act,
    {name}_1_conv, ... {name}_3_conv, {name}_0_conv (the projection), {name}_add.

    Args:
        project: bring the shortcut to shape by a 1x1 convolution (the book's `red`); it starts at
            the first activation, not at x.
        reg: L2 factor on every kernel, that of the projection too.
        bn: arguments of the batch normalisations; epsilon 2e-5 and momentum 0.9 by default.

    Source: He et al. 2016, figure 4e.

    >>> from minidl.nn import Input
    >>> residual_module(Input((32, 32, 64)), 128, strides=2, project=True).shape
    (None, 16, 16, 128)
    """
    def conv(x: Symbol, filters: int, kernel_size: int, strides: int, part: str) -> Symbol:
        return Conv2D(filters, kernel_size, strides, "same", use_bias=False,
                      kernel_regularizer=penalty(reg), name=named(name, f"{part}_conv"))(x)

    bn = BN if bn is None else bn
    activated = norm_act(x, bn, name=named(name, "1"))
    y = conv(activated, filters // 4, 1, 1, "1")
    y = conv(norm_act(y, bn, name=named(name, "2")), filters // 4, 3, strides, "2")
    y = conv(norm_act(y, bn, name=named(name, "3")), filters, 1, 1, "3")
    shortcut = conv(activated, filters, 1, strides, "0") if project else x
    return Add(name=named(name, "add"))([y, shortcut])


@dataclass(frozen=True)
class Style:
    """What releases of the original residual networks do differently.

    Attributes:
        use_bias: whether convolutions have a bias, though batch normalisation follows.
        strided: the convolution of a bottleneck that takes the steps, 1 or 2.
        bn: arguments of the batch normalisations.
    """

    use_bias: bool = False
    strided: int = 2
    bn: Mapping[str, Any] = field(default_factory=lambda: {"epsilon": 1e-5, "momentum": 0.9})


KERAS = Style(use_bias=True, strided=1, bn={"epsilon": 1.001e-5})
"""As in `keras.applications`."""
TORCH = Style()
"""As in torchvision."""


def basic_block(x: Symbol, filters: int, strides: int = 1, project: bool = False,
                style: Style = TORCH, name: str | None = None) -> Symbol:
    """Return relu(two 3x3 convolutions of x, plus x), each convolution with batch normalisation.

    Names: {name}_1_conv, {name}_1_bn, {name}_1_act, {name}_2_conv, {name}_2_bn, {name}_0_conv and
    {name}_0_bn (the projection), {name}_add, {name}_out.

    Source: He et al. 2015, figure 5 left.
    """
    return _post_activated(x, ((filters, 3, strides), (filters, 3, 1)), strides, project, style,
                           name)


def bottleneck_block(x: Symbol, filters: int, strides: int = 1, project: bool = False,
                     style: Style = TORCH, name: str | None = None) -> Symbol:
    """Return relu(1x1, 3x3 and 1x1 convolutions of x, plus x), each with batch normalisation.

    The names are those of `basic_block`, with a third convolution.

    Args:
        filters: of the last convolution; the others have a quarter.

    Source: He et al. 2015, figure 5 right.
    """
    first, second = (strides, 1) if style.strided == 1 else (1, strides)
    return _post_activated(x, ((filters // 4, 1, first), (filters // 4, 3, second),
                               (filters, 1, 1)), strides, project, style, name)


def _post_activated(x: Symbol, convs: Sequence[tuple[int, int, int]], strides: int, project: bool,
                    style: Style, name: str | None) -> Symbol:
    """Return relu(f(x) + shortcut); `convs` has filters, window and steps of each convolution."""
    def conv(x: Symbol, filters: int, size: int, steps: int, order: Order, part: int) -> Symbol:
        return conv_module(x, filters, size, steps, size // 2, order=order, bn=style.bn,
                           use_bias=style.use_bias, kernel_initializer="he_normal",
                           name=named(name, str(part)))

    y = x
    for part, (filters, size, steps) in enumerate(convs, 1):
        y = conv(y, filters, size, steps, BN_ACT if part < len(convs) else ("conv", "bn"), part)
    shortcut = conv(x, convs[-1][0], 1, strides, ("conv", "bn"), 0) if project else x
    return Activation("relu", name=named(name, "out"))(Add(name=named(name, "add"))([shortcut, y]))
