"""How weights lie here and elsewhere: kernels transposed, flattened images in another order.

Here channels are last: a kernel is (KH, KW, I, O), a dense kernel (in, out), and flattening an
image (H, W, C) puts the channels of one pixel side by side. With channels first, a kernel is
(O, I, KH, KW), a dense kernel (out, in), and flattening puts the pixels of a channel side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Layout = Literal["channels_first", "channels_last"]
Shape = tuple[int, ...]
LAYOUTS: tuple[Layout, ...] = ("channels_first", "channels_last")

KERNELS = ("Conv1D", "Conv2D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose")
"""Layers whose kernel has the channels first elsewhere; transposed ones are (I, O, KH, KW) there,
and (KH, KW, O, I) here."""


@dataclass(frozen=True, eq=False)
class Order:
    """Where the elements of flattened images lie with channels first.

    Attributes:
        places: our element i is their element places[i].
        text: what was flattened.
    """

    places: np.ndarray
    text: str


def flattened(shape: Sequence[int]) -> Order | None:
    """Return the order of a flattened image (H, W, C); None where both orders are the same.

    >>> flattened((1, 2, 3)).places.tolist()
    [0, 2, 4, 1, 3, 5]
    """
    *space, channels = shape
    if channels == 1 or math.prod(space) == 1:
        return None
    theirs = np.arange(math.prod(shape)).reshape(channels, *space)
    return Order(np.moveaxis(theirs, 0, -1).reshape(-1), f"flattened {tuple(shape)}")


@dataclass(frozen=True)
class Turn:
    """How an array of a file becomes ours, and back.

    Attributes:
        ours, theirs: shapes.
        axes: the axes of theirs in our order.
        order: along our first axis, for what follows a flattened image.
    """

    ours: Shape
    theirs: Shape
    axes: tuple[int, ...]
    order: Order | None = None

    @property
    def text(self) -> str:
        """What is done, for tables."""
        parts = []
        if self.axes != tuple(range(len(self.axes))):
            parts.append(f"axes {self.axes}")
        if math.prod(self.ours) and tuple(self.theirs[a] for a in self.axes) != self.ours:
            parts.append("reshaped")
        if self.order is not None:
            parts.append(self.order.text)
        return ", ".join(parts) or "as is"

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        """Return an array of the file in our form."""
        turned = array.transpose(self.axes).reshape(self.ours)
        return turned if self.order is None else turned[self.order.places]

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        """Return an array of ours in the file's form."""
        if self.order is not None:
            back = np.empty_like(array)
            back[self.order.places] = array
            array = back
        moved = array.reshape([self.theirs[a] for a in self.axes])
        return moved.transpose(np.argsort(self.axes))


def turn(kind: str, role: str, ours: Shape, layout: Layout, order: Order | None = None) -> Turn:
    """Return how a weight of a layer is turned; `theirs` of it is the shape that a file must have.

    Args:
        kind: the layer's class.
        role: the weight's name in the layer.
        order: of the flattened image that the layer takes, if it does.

    >>> turn("Conv2D", "kernel", (3, 3, 16, 32), "channels_first").theirs
    (32, 16, 3, 3)
    >>> turn("DepthwiseConv2D", "kernel", (3, 3, 16, 2), "channels_first").theirs
    (32, 1, 3, 3)
    """
    axes = tuple(range(len(ours)))
    if layout == "channels_last":
        return Turn(ours, ours, axes)
    if role == "kernel" and kind == "DepthwiseConv2D":
        *window, channels, multiplier = ours
        return Turn(ours, (channels * multiplier, 1, *window), (2, 3, 1, 0))
    if role == "kernel" and kind in KERNELS:
        return Turn(ours, (ours[-1], ours[-2], *ours[:-2]), (*axes[2:], 1, 0))
    if role == "kernel" and kind == "Dense":
        return Turn(ours, ours[::-1], (1, 0), order)
    along = order is not None and kind != "Dense" and ours == order.places.shape
    return Turn(ours, ours, axes, order if along else None)


# ---- where images are flattened ------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """What is known of a value in a graph.

    Attributes:
        first: it is an image, or a sequence, that has its channels first elsewhere.
        order: of its elements, where it is a flattened one.
    """

    first: bool = False
    order: Order | None = None


def orders(model: Any) -> tuple[dict[int, Order], list[str]]:
    """Return the order of each layer's input by the layer's id, and notes of what is not known."""
    found: dict[int, Order] = {}
    notes: list[str] = []
    graph = _graph(model)
    if graph is None:
        kind = type(model).__name__
        return {}, [f"{kind} has no layer graph: what follows a flattened image is taken as it is"]
    _walk(graph, [State(len(s.shape) == 4) for s in graph.inputs], found, notes)
    return found, notes


def _graph(model: Any) -> Any:
    """Return the layer graph of a model or of a layer that is made of others, else None."""
    from ..nn import Model
    if isinstance(model, Model):
        return model
    try:
        return model.to_graph() if hasattr(model, "to_graph") else _traced(model)
    except Exception:  # code of users, run on symbols that it may not know
        return None


def _traced(model: Any) -> Any:
    from ..nn import Input, Model
    from ..nn.tree import leaves, map_tree
    named = [(module, module.name) for module in model.modules()]
    inputs = map_tree(lambda s: Input(s.shape[1:], dtype=s.dtype.name), list(model._seen))
    try:
        return Model(list(leaves(inputs)), model.forward(*inputs))
    finally:
        for module, name in named:
            module.name = name


def _walk(graph: Any, inputs: list[State], found: dict[int, Order], notes: list[str]) -> Any:
    """Follow the states through a graph; return those of its outputs."""
    from ..nn import Symbol
    from ..nn.tree import leaves
    states: dict[Any, State] = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        given = [s for s in leaves((node.args, node.options)) if isinstance(s, Symbol)]
        into = [states[s] for s in given]
        inner = _graph(node.layer) if node.layer.named_children() else None
        if inner is not None:
            out = _walk(inner, into, found, notes)
        else:
            if into and into[0].order is not None:
                found.setdefault(id(node.layer), into[0].order)
            shapes = [s.shape for s in given]
            out = [_after(node, into, shapes, s.shape, notes) for s in node.symbols]
        states.update(zip(node.symbols, out, strict=True))
    return [states[s] for s in leaves(graph.outputs)]


_WINDOWS = ("Conv", "MaxPool", "AveragePool", "DepthwiseConv", "Global", "ZeroPadding")


def _after(node: Any, into: list[State], shapes: list[Any], shape: Any, notes: list[str]) -> State:
    """Return the state of a layer's output of a shape."""
    kind = type(node.layer).__name__
    axes = len(shape)
    if kind in ("Flatten", "Reshape") and axes == 2 and len(shapes[0]) > 2:
        return State(order=flattened(shapes[0][1:]) if into[0].first else None)
    if kind == "Reshape" and axes > len(shapes[0]):
        notes.append(f"{node.name} makes {shape[1:]}: taken as (..., channels) from the file, too")
        return State()
    if kind.startswith(_WINDOWS):
        return State(first=axes > 2)
    if kind in ("Dense", "Embedding"):
        return State()
    if kind == "Concatenate" and axes == 2:
        return State(order=_side_by_side(into, [s[-1] for s in shapes]))
    same = next((s.order for s in into if s.order is not None), None)
    return State(any(s.first for s in into), same if axes == 2 else None)


def _side_by_side(parts: list[State], lengths: list[int]) -> Order | None:
    """Return the order of flattened images one after another."""
    known = [p.order for p in parts if p.order is not None]
    if not known:
        return None
    starts = np.cumsum([0, *lengths[:-1]])
    places = [start + (np.arange(n) if p.order is None else p.order.places)
              for p, n, start in zip(parts, lengths, starts, strict=True)]
    return Order(np.concatenate(places), " and ".join(o.text for o in known))
