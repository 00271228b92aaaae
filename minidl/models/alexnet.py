"""AlexNet in the book's form, with batch normalisation: 58,327,810 parameters for two classes."""

from __future__ import annotations

from ..nn import Input, Model, Symbol
from ..nn.layers import Dropout, Flatten, MaxPooling2D
from .blocks import conv_module, dense_module, softmax_head
from .blocks.modules import ACT_BN


def alexnet(input_shape: tuple[int, int, int] = (227, 227, 3), classes: int = 2,
            reg: float = 0.0002) -> Model:
    """Return the network: images (N, 227, 227, 3) to probabilities (N, classes).

    Five convolutions and three dense layers. What differs from the paper: batch normalisation
    after every relu, dropout 0.25 after every pool, no local response normalisation, no split over
    two devices, and "same" padding in the first convolution (57 rows, not 55).

    Args:
        reg: L2 factor on the kernels of all convolutions and all dense layers, the last one too.

    Source: Krizhevsky et al. 2012; the book, chapter 10.

    >>> alexnet().output_shape
    (None, 2)
    """
    def conv(x: Symbol, filters: int, size: int, name: str, strides: int = 1) -> Symbol:
        return conv_module(x, filters, size, strides, order=ACT_BN, reg=reg, name=name)

    x = Input(input_shape)
    y = _pooled(conv(x, 96, 11, "block1", strides=4), 1)  # (57, 57, 96), (28, 28, 96)
    y = _pooled(conv(y, 256, 5, "block2"), 2)             # (28, 28, 256), (13, 13, 256)
    y = conv(conv(y, 384, 3, "block3a"), 384, 3, "block3b")
    y = _pooled(conv(y, 256, 3, "block3c"), 3)            # (13, 13, 256), (6, 6, 256)
    y = Flatten(name="flatten")(y)                        # (9216,)
    for number in (1, 2):
        y = dense_module(y, 4096, reg=reg, name=f"fc{number}")
        y = Dropout(0.5, name=f"dropout{number + 3}")(y)
    return Model(x, softmax_head(y, classes, reg), name="alexnet")


def _pooled(x: Symbol, number: int) -> Symbol:
    x = MaxPooling2D(3, 2, name=f"pool{number}")(x)
    return Dropout(0.25, name=f"dropout{number}")(x)
