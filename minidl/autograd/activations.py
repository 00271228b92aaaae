"""Functions of tensors: activations."""

from __future__ import annotations

from ..spec import normal_axis
from .arguments import floating, pair
from .shapes import transpose
from .tape import apply
from .tensor import Tensor, TensorLike


def relu(x: TensorLike) -> Tensor:
    """Return max(x, 0)."""
    return apply("relu", floating(x))


def add_relu(a: TensorLike, b: TensorLike) -> Tensor:
    """Return max(a + b, 0), in one pass where the shapes are equal.

    >>> add_relu([1.0, -3.0], [1.0, 1.0]).tolist()
    [2.0, 0.0]
    """
    a, b = map(floating, pair(a, b))
    return apply("add_relu", a, b) if a.shape == b.shape else relu(apply("add", a, b))


def leaky_relu(x: TensorLike, alpha: float = 0.3) -> Tensor:
    """Return x where positive, else alpha x."""
    return apply("leaky_relu", floating(x), alpha=float(alpha))


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return x where positive, else alpha (exp(x) - 1) (Clevert et al. 2015)."""
    return apply("elu", floating(x), alpha=float(alpha))


def softplus(x: TensorLike) -> Tensor:
    """Return log(1 + exp(x))."""
    return apply("softplus", floating(x))


def gelu(x: TensorLike) -> Tensor:
    """Return x times the normal distribution function of x (Hendrycks and Gimpel 2016)."""
    return apply("gelu", floating(x))


def sigmoid(x: TensorLike) -> Tensor:
    """Return 1 / (1 + exp(-x))."""
    x = floating(x)
    return _with_source(apply("sigmoid", x), x)


def tanh(x: TensorLike) -> Tensor:
    """Return the hyperbolic tangent."""
    return apply("tanh", floating(x))


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return probabilities along an axis: exp(x) over its sum."""
    return _along("softmax", x, axis)


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the logarithm of softmax along an axis."""
    return _along("log_softmax", x, axis)


def _along(name: str, x: TensorLike, axis: int) -> Tensor:
    """Apply an op of the last axis along another one."""
    x = floating(x)
    order = list(range(x.ndim))
    if axis == -1 or (at := normal_axis(name, axis, x.ndim)) == order[-1]:
        return _with_source(apply(name, x), x)
    order[at], order[-1] = order[-1], order[at]
    return transpose(apply(name, transpose(x, order)), order)


def _with_source(y: Tensor, x: Tensor) -> Tensor:
    """Let a loss find the logits: with them it is one op, and exact where probabilities are not."""
    if y.node is not None:
        y.node.source = x
    return y
