"""Gradient check: what backward gives against slopes by differences, with a verdict.

A function y = f(x) is projected on random weights v and moved along random directions u: the slope
of sum(v f(x + h u)) at h = 0 must be sum(g u), with g the gradient that backward gives for v. Where
it is not, every element is moved alone to find the worst one, and the slopes to its left and right
tell a wrong gradient from a kink, where there is no one slope to agree with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..config import no_grad
from ..errors import ArgumentError, AutogradError

FACTORS = (10.0, 1.0, 100.0, 0.1)  # of the step eps**(1/3), tried in turn
MOST_ELEMENTS = 4000               # moved alone to find the worst one
VERDICTS = ("correct", "precision", "kink", "wrong")


@dataclass(frozen=True)
class Finding:
    """What was found for one input.

    Attributes:
        verdict: "correct"; "wrong"; "kink", the slopes to both sides differ, so draw the input
            again; or "precision", the elements have too few digits to tell.
        input: position of the input.
        index: the worst element, or None where no single one stands out.
        backward: slope by backward.
        left, right: slopes by differences to either side.
    """

    verdict: str
    input: int
    index: tuple[int, ...] | None
    backward: float
    left: float
    right: float

    @property
    def error(self) -> float:
        """Distance of backward's slope from the mean of the two others, relative to the larger."""
        middle = (self.left + self.right) / 2
        largest = max(abs(middle), abs(self.backward))
        return abs(self.backward - middle) / largest if largest else 0.0


@dataclass(frozen=True)
class GradReport:
    """The findings of a gradient check; its text tells them.

    Attributes:
        name: the function's or op's name.
        names: names of the inputs.
        findings: one per input that was checked.
    """

    name: str
    names: Sequence[str]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The worst verdict of all inputs."""
        return max((f.verdict for f in self.findings), key=VERDICTS.index)

    @property
    def ok(self) -> bool:
        """Whether every gradient is correct."""
        return self.verdict == "correct"

    def __str__(self) -> str:
        lines = [f"gradient of {self.name}: {self.verdict}", *map(self._line, self.findings)]
        return "\n".join(lines)

    def _line(self, found: Finding) -> str:
        place = "a random direction" if found.index is None else f"element {found.index}"
        return (f"  {self.names[found.input]}: {found.verdict}; at {place} backward gives "
                f"{found.backward:.9g}, differences give {found.left:.9g} on the left and "
                f"{found.right:.9g} on the right")


def gradcheck(function: Callable[..., Tensor], *inputs: Any, tolerance: float = 1e-6, seed: int = 0,
              directions: int = 2, name: str = "", names: Sequence[str] = (),
              locate: bool = True) -> GradReport:
    """Check the gradients that backward gives for `function(*inputs)`.

    Args:
        inputs: tensors (those with requires_grad are checked) and whatever else the function takes.
        tolerance: relative error allowed; 1e-6 wants float64 inputs.
        seed: of the weights and directions.
        directions: how many random directions each input is moved in.
        locate: find the worst element of a gradient that is not correct.

    Raises:
        ArgumentError: no input requires a gradient, or the function is random.

    >>> x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: x * x, x).verdict
    'correct'
    >>> gradcheck(lambda x: x * x.detach(), x).verdict
    'wrong'
    """
    with np.errstate(all="ignore"):
        probe = _Probe(function, inputs, np.random.default_rng(seed))
        findings = tuple(_examine(probe, i, tolerance, directions, locate) for i in probe.gradients)
    return GradReport(name or getattr(function, "__name__", "function"),
                      names or [f"input {i}" for i in range(len(inputs))], findings)


class _Probe:
    """The function with its inputs, the weights of the projection, and backward's gradients."""

    def __init__(self, function: Callable[..., Tensor], inputs: Sequence[Any],
                 rng: np.random.Generator) -> None:
        self.function, self.inputs, self.rng = function, inputs, rng
        leaves = {i: Tensor(x.array.copy(), requires_grad=True) for i, x in enumerate(inputs)
                  if isinstance(x, Tensor) and x.requires_grad}
        if not leaves:
            raise ArgumentError("gradcheck", "no input requires a gradient", "",
                                "Give tensors with requires_grad=True")
        y = function(*(leaves.get(i, x) for i, x in enumerate(inputs)))
        self.y = y.array.astype(np.float64)
        self.weights = rng.standard_normal(y.shape).astype(y.dtype)
        self.eps = max(float(np.finfo(t.dtype).eps) for t in (y, *leaves.values()))
        if y.requires_grad:
            _backward(y, self.weights)
        self.gradients = {i: np.zeros(x.shape) if x.grad is None else _gradient(i, x)
                          for i, x in leaves.items()}
        if not np.array_equal(self.at(0, inputs[0]), self.y, equal_nan=True):
            raise ArgumentError("gradcheck", "the function gave two results for the same inputs",
                                "expected the same", "Give its random ops a fixed key")

    def at(self, i: int, value: Any) -> np.ndarray:
        """Return the result with input `i` replaced."""
        with no_grad():
            y = self.function(*(value if j == i else x for j, x in enumerate(self.inputs)))
        return y.array.astype(np.float64)

    def slopes(self, i: int, direction: np.ndarray, step: float) -> tuple[float, float]:
        """Return the slopes of the projection to the left and to the right."""
        x = self.inputs[i].array
        low = self.at(i, Tensor((x - step * direction).astype(x.dtype)))
        high = self.at(i, Tensor((x + step * direction).astype(x.dtype)))
        return (float(np.sum(self.weights * (self.y - low))) / step,
                float(np.sum(self.weights * (high - self.y))) / step)

    def noise(self, i: int, direction: np.ndarray) -> float:
        """Return how much rounding moves the projection."""
        x, g = self.inputs[i].array, self.gradients[i]
        moved = (direction != 0) * g * x
        return 10 * self.eps * (_norm(self.weights * self.y) + _norm(moved))


def _backward(y: Tensor, gy: np.ndarray) -> None:
    given = gy.copy()
    y.backward(given)
    if not np.array_equal(given, gy):
        raise AutogradError("gradcheck", "a gradient rule changed gy", "expected it to stay as it "
                            "is: others read it, too", "Return a new array.")


def _gradient(i: int, leaf: Tensor) -> np.ndarray:
    found = leaf.grad.array  # type: ignore[union-attr]
    if found.shape != leaf.shape or found.dtype != leaf.dtype:
        got = f"input {i} gets a gradient of {found.shape} {found.dtype}"
        raise AutogradError("gradcheck", got, f"expected {leaf.shape} {leaf.dtype}",
                            "Correct the gradient rule.")
    return found.astype(np.float64)


def _norm(x: np.ndarray) -> float:
    return float(np.sqrt(np.sum(np.square(x, dtype=np.float64))))


def _examine(probe: _Probe, i: int, tolerance: float, directions: int, locate: bool) -> Finding:
    """Judge input `i` along random directions, then by element if it is not correct."""
    g = probe.gradients[i]
    found = Finding("correct", i, None, 0.0, 0.0, 0.0)
    for _ in range(directions):
        direction = probe.rng.standard_normal(g.shape)
        found = _judge(probe, i, direction, None, tolerance, _norm(g * direction))
        if found.verdict not in ("correct", "precision"):
            return _worst_element(probe, i, tolerance, found) if locate else found
    return found


def _worst_element(probe: _Probe, i: int, tolerance: float, found: Finding) -> Finding:
    g = probe.gradients[i]
    places = probe.rng.permutation(g.size)[:MOST_ELEMENTS]
    floor = _norm(g) / max(g.size, 1) ** 0.5
    judged = []
    for place in places:
        direction = np.zeros(g.size)
        direction[place] = 1
        index = tuple(map(int, np.unravel_index(place, g.shape)))
        judged.append(_judge(probe, i, direction.reshape(g.shape), index, tolerance, floor))
    worst = max(judged, key=lambda f: (VERDICTS.index(f.verdict), _distance(f)))
    return found if worst.verdict in ("correct", "precision") else worst


def _distance(found: Finding) -> float:
    return abs(found.backward - (found.left + found.right) / 2)


def _judge(probe: _Probe, i: int, direction: np.ndarray, index: tuple[int, ...] | None,
           tolerance: float, floor: float) -> Finding:
    """Compare the slopes of one direction; the first step that agrees decides."""
    slope = float(np.sum(probe.gradients[i] * direction))
    noise, best = probe.noise(i, direction), probe.eps ** (1 / 3)
    tried = []
    for step in (factor * best for factor in FACTORS):
        left, right = probe.slopes(i, direction, step)
        middle = (left + right) / 2
        error = abs(middle - slope)
        allowed = tolerance * max(abs(slope), abs(middle), floor)
        if error <= allowed + noise / step:
            precise = error <= allowed or probe.eps < tolerance**2
            return Finding("correct" if precise else "precision", i, index, slope, left, right)
        tried.append((step, left, right, allowed + noise / step))
    tried.sort()
    return Finding("kink" if _is_kink(tried) else "wrong", i, index, slope, *tried[1][1:3])


def _is_kink(tried: Sequence[tuple[float, float, float, float]]) -> bool:
    """Say whether left and right differ by as much at a small step as at one ten times larger."""
    (_, left, right, allowed), (_, left10, right10, _) = tried[:2]
    gap, gap10 = abs(right - left), abs(right10 - left10)
    return gap > allowed and gap > 0.5 * gap10
