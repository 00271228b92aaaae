"""The smallest network of the book: one convolution and a dense layer."""

from __future__ import annotations

from ..nn import Input, Model
from ..nn.layers import Flatten
from .blocks import conv_module, softmax_head
from .blocks.modules import ACT


def shallownet(input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 10) -> Model:
    """Return the network: images (N, H, W, C) to probabilities (N, classes).

    A 3x3 convolution of 32 channels, relu, dense. The book names the network and takes its layers
    from the volume before; these are the usual ones.

    >>> shallownet().count_parameters()
    328586
    """
    x = Input(input_shape)
    y = conv_module(x, 32, 3, order=ACT, name="block1")
    y = Flatten(name="flatten")(y)
    return Model(x, softmax_head(y, classes), name="shallownet")
