"""Inception modules: branches with windows of several sizes, side by side on the channels.

Sources: Szegedy et al. 2014 (four branches), Zhang et al. 2017 (the small ones, for CIFAR-10).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...nn import Symbol
from ...nn.layers import Concatenate, MaxPooling2D
from .modules import BN_ACT, Order, conv_module, named

FILTERS: dict[str, tuple[int, int, int, int, int, int]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters of GoogLeNet's modules by stage: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
(Szegedy et al. 2014, table 1)."""


def inception_module(x: Symbol, filters: Sequence[int], stage: str, reg: float = 0.0005,
                     order: Order = BN_ACT) -> Symbol:
    """Return the four branches of an Inception module side by side.

    1x1 ({stage}_first); 1x1 and 3x3 (_second1, _second2); 1x1 and 5x5 (_third1, _third2); max pool
    3x3 (_pool) and 1x1 (_fourth). All steps are 1, all padding is "same".

    Args:
        filters: of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool projection, as in `FILTERS`.
        stage: begins the names; the result is {stage}_mixed.
        reg: L2 factor on every kernel.
        order: of the parts in each convolution module.

    >>> from minidl.nn import Input
    >>> inception_module(Input((28, 28, 192)), FILTERS["3a"], "3a").shape
    (None, 28, 28, 256)
    """
    first, reduce3, conv3, reduce5, conv5, projection = filters
    conv = partial(_conv, reg=reg, order=order, stage=stage)
    branches = [
        conv(x, first, 1, "first"),
        conv(conv(x, reduce3, 1, "second1"), conv3, 3, "second2"),
        conv(conv(x, reduce5, 1, "third1"), conv5, 5, "third2"),
        conv(MaxPooling2D(3, 1, "same", name=f"{stage}_pool")(x), projection, 1, "fourth"),
    ]
    return Concatenate(name=f"{stage}_mixed")(branches)


def inception_modules(x: Symbol, *stages: str, reg: float = 0.0005, order: Order = BN_ACT
                      ) -> Symbol:
    """Return x after GoogLeNet's modules of these stages, one after another.

    >>> from minidl.nn import Input
    >>> inception_modules(Input((28, 28, 192)), "3a", "3b").shape
    (None, 28, 28, 480)
    """
    for stage in stages:
        x = inception_module(x, FILTERS[stage], stage, reg, order)
    return x


def _conv(x: Symbol, filters: int, kernel_size: int, part: str, *, reg: float, order: Order,
          stage: str) -> Symbol:
    return conv_module(x, filters, kernel_size, reg=reg, order=order, name=f"{stage}_{part}")


def miniception_module(x: Symbol, filters: Sequence[int], name: str | None = None) -> Symbol:
    """Return a 1x1 and a 3x3 convolution module side by side, without reduction.

    Args:
        filters: of the 1x1 and of the 3x3 convolution.
        name: of the block: {name}_1x1_conv and so on, {name}_3x3_conv and so on, {name}_mixed.

    >>> from minidl.nn import Input
    >>> miniception_module(Input((32, 32, 96)), (32, 48)).shape
    (None, 32, 32, 80)
    """
    small, large = filters
    branches = [conv_module(x, small, 1, name=named(name, "1x1")),
                conv_module(x, large, 3, name=named(name, "3x3"))]
    return Concatenate(name=named(name, "mixed"))(branches)


def downsample_module(x: Symbol, filters: int, name: str | None = None) -> Symbol:
    """Return a 3x3 convolution module of step 2 and a 3x3 max pool of step 2 side by side.

    Both are without padding, so 32 rows become 15. The output has `filters` channels and those of
    x: {name}_3x3_conv and so on, {name}_pool, {name}_mixed.

    >>> from minidl.nn import Input
    >>> downsample_module(Input((32, 32, 80)), 80).shape
    (None, 15, 15, 160)
    """
    branches = [conv_module(x, filters, 3, 2, "valid", name=named(name, "3x3")),
                MaxPooling2D(3, 2, name=named(name, "pool"))(x)]
    return Concatenate(name=named(name, "mixed"))(branches)
