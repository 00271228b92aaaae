"""Convolutions whose results are joined write them side by side, so that nothing is copied.

Without gradients, a `Concatenate` along the channels gets its memory before its inputs are there: a
convolution that only it takes, and what `fuse.py` lets that convolution do besides, write into
their part of the channels. Other inputs are copied into theirs, as they would be anyway.

As in `fuse.py`, the model stays as it is written; nothing of this happens where a hook looks at the
`Concatenate`, with gradients, or on a GPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from .. import config
from ..autograd.tape import apply
from ..autograd.tensor import Tensor, empty
from ..backend.arrays import HOST, address
from . import fuse
from .conv import Conv2D
from .graph import Node
from .merge import Concatenate
from .normalization import BatchNormalization
from .symbol import Symbol

Values = dict[Symbol, Any]

LAST = (Conv2D, BatchNormalization, *fuse.ENDS)
"""Layers that a convolution may do, the last of them being joined."""


@dataclass(frozen=True)
class Join:
    """A call of a `Concatenate`.

    Attributes:
        node: the call.
        borders: between the channels of the inputs, 0 and their number included.
    """

    node: Node
    borders: tuple[int, ...]

    @property
    def symbol(self) -> Symbol:
        """What the call makes."""
        return self.node.symbols[0]

    def part(self, which: int, values: Values, x: Tensor) -> Tensor:
        """Return where an input's values go; the memory of all of them is in `values` from then on.

        Args:
            x: an input of the model's with the same number of samples.
        """
        if self.symbol not in values:
            values[self.symbol] = empty((len(x), *self.symbol.trials[0].shape[1:]), x.dtype)
        y = values[self.symbol]
        return Tensor.own(self._cut(y, which), y.storage)

    def _cut(self, y: Tensor, which: int) -> np.ndarray:
        return y.array[..., self.borders[which]:self.borders[which + 1]]

    def whole(self, inputs: Sequence[Tensor], values: Values) -> Tensor | None:
        """Return all inputs side by side, None where none of them was computed in its place."""
        y = values.get(self.symbol)
        if y is None or any(value.dtype != y.dtype for value in inputs):
            return None
        for which, value in enumerate(inputs):
            if address(self._cut(y, which)) != address(value.array):
                apply("copy", value, out=self.part(which, values, value))
        return y


@dataclass(frozen=True)
class Place:
    """Where a call's result goes: which input of a `Concatenate` it is."""

    join: Join
    which: int

    def out(self, first: Any, args: Sequence[Any], values: Values) -> dict[str, Tensor]:
        """Return the argument `out` for a convolution, empty where it is to have no place now.

        Args:
            first: the layer that is called: the convolution, or something else.
            args: what it is called with.
        """
        if (type(first) is not Conv2D or not args or config.grad_enabled() or config.only_shapes()
                or not fuse.unseen(first, self.join.node.layer)):
            return {}
        x = args[0]
        fits = x.device == HOST and x.dtype == first.kernel.dtype
        return {"out": self.join.part(self.which, values, x)} if fits else {}


def joins(nodes: Sequence[Node], outputs: Sequence[Symbol]) -> dict[Node, Join | Place]:
    """Return the calls that join, and those whose results could be written in their places.

    Args:
        outputs: symbols that the model returns.
    """
    uses = Counter(outputs)
    uses.update(symbol for node in nodes for symbol in node.inputs)
    found: dict[Node, Join | Place] = {}
    for node in nodes:
        if type(node.layer) is Concatenate and _along_channels(node):
            channels = (s.trials[0].shape[-1] for s in node.inputs)
            join = Join(node, tuple(accumulate(channels, initial=0)))
            ours = {s.node: Place(join, i) for i, s in enumerate(node.inputs)
                    if uses[s] == 1 and type(s.node.layer) in LAST}
            found |= {node: join, **ours} if ours else {}
    return found


def _along_channels(node: Node) -> bool:
    """Say whether images of one known size are joined along their last axis."""
    shape = node.symbols[0].shape
    return (len(shape) == 4 and node.layer.axis in (-1, 3) and None not in shape[1:]
            and bool(node.args) and len(node.args[0]) == len(node.inputs))
