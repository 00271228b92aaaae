"""The range test of learning rates: which are too small to learn, which too large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import random, viz
from ..errors import ArgumentError
from ..spec import tuple_of
from ..watch import mode
from .feed import Batch, Feed, feed
from .step import Compiled, Tracker, build, train_step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEMORY = 0.9  # share of the past in the smoothed loss
FEWEST = 10  # steps from which a slope can be told


@dataclass(frozen=True)
class RateSearch:
    """What `find_learning_rate` found.

    Attributes:
        rates: learning rate of each step done.
        raw: loss of each step's batch, before the step.
        losses: the same, smoothed.
        suggestion: the rate at which the smoothed loss falls fastest.
        diverged: whether the loss ran away, so that higher rates were not tried.
    """

    rates: list[float]
    raw: list[float]
    losses: list[float]
    suggestion: float
    diverged: bool

    def figure(self, title: str = "") -> Figure:
        """Draw the losses against the rates, with the suggestion."""
        return viz.learning_rates(self.rates, self.losses, self.suggestion, raw=self.raw,
                                  title=title)

    def __repr__(self) -> str:
        end = "where the loss ran away" if self.diverged else "the highest tried"
        return (f"RateSearch(suggestion {self.suggestion:.2g}; {len(self.rates)} steps from "
                f"{self.rates[0]:.2g} to {self.rates[-1]:.2g}, {end})")


def find_learning_rate(model: Any, x: Any, y: Any = None, lowest: float = 1e-7,
                       highest: float = 1.0, steps: int = 100, batch_size: int = 32,
                       diverged: float = 4.0, seed: int = 0) -> RateSearch:
    """Train some steps with a rising learning rate, and say at which the loss falls fastest.

    The rate of step t is lowest (highest / lowest)^(t / (steps - 1)). Losses are smoothed by an
    exponential moving average with bias correction. Afterwards model, optimizer and random
    numbers are as they were.

    Args:
        x: array (N, ...), a list of arrays, or a `DataLoader`; it is gone through again where
            steps need more.
        y: labels, unless x is a loader.
        lowest: rate of the first step.
        highest: rate of the last step.
        steps: number of steps, at least 10.
        batch_size: samples in a batch; a loader has its own.
        diverged: stop where the smoothed loss is so many times the lowest, or not finite.
        seed: of the order of samples.

    Raises:
        ArgumentError: the range is empty, the model is not compiled, or the loss is not finite
            before anything could be learned.

    Source: Smith, "Cyclical learning rates for training neural networks", 2017.

    >>> found = find_learning_rate(model, x, y)  # doctest: +SKIP
    >>> model.optimizer.learning_rate = found.suggestion  # doctest: +SKIP
    """
    steps, = tuple_of("find_learning_rate", "steps", steps, 1, lowest=FEWEST)
    if not 0 < lowest < highest < math.inf:
        raise ArgumentError("find_learning_rate", f"got lowest={lowest}, highest={highest}",
                            "expected 0 < lowest < highest", "Change the range.")
    data = feed("find_learning_rate", x, y, batch_size=batch_size, shuffle=True, seed=seed)
    build(model, data.epoch())
    how, rates = model._how("find_learning_rate"), np.geomspace(lowest, highest, steps)
    with _unchanged(model) as optimizer:
        raw = _rise(model, Compiled(optimizer, how.loss, []), data, rates.tolist(), diverged)
    losses = smoothed(raw)
    rates = rates[:len(raw)]
    return RateSearch(rates.tolist(), raw, losses, _steepest(rates, losses), len(raw) < steps)


@contextmanager
def _unchanged(model: Any) -> Iterator[Any]:
    """Give a copy of the optimizer; put weights and random numbers back afterwards."""
    own, weights, state = model.optimizer, model.state_dict(), random.default.state
    weights = {name: np.array(array) for name, array in weights.items()}
    copy = type(own).from_config({**own.get_config(), "learning_rate": 1.0, "accumulate": 1})
    try:
        copy.load_state_dict({k: v for k, v in own.state_dict().items()
                              if not k.endswith("/total") and k != "pending"})
        yield copy
    finally:
        for parameter in model.parameters():
            parameter.zero_grad()
        model.load_state_dict(weights)
        random.default.state = state


def _rise(model: Any, how: Compiled, data: Feed, rates: Sequence[float], diverged: float
          ) -> list[float]:
    """Return the loss of each step, up to where it runs away."""
    tracker, parameters, raw = Tracker([]), model.parameters(), []
    with mode(model, training=True):
        for rate, batch in zip(rates, _endless(data), strict=False):
            how.optimizer.learning_rate = rate
            tracker.reset()
            train_step(model, how, batch, tracker, parameters)
            loss = tracker.logs()["loss"]
            if not math.isfinite(loss):
                break
            raw.append(loss)
            known = smoothed(raw)
            if len(raw) >= FEWEST and known[-1] > diverged * min(known):
                break
    if len(raw) < 2:
        raise ArgumentError("find_learning_rate", f"the loss is {loss} after {len(raw)} steps",
                            "expected a finite one", "Lower lowest, or look at the data.")
    return raw


def _endless(data: Feed) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from data.epoch(epoch)
        epoch += 1


def smoothed(values: Sequence[float], memory: float = MEMORY) -> list[float]:
    """Return the exponential moving average, divided by the sum of its weights.

    >>> smoothed([1.0, 1.0, 4.0], memory=0.5)
    [1.0, 1.0, 2.7142857142857144]
    """
    averages, mean, weight = [], 0.0, 0.0
    for value in values:
        mean, weight = memory * mean + (1 - memory) * value, memory * weight + 1 - memory
        averages.append(mean / weight)
    return averages


def _steepest(rates: np.ndarray, losses: Sequence[float]) -> float:
    """Return the rate at which the loss falls most over a tenth of the rates, up to its lowest.

    Over single steps the noise of the batches would fall faster; the first averages are hardly
    smoothed yet.
    """
    reach = max(len(losses) // 10, 1)
    last = max(int(np.argmin(losses)) + 1, reach + 1)
    first = min(FEWEST, last - reach - 1)
    falls = np.asarray(losses[first + reach:last]) - np.asarray(losses[first:last - reach])
    return float(rates[int(np.argmin(falls)) + first + reach // 2])
