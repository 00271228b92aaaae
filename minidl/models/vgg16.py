"""VGG16: thirteen 3x3 convolutions in five blocks."""

from __future__ import annotations

from ..nn import Input, Module, Sequential, Symbol
from ..nn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from .pretrained import From, Pretrained

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and their channels, by block."""


def vgg16(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000,
          include_top: bool = True, weights: From = None) -> Sequential:
    """Return the network: images (N, H, W, 3) to probabilities (N, classes).

    Relu stands inside the layers, so layers are numbered as in the book's list, less its input:
    2, 5, 9, 13 and 17 are the pools. As there, nothing is dropped between the dense layers; the
    paper drops half. 138,357,544 parameters; 14,714,688 without the top.

    Args:
        include_top: add flatten and the three dense layers; without them the output is that of
            block5_pool, (N, 7, 7, 512) for images of 224 x 224 and (N, 5, 5, 512) for 180 x 180.
        weights: a file, "imagenet" (Keras' file), "imagenet-torch", or None for random ones (see
            `minidl.models.pretrained`).

    Source: Simonyan and Zisserman 2014, configuration D.

    >>> body = vgg16((180, 180, 3), include_top=False)
    >>> body.output_shape, body.count_parameters()
    ((None, 5, 5, 512), 14714688)
    """
    trained = Pretrained.find("vgg16", weights, None, include_top)
    layers: list[Module | Symbol] = [Input(input_shape)]
    for block, (count, channels) in enumerate(BLOCKS, 1):
        layers += [Conv2D(channels, 3, padding="same", activation="relu",
                          name=f"block{block}_conv{i}") for i in range(1, count + 1)]
        layers += [MaxPooling2D(2, name=f"block{block}_pool")]
    if include_top:
        layers += [Flatten(name="flatten"),
                   Dense(4096, activation="relu", name="fc1"),
                   Dense(4096, activation="relu", name="fc2"),
                   Dense(classes, activation="softmax", name="predictions")]
    return trained.into(Sequential(layers, name="vgg16"))
