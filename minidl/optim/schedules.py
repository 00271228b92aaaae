"""Learning rates that change with the step: `schedule(step) -> float`, steps counted from 0.

A schedule may stand wherever an optimizer takes a learning rate; it then counts updates. It is a
plain function of a number, so a callback may as well ask it once per epoch.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ..errors import ArgumentError
from .settings import checked, deserialize, serialize

__all__ = ["CosineDecay", "ExponentialDecay", "FunctionSchedule", "PiecewiseConstantDecay",
           "PolynomialDecay", "Schedule", "StepDecay", "TimeDecay", "WarmUp", "get"]


class Schedule:
    """Base of all schedules; a subclass defines `__call__`.

    >>> class Halved(Schedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5**step
    >>> Halved()(2)
    0.025
    """

    known: ClassVar[dict[str, type[Schedule]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__ == __name__:
            Schedule.known[cls.__name__] = cls

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal schedule, as JSON can hold them."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any],
                    custom_objects: Mapping[str, Any] | None = None) -> Schedule:
        """Return the schedule that `get_config` described."""
        return cls(**config)


class _Numbers(Schedule):
    """A schedule whose arguments are numbers, the fields of a dataclass."""

    def __post_init__(self) -> None:
        for name, value in checked(type(self).__name__, self.get_config()).items():
            object.__setattr__(self, name, value)  # frozen for everybody else

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal schedule, as JSON can hold them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class PolynomialDecay(_Numbers):
    """end + (initial - end) (1 - step / steps)^power, and end from `steps` on; linear for power 1.

    Args:
        initial: learning rate at step 0.
        steps: steps until `end` is reached.
        power: exponent, above 0.
        end: last learning rate.

    >>> PolynomialDecay(0.1, steps=10)(5)
    0.05
    """

    initial: float
    steps: int
    power: float = 1.0
    end: float = 0.0

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        left = max(1 - step / self.steps, 0.0)
        return self.end + (self.initial - self.end) * left**self.power


@dataclass(frozen=True)
class StepDecay(_Numbers):
    """initial factor^floor(step / every): a staircase.

    >>> schedule = StepDecay(0.1, every=10, factor=0.5)
    >>> schedule(9), schedule(10)
    (0.1, 0.05)
    """

    initial: float
    every: int
    factor: float = 0.5

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        return self.initial * self.factor**(step // self.every)


@dataclass(frozen=True)
class ExponentialDecay(_Numbers):
    """initial factor^(step / steps): smaller by `factor` every `steps` steps, without stairs.

    >>> ExponentialDecay(0.1, steps=2, factor=0.25)(1)
    0.05
    """

    initial: float
    steps: int
    factor: float

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        return self.initial * self.factor**(step / self.steps)


@dataclass(frozen=True)
class CosineDecay(_Numbers):
    """end + (initial - end) (1 + cos(pi step / steps)) / 2, and end from `steps` on.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    >>> CosineDecay(0.1, steps=10)(5)
    0.05
    """

    initial: float
    steps: int
    end: float = 0.0

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        wave = math.cos(math.pi * min(step / self.steps, 1.0))
        return self.end + (self.initial - self.end) * (1 + wave) / 2


@dataclass(frozen=True)
class TimeDecay(_Numbers):
    """initial / (1 + decay step).

    >>> TimeDecay(0.1, decay=0.5)(2)
    0.05
    """

    initial: float
    decay: float

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        return self.initial / (1 + self.decay * step)


class PiecewiseConstantDecay(Schedule):
    """values[0] before step boundaries[0], then values[1] before boundaries[1], and so on.

    Args:
        boundaries: steps in rising order.
        values: learning rates, one more than boundaries.

    >>> schedule = PiecewiseConstantDecay([25, 35], [0.1, 0.01, 0.001])
    >>> [schedule(epoch) for epoch in (0, 24, 25, 35)]
    [0.1, 0.1, 0.01, 0.001]
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        self.boundaries = [checked("PiecewiseConstantDecay", {"steps": b})["steps"]
                           for b in boundaries]
        self.values = [checked("PiecewiseConstantDecay", {"learning_rate": v})["learning_rate"]
                       for v in values]
        if len(self.values) != len(self.boundaries) + 1 or any(
                a >= b for a, b in itertools.pairwise(self.boundaries)):
            raise ArgumentError("PiecewiseConstantDecay",
                                f"got boundaries {self.boundaries} and {len(self.values)} values",
                                "expected rising boundaries and one value more than these",
                                "Change boundaries or values.")

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        return self.values[bisect.bisect_right(self.boundaries, step)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal schedule, as JSON can hold them."""
        return {"boundaries": self.boundaries, "values": self.values}


class WarmUp(Schedule):
    """Rises in a line to where another schedule begins, and then follows it.

    schedule(0) (step + 1) / (steps + 1) before step `steps`, then schedule(step - steps).

    Args:
        schedule: what to follow: a schedule, a function of the step, or a number that stays.
        steps: length of the rise.

    Source: Goyal et al., "Accurate, large minibatch SGD", 2017.

    >>> schedule = WarmUp(0.1, steps=4)
    >>> [round(schedule(step), 2) for step in range(6)]
    [0.02, 0.04, 0.06, 0.08, 0.1, 0.1]
    """

    def __init__(self, schedule: Any, steps: int) -> None:
        self.schedule = get(schedule)
        self.steps: int = checked("WarmUp", {"steps": steps})["steps"]

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        share = min((step + 1) / (self.steps + 1), 1.0)
        later = max(step - self.steps, 0)
        return share * at(self.schedule, later)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal schedule, as JSON can hold them."""
        return {"schedule": describe(self.schedule), "steps": self.steps}

    @classmethod
    def from_config(cls, config: Mapping[str, Any],
                    custom_objects: Mapping[str, Any] | None = None) -> WarmUp:
        """Return the schedule that `get_config` described."""
        return cls(get(config["schedule"], custom_objects), config["steps"])


class FunctionSchedule(Schedule):
    """Any function of the step.

    The configuration holds the function's name only: to load it again, give the function in
    `custom_objects`.

    >>> FunctionSchedule(lambda step: 0.1 if step < 100 else 0.01)(250)
    0.01
    """

    def __init__(self, function: Callable[[int], float]) -> None:
        if not callable(function):
            raise ArgumentError("FunctionSchedule", f"got {function!r}",
                                "expected a function step -> learning rate", "Give one.")
        self.function = function

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step."""
        return float(self.function(step))

    def get_config(self) -> dict[str, Any]:
        """Return the function's name."""
        return {"function": getattr(self.function, "__name__", type(self.function).__name__)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any],
                    custom_objects: Mapping[str, Any] | None = None) -> FunctionSchedule:
        """Return the schedule; `custom_objects` must hold the function under its name."""
        name = config["function"]
        if name not in (custom_objects or {}):
            raise ArgumentError("FunctionSchedule", f"the function {name!r} is not known here",
                                "a configuration holds its name only",
                                f'Give custom_objects={{"{name}": function}}.')
        return cls((custom_objects or {})[name])


def get(value: Any, custom_objects: Mapping[str, Any] | None = None) -> Schedule | float:
    """Return a learning rate as a number or a schedule.

    Args:
        value: a number, a schedule, any function of the step, or what `serialize` returned.
        custom_objects: classes and functions of your own that a configuration names.
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, Mapping):
        return deserialize("schedule", value, Schedule.known, custom_objects)
    if callable(value):
        return FunctionSchedule(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        raise ArgumentError("learning rate", f"got a {type(value).__name__}",
                            "expected a number, a schedule or a function of the step",
                            "Parameters are given to step: optimizer.step(model.parameters()).")
    return checked("learning rate", {"learning_rate": value})["learning_rate"]


def at(rate: Schedule | float, step: int) -> float:
    """Return the learning rate at a step, of a schedule or of a number that stays."""
    return rate(step) if isinstance(rate, Schedule) else rate


def describe(rate: Schedule | float) -> dict[str, Any] | float:
    """Return what `get` makes the same learning rate from, as JSON can hold it."""
    return serialize(rate) if isinstance(rate, Schedule) else rate
