"""Activations, sums and constants as nodes of the ONNX format."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import Any

import numpy as np

from ..nn import activations
from ..spec import Shape
from .onnx_graph import Step, first_axes, refused

# ---- activations ---------------------------------------------------------------------------


def _node(op: str, **attributes: Any) -> Callable[[Step, str], str]:
    return lambda step, x: step.op(op, x, **attributes)


def _over_channels(op: str) -> Callable[[Step, str], str]:
    return lambda step, x: step.op(op, x, axis=1)


def _gelu(step: Step, x: str) -> str:
    """Write x (1 + erf(x / sqrt 2)) / 2: there is a node for it only since operator set 20."""
    share = step.op("Erf", step.op("Mul", x, step.number("gelu_scale", 1 / sqrt(2))))
    share = step.op("Add", share, step.number("gelu_one", 1.0))
    return step.op("Mul", step.op("Mul", x, share), step.number("gelu_half", 0.5))


def _silu(step: Step, x: str) -> str:
    return step.op("Mul", x, step.op("Sigmoid", x))


def clipped(step: Step, x: str, low: float, high: float) -> str:
    """Write x limited to [low, high]; an infinite limit is none."""
    limits = [step.number(name, value) if abs(value) < inf else ""
              for name, value in (("low", low), ("high", high))]
    return step.op("Clip", x, *(limits if limits[1] else limits[:1]))


ACTIVATIONS: dict[str, Callable[[Step, str], str]] = {
    "linear": lambda step, x: x, "relu": _node("Relu"), "sigmoid": _node("Sigmoid"),
    "tanh": _node("Tanh"), "softmax": _over_channels("Softmax"),
    "log_softmax": _over_channels("LogSoftmax"), "elu": _node("Elu", alpha=1.0),
    "leaky_relu": _node("LeakyRelu", alpha=0.2), "softplus": _node("Softplus"), "gelu": _gelu,
    "silu": _silu, "relu6": lambda step, x: clipped(step, x, 0.0, 6.0),
    "exponential": _node("Exp"),
}
"""How each function of `minidl.nn.activations` is written; channels are axis 1."""


def activated(step: Step, x: str) -> str:
    """Write the layer's activation after x."""
    name = activations.name_of(step.layer.activation)
    if name not in ACTIVATIONS:
        raise refused(step.where, f"has the activation {step.layer.activation!r}",
                      f"expected one of {', '.join(ACTIVATIONS)}", "Choose one of them.")
    return ACTIVATIONS[name](step, x)


def activation(step: Step) -> str:
    """Write an `Activation`."""
    return activated(step, step.x.name)


def relu(step: Step) -> str:
    """Write a `ReLU`; below its threshold the slope starts from there."""
    layer, x = step.layer, step.x.name
    high = inf if layer.max_value is None else float(layer.max_value)
    if layer.threshold:
        y = _above_threshold(step, x)
        return clipped(step, y, -inf, high) if high < inf else y
    if layer.negative_slope:
        y = step.op("LeakyRelu", x, alpha=float(layer.negative_slope))
        return clipped(step, y, -inf, high) if high < inf else y
    return clipped(step, x, 0.0, high) if high < inf else step.op("Relu", x)


def _above_threshold(step: Step, x: str) -> str:
    limit = step.number("threshold", step.layer.threshold)
    below = step.op("Mul", step.op("Sub", x, limit),
                    step.number("slope", step.layer.negative_slope))
    return step.op("Where", step.op("Less", x, limit), below, x)


def leaky_relu(step: Step) -> str:
    """Write a `LeakyReLU`."""
    return step.op("LeakyRelu", step.x.name, alpha=float(step.layer.negative_slope))


def elu(step: Step) -> str:
    """Write an `ELU`."""
    return step.op("Elu", step.x.name, alpha=float(step.layer.alpha))


def softmax(step: Step) -> str:
    """Write a `Softmax`; its axis is counted with the channels first."""
    axis = step.layer.axis % step.x.ndim
    return step.op("Softmax", step.x.name, axis=first_axes(step.x.ndim).index(axis))


# ---- several inputs ------------------------------------------------------------------------


def _merged(step: Step, op: str) -> str:
    """Write op(op(a, b), c) and so on; inputs of fewer axes are broadcast channels last."""
    if len({value.ndim for value in step.inputs}) == 1:
        return _chain(step, op, [value.name for value in step.inputs])
    return step.channels_first(_chain(step, op, [*map(step.channels_last, step.inputs)]))


def _chain(step: Step, op: str, names: list[str]) -> str:
    y = names[0]
    for name in names[1:]:
        y = step.op(op, y, name)
    return y


def merge(op: str) -> Callable[[Step], str]:
    """Return what writes a layer that is an operator between its inputs."""
    return lambda step: _merged(step, op)


def add(step: Step) -> str:
    """Write an `Add` with its activation."""
    return activated(step, _merged(step, "Add"))


def average(step: Step) -> str:
    """Write an `Average`."""
    return step.op("Mul", _merged(step, "Add"), step.number("share", 1.0 / len(step.inputs)))


def concatenate(step: Step) -> str:
    """Write a `Concatenate`; its axis is counted with the channels first."""
    axis = step.layer.axis % step.x.ndim
    names = [value.name for value in step.inputs]
    return step.op("Concat", *names, axis=first_axes(step.x.ndim).index(axis))


_OPERATORS = {"add": "Add", "multiply": "Mul", "subtract": "Sub", "divide": "Div", "power": "Pow",
              "reverse_subtract": "Sub", "reverse_divide": "Div"}


def arithmetic(step: Step) -> str:
    """Write an `Arithmetic`, on two tensors or on one and a constant."""
    operation, constant = step.layer.operation, step.layer.constant
    turned = operation.startswith("reverse")
    if constant is None:
        step.inputs = step.inputs[::-1] if turned else step.inputs
        return _merged(step, _OPERATORS[operation])
    values = step.x.name, step.weight("constant", _broadcast(step, constant))
    return step.op(_OPERATORS[operation], *(values[::-1] if turned else values))


def _broadcast(step: Step, constant: Any) -> np.ndarray:
    """Return a constant with the axes of the input, channels first; a number stays one."""
    array = np.asarray(constant, np.float32)
    if not array.ndim:
        return array
    if array.ndim > step.x.ndim:
        raise refused(step.where, f"adds axes: its constant has the shape {array.shape}",
                      f"expected at most {step.x.ndim} axes", "Reshape before it.")
    shape: Shape = (1,) * (step.x.ndim - array.ndim) + array.shape
    return array.reshape(shape).transpose(first_axes(step.x.ndim))


def rescaling(step: Step) -> str:
    """Write a `Rescaling`; bytes are made floats first."""
    x, layer = step.x.name, step.layer
    if step.x.dtype.kind != "f":
        x = step.op("Cast", x, to=1)  # 1: float32
    y = step.op("Mul", x, step.weight("scale", _broadcast(step, layer.scale)))
    offset = _broadcast(step, layer.offset)
    return step.op("Add", y, step.weight("offset", offset)) if offset.any() else y
