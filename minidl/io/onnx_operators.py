"""The operators of the ONNX format as layers: one short function for each, found in a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn import layers as L  # noqa: N812
from . import onnx_reshapes as reshapes
from . import onnx_windows as windows
from .onnx_call import Call
from .onnx_flow import Flow, Known

MOST_CONSTANTS = 1 << 18  # elements of a constant that is added or multiplied
FLOATS = (1, 10, 11, 16)  # numbers of float32, float16, float64, bfloat16 in the format

# ---- activations ---------------------------------------------------------------------------


def activation(name: str) -> Callable[[Call], Flow]:
    """Return what makes an activation by its name."""
    return lambda call: call.pointwise(L.Activation(name))


def gelu(call: Call) -> Flow:
    """Return a gelu."""
    call.need("approximate", "none")
    return call.pointwise(L.Activation("gelu"))


def swish(call: Call) -> Flow:
    """Return x sigmoid(x)."""
    call.need("alpha", 1.0)
    return call.pointwise(L.Activation("silu"))


def clip(call: Call) -> Flow:
    """Return x limited to a range: a rectifier where it begins at 0."""
    low, high = (_limit(call, name, i) for i, name in ((1, "min"), (2, "max")))
    if low == 0:
        return call.pointwise(L.Activation("relu") if high is None else L.ReLU(high))
    flow = call.flow()
    symbol = flow.symbol
    if low is not None:  # low + relu(x - low)
        above = call.apply(L.ReLU(), call.apply(L.Arithmetic("subtract", low), symbol))
        symbol = call.apply(L.Arithmetic("add", low), above)
    if high is not None:  # high - relu(high - x)
        below = call.apply(L.ReLU(), call.apply(L.Arithmetic("reverse_subtract", high), symbol))
        symbol = call.apply(L.Arithmetic("reverse_subtract", high), below)
    return flow.of(symbol)


def _limit(call: Call, name: str, index: int) -> float | None:
    """Return a limit from the attribute (operator sets before 11) or the input; None if none."""
    given = call.array(index)
    value = call.get(name, 3.4e38) if given is None else float(given.reshape(-1)[0])
    unset = given is None and name not in call.attributes
    return None if unset or abs(value) > 3e38 else value


def hard_sigmoid(call: Call) -> Flow:
    """Return alpha x + beta limited to [0, 1]."""
    flow = call.flow()
    scaled = call.apply(L.Rescaling(call.get("alpha", 0.2), call.get("beta", 0.5)), flow.symbol)
    return flow.of(call.apply(L.ReLU(1.0), scaled))


def hard_swish(call: Call) -> Flow:
    """Return x times x / 6 + 1 / 2 limited to [0, 1]."""
    flow = call.flow()
    share = call.apply(L.ReLU(1.0), call.apply(L.Rescaling(1 / 6, 0.5), flow.symbol))
    return flow.of(call.apply(L.Multiply(), [flow.symbol, share]))


def p_relu(call: Call) -> Flow:
    """Return relu(x) - slope relu(-x); with one slope for all a `LeakyReLU`."""
    slope = call.weight(1)
    if slope.size and (slope == slope.reshape(-1)[0]).all():
        return call.pointwise(L.LeakyReLU(float(slope.reshape(-1)[0])))
    flow = call.straight(call.flow())
    below = call.apply(L.ReLU(), call.apply(L.Arithmetic("multiply", -1.0), flow.symbol))
    factor = _constant(call, flow, slope)
    scaled = call.apply(L.Arithmetic("multiply", factor), below)
    return flow.of(call.apply(L.Subtract(), [call.apply(L.ReLU(), flow.symbol), scaled]))


def softmax(name: str) -> Callable[[Call], Flow]:
    """Return what makes a softmax or its logarithm, along any axis but the batch."""
    def make(call: Call) -> Flow:
        flow = call.flow()
        axis = _softmax_axis(call, flow)
        if flow.axes[axis] != flow.ndim - 1:
            others = [a for a in range(flow.ndim) if a != axis]
            flow = call.arranged(flow, tuple([*others, axis].index(a) for a in range(flow.ndim)))
        return flow.of(call.apply(L.Activation(name), flow.symbol))
    return make


def _softmax_axis(call: Call, flow: Flow) -> int:
    """Return the axis; before operator set 13 all axes from it on counted as one."""
    axis = call.get("axis", -1 if call.opset >= 13 else 1) % flow.ndim
    if call.opset < 13:
        longer = [a for a in range(axis, flow.ndim) if flow.shape[a] != 1]
        if len(longer) > 1:
            raise call.refuse(f"is along {len(longer)} axes at once", "expected one",
                              "Export it with operator set 13 or later.")
        axis = longer[0] if longer else axis
    if axis == 0:
        raise call.refuse("is along the batch", "expected another axis")
    return axis


# ---- arithmetic ----------------------------------------------------------------------------

OPERATIONS = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Pow": "power"}
_MERGES: dict[str, Any] = {"Add": L.Add, "Sub": L.Subtract, "Mul": L.Multiply}


def arithmetic(call: Call) -> Flow:
    """Return an operation on two tensors, or on one and a constant."""
    constants = [i for i in range(2) if isinstance(call.inputs[i], Known)]
    name = OPERATIONS[call.op]
    if not constants:
        layer = _MERGES[call.op]() if call.op in _MERGES else L.Arithmetic(name)
        return _merged(call, layer, 2)
    place = constants[0]
    if place == 0 and call.op == "Pow":
        raise call.refuse("raises a constant to a power", "expected a constant exponent")
    turned = "reverse_" if place == 0 and call.op in ("Sub", "Div") else ""
    flow = call.straight(call.flow(1 - place))
    constant = _constant(call, flow, call.weight(place))
    return flow.of(call.apply(L.Arithmetic(turned + name, constant), flow.symbol))


def _constant(call: Call, flow: Flow, array: np.ndarray) -> Any:
    """Return a constant as a layer holds it, its axes in the order of the symbol's."""
    if array.size == 1 and array.ndim <= flow.ndim:
        return float(array.reshape(-1)[0])
    if array.ndim > flow.ndim or (array.ndim == flow.ndim and array.shape[0] != 1):
        raise call.refuse(f"has a constant of shape {array.shape}",
                          f"expected one that is the same for all samples of {flow.ndim} axes")
    if array.size > MOST_CONSTANTS:
        raise call.refuse(f"has a constant of {array.size} elements",
                          f"expected at most {MOST_CONSTANTS}")
    call.budget.spend(256 * array.size)  # lists of numbers are large and slow
    whole = array.reshape((1,) * (flow.ndim - array.ndim) + array.shape)
    turned = whole.transpose([flow.axes.index(place) for place in range(flow.ndim)])[0]
    while turned.ndim > 1 and len(turned) == 1:
        turned = turned[0]
    return turned.tolist()


def _merged(call: Call, layer: Any, count: int) -> Flow:
    """Return a layer of several tensors, all arranged as the first is."""
    flows = [call.flow(i) for i in range(count)]
    if len({flow.ndim for flow in flows}) != 1:
        raise call.refuse(f"has inputs of {[flow.ndim for flow in flows]} axes",
                          "expected as many in each")
    if len({(flow.axes, flow.flat) for flow in flows}) != 1:
        flows = [call.arranged(flow, flows[0].axes) for flow in flows]
    return flows[0].of(call.apply(layer, [flow.symbol for flow in flows]))


def merge(make: Any) -> Callable[[Call], Flow]:
    """Return what makes a layer of any number of tensors."""
    return lambda call: _merged(call, make(), len(call.inputs))


def negative(call: Call) -> Flow:
    """Return -x."""
    return call.pointwise(L.Arithmetic("multiply", -1.0))


def root(call: Call) -> Flow:
    """Return the square root."""
    return call.pointwise(L.Arithmetic("power", 0.5))


def reciprocal(call: Call) -> Flow:
    """Return 1 / x."""
    return call.pointwise(L.Arithmetic("reverse_divide", 1.0))


def cast(call: Call) -> Flow:
    """Return x as floats; from floats to whole numbers there is no layer."""
    flow, kind = call.flow(), call.get("to", 1)
    if (kind in FLOATS) == (flow.symbol.dtype.kind == "f"):
        return flow
    if kind in FLOATS:
        return call.pointwise(L.Rescaling(1.0))
    raise call.refuse("makes whole numbers of floats", "expected floats")


# ---- products ------------------------------------------------------------------------------


def gemm(call: Call) -> Flow:
    """Return a dense layer: alpha A B + beta C with constant B and C."""
    call.need("transA", 0)
    kernel = call.weight(1) * np.float32(call.get("alpha", 1.0))
    kernel = kernel.T if call.get("transB", 0) else kernel
    bias, beta = call.array(2), call.get("beta", 1.0)
    if bias is not None:
        bias = _row(call, bias * np.float32(beta), kernel.shape[-1])
    return windows.dense(call, kernel, bias)


def _row(call: Call, bias: np.ndarray, units: int) -> np.ndarray:
    if bias.ndim > 2 or (bias.ndim == 2 and len(bias) != 1) or bias.size not in (1, units):
        raise call.refuse(f"adds a constant of shape {bias.shape}", f"expected {units} numbers")
    return np.broadcast_to(bias.reshape(-1), (units,))


def matmul(call: Call) -> Flow:
    """Return a dense layer, with the bias that a node behind may add."""
    kernel = call.weight(1)
    return windows.dense(call, kernel, call.next_bias(kernel.shape[-1]))


def gather(call: Call) -> Flow:
    """Return an embedding: rows of a constant table by whole numbers."""
    if not isinstance(call.inputs[0], Known) or call.get("axis", 0):
        raise call.refuse("picks parts of the data", "expected rows of a constant table")
    table, flow = call.weight(0), call.as_stored(call.flow(1))
    if table.ndim != 2:
        raise call.refuse(f"has a table of shape {table.shape}", "expected two axes")
    symbol = call.apply(L.Embedding(*table.shape), flow.symbol, options=table)
    return Flow(symbol, tuple(range(symbol.ndim)))


def dropout(call: Call) -> Flow:
    """Return a dropout, which does nothing but in training."""
    if call.array(2) is not None and call.weight(2).any():
        raise call.refuse("is in training mode", "expected a model in use")
    call.get("seed", 0)
    ratio = call.array(1)
    rate = call.get("ratio", 0.5) if ratio is None else float(ratio.reshape(-1)[0])
    return call.pointwise(L.Dropout(rate))


OPERATORS: dict[str, Callable[[Call], Flow]] = {
    "Conv": windows.conv, "ConvTranspose": windows.transposed_conv,
    "MaxPool": windows.max_pool, "AveragePool": windows.average_pool,
    "GlobalMaxPool": windows.global_pool(L.GlobalMaxPooling2D, L.GlobalMaxPooling1D),
    "GlobalAveragePool": windows.global_pool(L.GlobalAveragePooling2D, L.GlobalAveragePooling1D),
    "ReduceMean": windows.reduction(L.GlobalAveragePooling2D, L.GlobalAveragePooling1D),
    "ReduceMax": windows.reduction(L.GlobalMaxPooling2D, L.GlobalMaxPooling1D),
    "BatchNormalization": windows.batch_norm, "InstanceNormalization": windows.instance_norm,
    "LRN": windows.local_response, "Gemm": gemm, "MatMul": matmul, "Gather": gather,
    "Relu": activation("relu"), "Sigmoid": activation("sigmoid"), "Tanh": activation("tanh"),
    "Softplus": activation("softplus"), "Exp": activation("exponential"),
    "Gelu": gelu, "Swish": swish, "Clip": clip, "PRelu": p_relu,
    "LeakyRelu": lambda call: call.pointwise(L.LeakyReLU(call.get("alpha", 0.01))),
    "Elu": lambda call: call.pointwise(L.ELU(call.get("alpha", 1.0))),
    "HardSigmoid": hard_sigmoid, "HardSwish": hard_swish,
    "Softmax": softmax("softmax"), "LogSoftmax": softmax("log_softmax"),
    **dict.fromkeys(OPERATIONS, arithmetic), "Sum": merge(L.Add), "Mean": merge(L.Average),
    "Max": merge(L.Maximum), "Min": merge(L.Minimum), "Neg": negative, "Sqrt": root,
    "Reciprocal": reciprocal, "Cast": cast, "Dropout": dropout,
    "Flatten": reshapes.flatten, "Reshape": reshapes.reshape, "Squeeze": reshapes.squeeze,
    "Unsqueeze": reshapes.unsqueeze, "Transpose": reshapes.transpose, "Concat": reshapes.concat,
    "Pad": reshapes.pad, "Identity": lambda call: call.flow(),
}
"""What makes a layer, or several, of each operator."""
