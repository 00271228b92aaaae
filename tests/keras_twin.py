"""The same network in Keras, built layer by layer from one of minidl's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minidl import nn
from minidl.nn.tree import map_tree

os.environ["KERAS_BACKEND"] = "torch"


def need_keras() -> Any:
    """Return Keras on PyTorch; skip the module where one of them is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch", reason="PyTorch is not installed")
        keras = pytest.importorskip("keras", reason="Keras is not installed")
    if keras.backend.backend() != "torch":
        pytest.skip("Keras was imported with another backend", allow_module_level=True)
    return keras


keras = need_keras()
K = keras.layers


class LocalResponseNormalization(K.Layer):
    """What Keras lacks; the arguments are those of minidl's layer."""

    def __init__(self, depth_radius: int = 2, alpha: float = 1e-4, beta: float = 0.75,
                 bias: float = 2.0, **base: Any) -> None:
        super().__init__(**base)
        self.values = {"depth_radius": depth_radius, "alpha": alpha, "beta": beta, "bias": bias}

    def call(self, x: Any) -> Any:
        """Return the normalised values."""
        v, r = self.values, self.values["depth_radius"]
        padded = keras.ops.pad(keras.ops.square(x), ((0, 0), (0, 0), (0, 0), (r, r)))
        s = sum(padded[..., i:i + x.shape[-1]] for i in range(2 * r + 1))
        return x / (v["bias"] + v["alpha"] * s) ** v["beta"]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), **self.values}


SAME = ("filters", "kernel_size", "strides", "dilation_rate", "groups", "activation", "use_bias",
        "units", "rate", "epsilon", "momentum", "center", "scale", "pool_size", "keepdims",
        "input_dim", "output_dim", "axis", "target_shape", "offset", "mode", "factor",
        "height_factor", "width_factor", "max_value", "negative_slope", "depth_multiplier",
        "depth_radius", "alpha", "beta", "bias", "output_padding")
"""Arguments that both have."""
CLASSES: dict[str, Callable[..., Any]] = {
    "LocalResponseNormalization": LocalResponseNormalization}


def twin_layer(layer: nn.Module) -> Callable[[Any], Any]:
    """Return the layer of Keras; whole padding becomes a layer in front."""
    config, kind = layer.get_config(), type(layer).__name__
    options = {k: config[k] for k in SAME if config.get(k) is not None}
    padding = config.get("padding")
    make = CLASSES.get(kind) or getattr(K, kind)
    if isinstance(padding, str):
        options["padding"] = padding
    made = make(**options, name=layer.name)
    if padding is None or isinstance(padding, str):
        return made
    before = K.ZeroPadding2D(padding, name=f"{layer.name}_pad")
    return lambda x: made(before(x))


def twin(model: Any) -> Any:
    """Return a network of Keras of the same layers, Sequential for Sequential where possible."""
    made: dict[int, Any] = {}
    graph = model.to_graph()
    symbols = {s: keras.Input(s.shape[1:], name=s.node.layer.name) for s in graph.inputs}
    inputs = list(symbols.values())
    for node in graph.nodes:
        if id(node.layer) not in made:
            inner = node.layer.named_children()
            made[id(node.layer)] = twin(node.layer) if inner else twin_layer(node.layer)
        args = map_tree(symbols.__getitem__, list(node.args))
        y = made[id(node.layer)](*args)
        symbols.update(zip(node.symbols, [y] if len(node.symbols) == 1 else y, strict=True))
    layers = [made[id(n.layer)] for n in graph.nodes]
    if isinstance(model, nn.Sequential) and all(isinstance(layer, K.Layer) for layer in layers):
        return keras.Sequential([inputs[0], *layers], name=model.name)
    outputs = map_tree(symbols.__getitem__, graph.outputs)
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=model.name)


def stir(model: Any, rng: np.random.Generator) -> None:
    """Give biases, scales and moving statistics random values."""
    for weight in model.weights:
        if weight.name != "kernel" and len(weight.shape) == 1:
            low, high = (0.6, 1.4) if weight.name in ("gamma", "moving_variance") else (-0.2, 0.2)
            weight.assign(rng.uniform(low, high, weight.shape).astype("float32"))


def scaled_difference(ours: Any, theirs: Any) -> float:
    """Return the largest difference, as a share of the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
