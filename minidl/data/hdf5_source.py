"""Reads samples out of HDF5 files, from any thread or process."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, ShapeError
from .hdf5 import LABEL_NAMES, LABELS, check_labels
from .sources import runs

KEYS = ("images", "features")
"""Data sets that samples are looked for in, in turn."""

_AGAIN = "Build or fetch the file again."


class HDF5Source:
    """A data set of an HDF5 file, read when rows are asked for; a source of `DataLoader`.

    Threads may read at the same time. It can be sent to other processes, and it outlives a fork:
    every process opens the file for itself.

    Args:
        path: of the file.
        key: the data set with the samples; None takes `images` or `features`.
        shape: expected shape of a sample, such as (256, 256, 3); None takes what is there.

    Attributes:
        shape: of all samples (N, ...).
        dtype: of the samples.
        labels: int64 (N,), in memory; None where the file has none.
        label_names: names of the classes, by label; None where the file has none.

    Raises:
        DataError: the file is missing, damaged or cut short, it lacks the data set, or labels do
            not belong to the samples.
        ShapeError: samples are of another shape than `shape`.

    >>> source = HDF5Source("train.hdf5", shape=(256, 256, 3))  # doctest: +SKIP
    >>> loader = DataLoader(source, source.labels, shuffle="blocks")  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str], key: str | None = None,
                 shape: tuple[int, ...] | None = None) -> None:
        self.path = Path(path).absolute()  # a process that is sent this may be elsewhere
        self._where = str(path)
        self._lock = threading.Lock()
        self._file, self._pid = self._open(), os.getpid()
        try:
            self._read_contents(key, shape)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        """Return samples as a fresh array: one, a slice, or an array of row numbers (K,).

        Row numbers may be in any order; neighbours that rise by one are read in one piece.

        Raises:
            DataError: the file is damaged or gone.
            IndexError: there is no such row.
        """
        if isinstance(rows, (int, np.integer)):
            return self[np.array([rows])][0]
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = _checked(np.asarray(rows), len(self))
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        if len(rows):
            self.read_into(rows, out)
        return out

    def read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Read samples into the first rows of an array, a run of neighbours in one piece.

        Raises:
            DataError: the file is damaged or gone.
        """
        try:
            data = self._samples()
            for at, run in runs(rows):
                data.read_direct(out, np.s_[run], np.s_[at:at + run.stop - run.start])
        except (OSError, RuntimeError, KeyError, TypeError) as error:
            raise DataError(self._where, f"rows of {self.key} cannot be read ({error})",
                            "expected a whole HDF5 file", _AGAIN) from error

    def close(self) -> None:
        """Close the file; it is opened again if rows are asked for."""
        with self._lock:
            if self._file is not None and self._pid == os.getpid():
                self._file.close()
            self._file = None

    def __enter__(self) -> HDF5Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what does not go to another process."""
        return {**self.__dict__, "_lock": None, "_file": None, "_pid": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        return f"HDF5Source({self._where!r}, {self.key!r}): {self.shape} of {self.dtype}"

    def _samples(self) -> Any:
        """Return the data set of a file that this process has opened, as handles survive no fork.

        Threads share it: the HDF5 library lets one read at a time.
        """
        with self._lock:
            if self._file is None or self._pid != os.getpid():
                self._file, self._pid = self._open(), os.getpid()
            file = self._file
        data = file.get(self.key)
        if data is None or data.shape != self.shape or data.dtype != self.dtype:
            raise DataError(self._where, "the file is not the one that was opened before",
                            f"expected {self.key} of shape {self.shape} and {self.dtype}",
                            "Open it anew.")
        return data

    def _open(self) -> Any:
        import h5py

        if not self.path.is_file():
            raise DataError(self._where, "there is no such file", "expected an HDF5 file",
                            "Check the path, or build it with build_hdf5.")
        try:
            return h5py.File(self.path, "r")
        except (OSError, RuntimeError) as error:
            raise DataError(self._where, f"the file cannot be read ({error})",
                            "expected a whole HDF5 file", _AGAIN) from error

    def _read_contents(self, key: str | None, shape: tuple[int, ...] | None) -> None:
        try:
            self.key, data = _samples_of(self._where, self._file, key)
            self.shape, self.dtype = tuple(data.shape), data.dtype
            self.label_names = _names(self._file)
            self.labels = _labels(self._where, self._file, self.key, len(self), self.label_names)
        except (OSError, RuntimeError, KeyError) as error:
            raise DataError(self._where, f"its contents cannot be read ({error})",
                            "expected a whole HDF5 file", _AGAIN) from error
        if shape is not None and self.shape[1:] != tuple(shape):
            raise ShapeError(self._where, f"{self.key} holds samples of shape {self.shape[1:]}",
                             f"expected {tuple(shape)}", "Build the file with that shape, or "
                             "resize the samples when they are loaded.")


def _samples_of(where: str, file: Any, key: str | None) -> tuple[str, Any]:
    import h5py

    wanted = KEYS if key is None else (key,)
    found = next((name for name in wanted if isinstance(file.get(name), h5py.Dataset)), None)
    if found is None:
        raise DataError(where, f"it holds {', '.join(sorted(file)) or 'nothing'}",
                        f"expected a data set {' or '.join(wanted)}",
                        'Name the data set with the samples: key="NAME".')
    data = file[found]
    if not data.shape or not data.shape[0] or data.dtype.kind not in "biuf":
        raise DataError(where, f"{found} is of shape {data.shape} and {data.dtype}",
                        "expected numbers with the samples along the first axis",
                        "Give a file that HDF5Writer wrote, or another key.")
    return found, data


def _labels(where: str, file: Any, key: str, count: int,
            names: list[str] | None) -> np.ndarray | None:
    if LABELS not in file or key == LABELS:
        return None
    labels = np.asarray(file[LABELS][()])
    if labels.shape != (count,):
        raise DataError(where, f"got labels of shape {labels.shape}",
                        f"{key} holds {count:,} samples, so ({count},) was expected", _AGAIN)
    check_labels(where, labels, names)
    return labels.astype(np.int64)


def _names(file: Any) -> list[str] | None:
    if LABEL_NAMES not in file:
        return None
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
            for name in file[LABEL_NAMES][()]]


def _checked(rows: np.ndarray, count: int) -> np.ndarray:
    if rows.ndim != 1 or (rows.size and not np.issubdtype(rows.dtype, np.integer)):
        raise IndexError(f"got rows of shape {rows.shape} and {rows.dtype}; "
                         "expected a slice or row numbers (K,)")
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        raise IndexError(f"got rows from {rows.min()} to {rows.max()}; there are {count}")
    return rows.astype(np.int64)
