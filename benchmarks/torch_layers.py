"""The table of layers: how PyTorch's module is made from each layer of minidl.

A rule gets the builder, the layer, its input (a list where it takes several) and the shape of its
output in minidl, and returns the output.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import torch
from torch import nn
from torch_mirror import Builder, MirrorError, Rule, Shape, Value

from minidl.nn.activations import name_of
from minidl.spec import padding_pairs

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softplus": nn.Softplus,
    "gelu": nn.GELU, "silu": nn.SiLU, "relu6": nn.ReLU6, "elu": nn.ELU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2), "softmax": lambda: nn.Softmax(-1),
    "log_softmax": lambda: nn.LogSoftmax(-1),
}
LAST_AXIS = ("softmax", "log_softmax")  # our channels, PyTorch's only in rows


def activated(b: Builder, x: Value, function: Any, part: str = "activation") -> Value:
    """Return an activation function of x."""
    name = name_of(function)
    if name == "linear":
        return x
    if name not in ACTIVATIONS or (name in LAST_AXIS and len(x.shape) > 2):
        raise MirrorError(f"no rule for the activation {function} of {x.shape}")
    return Value(b.call(ACTIVATIONS[name], x.node, part), x.shape, x.order)


# ---- convolution and pooling ---------------------------------------------------------------


def _pads(layer: Any, x: Value, window: Any, dilation: Any) -> list[tuple[int, int]]:
    sizes: Any = x.shape[1:-1]
    return list(padding_pairs(layer.name, layer.padding, sizes, window, layer.strides, dilation))


def _padded(b: Builder, x: Value, pads: list[tuple[int, int]], fill: float = 0.0) -> Value:
    """Return x with padding around it, as a module of its own."""
    flat: Any = tuple(n for pair in pads[::-1] for n in pair)
    zeros = nn.ZeroPad2d if len(pads) == 2 and fill == 0 else None
    constant: Any = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d}[len(pads)]
    make = partial(zeros, flat) if zeros else partial(constant, flat, fill)
    return Value(b.call(make, x.node, "pad"), x.shape)


def conv(b: Builder, layer: Any, x: Value, shape: Shape, groups: int = 0) -> Value:
    """Conv1D, Conv2D, DepthwiseConv2D."""
    pads = _pads(layer, x, layer.kernel_size, layer.dilation_rate)
    even = all(before == after for before, after in pads)
    if not even:
        x = _padded(b, x, pads)
    options = {"stride": layer.strides, "padding": tuple(p for p, _ in pads) if even else 0,
               "dilation": layer.dilation_rate, "groups": groups or layer.groups,
               "bias": layer.use_bias}
    kind: Any = {1: nn.Conv1d, 2: nn.Conv2d}[len(pads)]
    make = partial(kind, x.shape[-1], shape[-1], layer.kernel_size, **options)
    y = Value(b.call(make, x.node), shape)
    axes = (*range(len(pads)), len(pads), len(pads) + 1)
    order = (axes[-2], axes[-1]) if groups else (axes[-1], axes[-2])
    b.link(layer.kernel, "weight", (*order, *axes[:-2]))
    b.link(layer.bias, "bias")
    return activated(b, y, layer.activation)


def depthwise(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """A convolution with a group per channel."""
    return conv(b, layer, x, shape, groups=int(x.shape[-1] or 0))


def pool(kinds: dict[int, Any], fill: float, b: Builder, layer: Any, x: Value, shape: Shape
         ) -> Value:
    """Maximum and mean of windows; padding that is not even comes from `ceil_mode` or before."""
    axes = len(layer.pool_size)
    pads = _pads(layer, x, layer.pool_size, (1,) * axes)
    options: dict[str, Any] = {"count_include_pad": False} if fill == 0 and any(map(any, pads)) \
        else {}
    if _overhangs(layer, x, shape, pads):
        options["ceil_mode"] = True
    elif all(before == after for before, after in pads):
        options["padding"] = tuple(p for p, _ in pads)
    elif fill == 0:
        raise MirrorError(f"{layer.name}: means with padding {pads}")
    else:
        x = _padded(b, x, pads, fill)
    return Value(b.call(partial(kinds[axes], layer.pool_size, layer.strides, **options), x.node),
                 shape)


def _overhangs(layer: Any, x: Value, shape: Shape, pads: list[tuple[int, int]]) -> bool:
    """Say whether the padding is that of `ceil_mode`: none before, part of a window after."""
    def length(size: Any, window: int, stride: int) -> int:
        return -(-(size - window) // stride) + 1

    reached = tuple(map(length, x.shape[1:-1], layer.pool_size, layer.strides))
    return (any(map(any, pads)) and not any(before for before, _ in pads)
            and reached == shape[1:-1])


def global_pool(kinds: dict[int, Any], b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """One value per channel."""
    y = b.call(partial(kinds[len(x.shape) - 2], 1), x.node)
    return Value(y if layer.keepdims else b.function(torch.flatten, y, 1), shape)


def zero_padding(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """Zeros around images and sequences."""
    flat = tuple(n for pair in layer.padding[::-1] for n in pair)
    make = partial(nn.ZeroPad2d, flat) if len(flat) == 4 else partial(nn.ConstantPad1d, flat, 0.0)
    return Value(b.call(make, x.node), shape)


# ---- weights without windows ---------------------------------------------------------------


def dense(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """A linear module; after a flattened image, its columns in PyTorch's order."""
    if len(x.shape) != 2:
        raise MirrorError(f"{layer.name}: dense layer of {x.shape}")
    make = partial(nn.Linear, x.shape[-1], layer.units, layer.use_bias)  # type: ignore[arg-type]
    y = Value(b.call(make, x.node), shape)
    b.link(layer.kernel, "weight", (1, 0), x.order)
    b.link(layer.bias, "bias")
    return activated(b, y, layer.activation)


def embedding(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """A table of rows; the channels come before the positions."""
    y = b.call(partial(nn.Embedding, *layer.shape), x.node)
    b.link(layer.embeddings, "weight", (0, 1))
    return Value(b.function(torch.transpose, y, 1, 2) if len(shape) == 3 else y, shape)


def batch_norm(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """Normalisation per channel; PyTorch's momentum is the share of the new value."""
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    make = partial(kind, shape[-1], layer.epsilon, 1 - layer.momentum)  # type: ignore[arg-type]
    affine = layer.center or layer.scale
    y = Value(b.call(partial(make, affine), x.node), shape, x.order)
    ours = {"weight": layer.gamma, "bias": layer.beta, "running_mean": layer.moving_mean,
            "running_var": layer.moving_variance}
    for name, tensor in ours.items():
        b.link(tensor, name, (0,), x.order)
        if tensor is None and affine:  # PyTorch has both or none
            getattr(b.root.get_submodule(b.name()), name).requires_grad_(False)
    return activated(b, y, layer.activation)


def local_response(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """PyTorch divides alpha by the number of channels in the window."""
    size = 2 * layer.depth_radius + 1
    make = partial(nn.LocalResponseNorm, size, layer.alpha * size, layer.beta, layer.bias)
    return Value(b.call(make, x.node), shape)


# ---- no weights ----------------------------------------------------------------------------


def activation(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """An activation by name as a layer."""
    return activated(b, x, layer.activation, "")


def relu(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """ReLU with its plain settings, or with a slope, or up to 6."""
    settings = (layer.max_value, layer.threshold, layer.negative_slope)
    if settings == (6.0, 0, 0):
        return Value(b.call(nn.ReLU6, x.node), shape, x.order)
    if settings[:2] != (None, 0):
        raise MirrorError(f"no rule for {layer!r}")
    slope = layer.negative_slope
    make = partial(nn.LeakyReLU, slope) if slope else nn.ReLU
    return Value(b.call(make, x.node), shape, x.order)


def softmax(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """Probabilities of rows."""
    if layer.axis not in (-1, len(shape) - 1) or len(shape) != 2:
        raise MirrorError(f"softmax along axis {layer.axis} of {shape}")
    return Value(b.call(ACTIVATIONS["softmax"], x.node), shape)


def simple(make: Callable[[Any], nn.Module], b: Builder, layer: Any, x: Value, shape: Shape
           ) -> Value:
    """A module that works element by element, or on whole channels."""
    return Value(b.call(lambda: make(layer), x.node), shape, x.order)


def flatten(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """Rows of images; their elements lie as (C, H, W), ours as (H, W, C)."""
    if x.order or len(x.shape) == 2:
        return Value(x.node, shape, x.order)
    size: Any = (1, *x.shape[1:]) if len(x.shape) == 3 else x.shape[1:]
    mixed = size[2] > 1 and size[0] * size[1] > 1
    return Value(b.function(torch.flatten, x.node, 1), shape, tuple(size) if mixed else None)


def rescaling(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """x scale + offset with numbers."""
    if not all(isinstance(v, (int, float)) for v in (layer.scale, layer.offset)):
        raise MirrorError(f"{layer.name}: a scale per channel")
    y = b.function(operator.mul, x.node, float(layer.scale))
    return Value(b.function(operator.add, y, float(layer.offset)) if layer.offset else y, shape)


def add(b: Builder, layer: Any, inputs: list[Value], shape: Shape) -> Value:
    """The sum of all inputs."""
    return Value(reduce(partial(b.function, operator.add), [x.node for x in inputs]), shape)


def concatenate(b: Builder, layer: Any, inputs: list[Value], shape: Shape) -> Value:
    """Channels side by side."""
    if layer.axis not in (-1, len(shape) - 1) or any(x.order for x in inputs):
        raise MirrorError(f"{layer.name}: side by side along axis {layer.axis}")
    return Value(b.function(torch.cat, [x.node for x in inputs], 1), shape)


def identity(b: Builder, layer: Any, x: Value, shape: Shape) -> Value:
    """Nothing."""
    return x


_MAX: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
_MEAN: dict[int, Any] = {1: nn.AvgPool1d, 2: nn.AvgPool2d}
_GLOBAL_MAX: dict[int, Any] = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d}
_GLOBAL_MEAN: dict[int, Any] = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d}
_MAX_POOL = partial(pool, _MAX, float("-inf"))
_MEAN_POOL = partial(pool, _MEAN, 0.0)

RULES: dict[str, Rule] = {
    "Conv1D": conv, "Conv2D": conv, "DepthwiseConv2D": depthwise,
    "MaxPooling1D": _MAX_POOL, "MaxPooling2D": _MAX_POOL,
    "AveragePooling1D": _MEAN_POOL, "AveragePooling2D": _MEAN_POOL,
    "GlobalMaxPooling1D": partial(global_pool, _GLOBAL_MAX),
    "GlobalMaxPooling2D": partial(global_pool, _GLOBAL_MAX),
    "GlobalAveragePooling1D": partial(global_pool, _GLOBAL_MEAN),
    "GlobalAveragePooling2D": partial(global_pool, _GLOBAL_MEAN),
    "ZeroPadding1D": zero_padding, "ZeroPadding2D": zero_padding,
    "Dense": dense, "Embedding": embedding, "BatchNormalization": batch_norm,
    "LocalResponseNormalization": local_response,
    "Activation": activation, "ReLU": relu, "Softmax": softmax,
    "LeakyReLU": partial(simple, lambda layer: nn.LeakyReLU(layer.negative_slope)),
    "ELU": partial(simple, lambda layer: nn.ELU(layer.alpha)),
    "Dropout": partial(simple, lambda layer: nn.Dropout(layer.rate)),
    "SpatialDropout1D": partial(simple, lambda layer: nn.Dropout1d(layer.rate)),
    "SpatialDropout2D": partial(simple, lambda layer: nn.Dropout2d(layer.rate)),
    "Flatten": flatten, "Rescaling": rescaling, "Identity": identity,
    "Add": add, "Concatenate": concatenate,
}
