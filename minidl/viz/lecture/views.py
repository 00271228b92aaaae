"""What a page must know of each layer to compute its output again, and how it is said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .kept import Kept, Rung
from .products import conv, dense
from .trace import Step, Trace

View = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """What describing a layer may look at."""

    trace: Trace
    kept: Kept
    rung: Rung


def view_of(step: Step, trace: Trace) -> str:
    """Return the name of a step's view; "generic" for layers that have none of their own.

    A class that is not minidl's is generic whatever its name: it may compute something else.
    """
    if step.layer is None:
        return "input" if not step.inputs and step.output == 0 else "generic"
    kind = type(step.layer)
    if not kind.__module__.startswith("minidl.nn."):
        return "generic"
    view = _NAMES.get(kind.__name__, "generic")
    found = view(step) if callable(view) else view
    if found == "dense" and trace.values[step.inputs[0]].map_shape[:2] != (1, 1):
        return "conv"
    return found


def describe(step: Step, view: str, scene: Scene) -> View:
    """Return the numbers and arrays of a step's view, and its words."""
    maker = _MAKERS.get(view)
    made = maker(step, scene) if maker else {"words": []}
    return {"activation": activation_of(step.layer), **made}


def activation_of(layer: Any) -> dict[str, Any] | None:
    """Return the activation at a layer's end: its name, None where it is no function of minidl.

    >>> activation_of(None) is None
    True
    """
    kind = type(layer).__name__
    if kind in _RECTIFIERS and type(layer).__module__.startswith("minidl.nn."):
        return _RECTIFIERS[kind](layer)
    function = getattr(layer, "activation", None)
    if function is None:
        return None
    name = getattr(function, "__name__", type(function).__name__)
    own = str(getattr(function, "__module__", "")).startswith("minidl.")
    found: dict[str, Any] = {"name": name if own else None, "text": name}
    if own and name == "leaky_relu":
        found["alpha"] = 0.2 if ".nn." in function.__module__ else 0.3
    return {**found, "alpha": 1.0} if name == "elu" else found


def _relu(layer: Any) -> dict[str, Any]:
    most, slope, start = layer.max_value, layer.negative_slope, layer.threshold
    if (most, slope, start) == (None, 0, 0):
        return {"name": "relu", "text": "relu"}
    return {"name": "relu_general", "text": "relu", "alpha": slope, "threshold": start, "max": most}


_RECTIFIERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "ReLU": _relu,
    "LeakyReLU": lambda m: {"name": "leaky_relu", "text": "leaky relu", "alpha": m.negative_slope},
    "ELU": lambda m: {"name": "elu", "text": "elu", "alpha": m.alpha}}


def _activation_view(step: Step) -> str:
    name = activation_of(step.layer) or {}
    return str(name["name"]) if name.get("name") in ("softmax", "log_softmax") else "activation"


def _softmax_view(step: Step) -> str:
    return "softmax" if step.layer.axis == -1 else "generic"


def _arithmetic_view(step: Step) -> str:
    known = {"add": "add", "multiply": "multiply", "subtract": "subtract", "divide": "divide",
             "power": "power"}
    if step.layer.constant is None:
        return known.get(step.layer.operation, "generic")
    linear = step.layer.operation in _LINEAR and np.ndim(step.layer.constant) < 2
    return "rescale" if linear else "generic"


_LINEAR: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "add": lambda c: (1, c), "subtract": lambda c: (1, -c), "multiply": lambda c: (c, 0),
    "divide": lambda c: (1 / c, 0), "reverse_subtract": lambda c: (-1, c)}
"""Scale and offset of an operation with a constant."""


_NAMES: dict[str, str | Callable[[Step], str]] = {
    "Conv1D": "conv", "Conv2D": "conv", "DepthwiseConv2D": "conv",
    "Conv1DTranspose": "conv_transpose", "Conv2DTranspose": "conv_transpose", "Dense": "dense",
    "MaxPooling1D": "max_pool", "MaxPooling2D": "max_pool", "AveragePooling1D": "average_pool",
    "AveragePooling2D": "average_pool", "GlobalMaxPooling1D": "global_max",
    "GlobalMaxPooling2D": "global_max", "GlobalAveragePooling1D": "global_average",
    "GlobalAveragePooling2D": "global_average", "BatchNormalization": "batch_norm",
    "LayerNormalization": "layer_norm", "GroupNormalization": "group_norm",
    "LocalResponseNormalization": "lrn", "Activation": _activation_view, "ReLU": "activation",
    "LeakyReLU": "activation", "ELU": "activation", "Softmax": _softmax_view, "Add": "add",
    "Subtract": "subtract", "Multiply": "multiply", "Average": "average", "Maximum": "maximum",
    "Minimum": "minimum", "Arithmetic": _arithmetic_view, "Rescaling": "rescale",
    "Concatenate": "concat", "Flatten": "flatten", "Reshape": "reshape", "Permute": "permute",
    "ZeroPadding1D": "pad", "ZeroPadding2D": "pad", "Identity": "same", "Dropout": "same",
    "SpatialDropout1D": "same", "SpatialDropout2D": "same", "RandomFlip": "same",
    "RandomRotation": "same", "RandomZoom": "same", "RandomTranslation": "same",
    "RandomContrast": "same", "Embedding": "embedding",
}


# ---- makers --------------------------------------------------------------------------------


def _pool(step: Step, scene: Scene) -> View:
    window, stride = step.attrs["window"], step.attrs["stride"]
    (top, _), (left, _) = step.attrs["padding"]
    words = [f"window of {_by(window)}", f"step {_by(stride)}"]
    if top or left:
        words.append("places outside the input do not count")
    return {"window": list(window), "stride": list(stride), "before": [top, left], "words": words}


def _batch_norm(step: Step, scene: Scene) -> View:
    layer, kept = step.layer, scene.kept[step.output]
    mean, variance = layer.moving_mean.array, layer.moving_variance.array
    return {"mean": _some(mean, kept), "variance": _some(variance, kept), "epsilon": layer.epsilon,
            **_scale(layer, kept),
            "words": [f"moving mean and variance of each channel, epsilon {layer.epsilon:g}"]}


def _scale(layer: Any, kept: np.ndarray | None) -> View:
    return {name: None if getattr(layer, name) is None else _some(getattr(layer, name).array, kept)
            for name in ("gamma", "beta")}


def _layer_norm(step: Step, scene: Scene) -> View:
    x = scene.trace.values[step.inputs[0]].as_map.astype(np.float64)
    return {"mean": x.mean(-1), "variance": x.var(-1), "epsilon": step.layer.epsilon,
            **_scale(step.layer, scene.kept[step.output]),
            "words": [f"mean and variance of the channels at each place, epsilon "
                      f"{step.layer.epsilon:g}"]}


def _group_norm(step: Step, scene: Scene) -> View:
    layer, x = step.layer, scene.trace.values[step.inputs[0]].as_map.astype(np.float64)
    channels = x.shape[-1]
    groups = channels if layer.groups == -1 else layer.groups
    parted = x.reshape(-1, groups, channels // groups)
    repeated = (np.repeat(a, channels // groups) for a in (parted.mean((0, 2)), parted.var((0, 2))))
    kept = scene.kept[step.output]
    mean, variance = (_some(a, kept) for a in repeated)
    return {"mean": mean, "variance": variance, "epsilon": layer.epsilon, **_scale(layer, kept),
            "words": [f"{groups} groups of {channels // groups} channels, epsilon "
                      f"{layer.epsilon:g}"]}


def _lrn(step: Step, scene: Scene) -> View:
    layer, x = step.layer, scene.trace.values[step.inputs[0]].as_map.astype(np.float64)
    reach, channels = layer.depth_radius, x.shape[-1]
    squares = np.concatenate([np.zeros((*x.shape[:2], 1)), np.cumsum(x * x, -1)], -1)
    first = np.maximum(np.arange(channels) - reach, 0)
    last = np.minimum(np.arange(channels) + reach + 1, channels)
    sums = _some(squares[..., last] - squares[..., first], scene.kept[step.output])
    return {"sums": sums, "radius": reach, "alpha": layer.alpha, "beta": layer.beta,
            "bias": layer.bias, "words": [
                f"{2 * reach + 1} neighbouring channels, alpha {layer.alpha:g}, beta "
                f"{layer.beta:g}, bias {layer.bias:g}"]}


def _softmax(step: Step, scene: Scene) -> View:
    x = scene.trace.values[step.inputs[0]].as_map.astype(np.float64)
    most = x.max(-1, keepdims=True)
    return {"log_sum": np.log(np.exp(x - most).sum(-1)) + most[..., 0], "words": []}


def _rescale(step: Step, scene: Scene) -> View:
    channels, kept = scene.trace.values[step.output].map_shape[2], scene.kept[step.output]
    layer = step.layer
    pair = (_LINEAR[layer.operation](np.float64(layer.constant)) if hasattr(layer, "operation")
            else (layer.scale, layer.offset))
    both = (np.broadcast_to(np.float64(v), (channels,)) for v in pair)
    scale, offset = (_some(v, kept) for v in both)
    return {"scale": scale, "offset": offset, "words": []}


def _elementwise(step: Step, scene: Scene) -> View:
    return {"words": [f"{len(step.inputs)} inputs"]}


def _concat(step: Step, scene: Scene) -> View:
    shapes = [scene.trace.values[n].map_shape for n in step.inputs]
    out = scene.trace.values[step.output].map_shape
    axis = next((a for a in (2, 1, 0) if sum(s[a] for s in shapes) == out[a]
                 and len({tuple(np.delete(s, a)) for s in shapes}) == 1), 2)
    starts = np.cumsum([0, *(s[axis] for s in shapes)])[:-1]
    return {"axis": axis, "starts": starts.tolist(), "words": [
        f"{len(shapes)} inputs of {' + '.join(str(s[axis]) for s in shapes)} "
        f"{('rows', 'columns', 'channels')[axis]}"]}


def _permute(step: Step, scene: Scene) -> View:
    return {"dims": [d - 1 for d in step.layer.dims], "words": [f"axes {step.layer.dims}"]}


def _pad(step: Step, scene: Scene) -> View:
    pads = [(0, 0)] * (2 - len(step.layer.padding)) + list(step.layer.padding)
    return {"before": [pads[0][0], pads[1][0]], "words": [f"zeros before and after: {pads}"]}


def _same(step: Step, scene: Scene) -> View:
    kind = type(step.layer).__name__
    rate = getattr(step.layer, "rate", None)
    if rate is not None:
        return {"words": [f"in training {rate:.0%} of the elements become 0; in use, as here, "
                          "none"]}
    return {"words": ["acts in training only; in use, as here, it changes nothing"
                      if kind.startswith("Random") else "changes nothing"]}


def _embedding(step: Step, scene: Scene) -> View:
    ids = np.int64(scene.trace.values[step.inputs[0]].array.reshape(-1))
    used = np.unique(ids)
    table = step.layer.embeddings.array
    return {"used": used.tolist(), "table": _some(table[used], scene.kept[step.output]),
            "words": [f"a table of {table.shape[0]:,} rows of {table.shape[1]}"]}


def _some(array: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    return array if kept is None else array[..., kept]


def _by(lengths: tuple[int, ...]) -> str:
    return " × ".join(map(str, lengths))


_MAKERS: Mapping[str, Callable[[Step, Scene], View]] = {
    "conv": conv, "conv_transpose": conv, "dense": dense, "max_pool": _pool,
    "average_pool": _pool, "batch_norm": _batch_norm, "layer_norm": _layer_norm,
    "group_norm": _group_norm, "lrn": _lrn, "softmax": _softmax, "log_softmax": _softmax,
    "rescale": _rescale, "concat": _concat, "permute": _permute, "pad": _pad, "same": _same,
    "embedding": _embedding,
    **dict.fromkeys(("add", "subtract", "multiply", "average", "maximum", "minimum", "divide",
                     "power"), _elementwise)}
