"""The book's residual network, of bottlenecks that activate before each convolution."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..errors import ArgumentError
from ..nn import Input, Model, Symbol
from ..nn.layers import AveragePooling2D, BatchNormalization, Conv2D, Flatten, MaxPooling2D
from .blocks import norm_act, residual_module, softmax_head
from .blocks.modules import penalty
from .blocks.residual import BN

MODULE_REG = 0.0001
"""L2 factor inside residual modules, whatever `reg` is."""


def resnet_preactivation(input_shape: tuple[int, int, int], classes: int, stages: Sequence[int],
                         filters: Sequence[int], reg: float = 0.0001, pooled_stem: bool = False,
                         reg_everywhere: bool = False, name: str = "resnet") -> Model:
    """Return the network: images (N, H, W, C) to probabilities (N, classes).

    Batch normalisation of the input; a convolution; the stages, whose first modules project, and
    halve the rows from the second stage on; batch normalisation, relu, mean over 8 x 8, dense. No
    convolution has a bias; all batch normalisations have epsilon 2e-5 and momentum 0.9.

    The first module of the first stage projects too, though it keeps the rows. The book's `build`
    does not hand `reg` on to the modules, so that the kernels inside have 0.0001 always: all of
    its results are from that code, and so it is here unless `reg_everywhere` is set.

    Args:
        stages: number of modules in each stage; the 8 x 8 mean fits three stages from 32 x 32.
        filters: of the first convolution and of each stage.
        reg: L2 factor on the kernels of the first convolution and of the dense layer.
        pooled_stem: a stem for images of 64 x 64: convolution 5x5, batch normalisation, relu and
            max pool 3x3 / 2, instead of a 3x3 convolution alone.
        reg_everywhere: let `reg` hold inside the modules, too.

    Source: He et al. 2016; the book, chapter 12.

    >>> resnet_preactivation((32, 32, 3), 10, (1, 1, 1), (16, 16, 32, 64)).output_shape
    (None, 10)
    """
    if len(filters) != len(stages) + 1:
        raise ArgumentError("resnet", f"got {len(stages)} stages and {len(filters)} filters",
                            "expected one more, for the first convolution",
                            "For example stages (9, 9, 9) and filters (64, 64, 128, 256).")
    module = partial(residual_module, reg=reg if reg_everywhere else MODULE_REG)
    x = Input(input_shape)
    y = BatchNormalization(**BN, name="input_bn")(x)
    y = (_pooled_stem if pooled_stem else _stem)(y, filters[0], reg)
    for stage, (count, channels) in enumerate(zip(stages, filters[1:], strict=True), 1):
        for block in range(1, count + 1):
            first = block == 1
            y = module(y, channels, strides=2 if first and stage > 1 else 1, project=first,
                       name=f"stage{stage}_block{block}")
    y = AveragePooling2D(8, name="pool")(norm_act(y, BN, name="last"))
    y = Flatten(name="flatten")(y)
    return Model(x, softmax_head(y, classes, reg), name=name)


def _stem(x: Symbol, filters: int, reg: float, kernel_size: int = 3) -> Symbol:
    return Conv2D(filters, kernel_size, padding="same", use_bias=False,
                  kernel_regularizer=penalty(reg), name="stem_conv")(x)


def _pooled_stem(x: Symbol, filters: int, reg: float) -> Symbol:
    """Return maps of half the rows.

    The book pads by a row of zeros before the pool. After relu that is the pool's own padding.
    """
    y = norm_act(_stem(x, filters, reg, 5), BN, name="stem")
    return MaxPooling2D(3, 2, 1, name="stem_pool")(y)
