"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import Tensor
from ..errors import ArgumentError

Function = Callable[[Tensor], Tensor]


def linear(x: Tensor) -> Tensor:
    """Return x."""
    return x


def silu(x: Tensor) -> Tensor:
    """Return x sigmoid(x) (Ramachandran et al. 2017)."""
    return x * F.sigmoid(x)


def relu6(x: Tensor) -> Tensor:
    """Return x limited to [0, 6]."""
    return F.clip(x, 0.0, 6.0)


def leaky_relu(x: Tensor) -> Tensor:
    """Return x where positive, else 0.2 x, the slope of Keras' activation of this name."""
    return F.leaky_relu(x, 0.2)


ENDS: tuple[Function, ...] = (F.relu, relu6)
"""The activations that other ops may end in."""

TABLE: dict[str, Function] = {
    "linear": linear, "relu": F.relu, "sigmoid": F.sigmoid, "tanh": F.tanh, "softmax": F.softmax,
    "log_softmax": F.log_softmax, "elu": F.elu, "leaky_relu": leaky_relu, "softplus": F.softplus,
    "gelu": F.gelu, "silu": silu, "swish": silu, "relu6": relu6, "exponential": F.exp,
}


def get(value: str | Function | None) -> Function:
    """Return an activation function by name; None gives the identity.

    >>> get("relu")(Tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if value is None:
        return linear
    if isinstance(value, str) and value in TABLE:
        return TABLE[value]
    if callable(value):
        return value
    raise ArgumentError("activation", f"got {value!r}", f"expected one of {', '.join(TABLE)}",
                        "Give a name or a function of a tensor.")


def apply(activation: Function, functions: Sequence[Callable[..., Tensor]], *inputs: Any,
          **options: Any) -> Tensor:
    """Return activation(f(...)), by one op where there is one.

    Args:
        functions: f, then the functions that end in an activation, in the order of `ENDS`.
    """
    for end, function in zip(ENDS, functions[1:], strict=False):
        if activation is end:
            return function(*inputs, **options)
    return activation(functions[0](*inputs, **options))


def name_of(function: Any) -> str | None:
    """Return the name under which `get` finds a function."""
    return next((name for name, known in TABLE.items() if known is function), None)
