"""Which neighbouring layers of a model are computed together: something, then relu.

A layer of `STARTS` without an activation of its own does the relu of the layer after it at the end
of its own work, as one op (`ops/fused/`), where nobody can see the difference: nothing else takes
what lies between, each of the two layers is called once in the model, and neither has a hook. The
model stays as it is written; a hook that is registered later parts the two from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from . import activations
from .activation_layers import Activation, ReLU
from .conv import Conv1D, Conv2D, DepthwiseConv2D
from .core import Dense
from .graph import Node
from .merge import Add
from .module import Module
from .normalization import BatchNormalization
from .symbol import Symbol

STARTS = (Conv1D, Conv2D, DepthwiseConv2D, Dense, BatchNormalization, Add)
"""Layers whose forward takes `activation`; classes derived from them may do something else."""

ENDS: dict[type[Module], Callable[[Any], bool]] = {
    Activation: lambda layer: layer.activation is F.relu,
    ReLU: lambda layer: (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0, 0)}
"""Layers that may be relu, and what says whether one is."""

RELU = {"activation": F.relu}


def pairs(nodes: Sequence[Node], outputs: Sequence[Symbol]) -> dict[Node, Node]:
    """Return the calls of a graph that could do a relu, each with the call that it would replace.

    Args:
        outputs: symbols that the model returns.
    """
    uses = Counter(outputs)
    uses.update(symbol for node in nodes for symbol in node.inputs)
    calls = Counter(node.layer for node in nodes)
    makers = {symbol: node for node in nodes for symbol in node.symbols}
    found = {}
    for node in nodes:
        if type(node.layer) not in ENDS or calls[node.layer] > 1 or len(node.inputs) != 1:
            continue
        first = makers.get(node.inputs[0])
        if (first is not None and type(first.layer) in STARTS and calls[first.layer] == 1
                and uses[node.inputs[0]] == 1 and not first.options):
            found[first] = node
    return found


def relu_of(node: Node, pairs: Mapping[Node, Node]) -> Node | None:
    """Return the call that `node` is to do as well now, if there is one."""
    then = pairs.get(node)
    return then if then is not None and together(node.layer, then.layer) else None


def together(first: Module, then: Module) -> bool:
    """Say whether two layers, one after the other, are to be computed as one now."""
    start: Any = first
    return (start.activation is activations.linear and ENDS[type(then)](then)
            and all(layer.built and not (layer._hooks or layer._pre_hooks)
                    for layer in (first, then)))


def chain(layers: Sequence[Module]) -> Iterator[tuple[Module, dict[str, Any]]]:
    """Yield the layers of a chain that are to be called, each with the options of the call."""
    at = 0
    while at < len(layers):
        pair = layers[at:at + 2]
        if (len(pair) == 2 and type(pair[0]) in STARTS and type(pair[1]) in ENDS
                and together(*pair) and all(layers.count(layer) == 1 for layer in pair)):
            yield pair[0], RELU
            at += 2
        else:
            yield pair[0], {}
            at += 1
