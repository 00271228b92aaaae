"""MiniGoogLeNet: small Inception modules for CIFAR-10, 1,656,250 parameters."""

from __future__ import annotations

from ..nn import Input, Model
from ..nn.layers import AveragePooling2D, Dropout, Flatten
from .blocks import conv_module, downsample_module, miniception_module, softmax_head

STAGES = {
    "1": ((32, 32), (32, 48)),
    "2": ((112, 48), (96, 64), (80, 80), (48, 96)),
    "3": ((176, 160), (176, 160)),
}
"""Filters of the 1x1 and 3x3 convolutions of each module, by stage."""
DOWNSAMPLE = {"1": 80, "2": 96}
"""Filters of the convolution that ends a stage; the pool beside it keeps the stage's channels."""


def minigooglenet(input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 10) -> Model:
    """Return the network: images (N, 32, 32, 3) to probabilities (N, classes).

    Batch normalisation stands before the activation, no weight is penalised, and the downsampling
    modules do not pad: 32, 15 and 7 rows. The last pool takes 7 x 7. Modules are 1a, 1b, down1, 2a
    to 2d, down2, 3a, 3b.

    Source: Zhang et al. 2017; the book, chapter 11 (which calls the model "googlenet").

    >>> minigooglenet().count_parameters()
    1656250
    """
    x = Input(input_shape)
    y = conv_module(x, 96, 3, name="block1")
    for stage, modules in STAGES.items():
        for letter, filters in zip("abcd", modules, strict=False):
            y = miniception_module(y, filters, f"{stage}{letter}")
        if stage in DOWNSAMPLE:
            y = downsample_module(y, DOWNSAMPLE[stage], f"down{stage}")
    y = AveragePooling2D(7, name="pool")(y)
    y = Dropout(0.5, name="do")(y)
    y = Flatten(name="flatten")(y)
    return Model(x, softmax_head(y, classes), name="minigooglenet")
