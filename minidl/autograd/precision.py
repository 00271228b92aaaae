"""Which ops compute in which type under mixed precision (`config.precision`).

As in the tables of PyTorch's autocast: products in the half type, what loses digits in float32, all
else in the type that it gets. The casts are ops on the tape, so gradients are cast back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import config
from ..backend.arrays import HOST
from ..spec import FLOATS, HALVES

if TYPE_CHECKING:
    from .tensor import Tensor

PRODUCTS = frozenset({
    "conv1d", "conv1d_relu", "conv1d_transpose", "conv2d", "conv2d_add", "conv2d_relu",
    "conv2d_relu6", "conv2d_transpose", "linear", "linear_relu", "matmul"})
"""Ops that are computed in the half type."""

FULL = frozenset({
    "binary_cross_entropy_with_logits", "embedding", "exp", "group_norm", "layer_norm", "log",
    "log_softmax", "mean", "nll", "power", "softmax", "softmax_cross_entropy", "softplus", "sum",
    "var"})
"""Ops that are computed in float32."""


def at_precision(name: str, inputs: Sequence[Tensor | None], half: str
                 ) -> tuple[Tensor | None, ...]:
    """Return the inputs of an op in the type that it computes in, as they are on the CPU.

    Where only shapes are computed (`config.shapes_only`), arrays lie nowhere and stay as they are.
    """
    if config.only_shapes() or all(x is None or x.device == HOST for x in inputs):
        return tuple(inputs)
    if name in PRODUCTS:
        return tuple([_cast(x, half, FLOATS[0].name) for x in inputs])
    if name in FULL:
        return tuple([_cast(x, FLOATS[0].name, *HALVES) for x in inputs])
    return tuple(inputs)


def _cast(x: Tensor | None, dtype: str, *sources: str) -> Tensor | None:
    """Return a tensor converted from one of these types, others as they are."""
    if x is None or x.dtype.name not in sources:
        return x
    return x.astype(dtype)
