"""The walk through a file in the ONNX format: which nodes matter, in which order, as which layers.

Nothing is recursive and everything is counted first, for the file may be anybody's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, MinidlError
from ..nn import Input, Model
from ..nn.layers import Identity
from .onnx_call import Budget, Call, LayerNames, plain_name
from .onnx_file import array_of, attributes_of, library, opset_of, size_beside
from .onnx_flow import Flow, Known, first_axes
from .onnx_fold import FOLDS, fold, shape_of
from .onnx_operators import FLOATS, OPERATORS
from .onnx_report import shape_text

MOST_NODES = 2048  # networks of hundreds of layers have fewer
MOST_INPUTS = 64
ROOM = 64 << 20  # bytes that constants may take in a file of any size
MOST_ELEMENTS = 1 << 31  # of a sample
DAMAGED = (ValueError, TypeError, OverflowError, IndexError, KeyError, AttributeError,
           ArithmeticError, MemoryError)  # what NumPy and Python say to numbers without sense
_WHOLE = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"}

Row = tuple[str, ...]


class Reader:
    """Makes a model of a parsed file.

    Args:
        path: of the file, for errors and for weights beside it.
        proto: its content.

    Attributes:
        nodes: those that the outputs need, in order.
        weights: the arrays that were used, by name.
        rows: a line for each node that became a layer or nothing.
        folded: number of nodes that computed with shapes and constants.
    """

    def __init__(self, path: Path, proto: Any) -> None:
        self.path, self.proto, self.graph = path, proto, proto.graph
        self.opset = opset_of(proto)
        self.values: dict[str, Flow | Known] = {}
        self.weights: dict[str, np.ndarray] = {}
        self.rows: list[Row] = []
        self.folded = 0
        self.joined: dict[str, str] = {}
        self.inputs: list[Flow] = []
        self.batch: int | None = None
        self.names = LayerNames()
        self.budget = Budget(path, 4 * (proto.ByteSize() + size_beside(path, proto)) + ROOM)
        stored = {tensor.name: tensor for tensor in self.graph.initializer}
        self.given = [i for i in self.graph.input if i.name not in stored]
        self.nodes = _ordered(path, self.graph, {*stored, *(i.name for i in self.given)})
        self.users: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.users[name].append(node)
        self.returned = {output.name for output in self.graph.output}
        used = self.returned | set(self.users)
        self.stored = {name: tensor for name, tensor in stored.items() if name in used}
        self.unused = sorted(set(stored) - set(self.stored))

    def model(self) -> Model:
        """Return the model; weights are in it."""
        for name, tensor in self.stored.items():
            where = f'{self.path}: weight "{name}"'
            array = self.guarded(where, lambda t=tensor, w=where: array_of(t, self.path.parent, w))
            self.budget.spend(array.nbytes)
            self.values[name], self.weights[name] = Known.of(array), array
        if not 0 < len(self.given) <= MOST_INPUTS:
            raise FormatError(str(self.path), f"has {len(self.given)} inputs",
                              f"expected 1 to {MOST_INPUTS}", "It is no image network.")
        for entry in self.given:
            where = f'{self.path}: input "{entry.name}"'
            flow = self.guarded(where, lambda e=entry: self._input(e))
            self.values[entry.name] = flow
            self.inputs.append(flow)
        for node in self.nodes:
            self.guarded(self._where(node), lambda n=node: self._node(n))
        return self.guarded(str(self.path), self._model)

    def guarded(self, where: str, make: Any) -> Any:
        """Return what `make` makes; what goes wrong is said with the place in the file."""
        try:
            with np.errstate(all="ignore"):
                return make()
        except FormatError:
            raise
        except MinidlError as error:
            raise FormatError(where, f"does not fit: {error.got}", error.expected, error.remedy
                              ) from error
        except DAMAGED as error:
            raise FormatError(where, f"does not fit: {error}", "",
                              "The file is damaged, or was exported wrongly.") from error

    def _where(self, node: Any) -> str:
        return (f'{self.path}: node "{node.name or node.output[0]}" ({node.op_type}, operator set '
                f'{self.opset})')

    # ---- inputs and outputs ----

    def _input(self, entry: Any) -> Flow:
        kind, dims = entry.type.tensor_type, entry.type.tensor_type.shape.dim
        if not kind.HasField("shape") or not dims or not (
                kind.elem_type in FLOATS or kind.elem_type in _WHOLE):
            raise FormatError(f'{self.path}: input "{entry.name}"', "has no shape, or no numbers",
                              "expected a tensor with the samples as the first axis",
                              "Export the model with an example of its input.")
        lengths = [d.dim_value if d.HasField("dim_value") and d.dim_value else None for d in dims]
        if min([n or 1 for n in lengths]) < 0 or prod(n or 1 for n in lengths) > MOST_ELEMENTS:
            raise FormatError(f'{self.path}: input "{entry.name}"', f"has the shape {lengths}",
                              f"expected at most {MOST_ELEMENTS} elements", "The file is damaged.")
        self.batch = lengths[0]
        axes = self._input_axes(entry.name, len(lengths))
        places = sorted(range(len(lengths)), key=axes.__getitem__)
        symbol = Input([lengths[p] for p in places[1:]], self.names.free(plain_name(
            f"{entry.name}/input", "input")), _WHOLE.get(kind.elem_type, "float32"))
        return Flow(symbol, axes)

    def _input_axes(self, name: str, ndim: int) -> tuple[int, ...]:
        """Return the layout of an input: channels last already, if the file turns it at once.

        A file of minidl says itself what it has.
        """
        said = {entry.key: entry.value for entry in self.proto.metadata_props}.get("layout")
        if said == "NCHW":
            return first_axes(ndim)
        users = self.users[name]
        turned = [list(attribute.ints) == list(first_axes(ndim)) for node in users
                  if node.op_type == "Transpose" for attribute in node.attribute]
        return tuple(range(ndim)) if users and turned == [True] * len(users) else first_axes(ndim)

    def _model(self) -> Model:
        call = self._call(None, "Output", "output", [], {})
        outputs = []
        for entry in self.graph.output:
            value = self.values.get(entry.name)
            if not isinstance(value, Flow):
                raise FormatError(f'{self.path}: output "{entry.name}"', "does not depend on the "
                                  "inputs", "expected a first output of a node", "Remove it.")
            symbol = call.channels_last(value).symbol
            is_input = any(symbol is flow.symbol for flow in self.inputs)
            outputs.append(call.apply(Identity(), symbol) if is_input else symbol)
        symbols = [flow.symbol for flow in self.inputs]
        return Model(symbols[0] if len(symbols) == 1 else symbols,
                     outputs[0] if len(outputs) == 1 else outputs,
                     name=plain_name(f"{self.graph.name}/model", "model"))

    # ---- nodes ----

    def _node(self, node: Any) -> None:
        if node.output[0] in self.joined:  # a bias that its dense layer has taken
            self.values[node.output[0]] = self.values[self.joined[node.output[0]]]
            return
        attributes = self._attributes(node)
        inputs = [self._value(node, name) if name else None for name in node.input]
        value = self._constant(node, attributes, inputs)
        if value is not None:
            self.folded += 1
            self.budget.spend(sum(a.nbytes for a in value.trials if a.base is None))
            self.values[node.output[0]] = value
            return
        if node.op_type not in OPERATORS:
            raise FormatError(self._where(node), "is an operator that is not known here",
                              f"expected one of {', '.join(sorted(OPERATORS))}",
                              "Change the model before the export, or run it with onnxruntime.")
        call = self._call(node, node.op_type, self._name(node), inputs, attributes)
        flow = OPERATORS[node.op_type](call)
        call.check_attributes()
        self.values[node.output[0]] = flow
        self._row(node, call, flow)

    def _value(self, node: Any, name: str) -> Flow | Known:
        if name in self.values:
            return self.values[name]
        raise FormatError(self._where(node), f'needs "{name}", a second output of a node',
                          "expected first outputs only", "Run it with onnxruntime.")

    def _attributes(self, node: Any) -> dict[str, Any]:
        found = dict(attributes_of(node))
        proto = library().TensorProto
        return {name: (array_of(value, self.path.parent, self._where(node))
                       if isinstance(value, proto) else value) for name, value in found.items()}

    def _constant(self, node: Any, attributes: dict[str, Any],
                  inputs: Sequence[Flow | Known | None]) -> Known | None:
        """Return what a node computes without data; None where it needs some."""
        if node.op_type == "Constant":
            return Known.of(_constant_value(attributes))
        if node.op_type == "Shape" and isinstance(inputs[0], Flow):
            return shape_of(inputs[0], attributes)
        known = [value for value in inputs if isinstance(value, Known)]
        if not known or len(known) < len(inputs) or node.op_type not in FOLDS:
            return None
        return fold(node.op_type, attributes, known)

    def _name(self, node: Any) -> str:
        weights = [name for name in node.input if name in self.stored]
        return plain_name(node.name, node.op_type, weights[0] if weights else "")

    def _call(self, node: Any, op: str, name: str, inputs: Sequence[Flow | Known | None],
              attributes: dict[str, Any]) -> Call:
        where = self._where(node) if node else str(self.path)
        call = Call(where, op, name, self.names, inputs, attributes, self.opset, self.batch,
                    self.budget)
        if op == "MatMul":
            call.next_bias = lambda units: self._next_bias(node, units)
        return call

    def _next_bias(self, node: Any, units: int) -> np.ndarray | None:
        """Return what the only node behind a product adds, if that is one number per unit."""
        product = node.output[0]
        users = self.users[product]
        if len(users) != 1 or users[0].op_type != "Add" or product in self.returned:
            return None
        other = next((name for name in users[0].input if name != product), "")
        value = self.values.get(other)
        array = value.array if isinstance(value, Known) else None
        if array is None or array.shape != (units,):
            return None
        self.joined[users[0].output[0]] = product
        return array

    def _row(self, node: Any, call: Call, flow: Flow) -> None:
        layers = ", ".join(name for name, _ in call.layers) or "-"
        kinds = ", ".join(kind for _, kind in call.layers) or "-"
        self.rows.append((node.name or node.output[0], node.op_type, layers, kinds,
                          shape_text(flow.symbol.shape)))


def _constant_value(attributes: dict[str, Any]) -> np.ndarray:
    """Return the value of a `Constant` node, whichever attribute has it."""
    for name, dtype in (("value", None), ("value_float", "float32"), ("value_floats", "float32"),
                        ("value_int", "int64"), ("value_ints", "int64")):
        if name in attributes:
            return np.asarray(attributes[name], dtype)
    raise ValueError(f"a constant of kind {', '.join(attributes) or 'nothing'} is not known")


# ---- order ---------------------------------------------------------------------------------


def _ordered(path: Path, graph: Any, known: set[str]) -> list[Any]:
    """Return the nodes that the outputs need, each after those that it needs.

    Raises:
        FormatError: an input is missing, nodes wait for each other, or there are too many.
    """
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    needed: set[int] = set()
    pending = [output.name for output in graph.output]
    while pending:
        name = pending.pop()
        if name in known or not name:
            continue
        if name not in makers:
            raise FormatError(str(path), f'needs "{name}", which no node makes',
                              "expected an input, a weight or an output of a node",
                              "The file is damaged.")
        if makers[name] not in needed:
            needed.add(makers[name])
            _check_node(path, graph.node[makers[name]], len(needed))
            pending += graph.node[makers[name]].input
    return _sorted(path, [graph.node[i] for i in sorted(needed)], known)


def _check_node(path: Path, node: Any, count: int) -> None:
    where = f'{path}: node "{node.name or node.output[0]}" ({node.op_type})'
    if count > MOST_NODES:
        raise FormatError(str(path), f"has more than {MOST_NODES} nodes", "",
                          "Run it with onnxruntime.")
    if node.domain not in ("", "ai.onnx"):
        raise FormatError(where, f"is an operator of {node.domain}",
                          "expected the standard operators",
                          "Export the model without extensions of its runtime.")
    if any(a.HasField("g") or a.graphs for a in node.attribute):
        raise FormatError(where, "holds a graph of its own: a branch or a loop",
                          "expected a network without them",
                          "Trace the model with an example instead of scripting it.")


def _sorted(path: Path, nodes: list[Any], known: set[str]) -> list[Any]:
    ready, waiting = set(known) | {""}, nodes
    done: list[Any] = []
    while waiting:
        later = []
        for node in waiting:
            if ready.issuperset(node.input):
                done.append(node)
                ready.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            names = ", ".join(f'"{n.name or n.output[0]}"' for n in later[:3])
            raise FormatError(str(path), f"has nodes that wait for each other: {names}",
                              "expected a graph without circles", "The file is damaged.")
        waiting = later
    return done
