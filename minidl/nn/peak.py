"""How much memory a training step takes at its most, found by rehearsing the step.

The step of `fit` runs on a model, but no kernel does: its arrays come from a pool that counts as
the real one does and that nobody writes to. So what is kept for backward, when it is let go,
workspace and the gaps between buffers are those of a real step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import config
from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..backend.memory import rehearsal
from ..errors import MinidlError
from ..train.feed import Batch
from ..train.losses import Loss
from ..train.step import Compiled, Tracker, train_step
from .holder import shapes_only
from .module import Module
from .tree import leaves, map_tree


@dataclass(frozen=True)
class Peak:
    """Bytes that arrays take at the peak of a training step.

    Code, such as compiled kernels, is not counted.

    Attributes:
        samples: of the batch.
        weights: parameters and moving statistics.
        state: what the optimizer keeps of the parameters; 0 for a model that is not compiled.
        data: inputs and labels.
        step: results, saved arrays, gradients and workspace, gaps between them included.
    """

    samples: int
    weights: int
    state: int
    data: int
    step: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.state + self.data + self.step

    def lines(self) -> list[tuple[str, str]]:
        """Return labels and texts, the total first."""
        parts = {"weights": self.weights, "optimizer": self.state, "inputs and labels": self.data,
                 "results, gradients, workspace": self.step}
        return [(f"Peak memory of a training step, batch {self.samples}", size_text(self.total)),
                *((f"  {label}", size_text(size)) for label, size in parts.items())]


def size_text(size: float) -> str:
    """Return a number of bytes with a unit.

    >>> size_text(2048), size_text(12)
    ('2.0 KiB', '12 B')
    """
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def peak_of(model: Module, inputs: Any, samples: int = 32) -> Peak | None:
    """Return the memory of a training step with the loss and the optimizer of `compile`.

    A model that is not compiled is taken to be trained on the mean of its outputs.

    Args:
        inputs: a tensor or a list of tensors like those of the model, of any batch.

    Returns:
        None for a model that has nothing to train or cannot be trained so, or where even the
        address space is too small.
    """
    x = map_tree(lambda t: np.zeros((samples, *t.shape[1:]), t.dtype), inputs)
    loss = _AnyLabels(model._compiled.loss if model._compiled else None)
    how = Compiled(_Nothing(), loss, [])
    parameters = model.parameters()
    if not any(p.trainable for p in parameters):
        return None
    try:
        with (shapes_only(model, True), config.enable_grad(), _gradients_aside(parameters),
              rehearsal() as pool):
            train_step(model, how, Batch(x, np.zeros(samples)), Tracker([]), parameters)
            step = pool.taken + pool.held
    except (MinidlError, MemoryError):
        return None
    weights = sum(t.array.nbytes for t in (*parameters, *model.named_buffers().values()))
    data = sum(part.nbytes for part in (x if isinstance(x, list) else [x])) + loss.nbytes
    return Peak(samples, weights, _state(model, parameters), data, step)


class _Nothing:
    """An optimizer that changes nothing; the update works in place and needs no memory."""

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss."""
        return loss

    def step(self, parameters: Sequence[Parameter], **options: Any) -> None:
        """Leave the parameters as they are."""

    def zero_grad(self, parameters: Sequence[Parameter]) -> None:
        """Leave the gradients to `_gradients_aside`."""


class _AnyLabels(Loss):
    """A loss that brings labels of its own: as the outputs, or integers if it wants those."""

    def __init__(self, loss: Loss | None) -> None:
        self._loss, self.nbytes = loss, 0

    def __call__(self, y_true: Any, y_pred: Any) -> Tensor:
        """Return the loss of each sample, or the outputs where no loss is known."""
        parts = list(leaves(y_pred))
        for shape, dtype in ((parts[0].shape, parts[0].dtype), (parts[0].shape[:-1], "int64")):
            labels = np.zeros(shape, dtype)
            try:
                if self._loss is not None and len(parts) == 1:
                    losses = self._loss(labels, y_pred)
                    self.nbytes = labels.nbytes
                    return losses
            except (MinidlError, ValueError, TypeError, IndexError):
                continue
        means = [F.mean(part, axis=tuple(range(1, part.ndim))) for part in parts]
        return sum(means[1:], start=means[0])


def _state(model: Module, parameters: Sequence[Parameter]) -> int:
    """Return the bytes of the slots, averages and sums that the optimizer keeps."""
    if model._compiled is None:
        return 0
    optimizer = model._compiled.optimizer
    arrays = len(optimizer.slots()) + (optimizer.ema is not None) + (optimizer.accumulate > 1)
    return arrays * sum(p.array.nbytes for p in parameters if p.trainable)


@contextmanager
def _gradients_aside(parameters: Sequence[Parameter]) -> Iterator[None]:
    """Let the parameters have no gradients inside the block, and then those of before."""
    before = [p.grad for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, grad in zip(parameters, before, strict=True):
            parameter.grad = grad
