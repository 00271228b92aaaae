"""Update ops: one call takes one optimizer step for all parameters.

Inputs are `hyper`, then all parameters, all their gradients, and every state slot of all of them,
each group in the order of the parameters. Results are the new parameters, then the new slots,
group by group; they may be written over what they replace. Gradients are only read.

`hyper` holds in float64 what changes from step to step: the learning rate r, the number t of this
step, counted from 1, and for nadam the product of the momenta before this step. What stays fixed
is an attribute. In every op the weights are first shrunk to p (1 - r weight_decay), apart from
the gradient (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Spec, need_float
from ..registry import BadCall, Inferred, Pairs, Sample, define

Slots = dict[str, np.ndarray]


@dataclass(frozen=True)
class Update:
    """What the parts of an update op are made from.

    Attributes:
        formula: `formula(hyper, p, g, slots, **attrs)` returns the new p and changes the slots.
        slots: names of the state slots, each with the attribute that asks for it, or "" if always.
        attrs: the op's attributes with Keras 3's defaults.
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


# ---- checks and reference, for all of them -------------------------------------------------


def _infer(name: str, hyper: Spec, *arrays: Spec, weight_decay: float = 0.0, **attrs: Any
           ) -> Inferred:
    update = UPDATES[name]
    unknown = sorted(set(attrs) - set(update.attrs))
    if unknown:
        raise ArgumentError(name, f"got {', '.join(unknown)}",
                            f"its attributes are {', '.join(update.attrs)}, weight_decay",
                            "Check the names.")
    if hyper.shape != (update.hyper,) or hyper.dtype.kind != "f":
        raise ShapeError(name, f"got hyper of {hyper}", f"expected ({update.hyper},) float64",
                         "It holds learning rate and step.")
    groups = split_groups(name, arrays, ("parameters", "gradients", *update.present(attrs)))
    results = sum((specs for kind, specs in groups.items() if kind != "gradients"), ())
    return Inferred(results, attrs={**update.attrs, **attrs, "weight_decay": weight_decay})


def split_groups(name: str, arrays: Sequence[Spec], kinds: Sequence[str]
                 ) -> dict[str, tuple[Spec, ...]]:
    """Return the specs by kind, or raise unless all kinds have as many, of the same shapes."""
    count = len(arrays) // len(kinds)
    if not count or len(arrays) != count * len(kinds):
        raise ArgumentError(name, f"got {len(arrays)} arrays",
                            f"expected as many {', '.join(kinds)}, at least one of each",
                            "Give the groups one after another.")
    groups = {k: tuple(arrays[i * count:i * count + count]) for i, k in enumerate(kinds)}
    for kind, specs in groups.items():
        for at, (spec, first) in enumerate(zip(specs, groups[kinds[0]], strict=True)):
            need_float(name, **{kinds[0]: first})
            if spec != first:
                raise ShapeError(name, f"got {kind}[{at}] of {spec}",
                                 f"{kinds[0]}[{at}] is {first}", "They must be alike.")
    return groups


def _reference(name: str, hyper: np.ndarray, *arrays: np.ndarray, weight_decay: float = 0.0,
               **attrs: Any) -> Any:
    update = UPDATES[name]
    names = update.present(attrs)
    count = len(arrays) // (2 + len(names))
    columns = []
    for i in range(count):
        p, g, *state = arrays[i::count]
        slots = dict(zip(names, state, strict=True))
        shrunk = p * (1 - hyper[0] * weight_decay)
        new = update.formula(hyper, shrunk, g, slots, **{**update.attrs, **attrs})
        columns.append((new, *(slots[n] for n in names)))
    return bare([array for group in zip(*columns, strict=True) for array in group])


def bare(results: Sequence[Any]) -> Any:
    """Return a single result by itself, several as a tuple."""
    return results[0] if len(results) == 1 else tuple(results)


def _over_parameters_and_slots(inputs: int, outputs: int) -> Pairs:
    # inputs: 1 hyper + n (2 + slots), outputs: n (1 + slots)
    count = inputs - 1 - outputs
    return (*((1 + i, i) for i in range(count)),
            *((1 + count + i, i) for i in range(count, outputs)))


# ---- the table -----------------------------------------------------------------------------

SHAPES = ((3, 4), (), (7,))


def _positive(shape: tuple[int, ...]) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: 1 + rng.random(shape)  # variances must lie above the squares of means


def _small(shape: tuple[int, ...]) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.random(shape) - 0.5


def _sample(update: Update, attrs: Mapping[str, Any]) -> Sample:
    slots = [_positive if "square" in name or name == "largest" else _small
             for name in update.present(attrs)]
    arrays = [draw(shape) for draw in (_positive, _small, *slots) for shape in SHAPES]
    return Sample((np.array([0.1, 3.0, 0.4][:update.hyper]), *arrays), attrs)


def _samples(update: Update) -> tuple[Sample, ...]:
    """Return samples with the defaults, and with each switch on, alone and all together."""
    switches = {k: 0.7 if k == "momentum" else True for k, v in update.attrs.items() if not v}
    choices = [{}, *({k: v} for k, v in switches.items()), {**switches, "weight_decay": 0.2}]
    return tuple(_sample(update, attrs) for attrs in choices)


def _bad_calls(update: Update) -> tuple[BadCall, ...]:
    hyper, groups = np.ones(update.hyper), 2 + len(update.present({}))
    return (BadCall((hyper,), {}, "at least one of each"),
            BadCall((np.ones(5), *[(2,)] * groups), {}, "got hyper of (5,)"),
            BadCall((hyper, (2,), *[(3,)] * (groups - 1)), {}, "parameters[0] is (2,)"),
            BadCall((hyper, *[np.ones(2, int)] * groups), {}, "expected float"),
            BadCall((hyper, *[(2,)] * groups), {"speed": 1}, "got speed"))


for _name, _update in UPDATES.items():
    define(_name, inputs=("hyper", "arrays"), variadic=True, infer=partial(_infer, _name),
           reference=partial(_reference, _name), kernel=f"{__package__}.cpu:{_name}",
           may_overwrite=_over_parameters_and_slots, doc=_update.formula.__doc__ or "",
           samples=_samples(_update), bad_calls=_bad_calls(_update),
           flops=lambda hyper, *arrays, **_: 3 * sum(a.size for a in arrays))
