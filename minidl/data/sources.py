"""What a loader reads from, and how rows are read out of it: in runs, never one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from ..errors import ArgumentError, DataError, ShapeError


class Source(Protocol):
    """What a loader reads from: a NumPy array, a memory map, an HDF5 data set and the like."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


class Rows:
    """Some rows of a source, in an order of their own; itself a source.

    Args:
        source: an array or another source, (N, ...).
        rows: row numbers (K,), in any order.

    Raises:
        ShapeError: `rows` is not a list of numbers below N.

    >>> part = Rows(np.arange(10) * 10, [7, 2, 5])
    >>> part[:2].tolist(), part.shape
    ([70, 20], (3,))
    """

    def __init__(self, source: Any, rows: Any) -> None:
        self.source, self.rows = source, np.asarray(rows, np.int64)
        lowest, highest = self.rows.min(initial=0), self.rows.max(initial=-1)
        if self.rows.ndim != 1 or lowest < 0 or highest >= len(source):
            raise ShapeError("Rows", f"got rows of shape {self.rows.shape} from {lowest} to "
                             f"{highest}",
                             f"expected row numbers (K,) of a source of {len(source)} rows",
                             "Give what stratified_split returns.")
        self.shape = (len(self.rows), *source.shape[1:])
        self.dtype = source.dtype

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, at: Any, /) -> np.ndarray:
        """Return the rows at these places: a slice or an array of numbers."""
        rows = self.rows[at]
        return read_rows(self.source, rows) if len(rows) else self.source[:0]


def read_rows(source: Source, rows: np.ndarray) -> np.ndarray:
    """Return a fresh C-contiguous array of these rows (K,), K at least 1, in any order.

    >>> read_rows(np.arange(10) * 10, np.array([7, 2])).tolist()
    [70, 20]
    """
    first, last = int(rows[0]), int(rows[-1])
    if last - first == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return np.array(source[first:last + 1], order="C")
    if isinstance(source, np.ndarray):
        return np.ascontiguousarray(source[rows])
    rising = np.argsort(rows)  # HDF5 reads rising rows only
    return np.ascontiguousarray(np.asarray(source[rows[rising]])[np.argsort(rising)])


def runs(rows: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Yield runs of row numbers that follow each other: place of the first one, and the slice.

    >>> list(runs(np.array([4, 5, 6, 9])))
    [(0, slice(4, 7, None)), (3, slice(9, 10, None))]
    """
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    for start, stop in pairwise([0, *cuts.tolist(), len(rows)] if len(rows) else []):
        first = int(rows[start])
        yield start, slice(first, first + stop - start)


def common_length(where: str, arrays: tuple[Source, ...]) -> int:
    """Return the length that all sources have.

    Raises:
        ArgumentError: there are none, or one is no source.
        ShapeError: the lengths differ, or a source has no axis.
        DataError: they are empty.

    >>> common_length("here", (np.zeros(3), np.ones((3, 2))))
    3
    """
    if not arrays:
        raise ArgumentError(where, "got no arrays", "expected one or more",
                            f"Write {where}(x, y).")
    lengths = [_length(where, i, array) for i, array in enumerate(arrays)]
    for i, length in enumerate(lengths):
        if length != lengths[0]:
            raise ShapeError(where, f"got array 0 of length {lengths[0]} and array {i} of length "
                             f"{length}", "expected equal lengths",
                             "Check that images and labels belong together.")
    if not lengths[0]:
        raise DataError(where, "got arrays of length 0", "expected at least one sample",
                        "Check where they come from.")
    return lengths[0]


def _length(where: str, number: int, array: Source) -> int:
    if isinstance(array, (list, tuple, str, dict)) or not hasattr(array, "__getitem__"):
        raise ArgumentError(where, f"got a {type(array).__name__} as array {number}",
                            "expected arrays, each an argument of its own",
                            f"Write {where}(x, y); np.asarray makes an array of a list.")
    if getattr(array, "shape", None) == ():
        raise ShapeError(where, f"got array {number} of shape ()",
                         "expected the samples along the first axis", "Give it an axis.")
    return len(array)
