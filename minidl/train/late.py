"""Figures that are worked out when they are first read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class LateLogs(Mapping[str, float]):
    """The means of a tracker by name, read from it at the first look.

    With a GPU at work, reading them waits for it; most callbacks look at few batches only.

    >>> from minidl.train.step import Tracker
    >>> logs = LateLogs(Tracker([]))
    >>> list(logs)
    ['loss']
    """

    def __init__(self, tracker: Any) -> None:
        self._tracker, self._values = tracker, dict[str, float]()

    def settle(self) -> dict[str, float]:
        """Return the figures; they stay as they are now."""
        if not self._values:
            self._values = self._tracker.logs()
        return self._values

    def __getitem__(self, name: str) -> float:
        return self.settle()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.settle())

    def __len__(self) -> int:
        return len(self.settle())

    def __repr__(self) -> str:
        return repr(self.settle())
