"""The form that CIFAR-10 and CIFAR-100 share: pickled batches of 32x32 colour images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..classes import Classes, checked_labels, choose
from ..unpickle import load_pickle

Part = tuple[np.ndarray, np.ndarray]
Parts = tuple[Part, Part]

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
"""Where both are published (A. Krizhevsky, 2009)."""

_PIXELS = 3 * 32 * 32


def read_batches(paths: Sequence[Path], key: bytes, names: Sequence[str], classes: Classes = None
                 ) -> Part:
    """Read pickled batches as one array, with the chosen classes only.

    Args:
        paths: of the files, in order.
        key: of the labels, such as b"labels".
        names: of all classes.
        classes: see `minidl.data.classes.choose`.

    Returns:
        images uint8 (N, 32, 32, 3), labels int64 (N,).

    Raises:
        DataError: a file is missing, damaged, of another form, or asks for foreign classes.
        ArgumentError: there is no such class.

    >>> x, y = read_batches([Path("data_batch_1")], b"labels", ["airplane"])  # doctest: +SKIP
    """
    images, labels = zip(*[_read(path, key, names, classes) for path in paths], strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _read(path: Path, key: bytes, names: Sequence[str], classes: Classes) -> Part:
    batch = load_pickle(path)
    rows, labels = _entry(path, batch, b"data"), _entry(path, batch, key)
    whole = isinstance(rows, np.ndarray) and rows.dtype == np.uint8 and rows.ndim == 2
    if not whole or rows.shape[1] != _PIXELS:
        got = f"{rows.shape} of {rows.dtype}" if hasattr(rows, "shape") else type(rows).__name__
        raise DataError(str(path), f"got images as {got}", f"expected (N, {_PIXELS:,}) of uint8",
                        "Fetch the data set again.")
    if not isinstance(labels, (list, np.ndarray)) or len(labels) != len(rows):
        count = f"{len(labels):,}" if hasattr(labels, "__len__") else type(labels).__name__
        raise DataError(str(path), f"got {count} labels for {len(rows):,} images",
                        "expected one for each", "Fetch the data set again.")
    kept, numbers, _ = choose(str(path), checked_labels(str(path), labels, len(names)), names,
                              classes)
    planes = rows.reshape(-1, 3, 32, 32)
    planes = planes if len(kept) == len(planes) else planes[kept]
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), numbers


def _entry(path: Path, batch: Any, key: bytes) -> Any:
    found = batch.get(key, batch.get(key.decode())) if isinstance(batch, dict) else None
    if found is None:
        raise DataError(str(path), f"has no entry {key.decode()!r}",
                        "expected a batch of CIFAR-10 or CIFAR-100", "Give the published files.")
    return found
