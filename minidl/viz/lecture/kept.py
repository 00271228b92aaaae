"""Which channels of every value a page holds, so that its size stays bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .trace import Step, Trace, Value

Kept = list["np.ndarray | None"]

CHANNELWISE = ("max_pool", "average_pool", "global_max", "global_average", "batch_norm",
               "layer_norm", "group_norm", "lrn", "softmax", "log_softmax", "activation", "add",
               "subtract", "multiply", "average", "maximum", "minimum", "divide", "power",
               "rescale", "pad", "same")
"""Views whose output has the channels of its inputs; both hold the same ones."""
PRODUCTS = ("conv", "conv_transpose", "dense")


@dataclass(frozen=True)
class Rung:
    """How much a page holds; the first rung of `LADDER` that fits is taken.

    Attributes:
        elements: of a value, about.
        channels: of a value, at most.
        weights: of a dense layer; of larger ones the largest contributions are kept.
    """

    elements: float
    channels: int
    weights: int


LADDER = tuple(Rung(*row) for row in (
    (float("inf"), 1 << 30, 400_000), (200_000, 256, 200_000), (100_000, 128, 120_000),
    (60_000, 64, 100_000), (40_000, 48, 80_000), (25_000, 32, 80_000), (18_000, 24, 80_000),
    (12_000, 16, 60_000), (8_000, 12, 60_000), (6_000, 8, 40_000), (6_000, 6, 40_000),
    (1, 4, 30_000), (1, 3, 30_000), (1, 2, 20_000), (1, 1, 10_000)))


def choose(trace: Trace, views: Mapping[int, str], channels: int | None, room: float
           ) -> tuple[Kept, Rung]:
    """Return the channels of each value that a page of about `room` bytes holds, None for all.

    Args:
        views: by number of the step.
        channels: at most so many of each value.
    """
    groups = _Groups(trace, views)
    for rung in LADDER:
        if channels is not None:
            rung = Rung(rung.elements, min(rung.channels, channels), rung.weights)
        kept = groups.choose(rung)
        if _size(trace, views, kept, rung) <= room:
            break
    return kept, rung


class _Groups:
    """Values that hold the same channels: those before and after a channelwise layer."""

    def __init__(self, trace: Trace, views: Mapping[int, str]) -> None:
        self.values = trace.values
        self.parents = list(range(len(trace.values)))
        self.joined: dict[int, list[int]] = {}  # output of a concatenation: its inputs
        for number, step in enumerate(trace.steps):
            if views[number] in CHANNELWISE:
                for given in step.inputs:
                    self._join(step.output, given)
            elif views[number] == "concat" and self._along_channels(step):
                self.joined[step.output] = step.inputs

    def _channels(self, number: int) -> int:
        return self.values[number].map_shape[2]

    def _along_channels(self, step: Step) -> bool:
        return self._channels(step.output) == sum(map(self._channels, step.inputs))

    def _root(self, number: int) -> int:
        while self.parents[number] != number:
            number = self.parents[number]
        return number

    def _join(self, a: int, b: int) -> None:
        if self._channels(a) == self._channels(b):
            first, second = sorted((self._root(a), self._root(b)))
            self.parents[second] = first

    def choose(self, rung: Rung) -> Kept:
        """Return the channels of each value: of every group those that are strongest in it."""
        members: dict[int, list[int]] = {}
        for number in range(len(self.values)):
            members.setdefault(self._root(number), []).append(number)
        chosen: dict[int, np.ndarray | None] = {}
        for root, group in members.items():
            joined = next((self.joined[n] for n in group if n in self.joined), None)
            chosen[root] = (self._side_by_side(joined, chosen) if joined
                            else _strongest([self.values[n] for n in group], rung))
        kept = [chosen[self._root(n)] for n in range(len(self.values))]
        return [None if _is_vector(v) else k for v, k in zip(self.values, kept, strict=True)]

    def _side_by_side(self, inputs: list[int], chosen: Mapping[int, np.ndarray | None]
                      ) -> np.ndarray | None:
        parts, start = [], 0
        for number in inputs:
            part, count = chosen.get(self._root(number)), self._channels(number)
            parts.append(start + (np.arange(count) if part is None else part))
            start += count
        whole = np.concatenate(parts)
        return None if len(whole) == start else whole


def _is_vector(value: Value) -> bool:
    return value.map_shape[:2] == (1, 1)


def _strongest(values: list[Value], rung: Rung) -> np.ndarray | None:
    """Return the channels that are strongest in all values together, None for all.

    The strength in a value is the mean magnitude, as a share of that of its strongest channel.
    """
    maps = [value for value in values if not _is_vector(value)]
    if not maps:
        return None
    positions = max(value.map_shape[0] * value.map_shape[1] for value in maps)
    channels = maps[0].map_shape[2]
    count = int(min(channels, rung.channels, max(rung.elements // positions, 3)))
    if count >= channels or channels <= 4:
        return None
    means = [np.abs(value.as_map).mean((0, 1), dtype=np.float64) for value in maps]
    strength = np.sum([mean / max(mean.max(), 1e-30) for mean in means], axis=0)
    return np.sort(np.argsort(-strength, kind="stable")[:count])


def _size(trace: Trace, views: Mapping[int, str], kept: Kept, rung: Rung) -> float:
    """Return about how many bytes the arrays of a page take, in base64."""
    def count(number: int) -> int:
        chosen = kept[number]
        return trace.values[number].map_shape[2] if chosen is None else len(chosen)

    total = 0.0
    for number, value in enumerate(trace.values):
        total += value.map_shape[0] * value.map_shape[1] * count(number) * 6
    for number, step in enumerate(trace.steps):
        if views[number] in PRODUCTS:
            height, width, _ = trace.values[step.output].map_shape
            weights = next(iter(step.layer.parameters())).shape
            window = int(np.prod(weights[:-2], dtype=int))
            if views[number] == "dense" and height * width == 1:
                total += min(weights[0] * weights[1], rung.weights) * 6
            else:
                total += window * count(step.inputs[0]) * count(step.output) * 6
                limited = kept[step.inputs[0]] is not None
                total += height * width * count(step.output) * 4 * limited
    return total * 4 / 3
