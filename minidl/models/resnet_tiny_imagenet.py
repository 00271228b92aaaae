"""The book's residual network for Tiny ImageNet: stages of three, four and six modules."""

from __future__ import annotations

from collections.abc import Sequence

from ..nn import Model
from .resnet_preactivation import resnet_preactivation


def resnet_tiny_imagenet(classes: int = 200, reg: float = 0.0005,
                         stages: Sequence[int] = (3, 4, 6),
                         filters: Sequence[int] = (64, 128, 256, 512),
                         reg_everywhere: bool = False) -> Model:
    """Return the network: images (N, 64, 64, 3) to probabilities (N, classes).

    The stem pools, so that the stages see 32 x 32. See `resnet_preactivation` for what `reg`
    reaches.

    >>> resnet_tiny_imagenet().count_parameters()
    2265748
    """
    return resnet_preactivation((64, 64, 3), classes, stages, filters, reg, pooled_stem=True,
                                reg_everywhere=reg_everywhere, name="resnet_tiny_imagenet")
