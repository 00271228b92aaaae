"""The graph model: all layers between input symbols and output symbols."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Self

from ..autograd.tensor import Tensor
from ..errors import ArgumentError, GraphError, ShapeError
from . import fuse, join
from .graph import Node
from .module import Module
from .naming import Names
from .symbol import Symbol
from .tree import leaves, map_tree


class Model(Module):
    """A graph of layers from input symbols to output symbols.

    Args:
        inputs: a symbol or a list of them.
        outputs: a symbol, or symbols in a list, tuple or dict; calls return tensors likewise.

    Raises:
        GraphError: an output depends on an `Input` that is not among the inputs.

    >>> from minidl.nn.layers import Dense, Input
    >>> x = Input((4,))
    >>> model = Model(x, Dense(3, name="scores")(Dense(8, activation="relu")(x)))
    >>> model.output_shape, list(model.named_children())
    ((None, 3), ['dense', 'scores'])
    """

    _without_parts = Module._without_parts | {"inputs", "outputs", "nodes", "_layers", "_steps",
                                              "_pairs", "_joins"}

    def __init__(self, inputs: Symbol | Sequence[Symbol], outputs: Any, name: str | None = None,
                 **base: Any) -> None:
        super().__init__(name, **base)
        self._single = isinstance(inputs, Symbol)
        self.inputs = [inputs] if isinstance(inputs, Symbol) else list(inputs)
        self.outputs = outputs
        self.nodes = nodes_between(self.inputs, list(leaves(outputs)))
        self._names = Names()
        for symbol in self.inputs:
            self._names.claim(symbol.node.layer)
        self._layers = {self._names.claim(node.layer): node.layer for node in self.nodes}
        self._steps = _steps(self.nodes, list(leaves(outputs)))
        self._pairs = fuse.pairs(self.nodes, list(leaves(outputs)))
        self._joins = join.joins(self.nodes, list(leaves(outputs)))

    def named_children(self) -> dict[str, Module]:
        """Return the layers by name."""
        return dict(self._layers)

    @property
    def layers(self) -> list[Module]:
        """The layers in the order they were called first; inputs are none."""
        return list(self._layers.values())

    @property
    def input_shape(self) -> Any:
        """Shape of the input, or a list of shapes."""
        return self.inputs[0].shape if self._single else [s.shape for s in self.inputs]

    @property
    def output_shape(self) -> Any:
        """Shape of the output, nested as the outputs."""
        return map_tree(lambda symbol: symbol.shape, self.outputs)

    def forward(self, x: Any) -> Any:
        """Compute the outputs; intermediate values are dropped after their last use.

        Some neighbours are computed as one (`fuse.py`), which changes results by rounding at most,
        and what is joined may be computed in its place (`join.py`).
        """
        given = [x] if self._single else x
        if not isinstance(given, (list, tuple)) or len(given) != len(self.inputs):
            raise ArgumentError("", f"got {_count(given)}", f"expected {len(self.inputs)} inputs",
                                "Give a list in the order of the model's inputs.")
        values = {}
        for symbol, value in zip(self.inputs, given, strict=True):
            check_input(symbol, value)
            values[symbol] = value
        done: set[Node] = set()
        for node, last in self._steps:
            if node not in done:
                args, options = map_tree(
                    lambda leaf: _value(values, leaf), (node.args, node.options))
                pair = self._pairs.get(node)
                joined = pair.joined(node.layer, values) if pair else None
                compute, others = joined or (node.layer, [])
                made = others[-1] if others else node
                y = self._whole(node, args, values)
                if y is None:
                    y = compute(*args, **options, **self._out(node, made, args, values))
                values.update(zip(made.symbols, leaves(y), strict=True))
                done.update(others)
                del args, options, joined, compute, y
            for symbol in last:
                values.pop(symbol, None)  # there is none between two calls that were one
        return map_tree(values.__getitem__, self.outputs)

    def _whole(self, node: Node, args: tuple[Any, ...], values: dict[Symbol, Any]
               ) -> Tensor | None:
        """Return what a call joins if that is there already."""
        found = self._joins.get(node)
        return found.whole(args[0], values) if isinstance(found, join.Join) else None

    def _out(self, node: Node, made: Node, args: tuple[Any, ...], values: dict[Symbol, Any]
             ) -> dict[str, Tensor]:
        """Return where a call may write its result, as an argument, if it has a place.

        Args:
            made: the call whose result it makes: itself, or one that is done with it.
        """
        found = self._joins.get(made)
        return found.out(node.layer, args, values) if isinstance(found, join.Place) else {}

    def get_layer(self, name: str | int) -> Module:
        """Return a layer by name, by path in a nested model ("body/conv1"), or by position."""
        return find_layer(self, self.layers, name)

    def up_to(self, *names: str | int) -> Model:
        """Return the model from the same inputs to the outputs of layers, sharing all layers.

        Args:
            names: layers of this model, by name or position, or of a model in it ("body/conv1").
                Several give a list of outputs. Of a layer that is used more than once, the first
                use counts.
        """
        outputs = [self.output_of(name) for name in names]
        inputs = self.inputs[0] if self._single else self.inputs
        return Model(inputs, outputs[0] if len(outputs) == 1 else outputs)

    def output_of(self, name: str | int) -> Any:
        """Return the symbol of a layer's output."""
        if isinstance(name, int):
            name = self._names.find(self.get_layer(name)) or ""
        for node in self.nodes:
            if self._layers.get(name) is node.layer:
                return node.outputs
            outer = self._layers.get(name.partition("/")[0])
            if outer is node.layer and hasattr(outer, "up_to"):
                return outer.up_to(name.partition("/")[2])(*node.args, **node.options)
        self.get_layer(name)
        raise GraphError(f'layer "{name}"', "it lies in a module that is no graph",
                         "expected a layer of a Model or Sequential", "Use a forward hook instead.")

    def to_graph(self) -> Self:
        """Return the model itself."""
        return self

    def plot(self, path: str) -> None:
        """Draw the graph into a file, SVG or PNG by its ending."""
        from .plot import plot
        plot(self, path)

    def mermaid(self) -> str:
        """Return the graph as text in the Mermaid language."""
        from .plot import mermaid
        return mermaid(self)

    def get_config(self) -> dict[str, Any]:
        """Return layers and their connections, as JSON can hold them."""
        from .graph_config import get_config
        return get_config(self)

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Make a model from what `get_config` returned."""
        from .graph_config import from_config
        return from_config(cls, config)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.input_shape} -> {self.output_shape})"


def _value(values: dict[Symbol, Tensor], leaf: Any) -> Any:
    return values[leaf] if isinstance(leaf, Symbol) else leaf


def _count(given: Any) -> str:
    return f"{len(given)}" if isinstance(given, (list, tuple)) else f"a {type(given).__name__}"


def check_input(symbol: Symbol, value: Any) -> None:
    """Raise unless a tensor has the shape that a symbol says."""
    shape = tuple(getattr(value, "shape", ()))
    fits = len(shape) == symbol.ndim and all(
        wanted in (None, n) for n, wanted in zip(shape, symbol.shape, strict=True))
    if not fits:
        raise ShapeError("", f'got {shape} for the input "{symbol.node.name}"',
                         f"expected {symbol.shape}, None for any length",
                         "Axes are the batch first and the channels last; one sample alone "
                         "is x[None].")


def find_layer(model: Module, layers: list[Module], name: str | int) -> Module:
    """Return a layer of a model by name, path or position."""
    if isinstance(name, int):
        if -len(layers) <= name < len(layers):
            return layers[name]
        raise GraphError("get_layer", f"got position {name}", f"there are {len(layers)} layers",
                         "Positions start at 0.")
    found = model.named_children().get(name) or model.named_modules().get(name)
    if found is None:
        raise GraphError("get_layer", f"no layer {name!r}",
                         f"there are {', '.join(model.named_children())}", _like(model, name))
    return found


def _like(model: Module, name: str) -> str:
    near = difflib.get_close_matches(str(name), [*model.named_modules()], n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else "Choose one of them."


def nodes_between(inputs: list[Symbol], outputs: list[Symbol]) -> list[Node]:
    """Return the calls that lead from inputs to outputs, in order."""
    if not outputs or not all(isinstance(s, Symbol) for s in inputs + outputs):
        raise GraphError("Model", "got inputs or outputs that are no symbols",
                         "expected results of Input, and of layers called on them",
                         "Start from Input(shape).")
    found: set[Node] = set()
    pending = [s for s in outputs if s not in inputs]
    while pending:
        node = pending.pop().node
        if node in found:
            continue
        if not node.inputs:
            raise GraphError("Model", f'an output depends on the input "{node.name}"',
                             f"the model's inputs are {', '.join(s.node.name for s in inputs)}",
                             "Add it to the inputs.")
        found.add(node)
        pending += [s for s in node.inputs if s not in inputs]
    return sorted(found, key=lambda node: node.number)


def _steps(nodes: list[Node], outputs: list[Symbol]) -> list[tuple[Node, list[Symbol]]]:
    """Return each node with the symbols that nobody needs after it."""
    needed = set(outputs)
    steps = []
    for node in reversed(nodes):
        last = [s for s in {*node.inputs, *node.symbols} if s not in needed]
        needed.update(last)
        steps.append((node, last))
    return steps[::-1]
