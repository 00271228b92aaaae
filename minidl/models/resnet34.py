"""ResNet-34: residual blocks of two 3x3 convolutions."""

from __future__ import annotations

from ..nn import Model
from .blocks import basic_block
from .blocks.residual import TORCH
from .resnet_original import resnet_original


def resnet34(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000,
             include_top: bool = True) -> Model:
    """Return the network: images (N, H, W, 3) to probabilities (N, classes).

    21,797,672 parameters, as in torchvision, and 21,814,696 with the moving statistics. No
    convolution has a bias; batch normalisation has epsilon 1e-5 and momentum 0.9.

    Args:
        include_top: add the dense layer; without it the output is the features (N, 512).

    Source: He et al. 2015, table 1.

    >>> resnet34().count_parameters()
    21814696
    """
    return resnet_original(basic_block, (3, 4, 6, 3), 64, input_shape, classes, include_top, TORCH,
                           "resnet34")
