"""Callbacks that write the figures of every epoch into a file, and how figures are printed."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .callback import Callback, Logs


def text_of(logs: Mapping[str, float]) -> str:
    """Return figures for reading.

    >>> text_of({"loss": 0.12345, "accuracy": 0.5, "learning_rate": 1e-05})
    'loss 0.1235  accuracy 0.5000  learning_rate 1e-05'
    """
    return "  ".join(f"{name} {number(value)}" for name, value in logs.items())


def number(value: float) -> str:
    """Return four decimals, or four digits where these would say little."""
    plain = value == 0 or 1e-2 <= abs(value) < 1e5 or not math.isfinite(value)
    return f"{value:.4f}" if plain else f"{value:.4g}"


class _FileLog(Callback):
    """Appends a piece of text per epoch; a resumed run cuts off what came after its checkpoint.

    Args:
        path: the file; what it held before is replaced.
        append: keep it, and write after it.
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path, self.append = Path(path), append
        self._file: BinaryIO | None = None
        self._end: int | None = None  # bytes of the file that belong to this run's past

    def on_train_begin(self) -> None:
        """Begin anew, unless told to append."""
        self._end = self.path.stat().st_size if self.append and self.path.exists() else 0

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the figures, and make sure that they are in the file."""
        file = self._opened()
        file.write(self.encode(epoch, logs, first=file.tell() == 0).encode())
        file.flush()
        self._end = file.tell()

    def encode(self, epoch: int, logs: Logs, first: bool) -> str:
        """Return what is written for an epoch."""
        raise NotImplementedError

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("r+b" if self.path.exists() else "w+b")
            size = self._file.seek(0, os.SEEK_END)
            self._file.truncate(min(size, self._end or 0))
            self._file.seek(0, os.SEEK_END)
        return self._file

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def state_dict(self) -> dict[str, Any]:
        """Return how long the file is."""
        return {"end": self._end}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind what the file held at the checkpoint."""
        self._end = int(state["end"])


class CSVLogger(_FileLog):
    """Writes a table with a row per epoch: epoch (from 0) and its figures.

    Args:
        path: the file; what it held before is replaced.
        append: keep it, and write after it.
    """

    def encode(self, epoch: int, logs: Logs, first: bool) -> str:
        """Return a row, under the heads of the columns where it is the first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([["epoch", *logs]] if first else [])
        writer.writerow([epoch, *(repr(v) for v in logs.values())])
        return text.getvalue()


class JSONLogger(_FileLog):
    """Writes a line of JSON per epoch: epoch (from 0) and its figures; null for not-a-number.

    Args:
        path: the file; what it held before is replaced.
        append: keep it, and write after it.
    """

    def encode(self, epoch: int, logs: Logs, first: bool) -> str:
        """Return a line."""
        finite = {name: value if math.isfinite(value) else None for name, value in logs.items()}
        return json.dumps({"epoch": epoch, **finite}) + "\n"
