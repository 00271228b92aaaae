"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import config, dispatch
from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..spec import Shape
from . import activations, initializers
from .holder import Buffer
from .module import Module, weight_options


class _Normalization(Module):
    """What normalising layers with a scale gamma and an offset beta share."""

    gamma: Parameter | None
    beta: Parameter | None

    def _set_scale(self, center: bool, scale: bool, beta: tuple[Any, ...], gamma: tuple[Any, ...]
                   ) -> None:
        self.center, self.scale = center, scale
        self.beta_options, self.gamma_options = weight_options(*beta), weight_options(*gamma)

    def build(self, input_shape: Shape) -> None:
        """Make gamma and beta, one value per channel."""
        channels = (input_shape[-1],)
        self.gamma = self.beta = None
        if self.scale:
            self.add_weight("gamma", channels, *self.gamma_options)
        if self.center:
            self.add_weight("beta", channels, *self.beta_options)


def _last_axis(layer: str, axis: Any) -> None:
    if axis not in (-1, [-1], (-1,)):
        raise ArgumentError(layer, f"got axis={axis}", "expected -1, the channels",
                            "Put the channels last (layers.Permute).")


class BatchNormalization(_Normalization):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel, then an activation.

    In training the statistics are those of the batch, over all axes but the last, and
    moving = momentum moving + (1 - momentum) batch. Otherwise, and where the layer is frozen, they
    are the moving ones. Source: Ioffe and Szegedy 2015.

    Args:
        center: whether there is a beta.
        scale: whether there is a gamma.
        activation: name or function, applied last.
    """

    moving_mean: Buffer
    moving_variance: Buffer

    def __init__(self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3,
                 center: bool = True, scale: bool = True, beta_initializer: Any = "zeros",
                 gamma_initializer: Any = "ones", moving_mean_initializer: Any = "zeros",
                 moving_variance_initializer: Any = "ones", beta_regularizer: Any = None,
                 gamma_regularizer: Any = None, beta_constraint: Any = None,
                 gamma_constraint: Any = None, activation: Any = None, **base: Any) -> None:
        super().__init__(**base)
        _last_axis("BatchNormalization", axis)
        self.momentum, self.epsilon = momentum, epsilon
        self.activation = activations.get(activation)
        self.moving_initializers = (initializers.get(moving_mean_initializer),
                                    initializers.get(moving_variance_initializer))
        self._set_scale(center, scale, (beta_initializer, beta_regularizer, beta_constraint),
                        (gamma_initializer, gamma_regularizer, gamma_constraint))

    def build(self, input_shape: Shape) -> None:
        """Make the weights and the moving statistics, one value per channel."""
        super().build(input_shape)
        for name, draw in zip(("moving_mean", "moving_variance"), self.moving_initializers,
                              strict=True):
            shape, dtype = (input_shape[-1],), np.dtype(self.dtype)
            self.register_buffer(name, draw(shape, dtype, (1.0, 1.0)))

    def forward(self, x: Tensor, activation: activations.Function | None = None) -> Tensor:
        """Return activation(normalised x), by default with the layer's own activation."""
        activation = activation or self.activation
        if not (self.training and self.trainable):
            return activations.apply(
                activation, (F.batch_norm_inference, F.batch_norm_inference_relu), x,
                self.moving_mean, self.moving_variance, self.gamma, self.beta, self.epsilon)
        relu = activation is F.relu
        y, mean, variance = (F.batch_norm_relu if relu else F.batch_norm)(
            x, self.gamma, self.beta, self.epsilon)
        if not config.only_shapes():
            self._move(mean.array, variance.array)
        return y if relu else activation(y)

    def _move(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Bring the moving statistics a step nearer to those of the batch, in place."""
        moving = self.moving_mean, self.moving_variance
        arrays = [buffer.array for buffer in moving]
        dispatch.run("move_statistics", *arrays, mean, variance, momentum=self.momentum,
                     out=arrays)
        for buffer in moving:
            buffer.storage.version += 1


class LayerNormalization(_Normalization):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta over the last axis.

    Source: Ba et al. 2016.
    """

    def __init__(self, axis: int = -1, epsilon: float = 1e-3, center: bool = True,
                 scale: bool = True, beta_initializer: Any = "zeros",
                 gamma_initializer: Any = "ones", beta_regularizer: Any = None,
                 gamma_regularizer: Any = None, beta_constraint: Any = None,
                 gamma_constraint: Any = None, **base: Any) -> None:
        super().__init__(**base)
        _last_axis("LayerNormalization", axis)
        self.epsilon = epsilon
        self._set_scale(center, scale, (beta_initializer, beta_regularizer, beta_constraint),
                        (gamma_initializer, gamma_regularizer, gamma_constraint))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values."""
        return F.layer_norm(x, self.gamma, self.beta, self.epsilon)


class GroupNormalization(_Normalization):
    """Normalisation of each sample over groups of channels and all positions (Wu and He 2018).

    Args:
        groups: number of groups; -1 for one per channel (instance normalisation).
    """

    def __init__(self, groups: int = 32, axis: int = -1, epsilon: float = 1e-3,
                 center: bool = True, scale: bool = True, beta_initializer: Any = "zeros",
                 gamma_initializer: Any = "ones", beta_regularizer: Any = None,
                 gamma_regularizer: Any = None, beta_constraint: Any = None,
                 gamma_constraint: Any = None, **base: Any) -> None:
        super().__init__(**base)
        _last_axis("GroupNormalization", axis)
        self.groups, self.epsilon = groups, epsilon
        self._set_scale(center, scale, (beta_initializer, beta_regularizer, beta_constraint),
                        (gamma_initializer, gamma_regularizer, gamma_constraint))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values."""
        groups = x.shape[-1] if self.groups == -1 else self.groups
        return F.group_norm(x, self.gamma, self.beta, groups, self.epsilon)


class LocalResponseNormalization(Module):
    """y = x / (bias + alpha s)^beta, s the sum of x^2 over the 2 depth_radius + 1 nearest channels.

    The defaults are those of AlexNet (Krizhevsky et al. 2012, section 3.3).
    """

    def __init__(self, depth_radius: int = 2, alpha: float = 1e-4, beta: float = 0.75,
                 bias: float = 2.0, **base: Any) -> None:
        super().__init__(**base)
        self.depth_radius, self.alpha, self.beta, self.bias = depth_radius, alpha, beta, bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values."""
        return F.local_response_norm(x, depth_radius=self.depth_radius, alpha=self.alpha,
                                     beta=self.beta, bias=self.bias)
