"""Convolutions, pools and normalisations of files in the ONNX format as layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn import layers as L  # noqa: N812
from ..spec import Pads, padding_pairs
from .onnx_call import Call
from .onnx_flow import Flow

Whole = tuple[int, ...]

# ---- windows -------------------------------------------------------------------------------


def _images(call: Call) -> tuple[Flow, Whole]:
    """Return the first input, channels last, with one or two axes of places; and their lengths."""
    x = call.channels_last(call.flow())
    if x.ndim not in (3, 4):
        raise call.refuse(f"has an input of {x.ndim} axes", "expected (N, C, L) or (N, C, H, W)")
    return x, x.symbol.shape[1:-1]  # type: ignore[return-value]


def _lengths(call: Call, name: str, axes: int) -> Whole:
    found = call.get(name, (1,) * axes)
    if len(found) != axes:
        raise call.refuse(f"has {name}={list(found)}", f"expected {axes} numbers")
    return found


def _pairs(call: Call, places: Any, window: Whole, strides: Whole, dilations: Whole
           ) -> Pads | str:
    """Return zeros before and after each axis, or "same" where the file says so."""
    axes, kind = len(window), call.get("auto_pad", "NOTSET")
    pads = call.get("pads", (0,) * 2 * axes)
    if kind == "SAME_UPPER":
        return "same"
    if kind == "SAME_LOWER":  # an odd zero comes first
        _known(call, places)
        pairs = padding_pairs(call.op, "same", places, window, strides, dilations)
        return tuple((after, before) for before, after in pairs)
    if kind not in ("NOTSET", "VALID"):
        raise call.refuse(f"has auto_pad={kind!r}")
    if kind == "VALID":
        return ((0, 0),) * axes
    if len(pads) != 2 * axes or min(pads) < 0:
        raise call.refuse(f"has pads={list(pads)}", f"expected {2 * axes} numbers of at least 0")
    return tuple(zip(pads[:axes], pads[axes:], strict=True))


def _known(call: Call, places: Any) -> None:
    if None in places:
        raise call.refuse("pads by lengths that the file leaves open",
                          "expected an input of fixed height and width",
                          "Export it with a fixed size; the batch may stay open.")


def _padding(pairs: Pads | str) -> Any:
    """Return padding as one writes it: "valid", a number, numbers, or pairs.

    >>> _padding(((0, 0), (0, 0))), _padding(((1, 1), (1, 1))), _padding(((0, 1), (0, 1)))
    ('valid', 1, ((0, 1), (0, 1)))
    """
    if isinstance(pairs, str):
        return pairs
    ends = {n for pair in pairs for n in pair}
    if len(ends) == 1:
        return ends.pop() or "valid"
    return tuple(a for a, _ in pairs) if all(a == b for a, b in pairs) else pairs


def _window(call: Call, places: Any, size: Whole) -> dict[str, Any]:
    strides, dilations = (_lengths(call, name, len(size)) for name in ("strides", "dilations"))
    if call.get("kernel_shape", size) != size:
        raise call.refuse(f"has kernel_shape={call.get('kernel_shape', size)}",
                          f"its weights have {size}", "The file is damaged.")
    return {"strides": strides, "dilation_rate": dilations, "kernel_size": size,
            "padding": _padding(_pairs(call, places, size, strides, dilations))}


def conv(call: Call) -> Flow:
    """Return a convolution: `DepthwiseConv2D` where groups have one channel, else `Conv2D`."""
    x, places = _images(call)
    w, groups = call.weight(1), call.get("group", 1)
    if w.ndim != x.ndim:
        raise call.refuse(f"has weights of shape {w.shape}", f"expected {x.ndim} axes")
    options = _window(call, places, w.shape[2:])
    if groups > 1 and w.shape[1] == 1 and x.ndim == 4:
        return _depthwise(call, x, w, groups, options)
    make = L.Conv2D if x.ndim == 4 else L.Conv1D
    kernel = np.moveaxis(w, (0, 1), (-1, -2))
    return _with_bias(call, make, kernel, x, groups=groups, filters=len(w), **options)


def _depthwise(call: Call, x: Flow, w: np.ndarray, groups: int, options: dict[str, Any]) -> Flow:
    kernel = w.reshape(groups, len(w) // groups, *w.shape[2:]).transpose(2, 3, 0, 1)
    return _with_bias(call, L.DepthwiseConv2D, kernel, x, **options,
                      depth_multiplier=kernel.shape[-1])


def _with_bias(call: Call, make: Any, kernel: np.ndarray, x: Flow, **options: Any) -> Flow:
    bias = call.array(2)
    weights = {"kernel_options": kernel} | ({} if bias is None else {"bias_options": bias})
    layer = make(use_bias=bias is not None, **options)
    return x.of(call.apply(layer, x.symbol, **weights))


def transposed_conv(call: Call) -> Flow:
    """Return a transposed convolution."""
    x, places = _images(call)
    w, groups = call.weight(1), call.get("group", 1)
    options = _window(call, places, w.shape[2:])
    if options["padding"] == "same" or "output_shape" in call.attributes:
        raise call.refuse("leaves the padding open", "expected pads", "Export it with pads.")
    options["padding"] = 0 if options["padding"] == "valid" else options["padding"]
    options["output_padding"] = call.get("output_padding", (0,) * (x.ndim - 2))
    make = L.Conv2DTranspose if x.ndim == 4 else L.Conv1DTranspose
    kernel = np.moveaxis(w, (0, 1), (-1, -2))
    return _with_bias(call, make, kernel, x, groups=groups, filters=w.shape[1] * groups, **options)


# ---- pools ---------------------------------------------------------------------------------


def max_pool(call: Call) -> Flow:
    """Return a max pooling."""
    call.need("storage_order", 0, 1)
    x, window, strides, pairs, more = _pool(call)
    make = L.MaxPooling2D if x.ndim == 4 else L.MaxPooling1D
    padding = _padding(pairs if isinstance(pairs, str) else _grown(pairs, more))
    return x.of(call.apply(make(window, strides, padding), x.symbol))


def average_pool(call: Call) -> Flow:
    """Return an average pooling; zeros that count are put around the images before it."""
    counted = call.get("count_include_pad", 0)
    x, window, strides, pairs, more = _pool(call)
    images = x.ndim == 4
    if counted and pairs == "same":
        _known(call, x.symbol.shape[1:-1])
        ones = (1,) * len(window)
        pairs = padding_pairs(call.op, pairs, x.symbol.shape[1:-1], window, strides, ones)  # type: ignore[arg-type]
    symbol = x.symbol
    if counted and not isinstance(pairs, str) and any(map(any, pairs)):
        zeros = L.ZeroPadding2D(pairs) if images else L.ZeroPadding1D(pairs[0])
        symbol, pairs = call.apply(zeros, symbol), ((0, 0),) * len(window)
    padding = _padding(pairs if isinstance(pairs, str) else _grown(pairs, more))
    make = L.AveragePooling2D if images else L.AveragePooling1D
    return x.of(call.apply(make(window, strides, padding), symbol))


def _grown(pairs: Pads, more: Whole) -> Pads:
    return tuple((a, b + m) for (a, b), m in zip(pairs, more, strict=True))


def _pool(call: Call) -> tuple[Flow, Whole, Whole, Pads | str, Whole]:
    """Return input, window, steps, padding, and what a rounded up length needs after the end."""
    x, places = _images(call)
    window = call.get("kernel_shape", ())
    if len(window) != len(places):
        raise call.refuse(f"has kernel_shape={list(window)}", f"expected {len(places)} numbers")
    strides = _lengths(call, "strides", len(window))
    call.need("dilations", (1,) * len(window))
    pairs = _pairs(call, places, window, strides, (1,) * len(window))
    if not call.get("ceil_mode", 0) or isinstance(pairs, str):
        return x, window, strides, pairs, (0,) * len(window)
    _known(call, places)
    return x, window, strides, pairs, tuple(map(_overhang, places, window, strides, pairs))


def _overhang(size: int, window: int, stride: int, pair: tuple[int, int]) -> int:
    """Return the zeros that let the last window fit; it begins within the input or before it."""
    room = size + sum(pair) - window
    steps = -(-room // stride)
    if steps * stride >= size + pair[0]:
        steps -= 1
    return max(steps * stride - room, 0)


def global_pool(images: Any, sequences: Any) -> Any:
    """Return what makes a pooling over all places that keeps their axes."""
    def make(call: Call) -> Flow:
        x, _ = _images(call)
        layer = (images if x.ndim == 4 else sequences)(keepdims=True)
        return x.of(call.apply(layer, x.symbol))
    return make


def reduction(images: Any, sequences: Any) -> Any:
    """Return what makes a reduction over all places; over other axes there is no layer."""
    def make(call: Call) -> Flow:
        flow, keep = call.straight(call.flow()), bool(call.get("keepdims", 1))
        call.need("noop_with_empty_axes", 0)
        given = call.array(1)
        axes = call.get("axes", ()) if given is None else tuple(int(a) for a in given.ravel())
        over = {flow.axes[a] for a in axes}
        if over != set(range(1, flow.ndim - 1)) or flow.ndim not in (3, 4):
            raise call.refuse(f"reduces the axes {list(axes)} of {flow.ndim}",
                              "expected all places, height and width")
        layer = (images if flow.ndim == 4 else sequences)(keepdims=keep)
        symbol = call.apply(layer, flow.symbol)
        return flow.of(symbol) if keep else Flow(symbol, (0, 1))
    return make


# ---- normalisation -------------------------------------------------------------------------


def batch_norm(call: Call) -> Flow:
    """Return a batch normalisation with its moving statistics."""
    flow = call.flow()
    x = flow if flow.flat else call.channels_last(flow)
    call.need("training_mode", 0)
    call.need("spatial", 1)
    gamma, beta, mean, variance = (_as_flat(call.weight(i), x) for i in range(1, 5))
    layer = L.BatchNormalization(momentum=call.get("momentum", 0.9),
                                 epsilon=call.get("epsilon", 1e-5))
    symbol = call.apply(layer, x.symbol, gamma_options=gamma, beta_options=beta)
    layer.moving_mean.assign(_fitting(call, mean, gamma))
    layer.moving_variance.assign(_fitting(call, variance, gamma))
    return x.of(symbol)


def _fitting(call: Call, array: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    if array.shape != gamma.shape:
        raise call.refuse(f"has statistics of shape {array.shape}", f"expected {gamma.shape}",
                          "The file is damaged.")
    return array.astype(np.float32)


def _as_flat(array: np.ndarray, x: Flow) -> np.ndarray:
    """Return values of features, the first axis, in the order of the symbol's."""
    if x.flat is None:
        return array
    *places, channels = x.flat
    image = array.reshape(channels, *places, *array.shape[1:])
    return np.moveaxis(image, 0, len(places)).reshape(array.shape)


def instance_norm(call: Call) -> Flow:
    """Return a group normalisation with one channel in each group."""
    x, _ = _images(call)
    layer = L.GroupNormalization(-1, epsilon=call.get("epsilon", 1e-5))
    return x.of(call.apply(layer, x.symbol, gamma_options=call.weight(1),
                           beta_options=call.weight(2)))


def local_response(call: Call) -> Flow:
    """Return a local response normalisation; ONNX divides alpha by the number of channels."""
    x = call.channels_last(call.flow())
    size = call.get("size", 0)
    if size < 1 or size % 2 == 0:
        raise call.refuse(f"has size={size}", "expected an odd number of channels")
    layer = L.LocalResponseNormalization((size - 1) // 2, call.get("alpha", 1e-4) / size,
                                         call.get("beta", 0.75), call.get("bias", 1.0))
    return x.of(call.apply(layer, x.symbol))


def dense(call: Call, kernel: np.ndarray, bias: np.ndarray | None) -> Flow:
    """Return a dense layer on features, or on the last axis of the file's tensor."""
    x = call.flow()
    if x.ndim != 2:
        x = call.as_stored(x)
    if kernel.ndim != 2 or len(kernel) != x.symbol.shape[-1]:
        raise call.refuse(f"has weights of shape {kernel.shape}",
                          f"expected {x.symbol.shape[-1]} rows")
    weights = {"kernel_options": _as_flat(kernel, x)}
    if bias is not None:
        weights["bias_options"] = bias
    layer = L.Dense(kernel.shape[1], use_bias=bias is not None)
    return Flow(call.apply(layer, x.symbol, **weights), x.axes)
