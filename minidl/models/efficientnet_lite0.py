"""EfficientNet-Lite0: inverted residual blocks, without squeeze and excitation."""

from __future__ import annotations

from ..nn import Input, Model
from ..nn.initializers import VarianceScaling
from ..nn.layers import Dense, Dropout, GlobalAveragePooling2D
from .blocks import conv_module, inverted_residual
from .blocks.inverted import BN, KERNEL
from .pretrained import From, Pretrained

STAGES = ((1, 16, 3, 1, 1), (2, 24, 3, 2, 6), (2, 40, 5, 2, 6), (3, 80, 3, 2, 6),
          (3, 112, 5, 1, 6), (4, 192, 5, 2, 6), (1, 320, 3, 1, 6))
"""Blocks, channels, window, steps of the first block, and expansion, by stage."""

HEAD = VarianceScaling(1 / 3, "fan_out", "uniform")
"""Initial values of the dense layer's kernel."""


def efficientnet_lite0(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000,
                       include_top: bool = True, weights: From = None) -> Model:
    """Return the network: images (N, H, W, 3) to probabilities (N, classes).

    Convolution 3x3 / 2 of 32 channels; sixteen inverted residual blocks; 1x1 convolution of 1280
    channels; mean over all positions; dropout 0.2; dense. ReLU6 after every normalisation but the
    last of a block; "same" padding. Blocks are never left out at random in training, as the source
    does. Names are those of Keras' EfficientNet: stem_conv, block1a_dwconv, block2b_add, top_conv,
    avg_pool, predictions. 4,694,024 parameters, 4,652,008 of which are trained.

    Args:
        include_top: add dropout and the dense layer; without them the output is the features
            (N, 1280) of avg_pool.
        weights: a file, "imagenet", or None for random ones (see `minidl.models.pretrained`).

    Source: Tan and Le 2019, table 1; TensorFlow's lite variants of it (2020).

    >>> efficientnet_lite0(include_top=False).output_shape
    (None, 1280)
    """
    trained = Pretrained.find("efficientnet_lite0", weights, None, include_top)
    x = Input(input_shape)
    y = conv_module(x, 32, 3, 2, use_bias=False, bn=BN, kernel_initializer=KERNEL,
                    activation="relu6", name="stem")
    for stage, (count, channels, size, strides, expansion) in enumerate(STAGES, 1):
        for number in range(count):
            y = inverted_residual(y, channels, size, 1 if number else strides, expansion,
                                  name=f"block{stage}{'abcd'[number]}")
    y = conv_module(y, 1280, 1, use_bias=False, bn=BN, kernel_initializer=KERNEL,
                    activation="relu6", name="top")
    y = GlobalAveragePooling2D(name="avg_pool")(y)
    if include_top:
        y = Dropout(0.2, name="top_dropout")(y)
        y = Dense(classes, activation="softmax", kernel_initializer=HEAD, name="predictions")(y)
    return trained.into(Model(x, y, name="efficientnet_lite0"))
