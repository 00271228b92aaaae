"""Blocks that networks are made of: functions from symbols to symbols."""

from __future__ import annotations

from .fire import fire_module
from .inception import (
    downsample_module,
    inception_module,
    inception_modules,
    miniception_module,
)
from .inverted import inverted_residual
from .modules import conv_module, dense_module, fc_head, norm_act, softmax_head
from .residual import basic_block, bottleneck_block, residual_module

__all__ = ["basic_block", "bottleneck_block", "conv_module", "dense_module", "downsample_module",
           "fc_head", "fire_module", "inception_module", "inception_modules", "inverted_residual",
           "miniception_module", "norm_act", "residual_module", "softmax_head"]
