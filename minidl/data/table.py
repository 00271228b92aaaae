"""Tables of numbers with a class in each row, as CSV files."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ArgumentError, DataError

LABEL_MODES = ("int", "categorical", "binary")
"""Forms of the labels: class numbers, one-hot rows, 0 or 1 of two classes."""


class Table(NamedTuple):
    """Readings float32 (N, columns), labels (N, ...), names of the classes and of the columns."""

    x: np.ndarray
    y: np.ndarray
    class_names: tuple[str, ...]
    columns: tuple[str, ...]


def read_csv(path: str | os.PathLike[str], label: int | str = -1, label_mode: str = "int", *,
             header: bool = True, delimiter: str = ",") -> Table:
    """Read a table whose columns are numbers, but for one with the class.

    Args:
        path: of a CSV file in UTF-8.
        label: column of the class: its number (-1 is the last one) or its name.
        label_mode: "int" gives int64 (N,), "categorical" float32 (N, classes) with a 1 in the
            column of the class, "binary" float32 (N,) of 0 and 1, for two classes.
        header: the first line holds the names of the columns.
        delimiter: between the cells.

    Returns:
        x float32 (N, columns), y, the class names, and the names of the columns of x. Classes are
        numbered in the order of their names: by value where all are whole numbers.

    Raises:
        DataError: the file is missing, empty or ragged; a cell is no finite number; or there are
            no two classes where "binary" wants them. It names file, line and column.
        ArgumentError: there is no such column or label mode.

    >>> _ = Path("t.csv").write_text("speed,heat,state\\n1,2.5,ok\\n3,4,bad\\n")
    >>> table = read_csv("t.csv", label="state")
    >>> table.x.tolist(), table.y.tolist(), table.class_names
    ([[1.0, 2.5], [3.0, 4.0]], [1, 0], ('bad', 'ok'))
    """
    check_label_mode("read_csv", label_mode)
    where, rows, lines = str(path), *_lines(Path(path), delimiter)
    names = _names(where, rows, header)
    rows, lines = rows[header:], lines[header:]
    if not rows:
        raise DataError(where, "there are no rows in it", "expected rows of numbers and a class",
                        "Check the file, or give header=False.")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise DataError(where, f"line {line} has {len(row)} cells",
                            f"expected {len(names)}, as in the first line",
                            "Check the file and the delimiter.")
    at = _column(where, names, label)
    cells = np.array(rows, dtype=object)  # (N, columns)
    x = _numbers(where, np.delete(cells, at, axis=1), np.delete(names, at), lines)
    classes, y = _classes([cell.strip() for cell in cells[:, at]])
    return Table(x, encode_labels(where, y, classes, label_mode), classes,
                 tuple(map(str, np.delete(names, at))))


def check_label_mode(where: str, label_mode: str) -> None:
    """Raise an ArgumentError unless there is such a label mode.

    >>> check_label_mode("here", "int")
    """
    if label_mode not in LABEL_MODES:
        raise ArgumentError(where, f"got label_mode={label_mode!r}",
                            f"expected one of {', '.join(LABEL_MODES)}", "Change label_mode.")


def encode_labels(where: str, y: np.ndarray, classes: Sequence[str],
                  label_mode: str) -> np.ndarray:
    """Return class numbers int64 (N,) in the form of a label mode.

    >>> encode_labels("here", np.array([0, 1]), ["a", "b"], "categorical").tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if label_mode == "int":
        return y
    if label_mode == "categorical":
        return np.eye(len(classes), dtype=np.float32)[y]
    if len(classes) != 2:
        raise DataError(where, f"got {len(classes)} classes ({', '.join(classes[:9])})",
                        'label_mode="binary" expects two', 'Give label_mode="int".')
    return y.astype(np.float32)


def _lines(path: Path, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Return the cells of all lines that are not empty, and the numbers of the lines."""
    rows, lines = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(reader.line_num)
    except FileNotFoundError:
        raise DataError(str(path), "there is no such file", "expected a CSV file",
                        "Check the path.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), f"the file cannot be read ({error})",
                        "expected a CSV file in UTF-8", "Check the file.") from error
    if not rows:
        raise DataError(str(path), "the file is empty", "expected rows of numbers and a class",
                        "Fetch the file again.")
    return rows, lines


def _names(where: str, rows: list[list[str]], header: bool) -> np.ndarray:
    if not header:
        return np.array([str(i) for i in range(len(rows[0]))], dtype=object)
    if all(_is_number(cell) for cell in rows[0]):
        raise DataError(where, "the first line holds numbers only", "expected names of columns",
                        "If it is a row of the table, give header=False.")
    return np.array([cell.strip() for cell in rows[0]], dtype=object)


def _column(where: str, names: np.ndarray, label: int | str) -> int:
    if isinstance(label, str) and label in names:
        return names.tolist().index(label)
    if isinstance(label, (int, np.integer)) and -len(names) <= label < len(names):
        return int(label) % len(names)
    raise ArgumentError(where, f"got label={label!r}",
                        f"expected a column: {', '.join(names)}, or a number below {len(names)}",
                        "Change label.")


def _numbers(where: str, cells: np.ndarray, names: np.ndarray, lines: list[int]) -> np.ndarray:
    """Return float32 numbers (N, columns), or raise with the place of the first that is none."""
    try:
        x = cells.astype(np.float64).astype(np.float32)
    except (ValueError, RuntimeWarning):
        x = np.full(cells.shape, np.nan, np.float32)
    if not np.isfinite(x).all():
        row, column = next((i, j) for i, j in np.ndindex(*cells.shape)
                           if not _is_number(str(cells[i, j])))
        raise DataError(where, f'line {lines[row]}, column "{names[column]}" holds '
                        f"{cells[row, column]!r}", "expected a finite number",
                        "Correct or leave out that row; if this is the class, name its column: "
                        "label=NAME")
    return x


def _is_number(cell: str) -> bool:
    """Say whether a cell is a number that float32 can hold."""
    try:
        return abs(float(cell)) <= float(np.finfo(np.float32).max)
    except ValueError:
        return False


def _classes(cells: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    names = sorted(set(cells))
    if all(name.removeprefix("-").isdecimal() for name in names):
        names = sorted(names, key=int)
    number = {name: i for i, name in enumerate(names)}
    return tuple(names), np.array([number[cell] for cell in cells], np.int64)
