"""Learning rates by epoch, as recipes give them: functions (epoch, epochs) -> rate.

They stretch over a run of any length, so that a shorter one goes through all of them.
"""

from __future__ import annotations

from collections.abc import Callable

Schedule = Callable[[int, int], float]


def linear(rate: float) -> Schedule:
    """Return a rate that falls evenly to 0, which comes after the last epoch.

    >>> [round(linear(0.1)(epoch, 4), 3) for epoch in range(4)]
    [0.1, 0.075, 0.05, 0.025]
    """
    return lambda epoch, epochs: rate * (1 - epoch / epochs)


def scaled(schedule: Schedule, highest: float) -> Schedule:
    """Return a schedule of the same course whose highest rate is another one.

    >>> [round(scaled(linear(0.1), 0.4)(epoch, 4), 3) for epoch in range(4)]
    [0.4, 0.3, 0.2, 0.1]
    """
    def rate(epoch: int, epochs: int) -> float:
        top = max(schedule(at, epochs) for at in range(epochs))
        return schedule(epoch, epochs) * highest / top

    return rate


def stages(*parts: tuple[int, float]) -> Schedule:
    """Return a rate that falls in steps: pairs (number of epochs, rate), one after the other.

    In a run of another length every stage has the same share of it.

    >>> by_hand = stages((50, 1e-1), (25, 1e-2), (10, 1e-3))
    >>> [by_hand(epoch, 85) for epoch in (0, 49, 50, 74, 75)]
    [0.1, 0.1, 0.01, 0.01, 0.001]
    >>> [by_hand(epoch, 10) for epoch in (0, 5, 6, 8, 9)]
    [0.1, 0.1, 0.01, 0.01, 0.001]
    """
    total = sum(length for length, _ in parts)

    def rate(epoch: int, epochs: int) -> float:
        ended = 0
        for length, value in parts:
            ended += length
            if epoch < round(ended * epochs / total):
                return value
        return parts[-1][1]

    return rate
