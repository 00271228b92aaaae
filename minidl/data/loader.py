"""Batches out of arrays, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, NamedTuple

import numpy as np

from .. import config
from ..errors import ArgumentError, DataError
from .blocks import Blocks, Windows
from .order import at_least, checked_seed, permutation
from .sources import Source, common_length, read_rows

Batch = tuple[np.ndarray, ...]
Transform = Callable[[Batch, int, np.ndarray], Batch]

_THREAD = "minidl-loader"


class Reading(NamedTuple):
    """How an epoch is read: its order, and what reads the rows from place to place of the order.

    Where there is something to read ahead once all rows before a place have been asked for,
    `ahead(place)` returns the function that does it.
    """

    order: np.ndarray
    fetch: Callable[[int, int], Batch]
    ahead: Callable[[int], Callable[[], Any] | None] = lambda place: None


class DataLoader:
    """Cuts arrays of equal length into batches.

    The order of an epoch is a function of (seed, epoch): it is the same for any number of workers,
    and a run that stopped can go on with `epoch(e, start)` where it was. Each batch is a tuple
    with a fresh C-contiguous array per source, which belongs to the caller. Batches arrive in
    order; an error in a worker is raised where the batch is asked for.

    Args:
        arrays: sources with the samples along their first axis. Anything with `len` that can be
            indexed by a slice and by rising row numbers will do; it is read batch by batch.
        batch_size: samples in a batch; the last batch of an epoch may be shorter.
        shuffle: draw a new order for each epoch instead of that of the arrays. "blocks", or
            `Blocks(rows, at_once)` with other sizes, reads neighbouring rows together and mixes
            them in memory: for data on a disk.
        seed: 0 to 2**63 - 1; which orders are drawn.
        drop_last: leave out a last batch that is not full.
        workers: threads that prepare batches ahead, each on its own, so that the others are left
            to the model; 0 prepares each when it is asked for.
        prefetch: batches that each worker keeps ready.
        transform: called as `transform(batch, epoch, indices)`, in a worker if there are any,
            where `indices` (B,) are the rows of the batch; returns the tuple to use instead.
            Draw random numbers keyed by epoch and indices, and every run is alike.
        limit: use the first `limit` samples only.

    Raises:
        ArgumentError: there are no arrays, or an argument is out of range.
        ShapeError: the arrays differ in length.
        DataError: there are no samples, or not enough for one batch with `drop_last`.

    >>> loader = DataLoader(np.arange(10), batch_size=4)
    >>> [x.tolist() for x, in loader]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """

    def __init__(self, *arrays: Source, batch_size: int = 32, shuffle: bool | str | Blocks = False,
                 seed: int = 0, drop_last: bool = False, workers: int = 0, prefetch: int = 2,
                 transform: Transform | None = None, limit: int | None = None) -> None:
        length = common_length("DataLoader", arrays)
        at_least("DataLoader", "batch_size", batch_size, 1)
        at_least("DataLoader", "workers", workers, 0)
        at_least("DataLoader", "prefetch", prefetch, 1)
        self.arrays = arrays
        self.batch_size, self.drop_last = int(batch_size), drop_last
        self.blocks = _blocks(shuffle)
        self.shuffle = shuffle if self.blocks is None else str(self.blocks)
        self.seed = checked_seed("DataLoader", seed)
        self.workers, self.prefetch = int(workers), int(prefetch)
        self.transform = transform
        self.samples = length if limit is None else min(
            length, at_least("DataLoader", "limit", limit, 1))
        self.next_epoch = 0
        if not len(self):
            raise DataError("DataLoader", f"got {self.samples} samples",
                            f"expected at least batch_size={batch_size}, as drop_last is set",
                            "Give more samples, a smaller batch_size, or drop_last=False.")

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        whole, rest = divmod(self.samples, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        """Return the batches of epoch `next_epoch` and count it up: 0, then 1, then 2 ..."""
        epoch, self.next_epoch = self.next_epoch, self.next_epoch + 1
        return self.epoch(epoch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Return the batches of one epoch, from batch number `start` on.

        Raises:
            ArgumentError: there is no such epoch or batch.

        >>> [x.tolist() for x, in DataLoader(np.arange(10), batch_size=4).epoch(3, start=1)]
        [[4, 5, 6, 7], [8, 9]]
        """
        at_least("DataLoader", "epoch", epoch, 0)
        if not 0 <= start <= len(self):
            raise ArgumentError("DataLoader.epoch", f"got start={start}",
                                f"expected 0 to {len(self)}, the number of batches",
                                "Resume with the batch_size and the data that it was saved with.")
        batches = self._ahead if self.workers else self._plain
        return batches(self._reading(epoch, start), epoch, start)

    def order(self, epoch: int) -> np.ndarray:
        """Return the row numbers (samples,) in the order in which this epoch takes them.

        >>> DataLoader(np.arange(5), shuffle=True, seed=7).order(0).tolist()
        [2, 1, 3, 4, 0]
        """
        if self.blocks is not None:
            return self.blocks.order(self.samples, self.seed, epoch)[0]
        return permutation(self.samples, self.seed, epoch) if self.shuffle \
            else np.arange(self.samples)

    def _plain(self, reading: Reading, epoch: int, start: int) -> Iterator[Batch]:
        for number in range(start, len(self)):
            yield self._batch(reading, epoch, number)

    def _ahead(self, reading: Reading, epoch: int, start: int) -> Iterator[Batch]:
        threads = self.workers + (self.blocks is not None)  # one more to read windows ahead
        pool = ThreadPoolExecutor(threads, thread_name_prefix=_THREAD)
        waiting: deque[Future[Batch]] = deque()
        try:
            for number in range(start, len(self)):
                # a context per batch: the caller's switches, such as no_grad, hold in workers too
                waiting.append(pool.submit(copy_context().run, self._alone, reading, epoch, number))
                if (task := reading.ahead((number + 1) * self.batch_size)) is not None:
                    pool.submit(task)
                if len(waiting) > self.workers * self.prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # garbage collection may end this iterator inside a worker, which cannot join itself
            inside = threading.current_thread().name.startswith(_THREAD)
            pool.shutdown(wait=not inside, cancel_futures=True)

    def _reading(self, epoch: int, start: int) -> Reading:
        if self.blocks is None:
            order = self.order(epoch)
            return Reading(order, lambda first, stop: self._rows(order[first:stop]))
        order, ends = self.blocks.order(self.samples, self.seed, epoch)
        span = start * self.batch_size, min(len(self) * self.batch_size, self.samples)
        windows = Windows(self.arrays, order, ends, span)
        return Reading(order, windows.read, windows.ahead)

    def _rows(self, indices: np.ndarray) -> Batch:
        return tuple(read_rows(array, indices) for array in self.arrays)

    def _alone(self, reading: Reading, epoch: int, number: int) -> Batch:
        with config.threads(1):
            return self._batch(reading, epoch, number)

    def _batch(self, reading: Reading, epoch: int, number: int) -> Batch:
        first = number * self.batch_size
        indices = reading.order[first:first + self.batch_size].copy()
        batch = reading.fetch(first, first + len(indices))
        if self.transform is None:
            return batch
        changed = self.transform(batch, epoch, indices)
        if not isinstance(changed, tuple):
            raise ArgumentError("transform", f"returned a {type(changed).__name__}",
                                "expected a tuple of arrays",
                                "Return (x, y); for a single array (x,), with the comma.")
        return tuple(np.asarray(array, order="C") for array in changed)


def _blocks(shuffle: bool | str | Blocks) -> Blocks | None:
    if isinstance(shuffle, str) and shuffle != "blocks":
        raise ArgumentError("DataLoader", f"got shuffle={shuffle!r}",
                            'expected True, False, "blocks" or Blocks(...)', "Change shuffle.")
    return Blocks() if isinstance(shuffle, str) else shuffle if isinstance(shuffle, Blocks) \
        else None
