"""MiniVGGNet: four 3x3 convolutions in two blocks, for small images."""

from __future__ import annotations

from ..nn import Input, Model, Symbol
from ..nn.layers import Dropout, Flatten, MaxPooling2D
from .blocks import conv_module, dense_module, softmax_head
from .blocks.modules import ACT_BN


def minivggnet(input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 10) -> Model:
    """Return the network: images (N, H, W, C) in [0, 1] to probabilities (N, classes).

    Twice (convolution, relu, batch normalisation) x 2, pool, dropout 0.25, with 32 and then 64
    channels; dense 512, relu, batch normalisation, dropout 0.5; dense. Normalisation stands after
    the activation, and convolutions have a bias. The book takes the layers from the volume before;
    these are the usual ones.

    >>> minivggnet().count_parameters()
    2171178
    >>> minivggnet((64, 64, 3), 17).count_parameters()
    8466225
    """
    x = Input(input_shape)
    y = _block(_block(x, 32, 1), 64, 2)
    y = dense_module(Flatten(name="flatten")(y), 512, name="fc1")
    y = Dropout(0.5, name="dropout3")(y)
    return Model(x, softmax_head(y, classes), name="minivggnet")


def _block(x: Symbol, filters: int, number: int) -> Symbol:
    for part in "ab":
        x = conv_module(x, filters, 3, order=ACT_BN, name=f"block{number}{part}")
    x = MaxPooling2D(2, name=f"pool{number}")(x)
    return Dropout(0.25, name=f"dropout{number}")(x)
