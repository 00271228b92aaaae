"""The formulas of the optimizers: how one step changes a parameter and what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Slots = dict[str, np.ndarray]


@dataclass(frozen=True)
class Update:
    """What an update op is made from.

    Attributes:
        formula: `formula(hyper, p, g, slots, **attrs)` returns the new p and changes the slots.
        slots: names of the state slots, each with the attribute that asks for it, or "" if always.
        attrs: the attributes of the formula with Keras 3's defaults.
        hyper: length of `hyper`.
    """

    formula: Callable[..., np.ndarray]
    slots: Mapping[str, str]
    attrs: Mapping[str, Any]
    hyper: int = 2

    def present(self, attrs: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the slots that these attributes ask for."""
        settings = {**self.attrs, **attrs}
        return tuple(name for name, asked in self.slots.items() if not asked or settings[asked])


# ---- formulas ------------------------------------------------------------------------------


def _sgd(hyper: np.ndarray, p: np.ndarray, g: np.ndarray, s: Slots, momentum: float,
         nesterov: bool) -> np.ndarray:
    """p - r g; with momentum p + v, v = momentum v - r g; with nesterov p + momentum v - r g."""
    step = -hyper[0] * g
    if not momentum:
        return p + step
    s["velocity"] = momentum * s["velocity"] + step
    return p + (momentum * s["velocity"] + step if nesterov else s["velocity"])


def _rmsprop(hyper: np.ndarray, p: np.ndarray, g: np.ndarray, s: Slots, rho: float,
             momentum: float, epsilon: float, centered: bool) -> np.ndarray:
    """p - r g / sqrt(s + epsilon), s the moving average of g^2, less that of g squared if centered.

    With momentum, this step is added to momentum times the steps before.
    """
    s["mean_square"] = rho * s["mean_square"] + (1 - rho) * g**2
    spread = s["mean_square"]
    if centered:
        s["mean"] = rho * s["mean"] + (1 - rho) * g
        spread = np.abs(spread - s["mean"]**2)
    step = hyper[0] * g / np.sqrt(spread + epsilon)
    if momentum:
        step = s["velocity"] = momentum * s["velocity"] + step
    return p - step


def _moments(g: np.ndarray, s: Slots, beta_1: float, beta_2: float) -> None:
    s["mean"] = beta_1 * s["mean"] + (1 - beta_1) * g
    s["mean_square"] = beta_2 * s["mean_square"] + (1 - beta_2) * g**2


def _adam(hyper: np.ndarray, p: np.ndarray, g: np.ndarray, s: Slots, beta_1: float, beta_2: float,
          epsilon: float, amsgrad: bool) -> np.ndarray:
    """p - r c m / (sqrt(s) + epsilon), c = sqrt(1 - beta_2^t) / (1 - beta_1^t).

    m and s are moving averages of g and g^2; with amsgrad the largest s so far stands for s.
    """
    rate, t = hyper
    _moments(g, s, beta_1, beta_2)
    square = s["mean_square"]
    if amsgrad:
        square = s["largest"] = np.maximum(s["largest"], square)
    rate = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return p - rate * s["mean"] / (np.sqrt(square) + epsilon)


def nadam_momentum(beta_1: float, t: float) -> float:
    """Return Nadam's momentum at step t: beta_1 (1 - 0.96^t / 2)."""
    return beta_1 * (1 - 0.5 * 0.96**t)


def _nadam(hyper: np.ndarray, p: np.ndarray, g: np.ndarray, s: Slots, beta_1: float, beta_2: float,
           epsilon: float) -> np.ndarray:
    """p - r n / (sqrt(s / (1 - beta_2^t)) + epsilon), s and m moving averages of g^2 and g.

    n = u' m / (1 - P u u') + (1 - u) g / (1 - P u) for the momenta u = beta_1 (1 - 0.96^t / 2) of
    this step, u' of the next one, and the product P of all before this one.
    """
    rate, t, before = hyper
    u, u_next = nadam_momentum(beta_1, t), nadam_momentum(beta_1, t + 1)
    _moments(g, s, beta_1, beta_2)
    mean = u_next * s["mean"] / (1 - before * u * u_next) + (1 - u) * g / (1 - before * u)
    return p - rate * mean / (np.sqrt(s["mean_square"] / (1 - beta_2**t)) + epsilon)


def _adagrad(hyper: np.ndarray, p: np.ndarray, g: np.ndarray, s: Slots, epsilon: float
             ) -> np.ndarray:
    """p - r g / sqrt(s + epsilon), s the sum of all g^2."""
    s["sum_square"] = s["sum_square"] + g**2
    return p - hyper[0] * g / np.sqrt(s["sum_square"] + epsilon)


def _adadelta(hyper: np.ndarray, p: np.ndarray, g: np.ndarray, s: Slots, rho: float, epsilon: float
              ) -> np.ndarray:
    """p - r d, d = g sqrt(e + epsilon) / sqrt(s + epsilon), s and e moving averages of g^2, d^2."""
    s["mean_square"] = rho * s["mean_square"] + (1 - rho) * g**2
    step = g * np.sqrt(s["mean_square_step"] + epsilon) / np.sqrt(s["mean_square"] + epsilon)
    s["mean_square_step"] = rho * s["mean_square_step"] + (1 - rho) * step**2
    return p - hyper[0] * step


MOMENTS = {"mean": "", "mean_square": ""}
UPDATES = {
    "sgd": Update(_sgd, {"velocity": "momentum"}, {"momentum": 0.0, "nesterov": False}),
    "rmsprop": Update(_rmsprop, {"mean_square": "", "mean": "centered", "velocity": "momentum"},
                      {"rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False}),
    "adam": Update(_adam, {**MOMENTS, "largest": "amsgrad"},
                   {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}),
    "nadam": Update(_nadam, MOMENTS, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}, hyper=3),
    "adagrad": Update(_adagrad, {"sum_square": ""}, {"epsilon": 1e-7}),
    "adadelta": Update(_adadelta, {"mean_square": "", "mean_square_step": ""},
                       {"rho": 0.95, "epsilon": 1e-7}),
}
"""The update ops by name; optimizers read their slots and attributes here."""
