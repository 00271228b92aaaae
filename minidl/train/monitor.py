"""A figure and a file of numbers that follow a training, also across restarts."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import viz
from ..errors import DataError
from ..files import replacing
from ..spec import tuple_of
from .callback import Callback, Logs

Row = dict[str, float | None]  # the figures of an epoch; None where there is none


class TrainingMonitor(Callback):
    """Draws losses and metrics of all epochs after each of them, and writes them as JSON.

    Both files are replaced whole. A run that goes on keeps the epochs before the one it starts
    at, and lets go of those after it: from its checkpoint if it is resumed, else from the JSON.

    Args:
        figure_path: PNG, SVG or PDF to draw, None for none.
        json_path: file of lists by name: "epoch" (from 0), "loss", "val_accuracy" and so on.
        start_at: epochs done before, where the run is begun with weights that were loaded. Runs
            that go on by `resume` or `initial_epoch` know it themselves.
        title: of the figure.
        interval: seconds from one drawing to the next; the last epoch is always drawn.

    Raises:
        CheckpointError: a file cannot be written; an older one is unharmed.
        DataError: the JSON to go on with is damaged.

    >>> callbacks = [TrainingMonitor("runs/first/curves.png", "runs/first/figures.json")]
    """

    def __init__(self, figure_path: str | os.PathLike[str] | None,
                 json_path: str | os.PathLike[str] | None = None, start_at: int = 0,
                 title: str = "", interval: float = 0.0) -> None:
        self.figure_path = None if figure_path is None else Path(figure_path)
        self.json_path = None if json_path is None else Path(json_path)
        self.start_at, = tuple_of("TrainingMonitor", "start_at", start_at, 1, lowest=0)
        self.title, self.interval = title, interval
        self._before = 0
        self.on_train_begin()

    def on_train_begin(self) -> None:
        """Start anew."""
        self._rows: list[Row] | None = None
        self._drawn, self._waiting = time.monotonic(), False

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write, and draw where that is due."""
        if self._rows is None:
            self._before = self._before or max(self.start_at - epoch, 0)
            self._rows = self._earlier(self.run.history.epoch[0] + self._before)
        self._rows.append({"epoch": epoch + self._before, **logs})
        table = self.table()
        if self.json_path is not None:
            write_table(self.json_path, table)
        self._waiting = True
        if time.monotonic() - self._drawn >= self.interval:
            self._draw(table)

    def on_train_end(self) -> None:
        """Draw what has not been drawn."""
        if self._waiting:
            self._draw(self.table())

    def table(self) -> dict[str, list[Any]]:
        """Return lists by name over all epochs; None where an epoch lacks a figure."""
        rows = self._rows or []
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}

    def _draw(self, table: Mapping[str, Sequence[Any]]) -> None:
        self._drawn, self._waiting = time.monotonic(), False
        if self.figure_path is not None:
            drawn = {name: [math.nan if v is None else v for v in values]
                     for name, values in table.items()}
            viz.save(viz.training_curves(drawn, self.title), self.figure_path)

    def _earlier(self, first: int) -> list[Row]:
        """Return what the JSON holds before the history's first epoch, and the history so far."""
        history, rows = self.run.history, []
        if first and self.json_path is not None and self.json_path.exists():
            rows = [row for row in read_table(self.json_path) if (row["epoch"] or 0) < first]
        for i, epoch in enumerate(history.epoch[:-1]):
            figures = {name: values[i] for name, values in history.history.items()
                       if i < len(values)}
            rows.append({"epoch": epoch + self._before, **figures})
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs done before the run began, where there are any."""
        return {"before": self._before} if self._before else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._before = int(state["before"])


def write_table(path: Path, table: Mapping[str, Sequence[Any]]) -> None:
    """Write lists by name as JSON, not-a-number as null.

    Raises:
        CheckpointError: it cannot be written; a file of this name is unharmed.
    """
    finite = {name: [v if v is None or math.isfinite(v) else None for v in values]
              for name, values in table.items()}
    with replacing(path) as aside:
        aside.write_text(json.dumps(finite, indent=1) + "\n", "utf-8")


def read_table(path: Path) -> list[Row]:
    """Return the rows of a file that `write_table` wrote.

    Raises:
        DataError: the file is damaged, or of another kind.
    """
    try:
        table = {name: list(values) for name, values in json.loads(path.read_text("utf-8")).items()}
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        return sorted(rows, key=lambda row: int(row["epoch"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(str(path), f"is damaged ({error!r})",
                        "expected the lists that TrainingMonitor wrote, of equal lengths",
                        "Move it away, or name another file.") from error
