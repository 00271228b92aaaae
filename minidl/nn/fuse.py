"""Which neighbouring layers of a model are computed together.

- A layer of `STARTS` without an activation of its own does the relu of the layer after it at the
  end of its own work, as one op (`ops/fused/`), a convolution relu6, too.
- A convolution adds what an `Add` after it would add, likewise.
- Without gradients a convolution normalises, too (`fold.py`), and does the relu, the relu6 or the
  sum after that.
- Without gradients a convolution and the pooling after it take a few samples at a time, where the
  result between them is large: then that lies in the cache, and takes little memory.

All this happens where nobody can see the difference: nothing else takes what lies between, each of
the two layers is called once in the model, and neither has a hook. The model stays as it is
written; a hook that is registered later parts the two from then on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import config, dispatch
from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import empty
from . import activations, fold
from .activation_layers import Activation, ReLU
from .conv import Conv1D, Conv2D, DepthwiseConv2D
from .core import Dense
from .graph import Node
from .merge import Add
from .module import Module
from .normalization import BatchNormalization
from .pooling import AveragePooling2D, MaxPooling2D
from .symbol import Symbol

STARTS = (Conv1D, Conv2D, DepthwiseConv2D, Dense, BatchNormalization, Add)
"""Layers whose forward takes `activation`; classes derived from them may do something else."""

ENDS: dict[type[Module], Callable[[Any], Any]] = {
    Activation: lambda layer: layer.activation if layer.activation in activations.ENDS else None,
    ReLU: lambda layer: {(None, 0, 0): F.relu, (6, 0, 0): activations.relu6}.get(
        (layer.max_value, layer.negative_slope, layer.threshold))}
"""Layers that may be relu or relu6, and what returns which, None for neither."""

POOLS = (MaxPooling2D, AveragePooling2D)
SLICE = 16 << 20  # bytes between a convolution and its pooling


@dataclass(frozen=True)
class Pair:
    """A call that another call can do as well.

    Attributes:
        then: the call that is replaced.
        more: what a sum adds.
        samples: that are taken at a time, where `then` is a pooling.
        folds: whether `then` normalises what a convolution gives.
        after: the call after `then`, where `then` is folded.
    """

    then: Node
    more: Symbol | None = None
    samples: int = 0
    folds: bool = False
    after: Pair | None = None

    def joined(self, first: Module, values: Mapping[Symbol, Any]
               ) -> tuple[Callable[..., Any], list[Node]] | None:
        """Return what does the work of the call and more, and which ones; None if it does its own.

        Args:
            first: layer of the first call.
            values: those of the symbols so far.
        """
        if self.folds:
            return self._folded(first, values)
        joined = _joined(first, self.then.layer, self._more(values), self.samples)
        return None if joined is None else (joined, [self.then])

    def _folded(self, first: Module, values: Mapping[Symbol, Any]
                ) -> tuple[Callable[..., Any], list[Node]] | None:
        after = self.after
        more = None if after is None else after._more(values)
        folded, count = _folded(first, self.then.layer, after and after.then.layer, more)
        nodes = [self.then, *([after.then] if after else [])]
        return None if folded is None else (folded, nodes[:count - 1])

    def _more(self, values: Mapping[Symbol, Any]) -> Any:
        return None if self.more is None else values[self.more]


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
    sums: dict[Node, Pair] = {}  # of what is normalised
    once = [node for node in nodes if calls[node.layer] == 1]
    for then in once:
        if _end(then.layer) and (node := first(then.inputs[0], STARTS)):
            found[node] = Pair(then)
    for then in once:
        if _is_sum(then.layer) and len(then.inputs) == 2 and then not in found:
            more, symbol = sorted(then.inputs, key=lambda s: s.node.number)
            node = first(symbol, (Conv2D, BatchNormalization))
            if node and more.trials == symbol.trials:  # one shape
                (found if type(node.layer) is Conv2D else sums)[node] = Pair(then, more)
        elif type(then.layer) in POOLS and (node := first(then.inputs[0], (Conv2D,))):
            found[node] = Pair(then, samples=_samples(then.inputs[0]))
    for then in once:
        node = first(then.inputs[0], fold.CONVOLUTIONS) if then.inputs else None
        if node and fold.folds(node.layer, then.layer):
            after = sums.get(then) if type(node.layer) is Conv2D else None
            found[node] = Pair(then, folds=True, after=found.get(then) or after)
    return found


def _joined(first: Module, then: Module, more: Any = None, samples: int = 0
            ) -> Callable[..., Any] | None:
    """Return what does the work of two layers, None where each is to do its own now."""
    if not unseen(first, then):
        return None
    if samples:
        return partial(_in_slices, first, then, samples) if _without_trace() else None
    if not _together(first, then):
        return None
    return partial(first, **_option(then, more))


def _option(then: Module, more: Any) -> dict[str, Any]:
    """Return what a call does besides: adding, or else the activation that a layer is."""
    return {"activation": _end(then)} if more is None else {"more": more}


def unseen(*layers: Module) -> bool:
    """Say whether nobody looks at what lies between layers."""
    return all(layer.built and not (layer._hooks or layer._pre_hooks) for layer in layers)


def _together(first: Any, then: Module) -> bool:
    """Say whether what two layers are now can be done by one op."""
    return first.activation is activations.linear and (bool(_end(then)) or _is_sum(then))


def _end(layer: Module | None) -> activations.Function | None:
    """Return the activation that a layer is, and nothing else; None for other layers."""
    return None if layer is None or type(layer) not in ENDS else ENDS[type(layer)](layer)


def _is_sum(layer: Any) -> bool:
    return type(layer) is Add and layer.activation is activations.linear


def chain(layers: Sequence[Module], symbols: Sequence[Symbol] = ()
          ) -> Iterator[Callable[[Any], Any]]:
    """Yield what is to be called for a chain of layers, one after the other.

    Args:
        symbols: the input and the layers' outputs, where they are known.
    """
    at = 0
    while at < len(layers):
        three = layers[at:at + 3]
        once = all(layers.count(layer) == 1 for layer in three[:2])
        joined, count = _beginning(three, symbols[at + 1:at + 2]) if once else (None, 1)
        yield joined or three[0]
        at += count if joined else 1


def _beginning(layers: Sequence[Any], between: Sequence[Symbol]
               ) -> tuple[Callable[[Any], Any] | None, int]:
    """Return what does the work of the first of some layers, and of how many.

    Args:
        between: what lies between the first two, if it is known.
    """
    first, then, after = (*layers, None, None)[:3]
    if type(first) in STARTS and _end(then):
        return _joined(first, then), 2
    if type(first) is Conv2D and type(then) in POOLS and between:
        return _joined(first, then, samples=_samples(between[0])), 2
    if fold.folds(first, then):
        return _folded(first, then, after if _end(after) else None)
    return None, 1


def _folded(first: Any, norm: Any, after: Any, more: Any = None
            ) -> tuple[Callable[..., Any] | None, int]:
    """Return what does the work of a convolution and more, None if it does its own; of how many.

    Args:
        after: the activation or the sum after the normalisation, None where there is neither.
        more: what the sum adds.
    """
    if not (unseen(first, norm) and fold.is_due(first, norm)):
        return None, 1
    both = partial(fold.normalised, first, norm)
    if after is not None and unseen(after) and _together(norm, after):
        return partial(both, **_option(after, more)), 3
    return both, 2


# ---- a few samples at a time ---------------------------------------------------------------


def _samples(between: Symbol) -> int:
    """Return how many samples of what lies between two layers make a slice."""
    spec = between.trials[0]
    return max(SLICE // max(math.prod(spec.shape[1:]) * spec.dtype.itemsize, 1), 1)


def _without_trace() -> bool:
    """Say whether values are computed that backward will not need."""
    return not (config.grad_enabled() or config.only_shapes())


def _in_slices(first: Module, then: Module, samples: int, x: Any) -> Any:
    """Return then(first(x)), a few samples at a time if there are many."""
    if len(x) < 2 * samples:
        return then(first(x))
    begin = then(first(x[:samples]))
    y = empty((len(x), *begin.shape[1:]), begin.dtype, begin.device)
    dispatch.run("copy", begin.array, out=[y[:samples].array])
    for i in range(samples, len(x), samples):
        then(first(x[i:i + samples]), out=y[i:i + samples])
    return y
