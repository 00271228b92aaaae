"""Whole models for Keras 3: a `.keras` archive of architecture and weights, written without it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import FormatError
from ..files import replacing
from ..nn import Model, Sequential
from ..nn.graph import InputLayer
from ..nn.module import Module
from ..nn.symbol import Symbol
from ..nn.tree import leaves, map_tree
from .keras_files import ARCHIVED, CONFIG
from .keras_layers import LAYERS
from .keras_order import keras_layers
from .keras_padding import with_padding_layers
from .keras_write import save_keras_weights

_MODULES = {"initializer": "keras.initializers", "regularizer": "keras.regularizers",
            "constraint": "keras.constraints"}
_OURS = ("name", "trainable", "dtype", "axis")
_REMEDY = "Write the weights alone (save_keras_weights), and build the network in Keras."


def save_keras(model: Any, path: str | Path) -> None:
    """Write a model as a `.keras` file, which `keras.saving.load_model(path)` makes again.

    Sequential and graph models whose layers Keras has, too. It is not compiled there. Padding by
    numbers, as in a ResNet, becomes a layer of zeros in front (`keras_padding.py`).

    Raises:
        FormatError: Keras has no such layer, or a layer has an argument that Keras lacks.
        CheckpointError: the file cannot be written.

    >>> from minidl.nn import Input
    >>> from minidl.nn.layers import Dense
    >>> save_keras(Sequential([Input((4,)), Dense(3)]), "small.keras")
    """
    target = Path(path)
    if target.suffix != ".keras" or not isinstance(model, (Model, Sequential)):
        raise FormatError(str(path), f"got a {type(model).__name__} and the ending "
                          f"{target.suffix!r}", "expected a Sequential or a Model, and .keras",
                          _REMEDY)
    try:
        model = with_padding_layers(model)
        config = _model(model, model.name or "model")
    except FormatError as error:
        raise FormatError(f"{path}, {error.where}", error.got, error.expected, _REMEDY) from error
    with TemporaryDirectory(prefix="minidl-") as folder:
        weights = Path(folder, ARCHIVED)
        save_keras_weights(model, weights)
        with replacing(target) as aside, zipfile.ZipFile(aside, "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
            archive.writestr(CONFIG, json.dumps(config))
            archive.write(weights, ARCHIVED)


def _entry(kind: str, config: Mapping[str, Any], module: str = "keras.layers") -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": dict(config), "registered_name": None}


def _model(model: Any, name: str) -> dict[str, Any]:
    """Return the entry of a Sequential or a graph."""
    config: dict[str, Any] = {"name": name, "trainable": True, "dtype": model.dtype}
    if isinstance(model, Model):
        made = _entry("Functional", {**config, **_graph(model)}, "keras.src.models.functional")
        return {**made, "registered_name": "Functional"}
    first = model.to_graph().inputs[0]
    names = {layer: name for name, layer in model.named_children().items()}
    return _entry("Sequential", {**config, "layers": [
        _input(first, first.node.name), *(_layer(m, names[m]) for m in model.layers)]}, "keras")


def _input(symbol: Symbol, name: str) -> dict[str, Any]:
    return _entry("InputLayer", {"batch_shape": list(symbol.shape), "dtype": symbol.dtype.name,
                                 "name": name})


# ---- graphs --------------------------------------------------------------------------------


def _graph(model: Model) -> dict[str, Any]:
    """Return layers with their calls, inputs and outputs."""
    names = {layer: name for name, layer in model.named_children().items()}
    names.update({s.node.layer: s.node.name for s in model.inputs})
    places: dict[Symbol, list[Any]] = {s: [names[s.node.layer], 0, 0] for s in model.inputs}
    counts: dict[Module, int] = {}
    for node in model.nodes:
        number = counts[node.layer] = counts.get(node.layer, -1) + 1
        places.update({s: [names[node.layer], number, s.index] for s in node.symbols})
    entries = []
    for layer in keras_layers(model):
        symbol = next((s for s in model.inputs if s.node.layer is layer), None)
        made = _input(symbol, names[layer]) if symbol is not None else _layer(layer, names[layer])
        calls = [_call(node, places) for node in model.nodes if node.layer is layer]
        entries.append({**made, "name": names[layer], "inbound_nodes": calls})
    if set(counts) - set(keras_layers(model)):
        raise FormatError("arithmetic on symbols", "a file of Keras cannot have it",
                          "expected layers, such as Add or Rescaling", "")
    return {"layers": entries, "input_layers": [places[s] for s in model.inputs],
            "output_layers": map_tree(lambda s: _end(s, places), model.outputs)}


def _call(node: Any, places: Mapping[Symbol, list[Any]]) -> dict[str, Any]:
    def tensor(leaf: Any) -> Any:
        return {"class_name": "__keras_tensor__", "config": {
            "shape": list(leaf.shape), "dtype": leaf.dtype.name, "keras_history": places[leaf]}}

    if node.options or not all(isinstance(leaf, Symbol) for leaf in leaves(node.args)):
        raise FormatError(f'layer "{node.name}"', "it is called with more than tensors",
                          "expected tensors", "")
    return {"args": map_tree(tensor, list(node.args)), "kwargs": {}}


def _end(symbol: Symbol, places: Mapping[Symbol, list[Any]]) -> list[Any]:
    """Return the place of an output; graphs in the graph count their calls from 1 there."""
    name, call, output = places[symbol]
    return [name, call + isinstance(symbol.node.layer, Model), output]


# ---- layers --------------------------------------------------------------------------------


def _layer(layer: Module, name: str) -> dict[str, Any]:
    """Return the entry of a layer, from what the table of reading says of its class."""
    kind = type(layer).__name__
    if isinstance(layer, (Model, Sequential)):
        return _model(layer, name)
    rule = LAYERS.get(kind)
    if rule is None or rule.make is not type(layer) or isinstance(layer, InputLayer):
        raise FormatError(f'layer "{name}" ({kind})', "Keras has no such layer",
                          f"expected one of {', '.join(LAYERS)}", "")
    given = layer.get_config()
    config = {"name": name, "trainable": layer._trainable, "dtype": layer.dtype}
    for key, value in given.items():
        weight, _, what = key.rpartition("_")
        if key in rule.take:
            config[key] = value
        elif weight in rule.weights and what in _MODULES:
            config.update(_object(key, what, value))
        elif key not in _OURS and value is not None:
            raise FormatError(f'layer "{name}" ({kind})', f"Keras has no {key}={value!r} there",
                              "expected None", "")
    return _entry(kind, config)


def _object(key: str, what: str, value: Any) -> dict[str, Any]:
    """Return an initializer, penalty or limit as Keras has it; nothing for what only we have."""
    if not isinstance(value, Mapping):
        return {} if value == "torch_uniform" else {key: value}
    if value["class"] == "TorchUniform":
        return {}
    return {key: _entry(value["class"], value["config"], _MODULES[what])}
