"""Which neighbouring layers of a model are computed together: something, then relu or a sum.

A layer of `STARTS` without an activation of its own does the relu of the layer after it at the end
of its own work, and a convolution adds what an `Add` after it would add, as one op (`ops/fused/`),
where nobody can see the difference: nothing else takes what lies between, each of the two layers is
called once in the model, and neither has a hook. The model stays as it is written; a hook that is
registered later parts the two from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Pair:
    """A call that another call can do as well.

    Attributes:
        then: the call that is replaced.
        more: what a sum adds; None for relu.
    """

    then: Node
    more: Symbol | None = None

    def options(self, values: Mapping[Symbol, Any]) -> dict[str, Any]:
        """Return the options with which the first call does both."""
        return RELU if self.more is None else {"more": values[self.more]}


def pairs(nodes: Sequence[Node], outputs: Sequence[Symbol]) -> dict[Node, Pair]:
    """Return the calls of a graph that could do the next one as well.

    Args:
        outputs: symbols that the model returns.
    """
    uses = Counter(outputs)
    uses.update(symbol for node in nodes for symbol in node.inputs)
    calls = Counter(node.layer for node in nodes)
    makers = {symbol: node for node in nodes for symbol in node.symbols}

    def first(symbol: Symbol, starts: Sequence[type[Module]]) -> Node | None:
        node = makers.get(symbol)
        return node if (node is not None and type(node.layer) in starts and calls[node.layer] == 1
                        and uses[symbol] == 1 and not node.options) else None

    found: dict[Node, Pair] = {}
    once = [node for node in nodes if calls[node.layer] == 1]
    for then in once:
        if _is_relu(then.layer) and (node := first(then.inputs[0], STARTS)):
            found[node] = Pair(then)
    for then in once:
        if _is_sum(then.layer) and len(then.inputs) == 2 and then not in found:
            more, symbol = sorted(then.inputs, key=lambda s: s.node.number)
            node = first(symbol, (Conv2D,))
            if node and more.trials == symbol.trials:  # one shape
                found[node] = Pair(then, more)
    return found


def pair_of(node: Node, pairs: Mapping[Node, Pair]) -> Pair | None:
    """Return the pair of a call that is to be computed as one now, if there is one."""
    pair = pairs.get(node)
    return pair if pair is not None and together(node.layer, pair.then.layer) else None


def together(first: Module, then: Module) -> bool:
    """Say whether two layers, one after the other, are to be computed as one now."""
    start: Any = first
    return (start.activation is activations.linear and (_is_relu(then) or _is_sum(then))
            and all(layer.built and not (layer._hooks or layer._pre_hooks)
                    for layer in (first, then)))


def _is_relu(layer: Module) -> bool:
    """Say whether a layer is relu and nothing else."""
    return type(layer) in ENDS and ENDS[type(layer)](layer)


def _is_sum(layer: Any) -> bool:
    return type(layer) is Add and layer.activation is activations.linear


def chain(layers: Sequence[Module]) -> Iterator[tuple[Module, dict[str, Any]]]:
    """Yield the layers of a chain that are to be called, each with the options of the call."""
    at = 0
    while at < len(layers):
        pair = layers[at:at + 2]
        if (len(pair) == 2 and type(pair[0]) in STARTS and _is_relu(pair[1])
                and together(*pair) and all(layers.count(layer) == 1 for layer in pair)):
            yield pair[0], RELU
            at += 2
        else:
            yield pair[0], {}
            at += 1
