"""A convolution and the batch normalisation after it as one convolution, where nothing is trained.

With moving statistics, normalising is y scale + shift in each channel, scale = gamma /
sqrt(variance + epsilon): kernel and bias are multiplied instead of the maps, which are larger. The
layers keep their weights as they are; the products are made anew in every call, so that whatever
changes counts.
"""

from __future__ import annotations

from typing import Any

from .. import config
from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import Tensor
from . import activations
from .conv import Conv1D, Conv2D, DepthwiseConv2D
from .normalization import BatchNormalization

CONVOLUTIONS = (Conv1D, Conv2D, DepthwiseConv2D)
"""Layers whose forward takes `weights`; classes derived from them may do something else."""


def folds(first: Any, then: Any) -> bool:
    """Say whether two layers are a convolution and a normalisation, of minidl's own classes."""
    return type(first) in CONVOLUTIONS and type(then) is BatchNormalization


def is_due(first: Any, norm: Any) -> bool:
    """Say whether one convolution may do for both now: no gradients, moving statistics."""
    return (not (config.grad_enabled() or config.only_shapes())
            and first.activation is activations.linear and not (norm.training and norm.trainable))


def normalised(first: Any, norm: Any, x: Tensor, activation: activations.Function | None = None,
               more: Tensor | None = None, **options: Any) -> Tensor:
    """Return activation(norm(first(x))), or norm(first(x)) + more, by one convolution.

    Where x has fewer elements than the kernel, it takes less time to normalise the maps.

    Args:
        options: of the convolution.
    """
    if x.size < first.kernel.size:
        y = norm(first(x), **({} if activation is None else {"activation": activation}))
        return y if more is None else y + more
    options |= {"activation": activation} if more is None else {"more": more}
    last = norm.activation if more is None and activation is None else activations.linear
    return last(first(x, weights=weights(first, norm), **options))


def weights(first: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Return kernel and bias of the convolution that does for both.

    >>> import numpy as np
    >>> first, norm = Conv2D(4, 3), BatchNormalization(epsilon=0.0)
    >>> _ = norm(first(np.zeros((1, 5, 5, 2), "float32")))
    >>> norm.moving_variance.assign([4.0] * 4)
    >>> bool(np.allclose(weights(first, norm)[0].numpy(), first.kernel.numpy() / 2))
    True
    """
    scale = (norm.moving_variance + norm.epsilon) ** -0.5
    if norm.gamma is not None:
        scale = norm.gamma * scale
    mean = norm.moving_mean if first.bias is None else norm.moving_mean - first.bias
    shift = -(mean * scale)
    if norm.beta is not None:
        shift = norm.beta + shift
    by_filter = first.kernel.shape[-2:] if type(first) is DepthwiseConv2D else scale.shape
    return first.kernel * F.reshape(scale, by_filter), shift
