"""Batches out of arrays, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Protocol

import numpy as np

from .. import config
from ..errors import ArgumentError, DataError, ShapeError

Batch = tuple[np.ndarray, ...]
Transform = Callable[[Batch, int, np.ndarray], Batch]

_ORDER, _SPLIT = 1, 2  # streams of random numbers, kept apart by Philox's counter
_THREAD = "minidl-loader"


class Source(Protocol):
    """What a loader reads from: a NumPy array, a memory map, an HDF5 data set and the like."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


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
        shuffle: draw a new order for each epoch instead of that of the arrays.
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

    def __init__(self, *arrays: Source, batch_size: int = 32, shuffle: bool = False,
                 seed: int = 0, drop_last: bool = False, workers: int = 0, prefetch: int = 2,
                 transform: Transform | None = None, limit: int | None = None) -> None:
        length = _common_length("DataLoader", arrays)
        _at_least("batch_size", batch_size, 1)
        _at_least("workers", workers, 0)
        _at_least("prefetch", prefetch, 1)
        self.arrays = arrays
        self.batch_size, self.drop_last = int(batch_size), drop_last
        self.shuffle, self.seed = shuffle, _checked_seed("DataLoader", seed)
        self.workers, self.prefetch = int(workers), int(prefetch)
        self.transform = transform
        self.samples = length if limit is None else min(length, _at_least("limit", limit, 1))
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
        _at_least("epoch", epoch, 0)
        if not 0 <= start <= len(self):
            raise ArgumentError("DataLoader.epoch", f"got start={start}",
                                f"expected 0 to {len(self)}, the number of batches",
                                "Resume with the batch_size and the data that it was saved with.")
        order = self.order(epoch)
        batches = self._ahead if self.workers else self._plain
        return batches(order, epoch, start)

    def order(self, epoch: int) -> np.ndarray:
        """Return the row numbers (samples,) in the order in which this epoch takes them.

        >>> DataLoader(np.arange(5), shuffle=True, seed=7).order(0).tolist()
        [2, 1, 3, 4, 0]
        """
        if not self.shuffle:
            return np.arange(self.samples)
        return _permutation(self.samples, self.seed, epoch, _ORDER)

    def _plain(self, order: np.ndarray, epoch: int, start: int) -> Iterator[Batch]:
        for number in range(start, len(self)):
            yield self._batch(order, epoch, number)

    def _ahead(self, order: np.ndarray, epoch: int, start: int) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix=_THREAD)
        waiting: deque[Future[Batch]] = deque()
        try:
            for number in range(start, len(self)):
                # a context per batch: the caller's switches, such as no_grad, hold in workers too
                waiting.append(pool.submit(copy_context().run, self._alone, order, epoch, number))
                if len(waiting) > self.workers * self.prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # garbage collection may end this iterator inside a worker, which cannot join itself
            inside = threading.current_thread().name.startswith(_THREAD)
            pool.shutdown(wait=not inside, cancel_futures=True)

    def _alone(self, order: np.ndarray, epoch: int, number: int) -> Batch:
        with config.threads(1):
            return self._batch(order, epoch, number)

    def _batch(self, order: np.ndarray, epoch: int, number: int) -> Batch:
        indices = order[number * self.batch_size:(number + 1) * self.batch_size].copy()
        batch = tuple(_rows(array, indices) for array in self.arrays)
        if self.transform is None:
            return batch
        changed = self.transform(batch, epoch, indices)
        if not isinstance(changed, tuple):
            raise ArgumentError("transform", f"returned a {type(changed).__name__}",
                                "expected a tuple of arrays",
                                "Return (x, y); for a single array (x,), with the comma.")
        return tuple(np.asarray(array, order="C") for array in changed)


def train_val_split(*arrays: Source, fraction: float = 0.2, seed: int = 0) -> tuple[Batch, Batch]:
    """Divide arrays at random into a training and a validation part, the same rows in each array.

    Args:
        fraction: share of the samples, between 0 and 1, that goes into the validation part.
        seed: 0 to 2**63 - 1; which rows are drawn.

    Returns:
        (x_train, y_train, ...), (x_val, y_val, ...); copies, in shuffled order.

    Raises:
        ArgumentError: `fraction` leaves a part empty, or there are no arrays.
        ShapeError: the arrays differ in length.
        DataError: the arrays are empty.

    >>> (x_train,), (x_val,) = train_val_split(np.arange(10), fraction=0.3)
    >>> len(x_train), len(x_val)
    (7, 3)
    """
    length = _common_length("train_val_split", arrays)
    count = round(length * fraction) if 0 < fraction < 1 else 0
    if not 0 < count < length:
        raise ArgumentError("train_val_split", f"got fraction={fraction} of {length} samples",
                            "expected a share between 0 and 1 that leaves neither part empty",
                            "Change fraction, or give more samples.")
    order = _permutation(length, _checked_seed("train_val_split", seed), 0, _SPLIT)
    train, val = order[count:], order[:count]
    return tuple(_rows(a, train) for a in arrays), tuple(_rows(a, val) for a in arrays)


def _permutation(count: int, seed: int, epoch: int, stream: int) -> np.ndarray:
    # Sorting raw Philox words, rather than Generator.permutation, whose method NumPy may change
    # (NEP 19): a run resumed under another NumPy keeps its order.
    philox = np.random.Philox(key=np.array([seed, epoch], np.uint64),
                              counter=np.array([0, 0, 0, stream], np.uint64))
    return np.argsort(philox.random_raw(count), kind="stable")


def _rows(source: Source, rows: np.ndarray) -> np.ndarray:
    """Return a fresh C-contiguous array of these rows."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return np.array(source[first:last + 1], order="C")
    if isinstance(source, np.ndarray):
        return np.ascontiguousarray(source[rows])
    rising = np.argsort(rows)  # HDF5 reads rising rows only
    return np.ascontiguousarray(np.asarray(source[rows[rising]])[np.argsort(rising)])


def _common_length(where: str, arrays: tuple[Source, ...]) -> int:
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


def _at_least(name: str, value: int, lowest: int) -> int:
    if not isinstance(value, (int, np.integer)) or value < lowest:
        raise ArgumentError("DataLoader", f"got {name}={value!r}",
                            f"expected a whole number of at least {lowest}", f"Change {name}.")
    return int(value)


def _checked_seed(where: str, seed: int) -> int:
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 63:
        raise ArgumentError(where, f"got seed={seed!r}", "expected 0 to 2**63 - 1",
                            "Change the seed.")
    return int(seed)
