"""The order in which Keras 3 has the layers of a model, by which its files number them.

Layers are sorted by depth, the longest way to an output, and within it by a walk that goes from
the outputs backwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..nn import Model, Sequential
from ..nn.graph import InputLayer, Node
from ..nn.holder import walk
from ..nn.merge import Arithmetic
from ..nn.module import Module
from ..nn.naming import snake_case
from ..nn.tree import leaves


def keras_layers(model: Any) -> list[Module]:
    """Return the layers of a model in Keras's order; those of a graph with its inputs.

    >>> from minidl.nn import Input
    >>> from minidl.nn.layers import Add, Dense
    >>> x = Input((4,), name="x")
    >>> model = Model(x, Add(name="sum")([Dense(4, name="a")(Dense(4, name="b")(x)), x]))
    >>> [layer.name for layer in keras_layers(model)]
    ['x', 'b', 'a', 'sum']
    """
    if isinstance(model, Sequential):
        return list(dict.fromkeys(model.layers))
    depths, walked = _depths(model)
    order = sorted(depths, key=lambda layer: (-depths[layer], walked[layer]))
    return [layer for layer in order if not isinstance(layer, Arithmetic)]


def keras_class(layer: Module) -> str:
    """Return the name of a layer's class in Keras."""
    return "Functional" if type(layer) is Model else type(layer).__name__


def keras_paths(module: Module) -> Iterator[tuple[str, Module]]:
    """Yield everything in a model with its path in files of Keras 3, each once.

    Layers of models are numbered by class; parts of other modules go by their attribute.
    """
    return walk(module, _inside)


def _inside(module: Module) -> Iterator[tuple[str, Module]]:
    if isinstance(module, (Model, Sequential)):
        yield from _numbered("layers", keras_layers(module))
        return
    lists: dict[str, list[Module]] = {}
    for name, child in module.named_children().items():
        attribute, _, rest = name.partition("/")
        if rest:
            lists.setdefault(attribute, []).append(child)
        else:
            yield name, child
    for attribute, children in lists.items():
        yield from _numbered(attribute, children)


def _numbered(place: str, layers: list[Module]) -> Iterator[tuple[str, Module]]:
    counts: dict[str, int] = {}
    for layer in layers:
        base = snake_case(keras_class(layer))
        counts[base] = counts.get(base, -1) + 1
        yield f"{place}/{base}_{counts[base]}" if counts[base] else f"{place}/{base}", layer


# ---- depth ---------------------------------------------------------------------------------


def _depths(model: Model) -> tuple[dict[Module, int], dict[Module, int]]:
    """Return the depth of each layer, and the place at which the walk came to it."""
    nodes, walked = _walk(model)
    depths: dict[Module, int] = {}
    of_node: dict[Node, int] = {}
    inside = set(nodes)
    for node in reversed(nodes):
        depth = max(of_node.get(node, 0), depths.get(node.layer, 0))
        depths[node.layer] = of_node[node] = depth
        for before in _before(node, model):
            if before in inside:
                of_node[before] = max(depth + 1, of_node.get(before, 0))
    for symbol in model.inputs:
        if isinstance(symbol.node.layer, InputLayer) and symbol.node.layer not in depths:
            depths[symbol.node.layer], walked[symbol.node.layer] = 0, -1
    return depths, walked


def _walk(model: Model) -> tuple[list[Node], dict[Module, int]]:
    """Return the calls with those they need before them, and the layers as they were come to."""
    done: list[Node] = []
    known: set[Node] = set()
    walked: dict[Module, int] = {}
    for output in leaves(model.outputs):
        stack = [(node, iter(_before(node, model))) for node in _of(output, model)
                 if node not in known]
        known.update(node for node, _ in stack)
        for node, _ in stack:
            walked.setdefault(node.layer, len(walked))
        while stack:
            node, rest = stack[-1]
            after = next((n for n in rest if n not in known), None)
            if after is None:
                done.append(stack.pop()[0])
            else:
                known.add(after)
                walked.setdefault(after.layer, len(walked))
                stack.append((after, iter(_before(after, model))))
    return done, walked


def _of(symbol: Any, model: Model) -> list[Node]:
    """Return the call that makes a symbol, unless it lies before the model's inputs."""
    outside = symbol in model.inputs and not isinstance(symbol.node.layer, InputLayer)
    return [] if outside else [symbol.node]


def _before(node: Node, model: Model) -> list[Node]:
    return [before for symbol in node.inputs for before in _of(symbol, model)]
