"""A minidl model as the PyTorch module that a PyTorch user would write.

`mirror(model)` walks the layer graph and makes an `fx.GraphModule`: one `nn.Module` per layer under
the layer's path, and a `forward` of plain calls (`print(mirror(model).module.code)` shows it).
Images are (N, C, H, W) there, sequences (N, C, L). Weights are copied; `Link` says how each array
of minidl lies in PyTorch, so that gradients can be brought back and compared.
`torch_layers.py` has the table of layers, `torch_polish.py` what a careful user does besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from minidl.nn import Model, Module
from minidl.nn.constraints import MaxNorm
from minidl.nn.graph import Node
from minidl.nn.layers import Input
from minidl.nn.regularizers import L2
from minidl.nn.symbol import Symbol
from minidl.nn.tree import leaves, map_tree

Shape = tuple[int | None, ...]


class MirrorError(TypeError):
    """The model holds something that the mirror does not know."""


@dataclass(frozen=True)
class Link:
    """Where an array of minidl lies in PyTorch.

    Attributes:
        ours, theirs: names of the array.
        shape: ours.
        axes: our axes in PyTorch's order; axes of length 1 may be added or dropped after that.
        order: (H, W, C) where our first axis is a flattened image; PyTorch's runs over (C, H, W).
    """

    ours: str
    theirs: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    order: tuple[int, ...] | None = None

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Return our array with its elements in PyTorch's order."""
        if self.order:
            split = array.reshape(*self.order, *self.shape[1:])
            array = np.moveaxis(split, 2, 0).reshape(self.shape)
        return np.ascontiguousarray(array.transpose(self.axes))

    def to_minidl(self, array: np.ndarray) -> np.ndarray:
        """Return PyTorch's array in our shape and order."""
        moved = array.reshape([self.shape[a] for a in self.axes])
        ours = moved.transpose(np.argsort(self.axes))
        if not self.order:
            return ours
        h, w, c = self.order
        return np.moveaxis(ours.reshape(c, h, w, *self.shape[1:]), 0, 2).reshape(self.shape)


@dataclass
class Mirror:
    """A PyTorch module, and what training it as minidl does needs.

    Attributes:
        links: all weights and moving statistics.
        decay: weight decay by PyTorch's names, its gradient that of our L2 penalty.
        max_norm: (largest norm, axes that make a vector) by PyTorch's names.
        head: "softmax" or "sigmoid", the model's end that the module leaves to the loss.
    """

    module: fx.GraphModule
    links: list[Link]
    decay: dict[str, float]
    max_norm: dict[str, tuple[float, tuple[int, ...]]]
    head: str | None


@dataclass(frozen=True)
class Value:
    """What flows between modules: the call that makes it, and its shape in minidl.

    Attributes:
        order: (H, W, C) of the image that was flattened into the last axis, if one was.
    """

    node: fx.Node
    shape: Shape
    order: tuple[int, ...] | None = None


Rule = Callable[["Builder", Any, Any, Shape], Value]
"""rule(builder, layer, input or inputs, output's shape in minidl) -> output"""


@dataclass
class Builder:
    """Makes modules, and the graph of their calls.

    Attributes:
        paths: path of every layer by identity; names: of every weight likewise.
        layer: the one whose rule is running.
    """

    paths: dict[int, str]
    names: dict[int, str]
    layer: Module | None = None
    root: nn.Module = field(default_factory=nn.Module)
    graph: fx.Graph = field(default_factory=fx.Graph)
    links: dict[str, Link] = field(default_factory=dict)
    decay: dict[str, float] = field(default_factory=dict)
    max_norm: dict[str, tuple[float, tuple[int, ...]]] = field(default_factory=dict)

    def name(self, part: str = "") -> str:
        """Return the name of the module for the present layer, or for a part of what it does."""
        path = "_".join(filter(None, [self.paths[id(self.layer)], part]))
        name = re.sub(r"\W", "_", path)
        return f"{name}_" if hasattr(nn.Module, name) or name[:1].isdigit() else name

    def call(self, make: Callable[[], nn.Module], x: fx.Node, part: str = "") -> fx.Node:
        """Return the call of a module of the present layer; a layer used twice has one."""
        name = self.name(part)
        if name not in dict(self.root.named_children()):
            self.root.add_module(name, make())
        return self.graph.call_module(name, (x,))

    def function(self, function: Callable[..., Any], *args: Any) -> fx.Node:
        """Return the call of a function."""
        return self.graph.call_function(function, args)

    def link(self, tensor: Any, attribute: str, axes: Sequence[int] = (0,),
             order: tuple[int, ...] | None = None) -> None:
        """Copy a weight of the present layer into an attribute of its module."""
        if tensor is None:
            return
        theirs = f"{self.name()}.{attribute}"
        link = Link(self.names[id(tensor)], theirs, tensor.shape, tuple(axes), order)
        target = getattr(self.root.get_submodule(self.name()), attribute)
        target.data.copy_(torch.from_numpy(link.to_torch(tensor.numpy())).reshape(target.shape))
        target.requires_grad_(getattr(tensor, "trainable", False))
        self.links[theirs] = link
        self._options(tensor, link)

    def _options(self, tensor: Any, link: Link) -> None:
        """Take over regulariser and constraint of a weight."""
        penalty, limit = (getattr(tensor, what, None) for what in ("regularizer", "constraint"))
        if penalty is not None:
            self.decay[link.theirs] = 2 * _l2(penalty)
        if limit is not None:
            if not isinstance(limit, MaxNorm):
                raise MirrorError(f"{link.ours} has the constraint {limit}")
            axes = (limit.axis,) if isinstance(limit.axis, int) else limit.axis
            theirs = tuple(link.axes.index(a % len(link.shape)) for a in axes)
            self.max_norm[link.theirs] = (limit.max_value, theirs)


def _l2(penalty: Any) -> float:
    if getattr(penalty, "l1", 0) or not hasattr(penalty, "l2"):
        raise MirrorError(f"{penalty} is no plain {L2.__name__} penalty")
    return float(penalty.l2)


# ---- the walk ------------------------------------------------------------------------------


def mirror(model: Any, head: bool = True, inplace: bool = True) -> Mirror:
    """Return the mirror of a model with one input and one output.

    Args:
        head: leave softmax and sigmoid at the end to the loss.
        inplace: let ReLU and addition write over an input that nothing else needs.

    Raises:
        MirrorError: a layer is not in the table.
    """
    from torch_polish import drop_head, fold_padding, work_in_place
    graph = model.to_graph()
    b = Builder({id(m): path for path, m in model.named_modules().items()}, _names(model))
    x = Value(b.graph.placeholder("x"), graph.inputs[0].shape)
    y = _walk(b, graph, [x])
    if not isinstance(y, Value) or y.order:
        raise MirrorError("expected one output in PyTorch's order")
    b.graph.output(y.node)
    left = drop_head(b.root, b.graph) if head else None
    fold_padding(b.root, b.graph)
    if inplace:
        work_in_place(b.root, b.graph)
    b.graph.lint()
    return Mirror(fx.GraphModule(b.root, b.graph, type(model).__name__), list(b.links.values()),
                  b.decay, b.max_norm, left)


def _names(model: Any) -> dict[int, str]:
    named = {**model.named_parameters(), **model.named_buffers()}
    return {id(tensor): name for name, tensor in named.items()}


def _walk(b: Builder, model: Model, inputs: Sequence[Value]) -> Any:
    """Return the mirrored outputs of a graph."""
    values: dict[Symbol, Value] = dict(zip(model.inputs, inputs, strict=True))

    def value(leaf: Any) -> Any:
        return values[leaf] if isinstance(leaf, Symbol) else leaf

    for node in model.nodes:
        made = _layer(b, node, map_tree(value, node.args))
        values.update(zip(node.symbols, leaves(made), strict=True))
    return map_tree(values.__getitem__, model.outputs)


def _layer(b: Builder, node: Node, args: tuple[Any, ...]) -> Any:
    from torch_layers import RULES
    rule = RULES.get(type(node.layer).__name__)
    if rule is None:
        return _walk(b, _inside(node), list(leaves(args)))
    b.layer = node.layer
    return rule(b, node.layer, args[0], node.outputs.shape)


def _inside(node: Node) -> Model:
    """Return the graph inside a layer that is made of others."""
    layer: Any = node.layer
    if hasattr(layer, "to_graph"):
        return layer.to_graph()
    if not layer.named_children():
        raise MirrorError(f"no rule for {type(layer).__name__} ({node.name})")
    new = {s: Input(s.shape[1:], dtype=s.dtype.name) for s in node.inputs}
    args = map_tree(lambda leaf: new.get(leaf, leaf), node.args)
    return Model(list(new.values()), layer.forward(*args, **node.options))
