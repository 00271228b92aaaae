"""DeeperGoogLeNet: Inception modules for Tiny ImageNet, 3,667,976 parameters."""

from __future__ import annotations

from functools import partial

from ..nn import Input, Model
from ..nn.layers import AveragePooling2D, Dropout, Flatten, MaxPooling2D
from .blocks import conv_module, inception_modules, softmax_head


def deepergooglenet(input_shape: tuple[int, int, int] = (64, 64, 3), classes: int = 200,
                    reg: float = 0.0002, fourth: bool = True) -> Model:
    """Return the network: images (N, 64, 64, 3) to probabilities (N, classes).

    GoogLeNet with a first convolution 5x5 / 1 instead of 7x7 / 2, without modules 5a and 5b, and
    with batch normalisation before every relu; convolutions have a bias all the same. All names
    are the book's.

    Args:
        reg: L2 factor on the kernels of all convolutions and of the dense layer.
        fourth: have the modules 4a to 4e. The book's experiments 1 and 2 are without; whether the
            pool after them stayed, it does not say, here it does.

    Source: Szegedy et al. 2014; the book, chapter 11 (which calls the model "googlenet").

    >>> deepergooglenet().count_parameters()
    3667976
    >>> deepergooglenet(fourth=False).count_parameters()
    773752
    """
    conv, pool = partial(conv_module, reg=reg), partial(MaxPooling2D, 3, 2, "same")
    x = Input(input_shape)
    y = pool(name="pool1")(conv(x, 64, 5, name="block1"))    # (32, 32, 64)
    y = conv(conv(y, 64, 1, name="block2"), 192, 3, name="block3")
    y = pool(name="pool2")(y)                                # (16, 16, 192)
    y = inception_modules(y, "3a", "3b", reg=reg)
    y = pool(name="pool3")(y)                                # (8, 8, 480)
    if fourth:
        y = inception_modules(y, "4a", "4b", "4c", "4d", "4e", reg=reg)
    y = pool(name="pool4")(y)                                # (4, 4, 832)
    y = AveragePooling2D(4, name="pool5")(y)
    y = Flatten(name="flatten")(Dropout(0.4, name="do")(y))
    return Model(x, softmax_head(y, classes, reg), name="deepergooglenet")
