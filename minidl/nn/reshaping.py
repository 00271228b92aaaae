"""Layers that rearrange: flatten, reshape, permute, pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..spec import tuple_of
from .module import Module


class Flatten(Module):
    """All axes but the batch made one."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, -1)."""
        return F.flatten(x)


class Reshape(Module):
    """The elements of each sample in another shape; one length may be -1."""

    def __init__(self, target_shape: Sequence[int], **base: Any) -> None:
        super().__init__(**base)
        self.target_shape = tuple(target_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, *target_shape)."""
        return F.reshape(x, (x.shape[0], *self.target_shape))


class Permute(Module):
    """The axes in another order, counted from 1; the batch stays first."""

    def __init__(self, dims: Sequence[int], **base: Any) -> None:
        super().__init__(**base)
        self.dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with axis dims[i] at place i + 1."""
        return F.transpose(x, (0, *self.dims))


class Identity(Module):
    """The input as it is."""

    def forward(self, x: Any) -> Any:
        """Return x."""
        return x


def _pads(where: str, padding: Any, axes: int) -> tuple[tuple[int, int], ...]:
    """Return (before, after) per axis from an int, ints or pairs."""
    several = (padding,) * axes if isinstance(padding, int) else tuple(padding)
    if len(several) != axes:
        raise ArgumentError(where, f"got padding={padding!r}",
                            f"expected an int, or {axes} of ints or (before, after)",
                            "Change padding.")
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in several]
    return tuple(tuple_of(where, "padding", p, 2, 0) for p in pairs)  # type: ignore[misc]


class ZeroPadding1D(Module):
    """Zeros before and after sequences (N, L, C)."""

    input_axes, layout = 3, "(N, L, C)"

    def __init__(self, padding: int | Sequence[int] = 1, **base: Any) -> None:
        super().__init__(**base)
        pair = padding if isinstance(padding, int) else (tuple(padding),)
        self.padding = _pads("ZeroPadding1D", pair, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x padded along axis 1."""
        return F.pad(x, ((0, 0), *self.padding, (0, 0)))


class ZeroPadding2D(Module):
    """Zeros around images (N, H, W, C).

    Args:
        padding: an int, (rows, columns), or ((top, bottom), (left, right)).
    """

    input_axes, layout = 4, "(N, H, W, C)"

    def __init__(self, padding: Any = (1, 1), **base: Any) -> None:
        super().__init__(**base)
        self.padding = _pads("ZeroPadding2D", padding, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return x padded along axes 1 and 2."""
        return F.pad(x, ((0, 0), *self.padding, (0, 0)))
