"""Penalties on weights that are added to the loss, by name or as objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import Tensor
from .configurable import Configurable, lookup


class Regularizer(Configurable):
    """Base of regularizers: `regularizer(weight)` is the penalty."""

    def __call__(self, weight: Tensor) -> Tensor:
        raise NotImplementedError


class L1L2(Regularizer):
    """l1 sum |w| + l2 sum w^2."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, weight: Tensor) -> Tensor:
        return self.l1 * F.sum(F.abs(weight)) + self.l2 * F.sum(F.square(weight))

    def coefficients(self) -> tuple[float, float] | None:
        """Return (l1, l2), by which `fit` adds penalty and gradient without autograd.

        None where a subclass has a formula of its own.
        """
        plain = type(self).__call__ in (L1L2.__call__, L1.__call__, L2.__call__)
        return (float(self.l1), float(self.l2)) if plain else None


class L1(L1L2):
    """l1 sum |w|."""

    l2 = 0.0

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = l1

    def __call__(self, weight: Tensor) -> Tensor:
        return self.l1 * F.sum(F.abs(weight))


class L2(L1L2):
    """l2 sum w^2.

    >>> round(L2(0.1)(Tensor([1.0, 2.0])).item(), 6)
    0.5
    """

    l1 = 0.0

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = l2

    def __call__(self, weight: Tensor) -> Tensor:
        return self.l2 * F.sum(F.square(weight))


TABLE: dict[str, Callable[[], Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}


def get(value: Any) -> Callable[[Tensor], Tensor] | None:
    """Return a regularizer by name; objects and functions pass, None stays None."""
    return lookup("regularizer", TABLE, value)
