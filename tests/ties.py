"""What gradients are where there is no slope: conventions, the same as PyTorch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl.autograd.tape import apply
from minidl.autograd.tensor import Tensor
from minidl.ops.registry import Op


class Tie(NamedTuple):
    """Inputs at a kink, and the share of the result's gradient that each element gets."""

    inputs: Sequence[Any]
    gradients: Sequence[Any]
    attrs: Mapping[str, Any] = {}


GY = 4.0
EQUAL = [[[[2.0], [2.0]], [[2.0], [1.0]]]]  # one image of 2 x 2
TIES = {
    "abs": Tie([[0.0, -2.0]], [[0, -1]]),
    "clip": Tie([[0.0, 0.5, 1.0, 2.0]], [[1, 1, 1, 0]], {"low": 0.0, "high": 1.0}),
    "elu": Tie([[0.0, 1.0]], [[2, 1]], {"alpha": 2.0}),
    "leaky_relu": Tie([[0.0, 1.0]], [[0.25, 1]], {"alpha": 0.25}),
    "max": Tie([[3.0, 1.0, 3.0]], [[0.5, 0, 0.5]]),
    "max_pool2d": Tie([EQUAL], [[[[[1], [0]], [[0], [0]]]]], {"window": 2}),
    "maximum": Tie([[1.0, 2.0], [1.0, 0.0]], [[0.5, 1], [0.5, 0]]),
    "min": Tie([[1.0, 3.0, 1.0]], [[0.5, 0, 0.5]]),
    "minimum": Tie([[1.0, 2.0], [1.0, 0.0]], [[0.5, 0], [0.5, 1]]),
    "relu": Tie([[0.0, 1.0]], [[0, 1]]),
}


def gradients(op: str | Op, tie: Tie) -> list[np.ndarray]:
    """Return the shares that the inputs get."""
    tensors = [Tensor(np.array(x), requires_grad=True) for x in tie.inputs]
    y = apply(op, *tensors, **tie.attrs)
    y.backward(np.full(y.shape, GY))
    return [t.grad.data / GY for t in tensors]


def keeps(op: Op) -> bool:
    """Say whether an op holds to its convention, if it has one."""
    tie = TIES.get(op.name)
    return tie is None or all(map(np.array_equal, gradients(op, tie), map(np.array, tie.gradients)))
