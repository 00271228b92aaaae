"""One node of a file that is read: its inputs, attributes and name, and the layers it becomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from ..errors import FormatError, ShapeError
from ..nn import Module, Symbol
from ..nn.layers import Flatten, Permute, Reshape
from .onnx_flow import Flow, Known, arrangement, first_axes

T = TypeVar("T")
REARRANGING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


class LayerNames:
    """Names of layers after the names of nodes and weights, each once."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def free(self, *wanted: str) -> str:
        """Return the first name that is free, or the last one with a number."""
        for name in wanted:
            if name not in self._taken:
                self._taken[name] = 0
                return name
        last = wanted[-1]
        self._taken[last] += 1
        return self.free(f"{last}_{self._taken[last]}")


def plain_name(node_name: str, op: str, weight: str = "") -> str:
    """Return a layer's name after a node's name, else its weight's, else its operator's.

    >>> plain_name("/layer1/layer1.0/conv1/Conv", "Conv"), plain_name("", "Conv", "conv2.weight")
    ('layer1_0_conv1', 'conv2')
    >>> plain_name("/Relu_3", "Relu"), plain_name("onnx::Conv_7", "Conv", "onnx::Conv_8")
    ('relu', 'conv')
    """
    for name, is_weight in ((weight, True), (node_name, False)):
        parts = [p for p in re.split(r"/", name) if p]
        if is_weight and len(parts) == 1:
            parts = parts[0].split(".")
        if is_weight or (parts and re.fullmatch(rf"{op}(_\d+)?", parts[-1], re.I)):
            parts = parts[:-1]
        parts = [p for p, n in zip(parts, [*parts[1:], ""], strict=False)
                 if not n.startswith(f"{p}.")]
        found = re.sub(r"\W+", "_", "_".join(parts)).strip("_")
        if found and "::" not in name:
            return found[:80]
    return op.lower()


@contextmanager
def given(layer: Any, **arrays: np.ndarray) -> Iterator[None]:
    """Let a layer be built with these values, without drawing any; its settings stay as they are.

    Args:
        arrays: by the attribute that holds the initializer and so on ("kernel_options").
    """
    before = {name: getattr(layer, name) for name in arrays}
    for name, array in arrays.items():
        setattr(layer, name, (_exactly(array), *before[name][1:]))
    try:
        yield
    finally:
        for name, options in before.items():
            setattr(layer, name, options)


def _exactly(array: np.ndarray) -> Callable[..., np.ndarray]:
    def values(shape: tuple[int, ...], dtype: np.dtype, fans: Any = None) -> np.ndarray:
        if array.shape != shape:
            raise ShapeError("", f"the file has weights of shape {array.shape}",
                             f"the layer needs {shape}", "The file is damaged.")
        return np.array(array, dtype, order="C")
    return values


class Budget:
    """Bytes that arrays may take in all, so that a small file cannot fill the memory.

    Args:
        path: of the file, for the error.
        size: bytes that there are.
    """

    def __init__(self, path: Any, size: int) -> None:
        self._path, self._left = path, size

    def spend(self, size: int) -> None:
        """Count bytes; raise where there are not as many left."""
        self._left -= size
        if self._left < 0:
            raise FormatError(str(self._path), "makes many times the data it holds", "",
                              "It is damaged, or made to fill the memory.")


class Call:
    """A node with what flows into it.

    Args:
        where: names file, node, operator and operator set in errors.
        op: the operator.
        name: of the layer that it becomes.
        inputs: values in order, None where one is left out.
        attributes: by name; those that nobody asks for are refused.
        opset: version of the operators.
        batch: samples that the file takes at a time, None for any number.
        budget: what the weights of layers are counted against.
    """

    def __init__(self, where: str, op: str, name: str, names: LayerNames,
                 inputs: Sequence[Flow | Known | None], attributes: dict[str, Any], opset: int,
                 batch: int | None, budget: Budget) -> None:
        self.where, self.op, self.name, self.opset, self.batch = where, op, name, opset, batch
        self.inputs, self.attributes = inputs, attributes
        self.names, self.budget = names, budget
        self.asked: set[str] = set()
        self.layers: list[tuple[str, str]] = []
        self.next_bias: Callable[[int], np.ndarray | None] = lambda units: None

    def refuse(self, got: str, expected: str = "", remedy: str = "") -> FormatError:
        """Return the error that says why the node cannot be imported."""
        return FormatError(self.where, got, expected, remedy or "Change the model before the "
                           "export, or run it with onnxruntime.")

    # ---- inputs ----

    def flow(self, index: int = 0) -> Flow:
        """Return an input that depends on the data."""
        value = self._input(index)
        if not isinstance(value, Flow):
            raise self.refuse(f"has no data as input {index}", "expected what a node before it "
                              "made of the model's inputs")
        return value

    def array(self, index: int) -> np.ndarray | None:
        """Return an input that is constant; None where it is left out."""
        value = self._input(index)
        if value is None:
            return None
        array = value.array if isinstance(value, Known) else None
        if array is None:
            raise self.refuse(f"has input {index} that is not constant",
                              "expected weights that the file holds")
        return array

    def weight(self, index: int) -> np.ndarray:
        """Return a constant input that must be there."""
        array = self.array(index)
        if array is None:
            raise self.refuse(f"has no input {index}", "expected weights", "The file is damaged.")
        return array

    def _input(self, index: int) -> Flow | Known | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def get(self, name: str, default: T) -> T:
        """Return an attribute, of the kind of its default."""
        self.asked.add(name)
        value = self.attributes.get(name, default)
        if isinstance(default, tuple):
            return tuple(int(n) for n in value)  # type: ignore[return-value]
        if isinstance(default, (int, float, str)) and not isinstance(value, type(default)):
            raise self.refuse(f"has {name}={value!r}", f"expected {type(default).__name__}",
                              "The file is damaged.")
        return value

    def need(self, name: str, *allowed: Any) -> None:
        """Raise unless an attribute is left out or has one of these values, the default first."""
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise self.refuse(f"has {name}={value!r}",
                              f"expected {' or '.join(map(repr, allowed))}")

    def check_attributes(self) -> None:
        """Raise for attributes that nobody has asked for."""
        unknown = sorted(set(self.attributes) - self.asked)
        if unknown:
            raise self.refuse(f"has the attribute {unknown[0]!r}",
                              "expected none but " + (", ".join(sorted(self.asked)) or "none"))

    # ---- layers ----

    def apply(self, layer: Module, *inputs: Any, **weights: np.ndarray) -> Any:
        """Call a layer on symbols, under this node's name; weights as `given` takes them."""
        longer = f"{self.name}_{layer.default_name()}"
        helps = isinstance(layer, (Permute, Reshape, Flatten)) and self.op not in REARRANGING
        wanted = (longer,) if helps or self.layers else (self.name, longer)
        layer.name, layer.named_by_user = self.names.free(*wanted), True
        self.layers.append((layer.name, type(layer).__name__))
        self.budget.spend(sum(array.nbytes for array in weights.values()))
        with given(layer, **weights):
            return layer(*inputs)

    def pointwise(self, layer: Module, index: int = 0) -> Flow:
        """Return an input after a layer that works on every element by itself."""
        flow = self.flow(index)
        return flow.of(self.apply(layer, flow.symbol))

    # ---- layout ----

    def arranged(self, flow: Flow, axes: tuple[int, ...]) -> Flow:
        """Return a tensor with the symbol's axes as wanted."""
        flow = self.straight(flow)
        order = arrangement(flow.axes, axes)
        if order == tuple(range(len(order))):
            return Flow(flow.symbol, axes)
        return Flow(self.apply(Permute(order[1:]), flow.symbol), axes)

    def channels_last(self, flow: Flow) -> Flow:
        """Return a tensor whose axis 1 is the symbol's last axis."""
        return self.arranged(flow, first_axes(flow.ndim))

    def as_stored(self, flow: Flow) -> Flow:
        """Return a tensor with the symbol's axes in the order of the file."""
        return self.arranged(flow, tuple(range(flow.ndim)))

    def straight(self, flow: Flow) -> Flow:
        """Return flattened features in the order of the file."""
        if flow.flat is None:
            return flow
        image: Symbol = self.apply(Reshape(flow.flat), flow.symbol)
        last = len(flow.flat)
        moved = self.apply(Permute((last, *range(1, last))), image)
        return Flow(self.apply(Flatten(), moved), flow.axes)
