"""What goes between the nodes of a file that is read: symbols of minidl, and known arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..nn import Symbol
from .onnx_graph import first_axes, last_axes

__all__ = ["Flow", "Known", "arrangement", "first_axes", "last_axes"]


@dataclass(frozen=True)
class Known:
    """An array that does not depend on the data, only on their shape.

    Attributes:
        trials: for the two trial sizes of the symbols; mostly one array twice.
    """

    trials: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> Known:
        """Return what an array is for any size."""
        return cls((array, array))

    @property
    def array(self) -> np.ndarray | None:
        """The array, if it is the same for all sizes."""
        first, second = self.trials
        return first if first is second or np.array_equal(first, second) else None


@dataclass(frozen=True)
class Flow:
    """A tensor of the graph, and how a symbol of minidl holds it.

    Attributes:
        symbol: usually with the channels last.
        axes: axis i of the tensor is axis axes[i] of the symbol.
        flat: of features (N, F) that are a flattened (C, H, W) in the file and a flattened
            (H, W, C) in the symbol, the shape (H, W, C); else None.
    """

    symbol: Symbol
    axes: tuple[int, ...]
    flat: tuple[int, ...] | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.symbol.ndim

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The tensor's shape in the file, None for unknown lengths."""
        shape = self.symbol.shape
        return tuple(shape[a] for a in self.axes)

    def trial(self, which: int) -> tuple[int, ...]:
        """Return the tensor's shape in the file for one of the trial sizes."""
        shape = self.symbol.trials[which].shape
        return tuple(shape[a] for a in self.axes)

    def of(self, symbol: Symbol) -> Flow:
        """Return the same layout for another symbol."""
        return Flow(symbol, self.axes, self.flat)


def arrangement(axes: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Return which axis of a symbol goes to each place, so that its axes are as wanted.

    >>> arrangement((0, 1, 2, 3), (0, 3, 1, 2))  # (N, C, H, W) to (N, H, W, C)
    (0, 2, 3, 1)
    """
    return tuple(axes[wanted.index(place)] for place in range(len(axes)))
