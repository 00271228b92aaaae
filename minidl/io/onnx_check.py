"""The self-check of an import: the reference evaluator of `onnx` against minidl, on random data."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..errors import FormatError
from ..nn import Model
from ..nn.summary import summarize
from ..nn.tree import leaves
from .onnx_file import library
from .onnx_flow import first_axes
from .onnx_reader import Reader

MOST_PRODUCTS = 100_000_000  # multiply-adds: three seconds of the reference evaluator
MOST_ELEMENTS = 1 << 24  # of all tensors together
MOST_NODES = 1024
LENGTH = 32  # stands for lengths that the file leaves open
TOLERANCE = 1e-3  # of the largest value; half precision in the file allows more
HALF = 3e-2


def self_check(reader: Reader, model: Model) -> str:
    """Return a sentence on how far the model is from what the file computes.

    Raises:
        FormatError: it is another function.
    """
    shapes = [tuple(LENGTH if n is None else n for n in flow.symbol.shape[1:])
              for flow in reader.inputs]
    where = f"{reader.path}: self-check"
    samples, reason = reader.guarded(where, lambda: _samples(reader, model, shapes))
    if reason or _strange(reader):
        return f"Self-check: left out, {reason or 'onnx rounds pools with auto_pad otherwise'}."
    inputs = [_drawn((samples, *shape), flow.symbol.dtype)
              for shape, flow in zip(shapes, reader.inputs, strict=True)]
    try:
        wanted = _reference(reader, inputs)
    except Exception as error:  # the evaluator is another project's, and files are anybody's
        return f"Self-check: not possible, onnx cannot compute the file ({_line(error)})."
    given = inputs[0] if len(inputs) == 1 else inputs
    ours = [*leaves(reader.guarded(where, lambda: model.predict(given)))]
    return _sentence(reader, [np.asarray(y) for y in ours], wanted)


def _samples(reader: Reader, model: Model, shapes: list[tuple[int, ...]]) -> tuple[int, str]:
    """Return how many samples to compute, and why it is too much where it is."""
    if len(reader.nodes) > MOST_NODES:
        return 1, f"the network has {len(reader.nodes):,} nodes"
    rows = summarize(model, shapes[0] if len(shapes) == 1 else shapes).rows
    products = sum(row.multiply_adds for row in rows)
    elements = sum(prod(row.shape) for row in rows if isinstance(row.shape, tuple))
    elements += sum(map(prod, shapes))
    samples = reader.batch or (2 if 2 * products <= MOST_PRODUCTS else 1)
    if samples * products > MOST_PRODUCTS:
        return samples, f"the network takes {samples * products:,} multiply-adds"
    if samples * elements > MOST_ELEMENTS:
        return samples, f"the network has {samples * elements:,} values"
    return samples, ""


def _strange(reader: Reader) -> bool:
    """Say whether there is a pool that the evaluator gives another length."""
    return any(node.op_type in ("MaxPool", "AveragePool") and attribute.name == "auto_pad"
               and attribute.s.startswith(b"SAME")
               for node in reader.nodes for attribute in node.attribute)


def _drawn(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    rng = np.random.default_rng(0)
    if dtype.kind == "f":
        return rng.standard_normal(shape, np.float32)
    return rng.integers(0, 2, shape).astype(dtype)


def _reference(reader: Reader, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Return what `onnx.reference` computes from the needed nodes alone, in float32."""
    from onnx.reference import ReferenceEvaluator
    helper, graph = library().helper, reader.graph
    weights = [library().numpy_helper.from_array(a, n) for n, a in reader.weights.items()]
    part = helper.make_graph(reader.nodes, "check", reader.given, graph.output, weights)
    proto = helper.make_model(part, opset_imports=reader.proto.opset_import)
    feeds = {entry.name: np.ascontiguousarray(x.transpose(flow.axes)) for entry, flow, x
             in zip(reader.given, reader.inputs, inputs, strict=True)}
    with np.errstate(all="ignore"):
        evaluator = ReferenceEvaluator(proto, new_ops=_corrected())
        return [*map(np.asarray, evaluator.run(None, feeds))]


def _corrected() -> list[type]:
    """Return operators in place of the evaluator's own (onnx 1.23).

    Its batch normalisation mixes statistics of the batch in before operator set 14; its pooling of
    maxima over sequences (N, C, L) is over the channels too; its local response normalisation
    passes over as many channels as there are samples.
    """
    from onnx.reference.op_run import OpRun

    class BatchNormalization(OpRun):
        op_domain = ""

        def _run(self, x: np.ndarray, *weights: np.ndarray, epsilon: float | None = None,
                 **other: Any) -> tuple[np.ndarray]:
            shape = (-1, *(1,) * (x.ndim - 2))
            gamma, beta, mean, variance = (w.reshape(shape) for w in weights)
            safe = variance + (1e-5 if epsilon is None else epsilon)
            return (((x - mean) / np.sqrt(safe) * gamma + beta).astype(x.dtype),)

    class GlobalMaxPool(OpRun):
        op_domain = ""

        def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
            return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)

    class LRN(OpRun):
        op_domain = ""

        def _run(self, x: np.ndarray, size: int, alpha: float = 1e-4, beta: float = 0.75,
                 bias: float = 1.0) -> tuple[np.ndarray]:
            before, channels = (size - 1) // 2, range(x.shape[1])
            squares = np.stack([np.square(x[:, max(c - before, 0):c - before + size]).sum(axis=1)
                                for c in channels], axis=1)
            return ((x / (bias + alpha / size * squares) ** beta).astype(x.dtype),)

    return [BatchNormalization, GlobalMaxPool, LRN]


def _sentence(reader: Reader, ours: list[np.ndarray], wanted: list[np.ndarray]) -> str:
    worst = 0.0
    for y, reference in zip(ours, wanted, strict=True):
        turned = y.transpose(first_axes(y.ndim))
        if turned.shape != reference.shape:
            raise _differs(reader, f"{turned.shape} where onnx computes {reference.shape}")
        same = np.isfinite(reference) & np.isfinite(turned)
        if not same.all():
            return "Self-check: not possible, the network overflows on random data."
        scale = max(float(np.abs(reference).max(initial=0)), 1e-6)
        worst = max(worst, float(np.abs(turned - reference).max(initial=0)) / scale)
    half = any(tensor.data_type in (10, 16) for tensor in reader.stored.values())
    if worst > (HALF if half else TOLERANCE):
        raise _differs(reader, f"values that differ by {worst:.1e} of the largest")
    return f"Self-check: outputs differ from onnx's by at most {worst:.1e} of the largest value."


def _differs(reader: Reader, what: str) -> FormatError:
    return FormatError(str(reader.path), f"the self-check gave {what}",
                       "expected the outputs of onnx.reference",
                       "Please report it; check=False loads the model all the same.")


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
