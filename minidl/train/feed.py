"""What `fit`, `evaluate` and `predict` are given, as batches of inputs, labels and weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import random
from ..autograd.tensor import Tensor
from ..data.loader import DataLoader
from ..errors import ArgumentError, ShapeError

MOST_INPUTS = 16  # of a model that an error lists


class Batch(NamedTuple):
    """Arrays of one step: inputs (a list where there are several), labels, sample weights (N,)."""

    x: Any
    y: np.ndarray | None = None
    weight: np.ndarray | None = None


class Feed:
    """A loader and the part that each of its arrays plays.

    Args:
        loader: gives tuples (x, y) or (x, y, sample_weight).
        inputs: how many arrays of a batch are inputs of the model; 0 for one that is no list.
        class_weight: factor on the loss of each class; 1 for those not named.
        seed_drawn: the loader's seed was drawn by chance, so a resumed run may set it.
    """

    def __init__(self, loader: DataLoader, inputs: int = 0,
                 class_weight: Mapping[int, float] | None = None, seed_drawn: bool = False) -> None:
        self.loader, self.inputs, self.seed_drawn = loader, inputs, seed_drawn
        self.class_weight = class_weight

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.loader)

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """Return the batches of an epoch, from batch `start` on."""
        for arrays in self.loader.epoch(epoch, start):
            yield self._batch(arrays)

    def _batch(self, arrays: tuple[np.ndarray, ...]) -> Batch:
        x = list(arrays[:self.inputs]) if self.inputs else arrays[0]
        y, weight, *_ = (*arrays[self.inputs or 1:], None, None)
        return Batch(x, y, weighted(weight, y, self.class_weight))


def feed(where: str, x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: int = 32,
         shuffle: bool = False, seed: int | None = None, labelled: bool = True,
         limit: int | None = None, class_weight: Mapping[int, float] | None = None,
         whole: bool = False) -> Feed:
    """Return batches of arrays, or of a `DataLoader` given as x.

    Args:
        where: the method whose arguments these are, for errors.
        labelled: labels are needed.
        limit: use the first `limit` samples only.
        whole: every sample must come, so a loader may not drop any.

    Raises:
        ArgumentError: labels are missing or given twice, or a loader drops samples.
        ShapeError: lengths differ.
    """
    if isinstance(x, DataLoader):
        if y is not None or sample_weight is not None:
            raise ArgumentError(where, "got y or sample_weight beside a DataLoader",
                                "the loader gives them with x", "Write DataLoader(x, y, weights).")
        if whole and x.drop_last:
            raise ArgumentError(where, "got a DataLoader with drop_last=True",
                                "expected one that gives every sample once",
                                "Leave drop_last out; the last batch may be short.")
        return Feed(x, class_weight=_numbers(where, class_weight))
    if y is None and labelled:
        raise ArgumentError(where, "got no y", "expected labels for every sample",
                            "Give y, or a DataLoader of x and y.")
    inputs = [source(part) for part in x] if several(x) else [source(x)]
    rest = [source(part) for part in (y, sample_weight) if part is not None]
    _same_lengths(where, inputs, rest)
    if sample_weight is not None and rest[-1].shape != (len(rest[-1]),):
        raise ShapeError(where, f"got sample_weight of shape {rest[-1].shape}", "expected (N,)",
                         "Give one number per sample.")
    drawn = shuffle and seed is None
    chosen = int(random.default.numpy().integers(1 << 62)) if drawn else seed or 0
    loader = DataLoader(*inputs, *rest, batch_size=batch_size, shuffle=shuffle, seed=chosen,
                        limit=limit)
    return Feed(loader, len(inputs) if several(x) else 0, _numbers(where, class_weight), drawn)


def several(x: Any) -> bool:
    """Say whether x is a list of inputs rather than one input."""
    return isinstance(x, (list, tuple)) and len(x) > 0 and all(hasattr(p, "shape") for p in x)


def source(part: Any) -> Any:
    """Return something that a loader can read rows from; lists and tensors become arrays."""
    if isinstance(part, Tensor):
        return part.array
    return part if hasattr(part, "shape") and hasattr(part, "__getitem__") else np.asarray(part)


def _same_lengths(where: str, inputs: list[Any], rest: list[Any]) -> None:
    names = ["x"] if len(inputs) == 1 else [f"x[{i}]" for i in range(len(inputs))]
    names += ["y", "sample_weight"][:len(rest)]
    lengths = [len(part) if part.shape else 0 for part in (*inputs, *rest)]
    if len(set(lengths)) > 1:
        if len(inputs) > MOST_INPUTS:
            raise ShapeError(where, f"got a list of {len(inputs)} arrays as x",
                             "a list stands for several inputs of the model",
                             "Make one array of the samples: np.stack(x).")
        listed = ", ".join(f"{n} of length {k}" for n, k in zip(names, lengths, strict=True))
        raise ShapeError(where, f"got {listed}", "expected equal lengths",
                         "Check that inputs and labels belong together.")


def split(where: str, x: Any, y: Any, sample_weight: Any, fraction: float
          ) -> tuple[int, tuple[Any, Any, Any]]:
    """Return how many samples to train on, and the rest, the last share, for validation.

    Raises:
        ArgumentError: one of the two parts would be empty, or x is a loader.
    """
    if isinstance(x, DataLoader):
        raise ArgumentError(where, "got validation_split with a DataLoader", "expected arrays",
                            "Give validation_data, or use data.train_val_split before.")
    count = len(source(x[0] if several(x) else x))
    kept = math.floor(count * (1 - fraction)) if 0 < fraction < 1 else 0
    if not 0 < kept < count:
        raise ArgumentError(where, f"got validation_split={fraction} of {count} samples",
                            "expected a share between 0 and 1 that leaves neither part empty",
                            "Change validation_split, or give more samples.")
    tail = [source(p)[kept:] for p in x] if several(x) else source(x)[kept:]
    rest = [None if p is None else source(p)[kept:] for p in (y, sample_weight)]
    return kept, (tail, rest[0], rest[1])


def weighted(weight: np.ndarray | None, y: np.ndarray | None,
             class_weight: Mapping[int, float] | None) -> np.ndarray | None:
    """Return the weight of each sample (N,), its own times that of its class."""
    if class_weight is None or y is None:
        return weight
    one_hot = y.ndim > 1 and y.shape[-1] > 1
    labels = y.argmax(axis=-1) if one_hot else y.reshape(len(y))
    factors = np.array([class_weight.get(int(label), 1.0) for label in labels], np.float32)
    return factors if weight is None else weight * factors


def _numbers(where: str, class_weight: Any) -> Mapping[int, float] | None:
    if class_weight is None:
        return None
    try:
        return {int(k): float(v) for k, v in dict(class_weight).items()}
    except (TypeError, ValueError):
        raise ArgumentError(where, f"got class_weight={class_weight!r}",
                            "expected a dict {class number: weight}",
                            "For example class_weight={0: 1.0, 1: 5.0}.") from None
