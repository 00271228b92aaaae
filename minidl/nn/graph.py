"""The layer graph: inputs, calls of layers on symbols, and the calls between two symbols."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import config
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, GraphError, MinidlError
from ..spec import Spec
from . import calls
from .holder import shapes_only
from .module import Module, stand_in
from .naming import Names
from .symbol import Symbol
from .tree import leaves, map_tree

BATCHES = (2, 3)        # trial sizes of the batch
LENGTHS = (256, 384)    # trial sizes of other unknown lengths
_numbers = itertools.count()


class Node:
    """One call of a layer in a graph.

    Attributes:
        layer: the layer that is called.
        args: its positional arguments, symbols where tensors will be.
        options: its arguments by name, likewise.
        outputs: the symbols that it makes, nested as the layer returns them.
        number: nodes are numbered as they are made, so inputs come before outputs.
    """

    def __init__(self, layer: Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.layer, self.args, self.options = layer, args, options
        self.outputs: Any = None
        self.number = next(_numbers)

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name or self.layer.default_name()

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols among the arguments."""
        found = leaves((self.args, self.options))
        return [leaf for leaf in found if isinstance(leaf, Symbol)]

    @property
    def symbols(self) -> list[Symbol]:
        """The outputs as a flat list."""
        return list(leaves(self.outputs))


class InputLayer(Module):
    """Where data enter a graph; `Input` makes one and returns its symbol.

    Args:
        shape: lengths of the axes without the batch; None where unknown.
        dtype: element type of the data.

    Attributes:
        symbol: stands for the data.
    """

    def __init__(self, shape: Sequence[int | None], dtype: str = "float32", name: str | None = None
                 ) -> None:
        super().__init__(name)
        if not isinstance(shape, Sequence):
            raise ArgumentError("Input", f"got shape={shape!r}", "expected a tuple of lengths",
                                "Write Input((28, 28, 1)), or Input((28,)) for one axis.")
        lengths = tuple(shape)
        if not all(n is None or (isinstance(n, (int, np.integer)) and n > 0) for n in lengths):
            raise ArgumentError("Input", f"got shape={shape!r}",
                                "expected lengths above 0, or None", "Leave out the batch axis.")
        names = Names()
        names.claim(self)
        node = Node(self, (), {})
        first, second = (
            Spec((batch, *(unknown if n is None else int(n) for n in lengths)), np.dtype(dtype))
            for batch, unknown in zip(BATCHES, LENGTHS, strict=True))
        node.outputs = self.symbol = Symbol(node, 0, (first, second), names)

    def default_name(self) -> str:
        """Return "input"."""
        return "input"

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


def Input(shape: Sequence[int | None], name: str | None = None,  # noqa: N802 (Keras' name)
          dtype: str = "float32") -> Symbol:
    """Return the symbol of data that enter a graph.

    Args:
        shape: lengths of the axes without the batch; None where unknown.

    >>> Input((28, 28, 1)).shape
    (None, 28, 28, 1)
    """
    return InputLayer(shape, dtype, name).symbol


# ---- calling layers on symbols -------------------------------------------------------------


def connect(layer: Module, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call a layer on symbols: return the symbols of its outputs; the layer is built."""
    node = Node(layer, args, options)
    names = _joined(node.inputs)
    known = names.find(layer)
    name = names.claim(layer)
    try:
        trials = [_trial(node, name, i) for i in range(2)]
    except MinidlError as error:
        if known is None:
            names.forget(layer)
        raise _with_chain(error, node) from error
    numbers = itertools.count()
    node.outputs = map_tree(
        lambda pair: Symbol(node, next(numbers), pair.specs, names), _zip_trees(*trials))
    return node.outputs


def _joined(symbols: list[Symbol]) -> Names:
    names = symbols[0].names.scope
    for symbol in symbols[1:]:
        names.join(symbol.names.scope)
    return names


def _trial(node: Node, name: str, which: int) -> Any:
    """Return the specs of a layer's outputs for one trial size."""
    def tensor(leaf: Any) -> Any:
        return stand_in(leaf.trials[which]) if isinstance(leaf, Symbol) else leaf

    with calls.called_as(name), shapes_only(node.layer, False), config.no_grad():
        y = node.layer(*map_tree(tensor, node.args), **map_tree(tensor, node.options))
    if not all(isinstance(leaf, Tensor) for leaf in leaves(y)):
        raise GraphError(f'layer "{name}" ({type(node.layer).__name__})',
                         f"forward returned {type(y).__name__}", "expected tensors",
                         "Return a tensor, or a list, tuple or dict of tensors.")
    return map_tree(lambda t: Spec(t.shape, t.dtype), y)


class _Pair:
    """Two specs that `map_tree` does not take for a container."""

    def __init__(self, first: Spec, second: Spec) -> None:
        self.specs = (first, second)


def _zip_trees(first: Any, second: Any) -> Any:
    pairs = map(_Pair, leaves(first), leaves(second))
    return map_tree(lambda _: next(pairs), first)


def _with_chain(error: MinidlError, node: Node) -> MinidlError:
    """Return the error with the shapes on the way to the layer."""
    steps: list[str] = []
    symbol: Symbol | None = node.inputs[0]
    while symbol is not None:
        steps.append(f"{symbol.node.name} {symbol.shape}")
        symbol = next(iter(symbol.node.inputs), None)
    chain = f"Shapes so far (None is tried as {BATCHES[0]}): {' -> '.join(reversed(steps))}."
    remedy = f"{error.remedy} {chain}" if error.remedy else chain
    return type(error)(error.where, error.got, error.expected, remedy)
