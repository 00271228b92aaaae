"""Functions of tensors: arithmetic, comparison, choice."""

from __future__ import annotations

from ..errors import ArgumentError
from .arguments import floating, pair
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor


def add(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a + b."""
    return apply("add", *pair(a, b))


def subtract(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a - b."""
    return apply("subtract", *pair(a, b))


def multiply(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a * b, element by element."""
    return apply("multiply", *pair(a, b))


def divide(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a / b; integers are converted to float32 first."""
    return apply("divide", *map(floating, pair(a, b)))


def power(a: TensorLike, b: TensorLike) -> Tensor:
    """Return a ** b; the square has an op of its own."""
    if isinstance(b, (int, float)) and b == 2:
        return apply("square", floating(a))
    return apply("power", *map(floating, pair(a, b)))


def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the larger of a and b; where they are equal, each gets half the gradient."""
    return apply("maximum", *pair(a, b))


def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the smaller of a and b; where they are equal, each gets half the gradient."""
    return apply("minimum", *pair(a, b))


def negative(x: TensorLike) -> Tensor:
    """Return -x."""
    return apply("negative", as_tensor(x))


def abs(x: TensorLike) -> Tensor:
    """Return the absolute values."""
    return apply("abs", as_tensor(x))


def sign(x: TensorLike) -> Tensor:
    """Return -1, 0 or 1."""
    return apply("sign", as_tensor(x))


def square(x: TensorLike) -> Tensor:
    """Return x * x."""
    return apply("square", floating(x))


def exp(x: TensorLike) -> Tensor:
    """Return e to the power of x."""
    return apply("exp", floating(x))


def log(x: TensorLike) -> Tensor:
    """Return the natural logarithm."""
    return apply("log", floating(x))


def sqrt(x: TensorLike) -> Tensor:
    """Return the square root."""
    return apply("sqrt", floating(x))


# ---- comparison ----------------------------------------------------------------------------


def equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a == b."""
    return apply("equal", *pair(a, b))


def not_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a != b."""
    return apply("not_equal", *pair(a, b))


def less(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a < b."""
    return apply("less", *pair(a, b))


def less_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a <= b."""
    return apply("less_equal", *pair(a, b))


def greater(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a > b."""
    return apply("greater", *pair(a, b))


def greater_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where a >= b."""
    return apply("greater_equal", *pair(a, b))


def logical_and(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where both hold."""
    return apply("logical_and", as_tensor(a), as_tensor(b))


def logical_or(a: TensorLike, b: TensorLike) -> Tensor:
    """Return where one holds at least."""
    return apply("logical_or", as_tensor(a), as_tensor(b))


def logical_not(x: TensorLike) -> Tensor:
    """Return where x does not hold."""
    return apply("logical_not", as_tensor(x))


# ---- choice and copies ---------------------------------------------------------------------


def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """Return a where the condition holds (or is not 0), else b."""
    condition = as_tensor(condition)
    truth = condition if condition.dtype == bool else not_equal(condition, 0)
    return apply("where", truth, *map(floating, pair(a, b)))


def clip(x: TensorLike, low: float | None = None, high: float | None = None) -> Tensor:
    """Return x limited to [low, high]; outside, the gradient is 0."""
    if low is None and high is None:
        raise ArgumentError("clip", "got neither low nor high", "expected one at least",
                            "Give one.")
    return apply("clip", floating(x), low=low, high=high)


def copy(x: TensorLike) -> Tensor:
    """Return a copy with memory of its own."""
    return apply("copy", as_tensor(x))
