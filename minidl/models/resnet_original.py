"""The residual networks of 2015 for images of 224 x 224, of any depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..nn import Input, Model, Symbol
from ..nn.layers import Dense, GlobalAveragePooling2D, MaxPooling2D
from .blocks import conv_module
from .blocks.residual import Style


def resnet_original(block: Callable[..., Symbol], stages: Sequence[int], width: int,
                    input_shape: tuple[int, int, int], classes: int, include_top: bool,
                    style: Style, name: str) -> Model:
    """Return the network: images (N, H, W, 3) to probabilities (N, classes).

    Convolution 7x7 / 2 of 64 channels, batch normalisation, relu, max pool 3x3 / 2; four stages;
    mean over all positions; dense. A stage's first block takes the steps (2, but 1 in the first
    stage); it projects wherever the shape changes, and elsewhere the shortcut is x itself. Kernels
    start from He's distribution. Names are those of Keras: conv1_conv, conv2_block1_1_conv and so
    on, _0_ being the projection; the last are avg_pool and predictions.

    Args:
        block: `basic_block` or `bottleneck_block`.
        stages: number of blocks in each stage.
        width: channels of the first stage's blocks; every further stage has twice as many.
        include_top: add the dense layer; without it the output is that of avg_pool.
        style: what releases do differently.

    Source: He et al. 2015, table 1.
    """
    x = Input(input_shape)
    y = conv_module(x, 64, 7, 2, 3, use_bias=style.use_bias, bn=style.bn,
                    kernel_initializer="he_normal", name="conv1")
    y = MaxPooling2D(3, 2, 1, name="pool1")(y)
    for stage, count in enumerate(stages):
        channels = width * 2 ** stage
        for number in range(1, count + 1):
            strides = 2 if number == 1 and stage else 1
            y = block(y, channels, strides, strides > 1 or y.shape[-1] != channels, style=style,
                      name=f"conv{stage + 2}_block{number}")
    y = GlobalAveragePooling2D(name="avg_pool")(y)
    if include_top:
        y = Dense(classes, activation="softmax", name="predictions")(y)
    return Model(x, y, name=name)
