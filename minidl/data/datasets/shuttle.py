"""Statlog Shuttle: 58,000 rows of 9 readings of a spacecraft and its state (UCI, CC BY 4.0)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..split import stratified_split
from ..table import check_label_mode, encode_labels, read_csv

Part = tuple[np.ndarray, np.ndarray]

CLASS_NAMES = ("normal", "abnormal")
"""Names of the classes with `label_mode="binary"`."""

STATES = ("Rad Flow", "Fpv Close", "Fpv Open", "High", "Bypass", "Bpv Close", "Bpv Open")
"""Names of all states, by label; the first is the normal one."""

READINGS = 9
"""Columns beside the state."""


def load_data(data: str | os.PathLike[str] | None = None, label_mode: str = "binary",
              parts: Sequence[float] = (0.25,), seed: int = 0, scale: bool = True
              ) -> tuple[Part, ...]:
    """Return the rows as short sequences for `Conv1D`, shuffled and divided.

    Every part has the seven states in proportion. Readings are standardised, (x - mean) / std by
    column, with mean and standard deviation of the training part alone.

    Args:
        data: `shuttle.csv`, or a folder with it: a header, nine readings, the state 0 to 6.
        label_mode: "binary" gives 0 (normal) or 1 (any other state) as float32 (N,); "int" the
            state as int64 (N,); "categorical" one-hot float32 (N, 7).
        parts: number (an int) or share (a float) of rows of each part but the first. One gives
            training and test rows; (0.16, 0.2) gives training, validation and test rows.
        seed: which rows are drawn.
        scale: standardise.

    Returns:
        (x_train, y_train), (x_test, y_test) ...; x is float32 (N, 9, 1).

    Raises:
        DataError: the file is missing or is another table. There is no archive to download it
            from in this form.
        ArgumentError: there is no such label mode, or the parts are too large.

    >>> (x_train, y_train), (x_test, y_test) = load_data("DIR")  # doctest: +SKIP
    """
    check_label_mode("shuttle", label_mode)
    path = _file(data)
    table = read_csv(path)
    numbers = tuple(map(str, range(len(STATES))))
    if table.x.shape[1] != READINGS or table.class_names != numbers:
        raise DataError(str(path), f"got {table.x.shape[1]} readings and the states "
                        f"{', '.join(table.class_names[:9])}",
                        "expected 9 and the states 0 to 6", "Give the table of this data set.")
    rows = stratified_split(table.y, *parts, seed=seed)
    x = _standardised(table.x, rows[0]) if scale else table.x
    y = np.minimum(table.y, 1) if label_mode == "binary" else table.y
    y = encode_labels(str(path), y, CLASS_NAMES if label_mode == "binary" else STATES, label_mode)
    return tuple((x[part][..., None], y[part]) for part in rows)


def _file(data: str | os.PathLike[str] | None) -> Path:
    places = [] if data is None else [Path(data), Path(data) / "shuttle.csv",
                                      Path(data) / "shuttle" / "shuttle.csv"]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise DataError("shuttle", f"got data={None if data is None else str(data)!r}",
                        "expected shuttle.csv or a folder with it",
                        "Fetch Statlog (Shuttle) from the UCI repository, write it as CSV with "
                        'a header and states from 0, and name it: load_data("DIR"), --data DIR.')
    return found


def _standardised(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Scale columns by the rows of the training part; a constant column becomes 0."""
    mean = x[train].mean(axis=0, dtype=np.float64)
    std = x[train].std(axis=0, dtype=np.float64)
    return ((x - mean) / np.where(std > 0, std, 1)).astype(np.float32)
