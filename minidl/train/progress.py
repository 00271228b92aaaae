"""The progress of training: a live bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from ..errors import ArgumentError
from .callback import Callback, Logs
from .logs import text_of

REFRESH = 0.1  # seconds between two drawings of the bar


class ProgressBar(Callback):
    """Shows epoch, time per step, images a second, loss and metrics, and the time left.

    Args:
        live: draw a bar that moves; None for where standard output is a terminal.
    """

    def __init__(self, live: bool | None = None) -> None:
        self.live = sys.stdout.isatty() if live is None else live
        self._bar: Any = None
        self._task: Any = None
        self._drawn = 0.0

    def on_train_begin(self) -> None:
        """Open the bar."""
        if self.live:
            self._bar = _bar()
            self._bar.start()

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Move the bar, at most ten times a second."""
        now = time.perf_counter()
        if self._bar is None or (now - self._drawn < REFRESH and step + 1 < self.run.steps):
            return
        if self._task is None:
            self._task = self._bar.add_task("", total=self.run.steps, figures="")
        self._drawn = now
        head = f"{self._epoch(self.run.epoch)}  {step + 1}/{self.run.steps}"
        self._bar.update(self._task, completed=step + 1, description=head, figures="  ".join(
            [left(self.run, step + 1), text_of(logs), speed(self.run)]))
        self._bar.refresh()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Leave a line for the epoch."""
        line = f"{self._epoch(epoch)}  {self.run.done} steps  {speed(self.run)}  {text_of(logs)}"
        if self._bar is None:
            print(line, flush=True)
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self.run.epochs}"

    def close(self) -> None:
        """Give the screen back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column
    head = Column(no_wrap=True, min_width=20)
    figures = Column(no_wrap=True, overflow="ellipsis")  # the end is cut where the screen is narrow
    return Progress(TextColumn("{task.description}", table_column=head),
                    BarColumn(bar_width=12, table_column=Column(min_width=12)),
                    TextColumn("{task.fields[figures]}", table_column=figures),
                    console=Console(),  # rich's own remembers an earlier terminal
                    auto_refresh=False, transient=True)


def speed(run: Any) -> str:
    """Return time per step and samples a second of the epoch in progress, or just done."""
    seconds = max(run.seconds, 1e-9)
    return (f"{duration(seconds / max(run.done, 1))}/step  "
            f"{run.samples / seconds:,.0f} {run.unit}/s")


def left(run: Any, done: int) -> str:
    """Return the time until the end of the run, if all goes on as fast as this epoch."""
    steps = run.steps * (run.epochs - run.epoch) - done
    return f"ETA {clock(run.seconds / max(run.done, 1) * steps)}"


def duration(seconds: float) -> str:
    """Return a short time with its unit.

    >>> duration(0.00312), duration(1.5)
    ('3.12 ms', '1.5 s')
    """
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    >>> clock(65), clock(3723)
    ('1:05', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress(verbose: Any) -> list[Callback]:
    """Return the callbacks that `verbose` asks for: "auto", 0 silent, 1 a bar, 2 lines."""
    if verbose not in ("auto", 0, 1, 2):
        raise ArgumentError("fit", f"got verbose={verbose!r}", 'expected "auto", 0, 1 or 2',
                            "0 is silent, 1 a bar on a terminal, 2 a line per epoch.")
    if verbose == 0:
        return []
    return [ProgressBar(live=False if verbose == 2 else None)]


def summary_line(name: str, steps: int, seconds: float, logs: Logs) -> str:
    """Return the line that `evaluate` and `predict` print."""
    return f"{name}  {steps} steps  {duration(seconds / max(steps, 1))}/step  {text_of(logs)}"
