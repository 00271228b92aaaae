"""Activation functions as layers."""

from __future__ import annotations

from typing import Any

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import Tensor
from . import activations
from .module import Module


class Activation(Module):
    """An activation function by name, as a layer."""

    def __init__(self, activation: Any, **base: Any) -> None:
        super().__init__(**base)
        self.activation = activations.get(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return activation(x)."""
        return self.activation(x)


class ReLU(Module):
    """max(x, 0), at most `max_value`; below `threshold`, negative_slope (x - threshold)."""

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0,
                 threshold: float = 0.0, **base: Any) -> None:
        super().__init__(**base)
        self.max_value, self.negative_slope = max_value, negative_slope
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified values."""
        y = self._above_threshold(x)
        return y if self.max_value is None else F.minimum(y, float(self.max_value))

    def _above_threshold(self, x: Tensor) -> Tensor:
        if self.threshold == 0:
            return F.leaky_relu(x, self.negative_slope) if self.negative_slope else F.relu(x)
        return F.where(x >= self.threshold, x, self.negative_slope * (x - self.threshold))


class LeakyReLU(Module):
    """x where positive, else negative_slope x (Maas et al. 2013)."""

    def __init__(self, negative_slope: float = 0.3, **base: Any) -> None:
        super().__init__(**base)
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified values."""
        return F.leaky_relu(x, self.negative_slope)


class ELU(Module):
    """x where positive, else alpha (exp(x) - 1) (Clevert et al. 2015)."""

    def __init__(self, alpha: float = 1.0, **base: Any) -> None:
        super().__init__(**base)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated values."""
        return F.elu(x, self.alpha)


class Softmax(Module):
    """Probabilities along an axis, the last by default."""

    def __init__(self, axis: int = -1, **base: Any) -> None:
        super().__init__(**base)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Return exp(x) over its sum along the axis."""
        return F.softmax(x, self.axis)
