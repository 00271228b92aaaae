"""PyTorch's counterparts of the ops with windows: convolution, pooling and their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from op_torch_inputs import Inputs, Run
from torch.nn import functional as F  # noqa: N812

aten = torch.ops.aten


@dataclass
class Window:
    """Stride, padding and so on of a convolution; uneven padding is added before."""

    stride: list[int]
    dilation: list[int]
    padding: list[int]
    before: list[int]
    groups: int

    @classmethod
    def of(cls, given: Inputs, axes: int) -> Window:
        """Return them from a call's attributes, which are in normal form."""
        pads = given.attrs["padding"]
        even = all(a == b for a, b in pads)
        before = [] if even else [n for pair in pads[::-1] for n in pair]
        return cls(given.several("stride", axes), given.several("dilation", axes),
                   [a for a, _ in pads] if even else [0] * axes, before,
                   given.attrs.get("groups", 1))

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with the uneven padding."""
        return F.pad(x, self.before) if self.before else x


def conv(given: Inputs, relu: bool = False) -> Run:
    """Return a convolution, with ReLU in place where minidl's op has it."""
    x, w, b = given[0], given.kernel(1), given.optional(2)
    at = Window.of(given, x.ndim - 2)
    function = {3: F.conv1d, 4: F.conv2d}[x.ndim]

    def run() -> torch.Tensor:
        y = function(at.pad(x), w, b, at.stride, at.padding, at.dilation, at.groups)
        return y.relu_() if relu else y

    return run


def conv_gradient(given: Inputs, which: int) -> Run:
    """Return the gradient of a convolution by its input (0) or its kernel (1)."""
    at = Window.of(given, 2)
    if which == 0:
        gy, w = given[0], given.kernel(1)
        size, channels = given.attrs["size"], given.shapes[1][2] * at.groups
        x = given.tensor((given.shapes[0][0], *size, channels))
    else:
        x, gy = given[0], given[1]
        w = torch.randn(gy.shape[1], x.shape[1] // at.groups, *given.attrs["window"]).contiguous(
            memory_format=given.layout)
    x, mask, cut = at.pad(x), [which == 0, which == 1, False], [-n for n in at.before]

    def run() -> torch.Tensor:
        found = aten.convolution_backward(gy, x, w, [0], at.stride, at.padding, at.dilation, False,
                                          [0, 0], at.groups, mask)[which]
        return F.pad(found, cut) if cut and which == 0 else found

    return run


def conv_transpose(given: Inputs) -> Run:
    """Return a transposed convolution."""
    x, w, b = given[0], given.kernel(1), given.optional(2)
    w = w.transpose(0, 1).contiguous() if w.shape[0] != x.shape[1] else w
    axes = x.ndim - 2
    pads = [a for a, _ in given.attrs["padding"]]
    function = {3: F.conv_transpose1d, 4: F.conv_transpose2d}[x.ndim]
    return lambda: function(x, w, b, given.several("stride", axes), pads)


def _pool_options(given: Inputs, axes: int) -> dict[str, Any]:
    pads = given.attrs["padding"]
    before = [a for a, _ in pads]
    return {"kernel_size": given.several("window", axes), "stride": given.several("stride", axes),
            "padding": before, "ceil_mode": any(a != b for a, b in pads)}


def pool(given: Inputs, kind: str) -> Run:
    """Return a pooling."""
    x = given[0]
    axes = x.ndim - 2
    function = getattr(F, f"{kind}_pool{axes}d")
    return partial(function, x, **_pool_options(given, axes))


def max_pool_gradient(given: Inputs) -> Run:
    """Return the gradient of a maximum pooling."""
    n, *_, channels = given.shapes[0]
    x = given.tensor((n, *given.attrs["size"], channels))
    o = _pool_options(given, 2)
    y, place = aten.max_pool2d_with_indices(x, o["kernel_size"], o["stride"], o["padding"], [1, 1],
                                            o["ceil_mode"])
    gy = torch.randn_like(y)
    return lambda: aten.max_pool2d_with_indices_backward(
        gy, x, o["kernel_size"], o["stride"], o["padding"], [1, 1], o["ceil_mode"], place)


def average_pool_gradient(given: Inputs) -> Run:
    """Return the gradient of a mean pooling."""
    n, *_, channels = given.shapes[0]
    x, gy = given.tensor((n, *given.attrs["size"], channels)), given[0]
    o = _pool_options(given, 2)
    return lambda: aten.avg_pool2d_backward(gy, x, o["kernel_size"], o["stride"], o["padding"],
                                            o["ceil_mode"], False, None)
