"""The smallest blocks: a convolution or a dense layer with its normalisation and activation.

Blocks are functions of symbols: each call makes fresh layers, and their names begin with the
block's. Without a name the model numbers them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...nn import Symbol
from ...nn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
)
from ...nn.regularizers import L2

Order = Sequence[str]

BN_ACT: Order = ("conv", "bn", "act")
"""Normalise what is activated (Ioffe and Szegedy 2015)."""
ACT_BN: Order = ("conv", "act", "bn")
"""Normalise what was activated: the book's AlexNet and MiniVGGNet."""
ACT: Order = ("conv", "act")
"""No normalisation."""


def penalty(reg: float) -> L2 | None:
    """Return reg sum w^2 as a regularizer; none for 0."""
    return L2(reg) if reg else None


def named(block: str | None, part: str) -> str | None:
    """Return the name of a layer in a block; none in a block without a name.

    >>> named("block1", "conv")
    'block1_conv'
    """
    return None if block is None else f"{block}_{part}"


def conv_module(x: Symbol, filters: int, kernel_size: int | Sequence[int],
                strides: int | Sequence[int] = 1, padding: Any = "same", *, order: Order = BN_ACT,
                reg: float = 0.0, use_bias: bool = True, bn: Mapping[str, Any] | None = None,
                kernel_initializer: Any = "glorot_uniform", activation: Any = "relu",
                name: str | None = None) -> Symbol:
    """Return a convolution of x, normalised and activated: {name}_conv, {name}_bn, {name}_act.

    Args:
        order: the parts and their order, such as `BN_ACT`, `ACT_BN`, `ACT` or ("conv", "bn").
        reg: L2 factor on the kernel.
        bn: arguments of the batch normalisation.

    >>> from minidl.nn import Input, Model
    >>> x = Input((32, 32, 3))
    >>> list(Model(x, conv_module(x, 96, 3, order=ACT_BN, name="block1")).named_children())
    ['block1_conv', 'block1_act', 'block1_bn']
    """
    conv = Conv2D(filters, kernel_size, strides, padding, use_bias=use_bias,
                  kernel_initializer=kernel_initializer, kernel_regularizer=penalty(reg),
                  name=named(name, "conv"))
    return _applied(x, conv, order, bn, activation, name)


def dense_module(x: Symbol, units: int, *, order: Order = ACT_BN, reg: float = 0.0,
                 bn: Mapping[str, Any] | None = None, activation: Any = "relu",
                 name: str | None = None) -> Symbol:
    """Return a dense layer of x, activated and normalised: {name}_dense, {name}_act, {name}_bn.

    Args:
        order: as in `conv_module`; "conv" stands for the dense layer.
    """
    dense = Dense(units, kernel_regularizer=penalty(reg), name=named(name, "dense"))
    return _applied(x, dense, order, bn, activation, name)


def norm_act(x: Symbol, bn: Mapping[str, Any] | None = None, activation: Any = "relu",
             name: str | None = None) -> Symbol:
    """Return x normalised, then activated: {name}_bn, {name}_act."""
    return _applied(x, None, ("bn", "act"), bn, activation, name)


def _applied(x: Symbol, product: Any, order: Order, bn: Mapping[str, Any] | None,
             activation: Any, name: str | None) -> Symbol:
    makers = {"conv": lambda: product,
              "bn": lambda: BatchNormalization(**(bn or {}), name=named(name, "bn")),
              "act": lambda: Activation(activation, name=named(name, "act"))}
    for part in order:
        x = makers[part]()(x)
    return x


def softmax_head(x: Symbol, classes: int, reg: float = 0.0) -> Symbol:
    """Return class probabilities of features (N, C): labels (a dense layer), then softmax."""
    x = Dense(classes, kernel_regularizer=penalty(reg), name="labels")(x)
    return Activation("softmax", name="softmax")(x)


def fc_head(x: Symbol, classes: int, units: int = 256, pooling: str | None = None) -> Symbol:
    """Return class probabilities from a new head for a trained body (the book's `FCHeadNet`).

    Flatten, dense `units` relu, dropout 0.5, dense `classes` softmax.

    Args:
        pooling: "avg" takes means over positions in place of flatten: a head of fewer weights, for
            bodies whose outputs are large.

    >>> from minidl.nn import Input, Model
    >>> x = Input((7, 7, 512))  # what the body of VGG16 makes of an image 224 x 224
    >>> Model(x, fc_head(x, 17)).count_parameters()
    6427153
    """
    x = (GlobalAveragePooling2D if pooling == "avg" else Flatten)(name="flatten")(x)
    x = Dense(units, activation="relu", name="head_dense")(x)
    x = Dropout(0.5, name="head_dropout")(x)
    return Dense(classes, activation="softmax", name="head_labels")(x)
