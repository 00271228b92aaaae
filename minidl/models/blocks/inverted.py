"""Inverted residual blocks: wide inside, narrow at both ends, a depthwise convolution between.

Source: Sandler et al. 2018 (MobileNetV2); Tan and Le 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...nn import Symbol
from ...nn.initializers import VarianceScaling
from ...nn.layers import Activation, Add, BatchNormalization, DepthwiseConv2D
from .modules import conv_module, named

BN: Mapping[str, Any] = {"epsilon": 1e-3, "momentum": 0.99}
"""Batch normalisation in EfficientNet."""

KERNEL = VarianceScaling(2.0, "fan_out", "untruncated_normal")
"""Initial values of its kernels: variance 2 / outputs, which for a depthwise one is 2 / window."""


def inverted_residual(x: Symbol, filters: int, kernel_size: int, strides: int = 1,
                      expansion: int = 6, activation: Any = "relu6",
                      bn: Mapping[str, Any] | None = None, name: str | None = None) -> Symbol:
    """Return x widened, convolved channel by channel and narrowed, plus x where the shape stays.

    1x1 of expansion C channels ({name}_expand_conv, _expand_bn, _expand_act; left out where the
    expansion is 1); depthwise of kernel_size with the steps (_dwconv, _bn, _act); 1x1 of `filters`
    without activation (_project_conv, _project_bn); _add. No convolution has a bias.

    Args:
        bn: arguments of the batch normalisations; epsilon 1e-3 and momentum 0.99 by default.

    >>> from minidl.nn import Input
    >>> inverted_residual(Input((56, 56, 24)), 40, 5, strides=2).shape
    (None, 28, 28, 40)
    """
    bn = BN if bn is None else bn
    y, channels = x, int(x.shape[-1] or 0)
    shared: dict[str, Any] = {"use_bias": False, "bn": bn, "kernel_initializer": KERNEL}
    if expansion > 1:
        y = conv_module(y, expansion * channels, 1, activation=activation,
                        name=named(name, "expand"), **shared)
    y = DepthwiseConv2D(kernel_size, strides, "same", use_bias=False,
                        depthwise_initializer=KERNEL, name=named(name, "dwconv"))(y)
    y = BatchNormalization(**bn, name=named(name, "bn"))(y)
    y = Activation(activation, name=named(name, "act"))(y)
    y = conv_module(y, filters, 1, order=("conv", "bn"), name=named(name, "project"), **shared)
    same = strides == 1 and filters == channels
    return Add(name=named(name, "add"))([y, x]) if same else y
