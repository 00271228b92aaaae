"""Padding by numbers, which Keras has as a layer of zeros in front."""

from __future__ import annotations

from typing import Any

from ..errors import FormatError
from ..nn import Input, Model, Sequential, activations
from ..nn import layers as L  # noqa: N812 (short for a table)
from ..nn.graph import InputLayer, Node
from ..nn.module import Module
from ..nn.symbol import Symbol
from ..nn.tree import leaves, map_tree
from ..spec import Pads, padding_pairs

CONVOLUTIONS = (L.Conv1D, L.Conv2D, L.DepthwiseConv2D)
MAXIMA = (L.MaxPooling1D, L.MaxPooling2D)
WINDOWED = (*CONVOLUTIONS, *MAXIMA, L.AveragePooling1D, L.AveragePooling2D)
"""Layers with padding that Keras has by name only."""

POSITIVE = (*activations.ENDS, activations.get("sigmoid"), activations.get("softmax"),
            activations.get("softplus"))
"""Activations without negative values."""

KEEPING = (*MAXIMA, L.AveragePooling1D, L.AveragePooling2D, L.ZeroPadding1D, L.ZeroPadding2D,
           L.Add, L.Concatenate, L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D)
"""Layers whose output is negative nowhere if their inputs are."""


def with_padding_layers(model: Any) -> Any:
    """Return a model without padding by numbers, which computes the same; weights are shared.

    It becomes "same" where that is the same, or a layer of zeros in front, also of a pool of
    maxima where nothing is negative. A model without such padding is returned as it is.

    Raises:
        FormatError: a pool pads by numbers, and zeros in front would change its results.
    """
    graph = model.to_graph()
    parts = _parts(graph)
    if not parts:
        return model
    if isinstance(model, Sequential):
        first = graph.inputs[0]
        return Sequential([_input(first), *(
            part for layer in model.layers for part in parts.get(layer, (layer,)))], model.name)
    values: dict[Symbol, Any] = {symbol: _input(symbol) for symbol in graph.inputs}
    inputs = [values[symbol] for symbol in graph.inputs]
    for node in graph.nodes:
        args, options = map_tree(lambda leaf: values[leaf] if isinstance(leaf, Symbol) else leaf,
                                 (node.args, node.options))
        *before, layer = parts.get(node.layer, (node.layer,))
        for zeros in before:
            args = (zeros(*args),)
        values.update(zip(node.symbols, leaves(layer(*args, **options)), strict=True))
    return Model(inputs[0] if graph._single else inputs, map_tree(values.get, graph.outputs),
                 model.name)


def _input(symbol: Symbol) -> Symbol:
    return Input(symbol.shape[1:], symbol.node.name, symbol.dtype.name)


def _parts(graph: Model) -> dict[Module, tuple[Module, ...]]:
    """Return what stands for each layer that Keras does not have, in the order of the calls."""
    names = {layer: name for name, layer in graph.named_children().items()}
    found: dict[Module, tuple[Module, ...]] = {}
    for layer, name in names.items():
        if isinstance(layer, (Model, Sequential)):
            inner = with_padding_layers(layer)
            if inner is not layer:
                inner.name, inner.named_by_user = name, True
                found[layer] = inner,
        elif type(layer) in WINDOWED and not isinstance(layer.padding, str):
            found[layer] = _apart(layer, name, [n for n in graph.nodes if n.layer is layer])
    return found


def _apart(layer: Any, name: str, calls: list[Node]) -> tuple[Module, ...]:
    """Return a layer of zeros, if one is needed, and a layer without padding by numbers."""
    kind, window, dilation = type(layer).__name__, *_window(layer)
    pads = padding_pairs(kind, layer.padding, window, window, layer.strides, dilation)
    same = padding_pairs(kind, "same", window, window, layer.strides, dilation)
    if not any(map(any, pads)):
        return _twin(layer, name, "valid"),
    if pads == same and max(layer.strides) == 1:  # then lengths of the input do not matter
        return _twin(layer, name, "same"),
    if type(layer) in CONVOLUTIONS or (type(layer) in MAXIMA and all(
            _never_negative(s) for call in calls for s in call.inputs)):
        return _zeros(pads, name), _twin(layer, name, "valid")
    raise FormatError(f'layer "{name}" ({kind})', f"Keras has no padding={layer.padding!r}",
                      'expected "valid" or "same"' + ", or an input that is never negative" * (
                          type(layer) in MAXIMA), "")


def _window(layer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the lengths of a window, and its dilation."""
    if type(layer) in CONVOLUTIONS:
        return layer.kernel_size, layer.dilation_rate
    return layer.pool_size, (1,) * len(layer.pool_size)


def _zeros(pads: Pads, name: str) -> Module:
    if len(pads) == 1:
        return L.ZeroPadding1D(pads[0], name=f"{name}_pad")
    return L.ZeroPadding2D(pads, name=f"{name}_pad")


def _twin(layer: Any, name: str, padding: str) -> Any:
    """Return a layer with the weights of another, and other padding."""
    twin = type(layer).from_config({**layer.get_config(), "name": name, "padding": padding})
    for weight in ("kernel", "bias"):  # of which bias may be None
        if weight in vars(layer):
            setattr(twin, weight, getattr(layer, weight))
    twin.built = layer.built
    return twin


def _never_negative(symbol: Symbol) -> bool:
    """Say whether no value of a symbol can be below 0, as far as the layers show."""
    layer: Any = symbol.node.layer
    if isinstance(layer, InputLayer):
        return False
    if getattr(layer, "activation", None) in POSITIVE or (
            type(layer) is L.ReLU and layer.negative_slope == 0 and layer.threshold >= 0):
        return True
    return type(layer) in KEEPING and all(map(_never_negative, symbol.node.inputs))
