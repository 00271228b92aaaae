"""Models written as files of the ONNX format, for onnxruntime and other engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError, MinidlError
from ..nn import Input, Model, Module, Symbol
from ..nn.graph import Node
from ..nn.tree import leaves
from ..watch import inference
from .onnx_file import MOST_BYTES, PathLike, library, write
from .onnx_graph import Graph, Step, Value, first_axes, last_axes, place_of, refused
from .onnx_layers import ANY_ORDER, KEEPING, LAYERS
from .onnx_report import OnnxReport, shape_text

OPSET = 13  # every layer can be written in it, and engines of 2021 read it
LAYOUTS = ("NCHW", "NHWC")
COLUMNS = ("Layer", "Type", "Nodes", "Output")
_ROOM = 64 << 20  # bytes left for what is no weight


def save_onnx(model: Module, path: PathLike, layout: str = "NCHW", opset: int = OPSET,
              batch: int | None = None) -> OnnxReport:
    """Write a model, as it is in use, into a file of the ONNX format.

    Dropout and augmentation vanish, batch normalisation has its moving statistics, and inside
    everything runs channels first. The names of inputs, layers and weights are those of the model.

    Args:
        model: Sequential or Model; a Module whose forward calls layers and operators only.
        path: of the file; an older one stays until the new one is complete and checked.
        layout: "NCHW" for inputs and outputs (N, C, H, W) and (N, C, L), which is usual in the
            format; "NHWC" for (N, H, W, C) and (N, L, C) as minidl has them.
        opset: version of the operators, at least 13.
        batch: samples that the file takes at a time; any number by default.

    Returns:
        What became of each layer; `print` shows it.

    Raises:
        FormatError: a layer has no counterpart, or the file would have more than 2 GB.
        CheckpointError: the file cannot be written.

    >>> from minidl.models import lenet
    >>> report = save_onnx(lenet(), "lenet.onnx")
    >>> report.notes[0]
    'Input "input": (N, 1, 28, 28), channels first (NCHW).'
    """
    onnx = library()
    _check(layout, opset, batch, onnx.defs.onnx_opset_version())
    with inference(model):
        whole = as_graph(model)
        writer = _Writer(model, Graph(opset), layout)
        inputs, outputs = writer.run(whole)
    graph = writer.graph
    if sum(array.nbytes for array in graph.weights.values()) > MOST_BYTES - _ROOM:
        raise FormatError(str(path), "would have more than 2 GB", "", "Save the model with "
                          "model.save, or its weights with minidl.io.save_torch.")
    notes = [_note("Input", value, layout) for value in inputs]
    notes += [_note("Output", value, layout) for value in outputs]
    proto = _model_proto(onnx, model, graph, [inputs, outputs], layout, batch, notes)
    write(path, proto)
    title = f"{path}: ONNX, operator set {opset}, IR version {proto.ir_version}"
    return OnnxReport(title, COLUMNS, writer.rows, notes)


def _check(layout: str, opset: int, batch: int | None, newest: int) -> None:
    if layout not in LAYOUTS:
        raise ArgumentError("save_onnx", f"got layout={layout!r}",
                            f"expected one of {', '.join(LAYOUTS)}", "Choose one.")
    if not isinstance(opset, int) or not OPSET <= opset <= newest:
        raise ArgumentError("save_onnx", f"got opset={opset!r}", f"expected {OPSET} to {newest}",
                            "Take the default for the widest use.")
    if batch is not None and (not isinstance(batch, int) or batch < 1):
        raise ArgumentError("save_onnx", f"got batch={batch!r}",
                            "expected a number of samples, or None", "None takes any number.")


# ---- the model as a graph ------------------------------------------------------------------


def as_graph(module: Module) -> Model:
    """Return a module as a graph; a hand-written forward is followed on symbols.

    Raises:
        FormatError: the forward does more than to call layers and to add, multiply and so on.
    """
    if isinstance(module, Module) and hasattr(module, "to_graph"):
        return module.to_graph()
    where = place_of(module.name or module.default_name(), module)
    if module._seen is None:
        raise refused(where, "has no weights yet", "expected a model that was called",
                      "Call it once, on a batch of zeros.")
    names = {inner: inner.name for inner in module.modules()}
    try:
        inputs = [Input(spec.shape[1:], dtype=spec.dtype.name) for spec in module._seen]
        return Model(inputs, module.forward(*inputs))
    except (MinidlError, AttributeError, TypeError, ValueError) as error:
        raise refused(where, f"has a forward that cannot be followed: {error}",
                      "expected one that calls layers, and + - * / between their results",
                      "Use layers instead of functions (Activation, Flatten, ...), or build the "
                      "model from Input.") from error
    finally:
        for inner, name in names.items():
            inner.name = name


class _Writer:
    """Walks through a model and the models in it, and writes each call of a layer."""

    def __init__(self, model: Module, graph: Graph, layout: str) -> None:
        self.graph, self.layout = graph, layout
        self.paths = {id(layer): path for path, layer in model.named_modules().items()}
        self.rows: list[tuple[str, ...]] = []
        self.renamed: dict[str, str] = {}

    def run(self, model: Model) -> tuple[list[Value], list[Value]]:
        """Write the model; return inputs and outputs as they are in the file."""
        inputs = [Value(self.graph.free(s.node.name), s.shape, _plain(s.dtype))
                  for s in model.inputs]
        inner = [self._turned(value, first_axes(value.ndim)) for value in inputs]
        outputs = self.model(model, inner)
        names = [symbol.node.name for symbol in leaves(model.outputs)]
        return inputs, [*map(self._output, outputs, names)]

    def model(self, model: Model, inputs: Sequence[Value]) -> list[Value]:
        """Write the calls of a graph and return its outputs."""
        values = dict(zip(model.inputs, inputs, strict=True))
        for node in model.nodes:
            made = self.call(node, [values[s] for s in node.inputs])
            values.update(zip(node.symbols, made, strict=True))
        return [values[symbol] for symbol in leaves(model.outputs)]

    def call(self, node: Node, inputs: list[Value]) -> list[Value]:
        """Write one call of a layer or of a model."""
        layer = node.layer
        path = self.paths.get(id(layer), node.name)
        if type(layer) not in LAYERS:
            if not layer.named_children():
                raise refused(place_of(path, layer), "has no counterpart in the ONNX format",
                              "expected layers of minidl", "Replace it by such layers.")
            return self.model(as_graph(layer), inputs)
        if node.options:
            raise refused(place_of(path, layer), f"is called with {', '.join(node.options)}",
                          "expected inputs only", "Give it to the constructor.")
        return [self._layer(layer, path, inputs, node.symbols[0])]

    def _layer(self, layer: Module, path: str, inputs: list[Value], symbol: Symbol) -> Value:
        if type(layer) not in ANY_ORDER:
            inputs = [*map(self.graph.straight, inputs)]
        before = len(self.graph.nodes)
        step = Step(self.graph, layer, path, inputs, symbol.shape)
        y = LAYERS[type(layer)](step)
        if isinstance(y, str):
            flat = inputs[0].flat if type(layer) in KEEPING else None
            y = Value(y, symbol.shape, _plain(symbol.dtype), flat)
        ops = " + ".join(node.op_type for node in self.graph.nodes[before:])
        self.rows.append((path, type(layer).__name__, ops or "-", self._shape(y)))
        return y

    def _shape(self, value: Value) -> str:
        return shape_text([value.shape[a] for a in first_axes(value.ndim)])

    def _turned(self, value: Value, axes: Sequence[int]) -> Value:
        if self.layout == "NCHW":
            return value
        name = self.graph.transposed(value.name, value.name, axes)
        return Value(name, value.shape, value.dtype)

    def _output(self, value: Value, name: str) -> Value:
        """Return an output in the file's layout, under its layer's name."""
        value = self._turned(self.graph.straight(value), last_axes(value.ndim))
        return Value(self._named(value.name, self.graph.free(name)), value.shape, value.dtype)

    def _named(self, old: str, new: str) -> str:
        """Let the node that made a tensor give it another name; a copy where nothing else may."""
        old = self.renamed.get(old, old)
        users = [node for node in self.graph.nodes if old in node.input]
        maker = next((node for node in self.graph.nodes if list(node.output) == [old]), None)
        if maker is None or users:
            self.graph.nodes.append(
                library().helper.make_node("Identity", [old], [new], f"{new}/Identity"))
        else:
            maker.output[0] = self.renamed[old] = new
        return new


def _plain(dtype: np.dtype) -> np.dtype:
    return np.dtype("float32") if dtype.kind == "f" else dtype


# ---- the file ------------------------------------------------------------------------------


def _note(what: str, value: Value, layout: str) -> str:
    shape = value.shape if layout == "NHWC" else [value.shape[a] for a in first_axes(value.ndim)]
    order = "first" if layout == "NCHW" else "last"
    kind = "" if value.dtype.kind == "f" else f" of {value.dtype}"
    axes = f", channels {order} ({layout})" if value.ndim > 2 else ""
    return f'{what} "{value.name}": {shape_text(shape)}{kind}{axes}.'


def _info(onnx: Any, value: Value, layout: str, batch: int | None) -> Any:
    axes = first_axes(value.ndim) if layout == "NCHW" else range(value.ndim)
    dims = [value.shape[a] or f"{value.name}_axis{a}" for a in axes]
    dims[0] = batch or "N"
    kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    return onnx.helper.make_tensor_value_info(value.name, kind, dims)


def _model_proto(onnx: Any, model: Module, graph: Graph, ends: list[list[Value]], layout: str,
                 batch: int | None, notes: list[str]) -> Any:
    helper, text = onnx.helper, " ".join(notes)
    weights = [onnx.numpy_helper.from_array(a, name) for name, a in graph.weights.items()]
    inputs, outputs = ([_info(onnx, value, layout, batch) for value in end] for end in ends)
    made = helper.make_graph(graph.nodes, model.name or model.default_name(), inputs, outputs,
                             weights, doc_string=text)
    imports = [helper.make_opsetid("", graph.opset)]
    proto = helper.make_model(made, opset_imports=imports, producer_name="minidl", doc_string=text,
                              ir_version=helper.find_min_ir_version_for(imports))
    helper.set_model_props(proto, {"layout": layout})
    return proto
