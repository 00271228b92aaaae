"""ResNet50: residual blocks of a 1x1, a 3x3 and a 1x1 convolution."""

from __future__ import annotations

from ..nn import Model
from .blocks import bottleneck_block
from .blocks.residual import KERAS, Style
from .pretrained import From, Pretrained
from .resnet_original import resnet_original


def resnet50(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000,
             include_top: bool = True, style: Style | None = None, weights: From = None) -> Model:
    """Return the network: images (N, H, W, 3) to probabilities (N, classes).

    Args:
        include_top: add the dense layer; without it the output is the features (N, 2048) that the
            book takes.
        style: `KERAS`, the network of the book, has biases in all convolutions, takes the steps in
            a block's first convolution, and counts 25,636,712 parameters. `TORCH` has no biases,
            takes the steps in the 3x3 convolution, and counts 25,557,032 without, 25,610,152 with
            the moving statistics. Both are in `minidl.models.blocks.residual`. By default the
            style of the weights, `KERAS` where they have none.
        weights: a file, "imagenet" (Keras' file, or torchvision's for style `TORCH`),
            "imagenet-torch", or None for random ones (see `minidl.models.pretrained`).

    Source: He et al. 2015, table 1; the book, chapter 10.

    >>> resnet50().count_parameters()
    25636712
    """
    trained = Pretrained.find("resnet50", weights, style, include_top)
    model = resnet_original(bottleneck_block, (3, 4, 6, 3), 256, input_shape, classes, include_top,
                            trained.style or style or KERAS, "resnet50")
    return trained.into(model)
