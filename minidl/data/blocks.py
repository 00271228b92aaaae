"""Shuffling for data on a disk: whole blocks of rows are read, and mixed in memory.

Reading single rows at random makes a disk seek, or unpack a whole chunk, for every row. Here the
rows are cut into blocks of neighbours; the blocks are put in a random order; and the rows of a
few blocks at a time, a window, are shuffled among each other. What is read are runs of rows, while
a batch holds rows from all over the file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .order import BLOCKS, WITHIN, at_least, permutation, words
from .sources import Source, read_rows, runs

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Blocks:
    """How to shuffle by blocks: `DataLoader(..., shuffle=Blocks(rows=16))`.

    Larger blocks are read faster, more blocks at once are mixed better. A loader holds about two
    windows, of `rows * at_once` rows, in memory.

    Args:
        rows: neighbouring rows in a block.
        at_once: blocks whose rows are mixed with each other.

    Raises:
        ArgumentError: an argument is not a whole number of at least 1.

    >>> str(Blocks(rows=16))
    'blocks of 16 rows, 32 at once'
    """

    rows: int = 32
    at_once: int = 32

    def __post_init__(self) -> None:
        """Check the numbers."""
        at_least("Blocks", "rows", self.rows, 1)
        at_least("Blocks", "at_once", self.at_once, 1)

    def __str__(self) -> str:
        """Return the words that a checkpoint keeps."""
        return f"blocks of {self.rows} rows, {self.at_once} at once"

    def order(self, count: int, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the order of an epoch, and where its windows end: int64 (count,), (windows,).

        Both are functions of the arguments alone, and every row comes once.

        >>> order, ends = Blocks(rows=2, at_once=2).order(7, seed=0, epoch=0)
        >>> sorted(order.tolist()), ends.tolist()
        ([0, 1, 2, 3, 4, 5, 6], [3, 7])
        """
        firsts = self.rows * permutation(-(-count // self.rows), seed, epoch, BLOCKS)
        rows = (firsts[:, None] + np.arange(self.rows)).reshape(-1)  # (blocks * rows,)
        window = np.arange(len(rows)) // (self.rows * self.at_once)
        rows, window = rows[rows < count], window[rows < count]  # the last block may be short
        mixed = np.lexsort((words(count, seed, epoch, WITHIN), window))
        return rows[mixed], np.cumsum(np.bincount(window))


class Windows:
    """Reads the windows of an epoch when they are needed, and lets them go when they are used up.

    Any number of threads may ask at the same time; what they get does not depend on it.

    Args:
        sources: with the samples along the first axis.
        order: row numbers in the order of the epoch (N,).
        ends: where the windows end in `order`.
        span: first place in the order that will be asked for, and the one after the last.

    >>> windows = Windows((np.arange(8),), np.array([3, 2, 0, 1, 6]), np.array([4, 5]), (0, 5))
    >>> windows.read(2, 5)[0].tolist()
    [0, 1, 6]
    """

    def __init__(self, sources: tuple[Source, ...], order: np.ndarray, ends: np.ndarray,
                 span: tuple[int, int]) -> None:
        self._sources, self._order, self._ends, self._span = sources, order, ends, span
        self._open: dict[int, _Window] = {}
        self._largest = int(np.diff(ends, prepend=0).max())
        self._spare: list[Arrays] = []  # memory of windows that are used up, for later ones
        self._asked = -1
        self._lock = threading.Lock()

    def read(self, first: int, stop: int) -> Arrays:
        """Return the rows at the places `first` to `stop` - 1 of the order, once."""
        parts = [self._part(number, first, stop)
                 for number in range(self._number(first), self._number(stop - 1) + 1)]
        return parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))

    def ahead(self, place: int) -> Callable[[], Any] | None:
        """Return what reads the window after that of the row before `place`; once for each."""
        number = self._number(min(place, self._span[1]) - 1) + 1
        if number <= self._asked or self._ends[number - 1] >= self._span[1]:
            return None
        self._asked = number
        return self._window(number).load

    def _number(self, place: int) -> int:
        return int(np.searchsorted(self._ends, place, side="right"))

    def _part(self, number: int, first: int, stop: int) -> Arrays:
        window = self._window(number)
        low, high = max(first, window.first), min(stop, window.stop)
        arrays = window.take(low, high)
        with self._lock:
            window.left -= high - low
            if not window.left:
                del self._open[number]
                self._spare.append(window.memory)
        return arrays

    def _window(self, number: int) -> _Window:
        with self._lock:
            if number not in self._open:
                begin = int(self._ends[number - 1]) if number else 0
                memory = self._spare.pop() if self._spare else tuple(
                    _room(source, self._largest) for source in self._sources)
                self._open[number] = _Window(self._sources, memory, self._order, begin,
                                             int(self._ends[number]), self._span)
            return self._open[number]


class _Window:
    """The rows at places `first` to `stop` - 1 of the order, read once."""

    def __init__(self, sources: tuple[Source, ...], memory: Arrays, order: np.ndarray, first: int,
                 stop: int, span: tuple[int, int]) -> None:
        self.sources, self.memory, self.first, self.stop = sources, memory, first, stop
        self.left = min(stop, span[1]) - max(first, span[0])  # places not asked for yet
        self.rows = order[first:stop]
        self.place: np.ndarray | None = None  # of the rows in memory, once they are read
        self.lock = threading.Lock()

    def load(self) -> np.ndarray:
        """Read the rows in rising order, in as few pieces as there are runs."""
        with self.lock:
            if self.place is None:
                rising = np.argsort(self.rows)
                for source, room in zip(self.sources, self.memory, strict=True):
                    _read_runs(source, self.rows[rising], room)
                self.place = np.argsort(rising)
            return self.place

    def take(self, low: int, high: int) -> Arrays:
        """Return fresh arrays of the rows at these places of the order."""
        places = slice(low - self.first, high - self.first)
        at = self.load()[places]
        return tuple(room[at] if len(room) else read_rows(source, self.rows[places])
                     for source, room in zip(self.sources, self.memory, strict=True))


def _room(source: Any, rows: int) -> np.ndarray:
    """Return memory for rows of a source; none for an array, which is in memory anyway."""
    if type(source) is np.ndarray:  # a memory map is of another type
        return np.empty(0)
    one = source if hasattr(source, "dtype") else np.asarray(source[0:1])
    return np.empty((rows, *one.shape[1:]), one.dtype)


def _read_runs(source: Any, rows: np.ndarray, room: np.ndarray) -> None:
    """Put rising rows into memory; sources that can, read straight into it."""
    if not len(room):
        return
    if hasattr(source, "read_into"):
        source.read_into(rows, room)
        return
    for at, run in runs(rows):
        room[at:at + run.stop - run.start] = source[run]
