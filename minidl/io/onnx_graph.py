"""A graph in the ONNX format while it is written, channels first.

A tensor (N, H, W, C) of minidl is (N, C, H, W) in the graph, one (N, L, C) is (N, C, L); two axes
stay as they are. After a flatten the features lie channels first, too; the dense layer behind gets
its rows in that order, so that nothing is transposed when the graph runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import FormatError
from ..nn.module import Module
from ..nn.symbol import SymbolShape
from .onnx_file import library

Pairs = Sequence[Sequence[int]]


def first_axes(ndim: int) -> tuple[int, ...]:
    """Return the axes of channels last in the order of channels first.

    >>> first_axes(4), first_axes(3), first_axes(2)
    ((0, 3, 1, 2), (0, 2, 1), (0, 1))
    """
    return (0, ndim - 1, *range(1, ndim - 1)) if ndim > 2 else tuple(range(ndim))


def last_axes(ndim: int) -> tuple[int, ...]:
    """Return the axes of channels first in the order of channels last.

    >>> last_axes(4), last_axes(3), last_axes(2)
    ((0, 2, 3, 1), (0, 2, 1), (0, 1))
    """
    return (0, *range(2, ndim), 1) if ndim > 2 else tuple(range(ndim))


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        name: in the graph.
        shape: as minidl has it, channels last; None for unknown lengths.
        dtype: element type.
        flat: of features (N, F) that lie as a flattened (C, H, W), the shape (H, W, C); else None.
    """

    name: str
    shape: SymbolShape
    dtype: np.dtype
    flat: tuple[int, ...] | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)


@dataclass
class Graph:
    """Nodes and weights so far.

    Attributes:
        opset: version of the operators.
        nodes: as the format has them, in order.
        weights: arrays by name.
    """

    opset: int
    nodes: list[Any] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    _taken: dict[str, int] = field(default_factory=dict)

    def node(self, path: str, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node named PATH/OP and return the name of its output, which is the same."""
        name = self.free(f"{path}/{op}" if path else op)
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(library().helper.make_node(op, list(inputs), [name], name, **given))
        return name

    def free(self, name: str) -> str:
        """Return a name that nothing has yet; a number is put behind one that is taken."""
        count = self._taken.get(name, 0)
        self._taken[name] = count + 1
        return name if not count else self.free(f"{name}_{count}")

    def weight(self, name: str, array: np.ndarray) -> str:
        """Add an array under a name, once where a layer is called again, and return the name."""
        array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else array.dtype)
        known = self.weights.get(name)
        if known is not None:
            same = known.shape == array.shape and np.array_equal(known, array)
            return name if same else self.weight(self.free(name), array)
        self._taken.setdefault(name, 1)
        self.weights[name] = array
        return name

    # ---- layout ----

    def transposed(self, path: str, name: str, axes: Sequence[int]) -> str:
        """Return a tensor with its axes in another order."""
        if tuple(axes) == tuple(range(len(axes))):
            return name
        return self.node(path, "Transpose", [name], perm=list(axes))

    def straight(self, value: Value) -> Value:
        """Return features in the order of channels last, as minidl has them."""
        if value.flat is None:
            return value
        *places, channels = value.flat
        shape = self.weight(f"{value.name}/shape", np.array([0, channels, *places], np.int64))
        image = self.node(value.name, "Reshape", [value.name, shape])
        moved = self.transposed(value.name, image, last_axes(len(value.flat) + 1))
        return Value(self.node(value.name, "Flatten", [moved], axis=1), value.shape, value.dtype)


@dataclass
class Step:
    """One call of a layer that is being written.

    Attributes:
        graph: where to.
        layer: the layer.
        path: its path in the model.
        inputs: what it is called on.
        shape: of its output, channels last.
    """

    graph: Graph
    layer: Any
    path: str
    inputs: list[Value]
    shape: SymbolShape

    @property
    def x(self) -> Value:
        """The first input."""
        return self.inputs[0]

    @property
    def where(self) -> str:
        """The layer's path and class, for errors."""
        return place_of(self.path, self.layer)

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its output."""
        return self.graph.node(self.path, op, inputs, **attributes)

    def weight(self, name: str, array: Any) -> str:
        """Add an array NAME of this layer and return its name in the graph."""
        return self.graph.weight(f"{self.path}/{name}", np.asarray(array))

    def whole(self, name: str, *numbers: int) -> str:
        """Add whole numbers, such as a shape or axes, and return their name."""
        return self.weight(name, np.array(numbers, np.int64))

    def number(self, name: str, value: float) -> str:
        """Add a number and return its name."""
        return self.weight(name, np.array(value, np.float32))

    def channels_last(self, value: Value) -> str:
        """Return an input with the channels as the last axis."""
        return self.graph.transposed(self.path, value.name, last_axes(value.ndim))

    def channels_first(self, name: str) -> str:
        """Return a tensor of the output's axes, channels last, with the channels in front."""
        return self.graph.transposed(self.path, name, first_axes(len(self.shape)))

    def mean(self, x: str, axes: Sequence[int]) -> str:
        """Return the mean over axes, which stay with length 1."""
        if self.graph.opset < 18:
            return self.op("ReduceMean", x, axes=list(axes), keepdims=1)
        return self.op("ReduceMean", x, self.whole("axes", *axes), keepdims=1)


def place_of(path: str, layer: Module) -> str:
    """Return how errors name a layer."""
    return f'layer "{path}" ({type(layer).__name__})'


def refused(where: str, got: str, expected: str, remedy: str) -> FormatError:
    """Return the error for a layer that cannot be written."""
    return FormatError(where, got, expected, remedy)
