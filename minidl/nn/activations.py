"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable
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


def apply(activation: Function, plain: Callable[..., Tensor], rectified: Callable[..., Tensor],
          *inputs: Any, **options: Any) -> Tensor:
    """Return activation(plain(...)); where that is relu, as `rectified(...)`, which is one op."""
    if activation is F.relu:
        return rectified(*inputs, **options)
    return activation(plain(*inputs, **options))


def name_of(function: Any) -> str | None:
    """Return the name under which `get` finds a function."""
    return next((name for name, known in TABLE.items() if known is function), None)
