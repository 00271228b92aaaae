"""Time on a GPU: events in the order of its stream, around blocks of many steps.

A block lasts long enough that neither the events nor one slow step count. As the stream never waits
between the steps of a block, its time is the GPU's or, where that waits for Python, Python's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Protocol

from measure import Timing

BLOCK = 40.0  # milliseconds that a block lasts about
LEAST_BLOCKS, MOST_STEPS = 3, 500


class Clock(Protocol):
    """minidl's devices are clocks, and so are those below."""

    def event(self) -> Any:
        """Return a mark behind what was launched so far."""

    def elapsed(self, first: Any, last: Any) -> float:
        """Return the milliseconds between two marks, when the last one is reached."""


class WallClock:
    """The clock of a device that has done everything when it returns."""

    def event(self) -> float:
        """Return the time."""
        return time.perf_counter()

    def elapsed(self, first: float, last: float) -> float:
        """Return the milliseconds between two times."""
        return (last - first) * 1e3


class TorchClock:
    """PyTorch's events on its current stream."""

    def event(self) -> Any:
        """Return a mark behind what was launched so far."""
        import torch
        mark = torch.cuda.Event(enable_timing=True)
        mark.record()
        return mark

    def elapsed(self, first: Any, last: Any) -> float:
        """Return the milliseconds between two marks, when the last one is reached."""
        last.synchronize()
        return float(first.elapsed_time(last))


def span(step: Callable[[], object], clock: Clock, count: int) -> float:
    """Return the milliseconds that so many steps take."""
    first = clock.event()
    for _ in range(count):
        step()
    return clock.elapsed(first, clock.event())


def per_step(step: Callable[[], object], clock: Clock, seconds: float, warm: int = 3) -> Timing:
    """Time steps for about so many seconds.

    Args:
        warm: steps before that.
    """
    for _ in range(warm):
        step()
    once = max(span(step, clock, 1), 1e-3)
    count = max(1, min(MOST_STEPS, round(BLOCK / once)))
    least = LEAST_BLOCKS if seconds > 0 else 1
    spans: list[float] = []
    end = time.perf_counter() + seconds
    while len(spans) < least or time.perf_counter() < end:
        spans.append(span(step, clock, count) / count)
    return Timing(statistics.median(spans), min(spans), max(spans), count * len(spans))
