"""The layers as nodes of the ONNX format: one short function for each, found in a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn import layers as L  # noqa: N812
from ..nn.module import Module
from ..ops.conv_transpose.op import infer as infer_transposed
from ..spec import Pads, Spec, padding_pairs
from . import onnx_activations as plain
from .onnx_activations import activated
from .onnx_graph import Step, Value, first_axes, last_axes, refused

# ---- convolutions and pools ----------------------------------------------------------------


def _pads(step: Step, window: Any, strides: Any, dilation: Any) -> dict[str, Any]:
    """Return `pads`, before and after; of lengths that are not known "same" stays a word."""
    places, padding = step.x.shape[1:-1], step.layer.padding
    if padding == "same" and None in places and max(strides) > 1:
        return {"auto_pad": "SAME_UPPER"}
    sizes = tuple(n or 1 << 20 for n in places)  # at stride 1 "same" is the same for all lengths
    pairs = padding_pairs(type(step.layer).__name__, padding, sizes, tuple(window), tuple(strides),
                          tuple(dilation))
    return {"pads": _flat(pairs)}


def _flat(pairs: Pads) -> list[int]:
    return [before for before, _ in pairs] + [after for _, after in pairs]


def _with_bias(step: Step, op: str, kernel: np.ndarray, **attributes: Any) -> str:
    layer = step.layer
    names = [step.x.name, step.weight("kernel", kernel)]
    if layer.bias is not None:
        names.append(step.weight("bias", layer.bias.array))
    return activated(step, step.op(op, *names, kernel_shape=list(layer.kernel_size),
                                   strides=list(layer.strides),
                                   dilations=list(layer.dilation_rate), **attributes))


def conv(step: Step) -> str:
    """Write a convolution: the kernel (K, C / groups, KH, KW)."""
    layer = step.layer
    kernel = np.moveaxis(layer.kernel.array, (-1, -2), (0, 1))
    return _with_bias(step, "Conv", kernel, group=layer.groups,
                      **_pads(step, layer.kernel_size, layer.strides, layer.dilation_rate))


def depthwise(step: Step) -> str:
    """Write a depthwise convolution: groups of one channel, the kernel (C m, 1, KH, KW)."""
    layer = step.layer
    rows, columns, channels, multiplier = layer.kernel.shape
    kernel = layer.kernel.array.transpose(2, 3, 0, 1)
    kernel = kernel.reshape(channels * multiplier, 1, rows, columns)
    return _with_bias(step, "Conv", kernel, group=channels,
                      **_pads(step, layer.kernel_size, layer.strides, layer.dilation_rate))


def transposed_conv(step: Step) -> str:
    """Write a transposed convolution: the kernel (C, K / groups, KH, KW)."""
    layer = step.layer
    sizes = tuple(n or 64 for n in step.x.shape[1:-1])  # what is cut off depends on no length
    x = Spec((1, *sizes, layer.kernel.shape[-1]), np.dtype("float32"))
    op = f"conv{len(sizes)}d_transpose"
    attrs = infer_transposed(op, x, Spec(layer.kernel.shape, x.dtype), None, layer.strides,
                             layer.padding, layer.output_padding, layer.dilation_rate,
                             layer.groups).attrs
    cuts, more = attrs["padding"], []
    for i, size in enumerate(sizes):
        reach = (layer.kernel_size[i] - 1) * layer.dilation_rate[i] + 1
        more.append(attrs["size"][i] - (size - 1) * layer.strides[i] - reach + sum(cuts[i]))
    kernel = np.moveaxis(layer.kernel.array, (-1, -2), (0, 1))
    return _with_bias(step, "ConvTranspose", kernel, group=layer.groups, pads=_flat(cuts),
                      output_padding=more)


def pool(op: str) -> Callable[[Step], str]:
    """Return what writes a pooling; padding counts in no mean."""
    def write(step: Step) -> str:
        layer = step.layer
        window, strides = layer.pool_size, layer.strides
        return step.op(op, step.x.name, kernel_shape=list(window), strides=list(strides),
                       **_pads(step, window, strides, (1,) * len(window)))
    return write


def global_pool(op: str) -> Callable[[Step], str]:
    """Return what writes a pooling over all places, without their axes if the layer drops them."""
    def write(step: Step) -> str:
        y = step.op(op, step.x.name)
        return y if step.layer.keepdims else step.op("Flatten", y, axis=1)
    return write


# ---- dense, embedding ----------------------------------------------------------------------


def dense(step: Step) -> str:
    """Write a dense layer; rows of the kernel in the order in which the features lie."""
    layer = step.layer
    if step.x.ndim != 2:
        return _dense_last(step)
    kernel = _as_flat(layer.kernel.array, step.x)
    names = [step.x.name, step.weight("kernel", kernel)]
    if layer.bias is not None:
        names.append(step.weight("bias", layer.bias.array))
    return activated(step, step.op("Gemm", *names))


def _as_flat(array: np.ndarray, x: Value) -> np.ndarray:
    """Return an array whose first axis are features (H W C), in the order of the input's."""
    if x.flat is None:
        return array
    image = array.reshape(*x.flat, *array.shape[1:])
    return np.moveaxis(image, len(x.flat) - 1, 0).reshape(array.shape)


def _dense_last(step: Step) -> str:
    """Write a dense layer of more axes: the channels go last and back."""
    layer = step.layer
    y = step.op("MatMul", step.channels_last(step.x), step.weight("kernel", layer.kernel.array))
    if layer.bias is not None:
        y = step.op("Add", y, step.weight("bias", layer.bias.array))
    return activated(step, step.channels_first(y))


def embedding(step: Step) -> str:
    """Write an embedding: rows of a table by whole numbers."""
    ids = step.channels_last(step.x)
    if step.x.dtype.kind == "f":
        ids = step.op("Cast", ids, to=7)  # 7: int64
    table = step.weight("embeddings", step.layer.embeddings.array)
    return step.channels_first(step.op("Gather", table, ids, axis=0))


# ---- normalisation -------------------------------------------------------------------------


def batch_norm(step: Step) -> str:
    """Write a batch normalisation with its moving statistics."""
    layer = step.layer
    mean = layer.moving_mean.array
    gamma = np.ones_like(mean) if layer.gamma is None else layer.gamma.array
    beta = np.zeros_like(mean) if layer.beta is None else layer.beta.array
    arrays = {"gamma": gamma, "beta": beta, "moving_mean": mean,
              "moving_variance": layer.moving_variance.array}
    names = [step.weight(name, _as_flat(array, step.x)) for name, array in arrays.items()]
    return activated(step, step.op("BatchNormalization", step.x.name, *names,
                                   epsilon=float(layer.epsilon)))


def _scaled(step: Step, y: str) -> str:
    """Write gamma y + beta, one value per channel."""
    for op, name in (("Mul", "gamma"), ("Add", "beta")):
        weight = getattr(step.layer, name)
        if weight is not None:
            shape = (-1, *(1,) * (step.x.ndim - 2))
            y = step.op(op, y, step.weight(name, weight.array.reshape(shape)))
    return y


def layer_norm(step: Step) -> str:
    """Write a layer normalisation: over the channels of each place."""
    apart = step.op("Sub", step.x.name, step.mean(step.x.name, [1]))
    variance = step.mean(step.op("Mul", apart, apart), [1])
    safe = step.op("Add", variance, step.number("epsilon", step.layer.epsilon))
    return _scaled(step, step.op("Div", apart, step.op("Sqrt", safe)))


def group_norm(step: Step) -> str:
    """Write a group normalisation: each group as one channel (N, groups, -1)."""
    channels = step.x.shape[-1] or 0
    groups = channels if step.layer.groups == -1 else step.layer.groups
    one = step.op("Reshape", step.x.name, step.whole("groups", 0, groups, -1))
    y = step.op("InstanceNormalization", one, step.weight("ones", np.ones(groups, np.float32)),
                step.weight("zeros", np.zeros(groups, np.float32)),
                epsilon=float(step.layer.epsilon))
    return _scaled(step, step.op("Reshape", y, step.op("Shape", step.x.name)))


def local_response(step: Step) -> str:
    """Write a local response normalisation; ONNX divides alpha by the number of channels."""
    layer, missing = step.layer, 4 - step.x.ndim  # the node takes images only
    size = 2 * layer.depth_radius + 1
    if missing < 0:
        raise refused(step.where, f"has an input of {step.x.ndim} axes", "expected at most 4",
                      "Reshape before it.")
    x, axes = step.x.name, range(step.x.ndim, 4)
    if missing:
        x = step.op("Unsqueeze", x, step.whole("axes", *axes))
    y = step.op("LRN", x, alpha=float(layer.alpha * size), beta=float(layer.beta),
                bias=float(layer.bias), size=size)
    return step.op("Squeeze", y, step.whole("axes", *axes)) if missing else y


# ---- rearranging ---------------------------------------------------------------------------


def flatten(step: Step) -> str | Value:
    """Write a flatten; the features are left channels first, for a dense layer to follow."""
    *_, channels = shape = step.x.shape[1:]
    if step.x.ndim == 2:
        return step.x.name
    if None in shape:
        return step.op("Flatten", step.channels_last(step.x), axis=1)
    lengths = tuple(n or 0 for n in shape)
    one = channels == 1 or max(lengths[:-1]) == 1  # then the order does not matter
    return Value(step.op("Flatten", step.x.name, axis=1), step.shape, step.x.dtype,
                 None if one else lengths)


def reshape(step: Step) -> str:
    """Write a reshape of what lies channels last."""
    shape = step.whole("shape", 0, *step.layer.target_shape)
    return step.channels_first(step.op("Reshape", step.channels_last(step.x), shape))


def permute(step: Step) -> str:
    """Write a permutation, which the turn from and to channels first may undo."""
    first, last = first_axes(step.x.ndim), last_axes(step.x.ndim)
    wanted = (0, *step.layer.dims)
    return step.graph.transposed(step.path, step.x.name, [last[wanted[a]] for a in first])


def zero_padding(step: Step) -> str:
    """Write zeros around images or sequences."""
    pads = step.whole("pads", *_flat(((0, 0), (0, 0), *step.layer.padding)))
    return step.op("Pad", step.x.name, pads, mode="constant")


def nothing(step: Step) -> str:
    """Write nothing: in use the layer returns its input."""
    return step.x.name


LAYERS: dict[type[Module], Callable[[Step], str | Value]] = {
    L.Conv1D: conv, L.Conv2D: conv, L.DepthwiseConv2D: depthwise,
    L.Conv1DTranspose: transposed_conv, L.Conv2DTranspose: transposed_conv,
    L.MaxPooling1D: pool("MaxPool"), L.MaxPooling2D: pool("MaxPool"),
    L.AveragePooling1D: pool("AveragePool"), L.AveragePooling2D: pool("AveragePool"),
    L.GlobalMaxPooling1D: global_pool("GlobalMaxPool"),
    L.GlobalMaxPooling2D: global_pool("GlobalMaxPool"),
    L.GlobalAveragePooling1D: global_pool("GlobalAveragePool"),
    L.GlobalAveragePooling2D: global_pool("GlobalAveragePool"),
    L.Dense: dense, L.Embedding: embedding,
    L.BatchNormalization: batch_norm, L.LayerNormalization: layer_norm,
    L.GroupNormalization: group_norm, L.LocalResponseNormalization: local_response,
    L.Flatten: flatten, L.Reshape: reshape, L.Permute: permute,
    L.ZeroPadding1D: zero_padding, L.ZeroPadding2D: zero_padding,
    L.Activation: plain.activation, L.ReLU: plain.relu, L.LeakyReLU: plain.leaky_relu,
    L.ELU: plain.elu, L.Softmax: plain.softmax,
    L.Add: plain.add, L.Subtract: plain.merge("Sub"), L.Multiply: plain.merge("Mul"),
    L.Maximum: plain.merge("Max"), L.Minimum: plain.merge("Min"), L.Average: plain.average,
    L.Concatenate: plain.concatenate, L.Arithmetic: plain.arithmetic, L.Rescaling: plain.rescaling,
    **dict.fromkeys((L.Identity, L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D,
                     L.RandomContrast, L.RandomFlip, L.RandomRotation, L.RandomTranslation,
                     L.RandomZoom), nothing),
}
"""What writes each layer: a function from a call to the name of its output."""

KEEPING = frozenset({
    L.Activation, L.BatchNormalization, L.Dropout, L.ELU, L.Identity, L.LeakyReLU, L.ReLU})
"""Layers whose output has the order of features of the input, whatever that is."""

ANY_ORDER = KEEPING | {L.Dense}
"""Layers that take features in any order."""
