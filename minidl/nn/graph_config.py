"""A layer graph as plain lists and dicts, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .configurable import decode, encode, sharing
from .graph import Input
from .serialization import serialize_as
from .symbol import Symbol
from .tree import leaves, map_tree

if TYPE_CHECKING:
    from .model import Model


def get_config(model: Model) -> dict[str, Any]:
    """Return inputs, layers and calls; symbols are numbered, the inputs first."""
    numbers = {symbol: i for i, symbol in enumerate(model.inputs)}

    def coded(leaf: Any) -> Any:
        if isinstance(leaf, Symbol):
            return {"symbol": numbers[leaf]}
        return encode(leaf, model._place(""))

    calls = []
    for node in model.nodes:
        calls.append({"layer": model._names.find(node.layer),
                      "args": map_tree(coded, list(node.args)),
                      "options": map_tree(coded, node.options)})
        for symbol in node.symbols:
            numbers[symbol] = len(numbers)
    children = model.named_children().items()
    with sharing():
        return {"name": model.name, "trainable": model._trainable, "dtype": model.dtype,
                "inputs": [_input(model, symbol) for symbol in model.inputs],
                "single": model._single,
                "layers": {name: serialize_as(layer, name) for name, layer in children},
                "calls": calls, "outputs": map_tree(coded, model.outputs)}


def _input(model: Model, symbol: Symbol) -> dict[str, Any]:
    name = model._names.find(symbol.node.layer)
    return {"name": name, "shape": list(symbol.shape[1:]), "dtype": symbol.dtype.name}


def from_config(cls: type[Model], config: Mapping[str, Any]) -> Any:
    """Make the layers, call them again on symbols, and make the model."""
    with sharing():
        layers = {name: decode(data) for name, data in config["layers"].items()}
    symbols: list[Symbol] = [Input(**data) for data in config["inputs"]]
    inputs = symbols[0] if config["single"] else symbols.copy()
    for call in config["calls"]:
        args, options = _filled(call["args"], symbols), _filled(call["options"], symbols)
        symbols += leaves(layers[call["layer"]](*args, **options))
    return cls(inputs, _filled(config["outputs"], symbols), name=config["name"],
               trainable=config["trainable"], dtype=config["dtype"])


def _filled(tree: Any, symbols: list[Symbol]) -> Any:
    if isinstance(tree, Mapping):
        if set(tree) == {"symbol"}:
            return symbols[tree["symbol"]]
        return {key: _filled(part, symbols) for key, part in tree.items()}
    return [_filled(part, symbols) for part in tree] if isinstance(tree, list) else tree
