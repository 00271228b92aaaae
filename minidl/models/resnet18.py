"""ResNet-18: residual blocks of two 3x3 convolutions."""

from __future__ import annotations

from ..nn import Model
from .blocks import basic_block
from .blocks.residual import TORCH
from .resnet_original import resnet_original


def resnet18(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000,
             include_top: bool = True) -> Model:
    """Return the network: images (N, H, W, 3) to probabilities (N, classes).

    11,689,512 parameters, as in torchvision, and 11,699,112 with the moving statistics. No
    convolution has a bias; batch normalisation has epsilon 1e-5 and momentum 0.9.

    Args:
        include_top: add the dense layer; without it the output is the features (N, 512).

    Source: He et al. 2015, table 1.

    >>> resnet18().count_parameters()
    11699112
    """
    return resnet_original(basic_block, (2, 2, 2, 2), 64, input_shape, classes, include_top, TORCH,
                           "resnet18")
