"""Parameters: the leaf tensors that training changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np

from .. import dispatch
from ..backend.arrays import HOST, device_of
from ..errors import AutogradError
from .tensor import Tensor, TensorLike


class Parameter(Tensor):
    """A tensor that an optimizer may change.

    Args:
        data: initial values; the parameter keeps a copy of its own.
        name: the name within its layer, such as "kernel".
        trainable: whether it gets gradients.

    Attributes:
        regularizer: function of the parameter whose value is added to the loss.
        constraint: function that the optimizer applies to the values after each step.

    >>> Parameter([1.0, 2.0], name="scale").requires_grad
    True
    """

    __slots__ = ("constraint", "name", "regularizer")

    def __init__(self, data: TensorLike, name: str = "", trainable: bool = True) -> None:
        values = data.array if isinstance(data, Tensor) else data
        own = (np.array(values, order="C") if device_of(values) == HOST  # optimizers write into it
               else dispatch.run("copy", values))
        super().__init__(own, trainable,
                         None if isinstance(data, (Tensor, np.ndarray)) else "float32")
        self.storage.foreign = False  # the copy above is ours alone
        self.name = name
        self.regularizer: Callable[[Tensor], Tensor] | None = None
        self.constraint: Callable[[np.ndarray], np.ndarray] | None = None

    def _in_place(self, other: object) -> NoReturn:
        """Raise: `p -= x` would make a tensor that is no parameter of the model."""
        raise AutogradError(f'parameter "{self.name}"', "got += or its like, which makes another "
                            "tensor", "expected a change of this one",
                            "Write p.assign(p.data - rate * p.grad.data), or use an optimizer.")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = _in_place

    @property
    def trainable(self) -> bool:
        """Whether the parameter gets gradients."""
        return self.requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad = bool(value)
