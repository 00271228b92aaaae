"""HDF5 files of samples: data sets `images` or `features`, `labels` and `label_names`.

The layout is that of A. Rosebrock, "Deep Learning for Computer Vision with Python", Practitioner
Bundle, chapter 3, with images kept as uint8 and features as float32 instead of float64.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError, DTypeError, ShapeError
from ..files import REMEDIES, publish
from .order import at_least

LABELS, LABEL_NAMES = "labels", "label_names"
"""Names of the data sets beside the samples."""

VERSION = ("v110", "v110")
"""Of the file format: its checksums show damage in the file's structure; HDF5 1.10 reads it."""


class HDF5Writer:
    """Writes samples and labels into an HDF5 file, in pieces of `buffer` rows.

    The rows go into a file beside `path`, which takes that name in `close()`, once it is whole
    and on the disk. A build that fails or is killed leaves nothing at `path`.

    Args:
        path: of the file; folders are made.
        shape: of all samples: images (N, H, W, C), features (N, F), or other rows (N, ...).
        dtype: None takes uint8 for four axes, else float32.
        key: name of the data set; None takes "images" for four axes, else "features".
        buffer: rows that are collected in memory.
        label_names: names of the classes, by label.
        overwrite: replace a file that is there.

    Raises:
        ArgumentError: the file is there already.
        ShapeError: `shape` has no sample axis or an empty one.
        DataError: the file cannot be written.

    >>> with HDF5Writer("digits.hdf5", (100, 28, 28, 1)) as writer:
    ...     for label in range(100):
    ...         writer.add(np.zeros((1, 28, 28, 1), np.uint8), [label % 10])
    >>> from minidl.data import HDF5Source
    >>> HDF5Source("digits.hdf5").shape
    (100, 28, 28, 1)
    """

    def __init__(self, path: str | os.PathLike[str], shape: Sequence[int], *, dtype: Any = None,
                 key: str | None = None, buffer: int = 1000,
                 label_names: Sequence[str] | None = None, overwrite: bool = False) -> None:
        self.path, self.shape = Path(path), tuple(map(int, shape))
        if len(self.shape) < 2 or min(self.shape) < 1:
            raise ShapeError("HDF5Writer", f"got shape={self.shape}",
                             "expected (N, H, W, C) or (N, F), all at least 1",
                             "Give the shape of all samples together.")
        if self.path.exists() and not overwrite:
            raise ArgumentError(str(self.path), "the file is there already", "expected a new name",
                                "Delete it, choose another path, or give overwrite=True.")
        images = len(self.shape) == 4
        self.key = key or ("images" if images else "features")
        self.dtype = np.dtype(dtype or (np.uint8 if images else np.float32))
        self.label_names = None if label_names is None else [str(name) for name in label_names]
        self.rows = 0  # added so far
        size = min(at_least("HDF5Writer", "buffer", buffer, 1), self.shape[0])
        self._buffer = np.empty((size, *self.shape[1:]), self.dtype)
        self._labels = np.empty(size, np.int64)
        self._waiting = 0
        self._aside = self.path.with_name(f".{self.path.name}.tmp")
        self._file: Any = None
        self._open()

    def add(self, rows: Any, labels: Any) -> None:
        """Append rows (n, ...) and their labels (n,).

        Raises:
            ShapeError: the rows are of another shape, or there is not one label for each.
            DTypeError: the rows do not fit the data set's type, such as floats into uint8.
            DataError: there are more rows than the shape says, or a label has no name.
        """
        rows, labels = np.asarray(rows), np.asarray(labels)
        self._check(rows, labels)
        while len(rows):
            room = slice(self._waiting, self._waiting + min(len(rows),
                                                            len(self._buffer) - self._waiting))
            count = room.stop - room.start
            self._buffer[room], self._labels[room] = rows[:count], labels[:count]
            self._waiting, self.rows = room.stop, self.rows + count
            rows, labels = rows[count:], labels[count:]
            if self._waiting == len(self._buffer):
                self._flush()

    def close(self) -> None:
        """Write what waits and give the file its name; a second call does nothing.

        Raises:
            DataError: fewer rows came than the shape says, or the file cannot be written.
        """
        if self._file is None:
            return
        if self.rows != self.shape[0]:
            self.discard()
            raise DataError(str(self.path), f"got {self.rows:,} rows",
                            f"its shape {self.shape} expects {self.shape[0]:,}",
                            "Nothing was written; add all rows, or give the right shape.")
        self._flush()
        try:
            self._file.close()
            publish(self._aside, self.path)
        except OSError as error:
            raise self._failed(error) from error
        self._file = None

    def discard(self) -> None:
        """Give the file up: nothing is left of what was written."""
        with suppress(OSError):  # such as a full disk, which closing meets again
            if self._file is not None:
                self._file.close()
        self._file = None
        with suppress(OSError):  # where the folder itself is missing, nothing was written
            self._aside.unlink(missing_ok=True)

    def __enter__(self) -> HDF5Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _open(self) -> None:
        """Lay the file out, and open it for the rows, which go to their places in it.

        A library that meets a full disk in the middle of a data set cannot close the file any
        more; a plain file can.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._places = self._lay_out()
            self._file = self._aside.open("rb+", buffering=0)
        except (OSError, RuntimeError) as error:
            raise self._failed(error) from error

    def _lay_out(self) -> tuple[int, int]:
        """Write all but the rows; return where in the file samples and labels begin, in bytes."""
        import h5py

        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        with h5py.File(self._aside, "w", libver=VERSION) as file:
            if self.label_names is not None:
                names = [name.encode() for name in self.label_names]
                # of one length: damage in the heap of strings of any length hangs the library
                kind = h5py.string_dtype(length=max(map(len, names), default=1) or 1)
                file.create_dataset(LABEL_NAMES, data=np.array(names, kind), dtype=kind)
            sets = (file.create_dataset(self.key, self.shape, self.dtype, dcpl=early),
                    file.create_dataset(LABELS, self.shape[:1], np.int64, dcpl=early))
            samples, labels = (int(data.id.get_offset()) for data in sets)
        return samples, labels

    def _flush(self) -> None:
        first = self.rows - self._waiting
        for place, rows in zip(self._places, (self._buffer, self._labels), strict=True):
            try:
                self._file.seek(place + first * rows[0].nbytes)
                _write(self._file, rows[:self._waiting])
            except OSError as error:
                raise self._failed(error) from error
        self._waiting = 0

    def _failed(self, error: Exception) -> DataError:
        self.discard()
        number = getattr(error, "errno", None) or 0
        return DataError(str(self.path), f"cannot be written: {error}", "",
                         REMEDIES.get(number, "Nothing was left there; a file that was there "
                                              "before is unchanged."))

    def _check(self, rows: np.ndarray, labels: np.ndarray) -> None:
        where = str(self.path)
        if self._file is None:
            raise ArgumentError(where, "got rows after the file was closed", "",
                                "Make a new writer.")
        if rows.shape[1:] != self.shape[1:] or labels.shape != rows.shape[:1]:
            raise ShapeError(where, f"got rows {rows.shape} and labels {labels.shape}",
                             f"expected (n, {', '.join(map(str, self.shape[1:]))}) and (n,)",
                             "Give the rows of a batch together, and a label for each.")
        if self.rows + len(rows) > self.shape[0]:
            raise DataError(where, f"got {self.rows + len(rows):,} rows",
                            f"its shape {self.shape} expects {self.shape[0]:,}",
                            "Give the number of all samples in shape.")
        if len(rows):
            self._check_values(where, rows, labels)

    def _check_values(self, where: str, rows: np.ndarray, labels: np.ndarray) -> None:
        if not _fits(rows, self.dtype):
            raise DTypeError(where, f"got rows of {rows.dtype} from {rows.min()} to {rows.max()}",
                             f"they do not fit into {self.dtype}",
                             "Keep images as they are read, 0 to 255, or give another dtype.")
        check_labels(where, labels, self.label_names)


def _write(file: Any, rows: np.ndarray) -> None:
    """Write all bytes; an unbuffered file may take a part of them at a time."""
    left = rows.data.cast("B") if len(rows) else memoryview(b"")
    while left:
        left = left[file.write(left):]


def check_labels(where: str, labels: np.ndarray, names: Sequence[str] | None) -> None:
    """Raise where labels are not those of classes.

    Raises:
        DataError: they are not whole numbers from 0 on, or one has no name.

    >>> check_labels("train.hdf5", np.array([0, 1, 1]), ["cat", "dog"])
    """
    whole = np.issubdtype(labels.dtype, np.integer)
    low, high = (int(labels.min()), int(labels.max())) if labels.size and whole else (0, 0)
    if not whole or low < 0 or (names is not None and high >= len(names)):
        limit = "" if names is None else f" to {len(names) - 1}, as there are {len(names)} names"
        got = f"labels from {low} to {high}" if whole else f"labels of {labels.dtype}"
        raise DataError(where, f"got {got}", f"expected whole numbers from 0{limit}",
                        "Number the classes from 0, and give a name for each.")


def _fits(rows: np.ndarray, dtype: np.dtype) -> bool:
    """Say whether values can be kept: integers in range, or floats as floats."""
    if np.issubdtype(dtype, np.floating):
        return bool(np.issubdtype(rows.dtype, np.number)) and not np.iscomplexobj(rows)
    if not (np.issubdtype(dtype, np.integer) and np.issubdtype(rows.dtype, np.integer)):
        return rows.dtype == dtype
    limits = np.iinfo(dtype)
    return bool(np.can_cast(rows.dtype, dtype)
                or (rows.min() >= limits.min and rows.max() <= limits.max))
