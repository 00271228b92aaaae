"""Layers that make one tensor of several, and arithmetic on symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from . import activations
from .module import Module
from .symbol import Symbol


class _Merge(Module):
    """Takes a list of tensors whose shapes are equal, or 1 on some axes."""

    function: Callable[[Any, Any], Tensor] = staticmethod(F.add)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the merged tensor."""
        return reduce(self.function, self._several(inputs))

    def _several(self, inputs: Any) -> list[Tensor]:
        if not isinstance(inputs, (list, tuple)) or not inputs:
            raise ArgumentError("", f"got {type(inputs).__name__}", "expected a list of tensors",
                                f"Call it as {type(self).__name__}()([a, b]).")
        return list(inputs)


class Add(_Merge):
    """The sum of several tensors.

    Args:
        activation: name or function, applied to the sum.

    >>> Add()([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])]).tolist()
    [4.0, 6.0]
    """

    def __init__(self, activation: Any = None, **base: Any) -> None:
        super().__init__(**base)
        self.activation = activations.get(activation)

    def forward(self, inputs: Sequence[Tensor], activation: activations.Function | None = None
                ) -> Tensor:
        """Return activation(sum), by default with the layer's own activation."""
        activation = activation or self.activation
        several = self._several(inputs)
        if len(several) == 1:
            return activation(several[0])
        first, last = reduce(F.add, several[:-1]), several[-1]
        return activations.apply(activation, (F.add, F.add_relu), first, last)


class Subtract(_Merge):
    """The difference of two tensors."""

    function = staticmethod(F.subtract)

    def _several(self, inputs: Any) -> list[Tensor]:
        several = super()._several(inputs)
        if len(several) != 2:
            raise ArgumentError("", f"got {len(several)} tensors", "expected 2", "Give two.")
        return several


class Multiply(_Merge):
    """The product of several tensors, element by element."""

    function = staticmethod(F.multiply)


class Average(_Merge):
    """The mean of several tensors."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the mean."""
        return super().forward(inputs) * (1.0 / len(inputs))


class Maximum(_Merge):
    """The largest of several tensors, element by element."""

    function = staticmethod(F.maximum)


class Minimum(_Merge):
    """The smallest of several tensors, element by element."""

    function = staticmethod(F.minimum)


class Concatenate(_Merge):
    """Several tensors one after another along an axis, the channels by default."""

    def __init__(self, axis: int = -1, **base: Any) -> None:
        super().__init__(**base)
        self.axis = axis

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the tensors side by side."""
        return F.concat(self._several(inputs), self.axis)


# ---- arithmetic on symbols -----------------------------------------------------------------

_OPERATIONS: dict[str, Callable[[Any, Any], Tensor]] = {
    "add": F.add, "multiply": F.multiply, "subtract": F.subtract, "divide": F.divide,
    "power": F.power, "reverse_subtract": lambda a, b: F.subtract(b, a),
    "reverse_divide": lambda a, b: F.divide(b, a),
}


class Arithmetic(Module):
    """An operation on two tensors, or on one and a constant; `symbol * 2` makes one.

    Args:
        operation: "add", "multiply", "subtract", "divide", "power", "reverse_subtract" or
            "reverse_divide".
        constant: a number or nested lists; without it the layer takes a list of two tensors.
    """

    def __init__(self, operation: str, constant: Any = None, **base: Any) -> None:
        super().__init__(**base)
        if operation not in _OPERATIONS:
            raise ArgumentError("Arithmetic", f"got {operation!r}",
                                f"expected one of {', '.join(_OPERATIONS)}", "Choose one of them.")
        self.operation, self.constant = operation, constant

    def default_name(self) -> str:
        """Return the operation's name."""
        return self.operation

    def forward(self, x: Any) -> Tensor:
        """Return the operation's result."""
        if self.constant is None:
            return _OPERATIONS[self.operation](*x)
        is_list = isinstance(self.constant, list)
        constant = Tensor(np.asarray(self.constant, x.dtype)) if is_list else self.constant
        return _OPERATIONS[self.operation](x, constant)


_MERGES: dict[str, type[_Merge]] = {"add": Add, "multiply": Multiply, "subtract": Subtract}


def operate(operation: str, symbol: Symbol, other: Any) -> Symbol:
    """Return the symbol of an operation on a symbol and a symbol, number or array."""
    if not isinstance(other, Symbol):
        constant = other if isinstance(other, (int, float)) else np.asarray(other).tolist()
        return Arithmetic(operation, constant)(symbol)
    merge = _MERGES.get(operation)
    return merge()([symbol, other]) if merge else Arithmetic(operation)([symbol, other])
