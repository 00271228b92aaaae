"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import Tensor
from ..spec import tuple_of
from .module import Module

Pair = int | Sequence[int]


class _Pooling(Module):
    """Windows of `pool_size`, `strides` apart (the window by default).

    Args:
        padding: "valid", "same", an int, or (before, after) per axis; padding never counts.
    """

    function: Callable[..., Tensor] = staticmethod(F.max_pool2d)

    def __init__(self, pool_size: Pair = 2, strides: Pair | None = None, padding: Any = "valid",
                 **base: Any) -> None:
        super().__init__(**base)
        axes, kind = int(self.input_axes or 0) - 2, type(self).__name__
        self.pool_size = tuple_of(kind, "pool_size", pool_size, axes)
        steps = self.pool_size if strides is None else strides
        self.strides = tuple_of(kind, "strides", steps, axes)
        self.padding = padding

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        """Return one value per window and channel.

        Args:
            options: of the function of tensors.
        """
        return self.function(x, self.pool_size, self.strides, self.padding, **options)


class MaxPooling1D(_Pooling):
    """Maxima of windows of sequences (N, L, C)."""

    input_axes, layout = 3, "(N, L, C)"

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        """Return one maximum per window and channel."""
        return F.max_pool1d(x, self.pool_size[0], self.strides[0], self.padding, **options)


class AveragePooling1D(_Pooling):
    """Means of windows of sequences (N, L, C)."""

    input_axes, layout = 3, "(N, L, C)"

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        """Return one mean per window and channel."""
        return F.average_pool1d(x, self.pool_size[0], self.strides[0], self.padding, **options)


class MaxPooling2D(_Pooling):
    """Maxima of windows of images (N, H, W, C).

    >>> MaxPooling2D(3, strides=2, padding="same").compute_output_shape((None, 7, 7, 5))
    (None, 4, 4, 5)
    """

    input_axes, layout = 4, "(N, H, W, C)"


class AveragePooling2D(_Pooling):
    """Means of windows of images (N, H, W, C)."""

    input_axes, layout = 4, "(N, H, W, C)"
    function = staticmethod(F.average_pool2d)


class _GlobalPooling(Module):
    """One value per channel.

    Args:
        keepdims: keep the pooled axes with length 1.
    """

    def __init__(self, keepdims: bool = False, **base: Any) -> None:
        super().__init__(**base)
        self.keepdims = keepdims

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1, int(self.input_axes or 0) - 1))


class GlobalMaxPooling1D(_GlobalPooling):
    """The maximum of each channel of sequences (N, L, C)."""

    input_axes, layout = 3, "(N, L, C)"

    def forward(self, x: Tensor) -> Tensor:
        """Return maxima (N, C)."""
        return F.max(x, self._axes, self.keepdims)


class GlobalMaxPooling2D(GlobalMaxPooling1D):
    """The maximum of each channel of images (N, H, W, C)."""

    input_axes, layout = 4, "(N, H, W, C)"


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of each channel of sequences (N, L, C)."""

    input_axes, layout = 3, "(N, L, C)"

    def forward(self, x: Tensor) -> Tensor:
        """Return means (N, C)."""
        return F.mean(x, self._axes, self.keepdims)


class GlobalAveragePooling2D(GlobalAveragePooling1D):
    """The mean of each channel of images (N, H, W, C) (Lin et al. 2013)."""

    input_axes, layout = 4, "(N, H, W, C)"
