"""The tensors of an op's counterpart in PyTorch, made from shapes and attributes of minidl."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Run = Callable[[], Any]
DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}


@dataclass
class Inputs:
    """Shapes, types and attributes of a call, and tensors for them.

    Attributes:
        layout: memory format of images.
    """

    shapes: list[Any]
    dtypes: list[str]
    attrs: dict[str, Any]
    layout: Any

    def __getitem__(self, i: int) -> torch.Tensor:
        """Return input i as PyTorch holds it: the channels of images and sequences in front."""
        return self.tensor(self.shapes[i], self.dtypes[i])

    def tensor(self, shape: Any, dtype: str = "float32") -> torch.Tensor:
        """Return random values in one of our shapes."""
        x = torch.randn(shape)
        if dtype != "float32":
            x = (x > 0).to(DTYPES[dtype])
        return self.moved(x) if len(shape) > 2 else x

    def moved(self, x: torch.Tensor) -> torch.Tensor:
        """Return images or sequences with the channels in front."""
        moved = x.movedim(-1, 1)
        return moved.contiguous(memory_format=self.layout) if x.ndim == 4 else moved.contiguous()

    def kernel(self, i: int) -> torch.Tensor:
        """Return input i, (KH, KW, C, K) or (K, C, F), as PyTorch holds kernels."""
        w = torch.randn(self.shapes[i]).movedim(-1, 0).movedim(-1, 1)
        return w.contiguous(memory_format=self.layout) if w.ndim == 4 else w.contiguous()

    def optional(self, i: int) -> torch.Tensor | None:
        """Return input i, None where it was left out."""
        return None if i >= len(self.shapes) or self.shapes[i] is None else self[i]

    def several(self, name: str, axes: int) -> list[int]:
        """Return an attribute as one number per axis."""
        value = self.attrs.get(name, 1)
        return [value] * axes if isinstance(value, int) else list(value)

    def axes(self, i: int = 0) -> list[int]:
        """Return the attribute `axis` as PyTorch counts the axes of input i."""
        ndim, axis = len(self.shapes[i]), self.attrs.get("axis")
        if axis is None:
            return list(range(ndim))
        ours = [a % ndim for a in ([axis] if isinstance(axis, int) else axis)]
        moved = {0: 0, ndim - 1: 1} if ndim > 2 else {0: 0, 1: 1}
        return [moved.get(a, a + 1) for a in ours]
