"""What a model says of a class: its score before softmax or sigmoid, and its probability.

A model with one output tells two classes apart: its output is the probability of class 1, and the
score of class 0 is that of class 1 with the other sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import config
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from .look import in_use, leaf

LAST = ("softmax", "log_softmax", "sigmoid")
"""Ops that make probabilities, or their logarithms, of scores."""


def first_output(output: Any) -> Tensor:
    """Return the output (N, classes) of a model; the first where it has several.

    Raises:
        ShapeError: it is no row for each sample.
    """
    first = output[0] if isinstance(output, (list, tuple)) else output
    if getattr(first, "ndim", 0) != 2:
        raise ShapeError("model", f"gives an output of shape {getattr(first, 'shape', '?')}",
                         "expected (N, classes)", "Give a model that classifies.")
    return first


def last_op(output: Tensor) -> str:
    """Return which of `LAST` made a recorded output, "" if none did."""
    name = "" if output.node is None else output.node.op.name
    return name if name in LAST and output.node.source is not None else ""  # type: ignore[union-attr]


def scores(output: Any) -> Tensor:
    """Return a model's recorded output as scores (N, classes), before softmax or sigmoid."""
    first = first_output(output)
    source = first.node.source if first.node is not None and last_op(first) else None
    return first if source is None else source


def score_of(output: Any, label: int) -> Tensor:
    """Return the sum over the batch of the scores of a class: a tensor of one element."""
    z = scores(output)
    if z.shape[1] == 1:
        return z.sum() if label else -z.sum()
    return z[:, label].sum()


# ---- probabilities -------------------------------------------------------------------------


class Judge:
    """A model, and what its outputs say as probabilities.

    Args:
        model: a model that takes images (N, H, W, C).
        image: (H, W, C), by which it is found out what the outputs are.

    Attributes:
        kind: the op that makes the outputs, one of `LAST`, or "".
        one_output: whether the model tells two classes apart by one output.
    """

    def __init__(self, model: Any, image: np.ndarray) -> None:
        self.model = model
        with in_use(model), config.enable_grad():
            output = first_output(model(leaf(image[None])))
            self.kind = last_op(output)
        self.one_output = output.shape[1] == 1

    def __call__(self, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """Return the probabilities (N, classes), at least two classes, of images (N, H, W, C)."""
        parts = []
        with in_use(self.model), config.no_grad():
            for first in range(0, len(images), batch_size):
                output = first_output(self.model(images[first:first + batch_size]))
                parts.append(np.array(output.array, np.float64))
        return self._probabilities(np.concatenate(parts))

    def _probabilities(self, outputs: np.ndarray) -> np.ndarray:
        loss = getattr(getattr(self.model, "_compiled", None), "loss", None)
        logits = not self.kind and (getattr(loss, "from_logits", False) or _no_shares(outputs))
        if self.one_output:
            p = 1 / (1 + np.exp(-outputs)) if logits else outputs
            return np.concatenate([1 - p, p], axis=1)
        if self.kind == "log_softmax":
            return np.exp(outputs)
        return _softmax(outputs) if logits else outputs


def _no_shares(outputs: np.ndarray) -> bool:
    """Say whether numbers cannot be probabilities."""
    low, high = outputs.min(initial=0), outputs.max(initial=0)
    several = outputs.shape[1] > 1 and not np.allclose(outputs.sum(axis=1), 1, atol=1e-3)
    return bool(low < 0 or high > 1 or several)


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def chosen(where: str, probabilities: np.ndarray, label: int | None) -> int:
    """Return the class that was asked for, else the likeliest of a row of probabilities.

    Raises:
        ArgumentError: there is no such class.
    """
    if label is None:
        return int(probabilities.argmax())
    if not 0 <= label < len(probabilities):
        raise ArgumentError(where, f"got label={label}",
                            f"the model tells {len(probabilities)} classes apart",
                            f"Give a class from 0 to {len(probabilities) - 1}.")
    return int(label)


def judged(where: str, model: Any, image: np.ndarray, label: int | None
           ) -> tuple[Judge, int, float]:
    """Return a judge, the class to explain and the image's probability of it.

    Raises:
        ArgumentError: there is no such class.
        ShapeError: the model does not classify.
    """
    judge = Judge(model, image)
    row = judge(image[None])[0]
    which = chosen(where, row, label)
    return judge, which, float(row[which])


def called(label: int, class_names: Sequence[str] | None) -> str:
    """Return how a title names a class.

    >>> called(1, ["cat", "dog"]), called(7, None)
    ('"dog"', 'class 7')
    """
    known = class_names is not None and label < len(class_names)
    return f'"{class_names[label]}"' if known else f"class {label}"  # type: ignore[index]
