"""Random orders that depend on a seed, an epoch and a stream alone."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError

SHUFFLE, SPLIT, BLOCKS, WITHIN, DRAWN, COPIED = 1, 2, 3, 4, 5, 6
"""Streams: draws for different uses, kept apart by Philox's counter."""


def permutation(count: int, seed: int, epoch: int = 0, stream: int = SHUFFLE) -> np.ndarray:
    """Return the numbers 0 to `count` - 1 in a drawn order: int64 (count,).

    >>> permutation(5, seed=7).tolist()
    [2, 1, 3, 4, 0]
    """
    return np.argsort(words(count, seed, epoch, stream), kind="stable")


def words(count: int, seed: int, epoch: int, stream: int) -> np.ndarray:
    """Return random 64-bit words: uint64 (count,).

    These are raw words of Philox, rather than draws of NumPy's Generator, whose methods NumPy may
    change (NEP 19): a run that is resumed under another NumPy keeps its order.

    >>> words(3, 0, 0, SHUFFLE).dtype.name
    'uint64'
    """
    philox = np.random.Philox(key=np.array([seed, epoch], np.uint64),
                              counter=np.array([0, 0, 0, stream], np.uint64))
    return philox.random_raw(count)


def checked_seed(where: str, seed: int) -> int:
    """Return the seed as an int.

    Raises:
        ArgumentError: it is no integer from 0 to 2**63 - 1.

    >>> checked_seed("here", np.int64(7))
    7
    """
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 63:
        raise ArgumentError(where, f"got seed={seed!r}", "expected 0 to 2**63 - 1",
                            "Change the seed.")
    return int(seed)


def at_least(where: str, name: str, value: int, lowest: int) -> int:
    """Return an argument that is a whole number as an int.

    Raises:
        ArgumentError: it is no whole number, or smaller than `lowest`.

    >>> at_least("here", "rows", 3, 1)
    3
    """
    if not isinstance(value, (int, np.integer)) or value < lowest:
        raise ArgumentError(where, f"got {name}={value!r}",
                            f"expected a whole number of at least {lowest}", f"Change {name}.")
    return int(value)
