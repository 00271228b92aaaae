"""Divides samples at random into parts for training, validation and test."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError, ShapeError
from .order import SPLIT, checked_seed, permutation
from .sources import Source, common_length, read_rows

Arrays = tuple[np.ndarray, ...]


def train_val_split(*arrays: Source, fraction: float = 0.2, seed: int = 0,
                    stratify: Any = None) -> tuple[Arrays, Arrays]:
    """Divide arrays at random into a training and a validation part, the same rows in each array.

    Args:
        fraction: share of the samples, between 0 and 1, that goes into the validation part.
        seed: 0 to 2**63 - 1; which rows are drawn.
        stratify: class labels (N,); each part then has every class in its share of the whole, as
            `stratified_split` draws them.

    Returns:
        (x_train, y_train, ...), (x_val, y_val, ...); copies, in shuffled order.

    Raises:
        ArgumentError: `fraction` leaves a part empty, or there are no arrays.
        ShapeError: the arrays differ in length.
        DataError: the arrays are empty, or a class has too few samples.

    >>> (x_train,), (x_val,) = train_val_split(np.arange(10), fraction=0.3)
    >>> len(x_train), len(x_val)
    (7, 3)
    """
    length = common_length("train_val_split", arrays)
    count = round(length * fraction) if 0 < fraction < 1 else 0
    if not 0 < count < length:
        raise ArgumentError("train_val_split", f"got fraction={fraction} of {length} samples",
                            "expected a share between 0 and 1 that leaves neither part empty",
                            "Change fraction, or give more samples.")
    if stratify is None:
        order = permutation(length, checked_seed("train_val_split", seed), 0, SPLIT)
        train, val = order[count:], order[:count]
    else:
        common_length("train_val_split", (arrays[0], np.asarray(stratify)))
        train, val = stratified_split(stratify, count, seed=seed)
    return tuple(read_rows(a, train) for a in arrays), tuple(read_rows(a, val) for a in arrays)


def stratified_split(labels: Any, *parts: float, seed: int = 0) -> list[np.ndarray]:
    """Divide samples at random, so that every part has each class in its share of the whole.

    A part's places are given to the classes in proportion, the last few to those with the largest
    remainders, so that counts of a class differ from its exact share by less than one.

    Args:
        labels: class of each sample (N,), numbers or strings.
        parts: for each part but the first, a number of samples (an int) or a share of all N (a
            float between 0 and 1). The first part, as a rule for training, gets the rest.
        seed: 0 to 2**63 - 1; which rows are drawn.

    Returns:
        Row numbers of the parts, the one with the rest first; each is int64, in shuffled order,
        and every row is in exactly one part.

    Raises:
        ArgumentError: the parts leave no samples for the first, or one is empty.
        ShapeError: labels have not one axis.
        DataError: a class has too few samples to be in every part.

    >>> labels = ["cat"] * 60 + ["dog"] * 20
    >>> train, val, test = stratified_split(labels, 8, 0.25)
    >>> [(len(part), int(sum(part < 60))) for part in (train, val, test)]
    [(52, 39), (8, 6), (20, 15)]
    """
    classes, of_class, sizes = _classes(labels)
    order = permutation(len(of_class), checked_seed("stratified_split", seed), 0, SPLIT)
    grouped = order[np.argsort(of_class[order], kind="stable")]  # class by class, in drawn order
    rank = np.arange(len(grouped)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    bounds = np.cumsum(_quotas(sizes, _counts(len(order), parts)), axis=0)  # (parts, classes)
    _check_classes(classes, sizes, bounds)
    part = np.empty(len(order), np.int64)
    part[grouped] = np.sum(rank >= np.repeat(bounds, sizes, axis=1), axis=0)
    return [order[part[order] == number] for number in (len(parts), *range(len(parts)))]


def _classes(labels: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the classes, the number of each sample's class, and how many samples each has."""
    given = np.asarray(labels)
    if given.ndim != 1 or not given.size:
        raise ShapeError("stratified_split", f"got labels of shape {given.shape}",
                         "expected one class per sample, (N,)",
                         "Of one-hot labels, take labels.argmax(axis=1).")
    return np.unique(given, return_inverse=True, return_counts=True)


def _counts(total: int, parts: tuple[float, ...]) -> list[int]:
    counts = [round(total * p) if isinstance(p, (float, np.floating)) and 0 < p < 1 else p
              for p in parts]
    good = all(isinstance(c, (int, np.integer)) and c > 0 for c in counts)
    if not counts or not good or sum(counts) >= total:
        raise ArgumentError("stratified_split", f"got the parts {parts} of {total} samples",
                            "expected shares between 0 and 1 or counts, with a rest",
                            "Make the parts smaller, or give more samples.")
    return [int(c) for c in counts]


def _quotas(sizes: np.ndarray, counts: list[int]) -> np.ndarray:
    """Return how many samples of each class each part gets: int64 (parts, classes)."""
    left, quotas = sizes.copy(), []
    for count in counts:
        share, remainder = np.divmod(left * count, left.sum())
        largest = np.argsort(-remainder, kind="stable")[:count - share.sum()]
        share[largest] += 1
        quotas.append(share)
        left = left - share
    return np.array(quotas)


def _check_classes(classes: np.ndarray, sizes: np.ndarray, bounds: np.ndarray) -> None:
    """Raise where a class would be missing in a part."""
    each = np.diff(np.vstack([np.zeros_like(sizes), bounds, sizes]), axis=0)
    missing = np.any(each == 0, axis=0)
    if missing.any():
        number = int(np.argmax(missing))
        raise DataError("stratified_split",
                        f"got {sizes[number]} samples of class {classes[number]!s}",
                        f"expected enough for each of the {len(each)} parts to have one",
                        "Make the smallest part larger, or leave this class out.")
