"""Sequential: layers one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError, GraphError
from ..spec import Spec
from . import fuse
from .configurable import sharing
from .graph import Input, InputLayer
from .model import Model, check_input, find_layer
from .module import Module
from .naming import Names
from .symbol import Symbol


class Sequential(Module):
    """Layers one after another.

    Args:
        layers: the layers; an `Input` in front makes all shapes known, and wrong ones an error, at
            once. Without it the weights are made on the first call.

    >>> from minidl.nn.core import Dense
    >>> model = Sequential([Input((4,)), Dense(8, activation="relu"), Dense(3)])
    >>> model.output_shape, model.count_parameters()
    ((None, 3), 67)
    """

    def __init__(self, layers: Sequence[Module | Symbol] | None = None, name: str | None = None,
                 **base: Any) -> None:
        super().__init__(name, **base)
        self.layers: list[Module] = []
        self._names = Names()
        self._symbols: list[Symbol] = []
        if isinstance(layers, (Module, Symbol)):
            raise ArgumentError("Sequential", f"got the layer {layers!r}",
                                "expected a list of layers", "Write Sequential([first, second]).")
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Module | Symbol) -> None:
        """Put a layer at the end."""
        if isinstance(layer, (Symbol, InputLayer)):
            self._set_input(layer if isinstance(layer, Symbol) else layer.symbol)
        elif not isinstance(layer, Module):
            raise ArgumentError("Sequential", f"got {layer!r}", "expected a layer",
                                "Give an object, such as Dense(10); functions go into Lambda.")
        else:
            if self._symbols:
                self._symbols.append(layer(self._symbols[-1]))
            self._names.claim(layer)
            self.layers.append(layer)

    def _set_input(self, symbol: Symbol) -> None:
        if self.layers or self._symbols:
            raise GraphError("Sequential", "got an Input after other layers",
                             "expected it in front", "Make it the first in the list.")
        self._symbols, self._names = [symbol], symbol.names.scope

    def pop(self) -> Module:
        """Take the last layer off and return it."""
        if not self.layers:
            raise GraphError("Sequential", "there is no layer to take off", "", "Add one first.")
        layer = self.layers.pop()
        if self._symbols:
            self._symbols.pop()
        if layer not in self.layers:
            self._names.forget(layer)
        return layer

    def named_children(self) -> dict[str, Module]:
        """Return the layers by name."""
        return {self._names.find(layer) or "": layer for layer in self.layers}

    def forward(self, x: Any) -> Any:
        """Return the last layer's output."""
        if self._symbols:
            check_input(self._symbols[0], x)
        for compute in fuse.chain(self.layers, self._symbols):
            x = compute(x)
        return x

    @property
    def input_shape(self) -> Any:
        """Shape of the input, None for unknown lengths."""
        return self.to_graph().input_shape

    @property
    def output_shape(self) -> Any:
        """Shape of the output, None for unknown lengths."""
        return self.to_graph().output_shape

    def get_layer(self, name: str | int) -> Module:
        """Return a layer by name, by path in a nested model ("body/conv1"), or by position."""
        return find_layer(self, self.layers, name)

    def up_to(self, *names: str | int) -> Model:
        """Return the model up to layers, as `Model.up_to` does."""
        return self.to_graph().up_to(*names)

    def to_graph(self) -> Model:
        """Return the same layers as a graph `Model`; weights and names are shared."""
        if not self._symbols:
            self._symbols = self._trace()
        return Model(self._symbols[0], self._symbols[-1], self.name)

    def _trace(self) -> list[Symbol]:
        """Return the symbols of all layers, from the shape that was seen on the first call."""
        if not self._seen or not isinstance(self._seen[0], Spec):
            raise GraphError("Sequential", "the input's shape is not known yet", "",
                             "Put Input(shape) in front, or call the model once")
        first = self._seen[0]
        symbols = [Input(first.shape[1:], dtype=first.dtype.name)]
        for layer in self.layers:
            symbols.append(layer(symbols[-1]))
        return symbols

    def plot(self, path: str) -> None:
        """Draw the chain into a file, SVG or PNG by its ending."""
        self.to_graph().plot(path)

    def mermaid(self) -> str:
        """Return the chain as text in the Mermaid language."""
        return self.to_graph().mermaid()

    def get_config(self) -> dict[str, Any]:
        """Return the layers, the input first where it is known, as JSON can hold them."""
        from .serialization import serialize_as
        first = [self._symbols[0].node.layer] if self._symbols else []
        with sharing():
            layers = [serialize_as(m, self._names.find(m) or m.name) for m in first + self.layers]
        return {"layers": layers, "name": self.name, "trainable": self._trainable,
                "dtype": self.dtype}

    def __repr__(self) -> str:
        inside = "".join(f"  {layer!r},\n" for layer in self.layers)
        return f"Sequential([\n{inside}])"


