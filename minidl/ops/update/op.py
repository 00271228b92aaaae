"""Update ops: one call takes one optimizer step for all parameters.

Inputs are `hyper`, then all parameters, all their gradients, and every state slot of all of them,
each group in the order of the parameters. Results are the new parameters, then the new slots,
group by group; they may be written over what they replace. Gradients are only read.

`hyper` holds in float64 what changes from step to step: the learning rate r, the number t of this
step, counted from 1, and for nadam the product of the momenta before this step. What stays fixed
is an attribute. All update ops share these, applied in this order, as in Keras:

    penalties     (l1, l2) per parameter: its gradient is g + l1 sign(p) + 2 l2 p; () for none
    clip_norm     all gradients together are scaled down to this L2 norm (Pascanu et al. 2013)
    clip_value    each element of a gradient is limited to [-clip_value, clip_value]
    weight_decay  p (1 - r weight_decay) takes the place of p, apart from the gradient
                  (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019)
    if_finite     all stays as it is unless the gradients with penalties have a finite L2 norm
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Spec, need_float
from ..registry import BadCall, Inferred, Kernel, Op, Pairs, Sample, define
from .formulas import UPDATES, Update

SHARED: dict[str, Any] = {"penalties": (), "clip_norm": None, "clip_value": None,
                          "weight_decay": 0.0, "if_finite": False}
"""The attributes that all update ops have, with their defaults."""


# ---- checks and reference, for all of them -------------------------------------------------


def _infer(name: str, hyper: Spec, *arrays: Spec, **attrs: Any) -> Inferred:
    update = UPDATES[name]
    settings = {**update.attrs, **SHARED, **attrs}
    unknown = sorted(set(settings) - set(update.attrs) - set(SHARED))
    if unknown:
        raise ArgumentError(name, f"got {', '.join(unknown)}",
                            f"its attributes are {', '.join((*update.attrs, *SHARED))}",
                            "Check the names.")
    if hyper.shape != (update.hyper,) or hyper.dtype.kind != "f":
        raise ShapeError(name, f"got hyper of {hyper}", f"expected ({update.hyper},) float64",
                         "It holds learning rate and step.")
    groups = split_groups(name, arrays, ("parameters", "gradients", *update.present(attrs)))
    settings["penalties"] = pairs_for(name, settings["penalties"], len(groups["parameters"]))
    for limit in ("clip_norm", "clip_value"):
        if settings[limit] is not None and not settings[limit] > 0:
            raise ArgumentError(name, f"got {limit}={settings[limit]!r}",
                                "expected a number above 0", "Give None for no limit.")
    results = sum((specs for kind, specs in groups.items() if kind != "gradients"), ())
    return Inferred(results, attrs=settings)


def pairs_for(name: str, penalties: Sequence[Any], count: int) -> tuple[tuple[float, float], ...]:
    """Return penalties as pairs (l1, l2), one per parameter, or none at all; raise otherwise."""
    try:
        pairs = tuple((float(l1), float(l2)) for l1, l2 in penalties)
    except (TypeError, ValueError):
        pairs = ()
    if len(pairs) != len(penalties) or len(pairs) not in (0, count):
        raise ArgumentError(name, f"got penalties={penalties!r}",
                            f"expected (l1, l2) for each of {count} parameters",
                            "Give (0, 0) for one without.")
    return pairs


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


def _reference(name: str, hyper: Sequence[float], *arrays: np.ndarray, weight_decay: float = 0.0,
               penalties: Any = (), clip_norm: float | None = None,
               clip_value: float | None = None, if_finite: bool = False, **attrs: Any) -> Any:
    update = UPDATES[name]
    names = update.present(attrs)
    count = len(arrays) // (2 + len(names))
    pulled = [g + l1 * np.sign(p) + 2 * l2 * p for p, g, (l1, l2) in zip(
        arrays[:count], arrays[count:2 * count], penalties or [(0, 0)] * count, strict=True)]
    if if_finite and not np.isfinite(sum((g**2).sum() for g in pulled)):
        return bare([a.copy() for a in (*arrays[:count], *arrays[2 * count:])])
    gradients = _limited(pulled, clip_norm, clip_value)
    columns = []
    for i, g in enumerate(gradients):
        p, _, *state = arrays[i::count]
        slots = dict(zip(names, state, strict=True))
        shrunk = p * (1 - hyper[0] * weight_decay)
        new = update.formula(hyper, shrunk, g, slots, **{**update.attrs, **attrs})
        columns.append((new, *(slots[n] for n in names)))
    return bare([array for group in zip(*columns, strict=True) for array in group])


def _limited(gradients: Sequence[np.ndarray], norm: float | None, value: float | None
             ) -> list[np.ndarray]:
    if norm is not None:
        length = np.sqrt(sum((g**2).sum() for g in gradients))
        gradients = [g * norm / max(length, norm) for g in gradients]
    return [g if value is None else np.clip(g, -value, value) for g in gradients]


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


def _infinite(shape: tuple[int, ...]) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: np.where(rng.random(shape) < 0.5, np.inf, 0.5)


def _sample(update: Update, attrs: Mapping[str, Any], gradients: Callable = _small) -> Sample:
    slots = [_positive if "square" in name or name == "largest" else _small
             for name in update.present(attrs)]
    arrays = [draw(shape) for draw in (_positive, gradients, *slots) for shape in SHAPES]
    return Sample((np.array([0.1, 3.0, 0.4][:update.hyper]), *arrays), attrs)


PENALTIES = ((0.0, 0.2), (0.3, 0.0), (0.1, 0.4))  # of parameters of the shapes above


def _samples(update: Update) -> tuple[Sample, ...]:
    """Return samples with the defaults, and with each switch on, alone and all together."""
    switches = {k: 0.7 if k == "momentum" else True for k, v in update.attrs.items() if not v}
    choices: list[dict[str, Any]] = [
        {}, *({k: v} for k, v in switches.items()), {**switches, "weight_decay": 0.2},
        {"penalties": PENALTIES, "clip_norm": 0.9}, {"clip_value": 0.2, "penalties": PENALTIES},
        {"if_finite": True}, {"if_finite": True, "clip_norm": 0.9}]
    return (*(_sample(update, attrs) for attrs in choices),
            *(_sample(update, attrs, _infinite) for attrs in choices[-2:]))


def _bad_calls(update: Update) -> tuple[BadCall, ...]:
    hyper, groups = np.ones(update.hyper), 2 + len(update.present({}))
    return (BadCall((hyper,), {}, "at least one of each"),
            BadCall((np.ones(5), *[(2,)] * groups), {}, "got hyper of (5,)"),
            BadCall((hyper, (2,), *[(3,)] * (groups - 1)), {}, "parameters[0] is (2,)"),
            BadCall((hyper, *[np.ones(2, int)] * groups), {}, "expected float"),
            BadCall((hyper, *[(2,)] * groups), {"speed": 1}, "got speed"),
            BadCall((hyper, *[(2,)] * groups), {"clip_norm": -1.0}, "above 0"),
            BadCall((hyper, *[(2,)] * groups), {"penalties": (0.1,)}, "(l1, l2) for each of 1"))


def _workspace(name: str, hyper: Spec, *arrays: Spec, clip_norm: float | None, if_finite: bool,
               **attrs: Any) -> dict[str, Spec]:
    from .cpu_rows import parts_of
    count = len(arrays) // (2 + len(UPDATES[name].present(attrs)))
    parts = parts_of(arrays[:count]) if if_finite or clip_norm is not None else 0
    return {"squares": Spec((parts,), np.dtype("float64"))}


def _define(name: str, update: Update, kernel: Kernel) -> Op:
    return define(name, inputs=("hyper", "arrays"), variadic=True, hosted=("hyper",),
                  infer=partial(_infer, name), reference=partial(_reference, name),
                  kernels=(kernel,), may_overwrite=_over_parameters_and_slots,
                  doc=update.formula.__doc__ or "", samples=_samples(update),
                  bad_calls=_bad_calls(update),
                  flops=lambda hyper, *arrays, **_: 3 * sum(a.size for a in arrays))


for _name, _update in UPDATES.items():
    _define(_name, _update, Kernel("default", f"{__package__}.cpu:{_name}",
                                   workspace=partial(_workspace, _name)))


# ---- updates of users ----------------------------------------------------------------------


def define_update(name: str, formula: Callable[..., np.ndarray], slots: Sequence[str] = (),
                  **settings: float) -> Op:
    """Define the update op of an optimizer of your own, for the CPU, by a formula in NumPy.

    Penalties, limits on gradients and weight decay come with it, and so do samples for `check_op`.

    Args:
        name: what a subclass of `Optimizer` has as its `op`.
        formula: `formula(hyper, p, g, slots, **settings)` returns the new values of a parameter p
            with gradient g, and writes its new state into the dict `slots`. `hyper` is learning
            rate and number of the step, from 1. It changes neither p nor g nor a state array.
        slots: names of the state arrays, which every parameter has and which are zeros at first.
        settings: the other arguments of the formula, with their defaults.

    Raises:
        ArgumentError: an op of this name is defined already.
    """
    update = Update(formula, dict.fromkeys(slots, ""), settings)
    op = _define(name, update, Kernel("default", partial(_by_formula, name)))
    UPDATES[name] = update
    return op


def _by_formula(name: str, hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple,
                saved: dict, work: dict, **attrs: Any) -> None:
    results = _reference(name, hyper.tolist(), *arrays, **attrs)
    for array, result in zip(*[x if isinstance(x, tuple) else (x,) for x in (out, results)],
                             strict=True):
        np.copyto(array, result)
