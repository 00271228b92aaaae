"""The book's residual network for CIFAR-10: three stages of nine modules."""

from __future__ import annotations

from collections.abc import Sequence

from ..nn import Model
from .resnet_preactivation import resnet_preactivation

FILTERS = {1: (16, 16, 32, 64), 2: (16, 64, 128, 256), 3: (64, 64, 128, 256)}
"""Of the first convolution and of each stage, by experiment of the book; 4 repeats those of 3."""


def resnet_cifar(filters: Sequence[int] = FILTERS[3], reg: float = 0.0005, classes: int = 10,
                 stages: Sequence[int] = (9, 9, 9), reg_everywhere: bool = False) -> Model:
    """Return the network: images (N, 32, 32, 3) to probabilities (N, classes).

    By default that of experiments 3 and 4, with 886,102 parameters. The filters of experiments 1
    and 2 give 60,790 and 880,774; both have reg=0.0001. See `resnet_preactivation` for what `reg`
    reaches. The book calls the network "ResNet-56", but with bottlenecks it is 83 layers deep.

    >>> resnet_cifar(FILTERS[1], reg=0.0001).count_parameters()
    60790
    """
    return resnet_preactivation((32, 32, 3), classes, stages, filters, reg,
                                reg_everywhere=reg_everywhere, name="resnet_cifar")
