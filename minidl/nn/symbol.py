"""Symbols: what flows between the layers of a graph while it is built, shapes without values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GraphError
from ..spec import Spec
from .naming import Names

if TYPE_CHECKING:
    from .graph import Node

SymbolShape = tuple[int | None, ...]


class Symbol:
    """The future output of a layer: a shape with None where the length is not known.

    A symbol is known by what it is for two trial sizes of everything unknown; lengths that differ
    between the trials are unknown in the symbol, too.

    Attributes:
        node: the call of a layer that makes it.
        index: which of the call's outputs it is.
        trials: shape and type in the two trials.
        names: the names of the layers in the graph so far.
    """

    __array_ufunc__ = None  # NumPy leaves array + symbol to the symbol

    def __init__(self, node: Node, index: int, trials: tuple[Spec, Spec], names: Names) -> None:
        self.node, self.index, self.trials, self.names = node, index, trials, names

    @property
    def shape(self) -> SymbolShape:
        """Lengths of the axes, None where unknown; the first is the batch."""
        first, second = (trial.shape for trial in self.trials)
        return tuple(a if a == b else None for a, b in zip(first, second, strict=True))

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self.trials[0].dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.trials[0].shape)

    def __repr__(self) -> str:
        return f"Symbol({self.node.name}, shape={self.shape}, dtype={self.dtype})"

    def __array__(self, *args: Any, **options: Any) -> np.ndarray:
        raise GraphError(f'output of layer "{self.node.name}"',
                         "a symbol has a shape but no values", "expected a layer around it",
                         "Use a layer, or layers.Lambda(function) for a function of tensors.")

    __bool__ = __float__ = __int__ = __len__ = __array__

    def _operate(self, op: str, *others: Any) -> Symbol:
        from .merge import operate
        return operate(op, self, *others)

    def __add__(self, other: Any) -> Symbol:
        return self._operate("add", other)

    def __radd__(self, other: Any) -> Symbol:
        return self._operate("add", other)

    def __mul__(self, other: Any) -> Symbol:
        return self._operate("multiply", other)

    def __rmul__(self, other: Any) -> Symbol:
        return self._operate("multiply", other)

    def __sub__(self, other: Any) -> Symbol:
        return self._operate("subtract", other)

    def __rsub__(self, other: Any) -> Symbol:
        return self._operate("reverse_subtract", other)

    def __truediv__(self, other: Any) -> Symbol:
        return self._operate("divide", other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self._operate("reverse_divide", other)

    def __pow__(self, other: Any) -> Symbol:
        return self._operate("power", other)

    def __neg__(self) -> Symbol:
        return self._operate("multiply", -1.0)
