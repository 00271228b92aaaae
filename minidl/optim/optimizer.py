"""The base of all optimizers: everything but the formula of the step, which is an update op."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypedDict, Unpack

import numpy as np

from .. import config, dispatch
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..backend.arrays import HOST, device_of
from ..backend.device import to_host
from ..errors import ArgumentError, CheckpointError
from ..ops import registry
from ..ops.update.formulas import UPDATES
from . import schedules
from .parameters import Pair, need_same, parameter_list, penalty_of
from .settings import checked
from .state import State

Arrays = dict[int, np.ndarray]  # by position of the parameter


class Options(TypedDict, total=False):
    """What every optimizer takes besides its own settings; `Optimizer` explains it."""

    weight_decay: float | None
    clip_norm: float | None
    clip_value: float | None
    accumulate: int
    ema: float | None


DEFAULTS = Options(weight_decay=None, clip_norm=None, clip_value=None, accumulate=1, ema=None)


class Optimizer:
    """Changes parameters by their gradients; one op call for all of them.

    Args:
        learning_rate: a number, a schedule, or a function of the number of updates so far.
        settings: fixed attributes of the update op.
        weight_decay: each update first takes learning_rate weight_decay p from every parameter p,
            apart from the gradient ("decoupled", Loshchilov and Hutter 2019), as in Keras.
        clip_norm: scale all gradients down together so that their common L2 norm is at most this
            (Pascanu et al. 2013; Keras calls it global_clipnorm).
        clip_value: limit every element of the gradients to [-clip_value, clip_value].
        accumulate: update once per so many calls of `step`, by the mean of their gradients.
        ema: momentum of an exponential moving average of the parameters, average = ema average +
            (1 - ema) p after every update, starting from the parameters after the first one.

    Attributes:
        op: name of the update op.
        hyper: float64 input of the update op: learning rate and number of the current step.

    Raises:
        ArgumentError: an argument is out of its range.

    >>> from minidl.optim import SGD
    >>> w = Parameter([1.0, 2.0])
    >>> optimizer = SGD(learning_rate=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step([w])
    >>> w.numpy()
    array([0.8, 1.6], dtype=float32)
    """

    op = ""
    _OWN = ("hyper", "learning_rate")  # names in a saved state beside those of `State`

    def __init__(self, learning_rate: Any, settings: Mapping[str, Any],
                 **options: Unpack[Options]) -> None:
        if self.op not in UPDATES:
            raise ArgumentError(self._name, f"its class has op = {self.op!r}",
                                f"there are {', '.join(UPDATES)}",
                                "Define one of your own by minidl.optim.define_update.")
        self.settings = checked(self._name, settings)
        chosen = self._chosen(options)
        self.weight_decay: float | None = chosen["weight_decay"]
        self.clip_norm: float | None = chosen["clip_norm"]
        self.clip_value: float | None = chosen["clip_value"]
        self.accumulate: int = chosen["accumulate"]
        self.ema: float | None = chosen["ema"]
        self.hyper = np.zeros(UPDATES[self.op].hyper)
        self.learning_rate = learning_rate
        self._parameters: list[Parameter] = []
        self._places: list[str] = []  # their devices, to which the state has followed
        self._state = State(self.slots())
        self._scaled = False  # whether the gradients are those of a scaled loss

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _chosen(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, checked; those that are not given have their defaults."""
        unknown = sorted(set(options) - set(DEFAULTS))
        if unknown:
            known = ["learning_rate", *self.settings, *DEFAULTS]
            raise ArgumentError(self._name, f"got {', '.join(unknown)}",
                                f"expected {', '.join(known)}",
                                "Check the names of the arguments.")
        given = {name: value for name, value in options.items() if value is not None}
        if "clip_norm" in given and "clip_value" in given:
            raise ArgumentError(self._name, "got clip_norm and clip_value", "expected one of them",
                                "Leave one out.")
        return {**DEFAULTS, **checked(self._name, given)}

    # ---- learning rate and counts ----

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update; setting it replaces number or schedule."""
        return schedules.at(self._rate, self.iterations)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._rate = schedules.get(value)

    @property
    def iterations(self) -> int:
        """Number of updates so far."""
        return int(self.hyper[1])

    def slots(self) -> tuple[str, ...]:
        """Return the names of the state arrays that each parameter has, as the op orders them."""
        return UPDATES[self.op].present(self.settings)

    def initial(self, slot: str) -> float:
        """Return the value that the arrays of a slot start from."""
        return 0.0

    def advance(self) -> None:
        """Write learning rate and number of the next step into `hyper`.

        `step` does so itself; whoever replays a recorded update calls it before each replay.
        """
        self.hyper[0] = self.learning_rate
        self.hyper[1] += 1

    # ---- a step ----

    def step(self, parameters: Iterable[Parameter], regularize: bool = False) -> None:
        """Update the parameters in place by their gradients.

        These stay as they are, but for those of a scaled loss (see `scaled`). Parameters that are
        not trainable or have no gradient are left alone. Constraints are applied to the updated
        ones.

        Args:
            parameters: the same ones in the same order at every call, as `model.parameters()`.
            regularize: add the gradients of L1 and L2 regularizers, in the same pass over memory,
                because the loss was taken without them; `fit` does so.

        Raises:
            ArgumentError: something is no parameter or was given twice, the parameters are others
                than before, none has a gradient, or the moving average is swapped in.
        """
        if self._state.swapped:
            raise ArgumentError(self._name, "step while the moving average is swapped in",
                                "expected the trained values", "Call swap_ema() again first.")
        self._bind(parameters)
        penalties = self._penalties() if regularize else {}
        gradients = self._mean(self._gradients(penalties))
        if gradients:
            self.advance()
            if self._scaled:
                self._unscale(gradients)
            self._update(gradients, penalties)
            self._scaled = False

    def zero_grad(self, parameters: Iterable[Parameter]) -> None:
        """Forget the gradients."""
        for parameter in parameters:
            parameter.zero_grad()

    def _bind(self, parameters: Iterable[Parameter]) -> None:
        """Keep the parameters of the first call; at later calls raise unless they are the same."""
        given = parameter_list(self._name, parameters)
        if self._parameters:
            need_same(self._name, given, self._parameters)
        else:
            self._state.check([p.array for p in given])
            self._parameters = given
        if [p.device for p in given] != self._places:
            self._state.follow([p.array for p in given])
            self._places = [p.device for p in given]

    def _penalties(self) -> dict[int, Pair]:
        found = {i: penalty_of(p) for i, p in enumerate(self._parameters) if p.trainable}
        return {i: pair for i, pair in found.items() if pair is not None}

    def _gradients(self, penalties: Iterable[int] = ()) -> Arrays:
        """Return the gradients; zeros where nothing but a penalty acts on a parameter."""
        found = {i: p.grad.array for i, p in enumerate(self._parameters)
                 if p.grad is not None and p.trainable}
        for i in penalties:
            if i not in found:
                found[i] = _zeros(self._parameters[i].array)
        if not found:
            raise ArgumentError(self._name, *_why_none(self._parameters))
        return found

    def _mean(self, gradients: Arrays) -> Arrays:
        """Return the mean over the calls that are accumulated; nothing before the last of them."""
        if self.accumulate == 1:
            return gradients
        state, totals = self._state, self._state.totals
        for i, g in gradients.items():
            totals.setdefault(i, _zeros(g))
        sums = [totals[i] for i in gradients]
        _run("blend", [*sums, *gradients.values()], sums, keep=1.0, take=1 / self.accumulate)
        state.pending += 1
        if state.pending < self.accumulate:
            return {}
        state.pending, state.totals = 0, {}
        return totals

    def _update(self, gradients: Arrays, penalties: Mapping[int, Pair]) -> None:
        parameters = {i: self._parameters[i] for i in gradients}
        values = [p.array for p in parameters.values()]
        state = self._state.of({i: p.array for i, p in parameters.items()}, self.initial)
        pairs = tuple([penalties.get(i, (0.0, 0.0)) for i in gradients]) if penalties else ()
        _run(self.op, [self.hyper, *values, *gradients.values(), *state], [*values, *state],
             **self.settings, weight_decay=self.weight_decay or 0.0, penalties=pairs,
             clip_norm=self.clip_norm, clip_value=self.clip_value, if_finite=self._scaled)
        for parameter in parameters.values():
            parameter.storage.version += 1
        self._constrain(parameters.values())
        if self.ema is not None:
            self._follow(parameters, self.ema)

    def _constrain(self, parameters: Iterable[Parameter]) -> None:
        """Bring parameters back to what their constraints allow."""
        for parameter in parameters:
            constraint = parameter.constraint
            write = getattr(constraint, "write", None)
            if write is not None:
                write(parameter.array)
                parameter.storage.version += 1
            elif constraint is not None:
                parameter.assign(constraint(to_host(parameter.array)))

    def repeats(self) -> tuple[Any, ...] | None:
        """Return what a recorded update depends on besides `hyper`; None if it is more than ops.

        As long as this is equal and the parameters and their gradients lie where they lay, the
        recorded update may be replayed after `advance`.
        """
        if self.accumulate != 1 or self._state.swapped or any(
                p.constraint and not hasattr(p.constraint, "write") for p in self._parameters):
            return None
        return (*self.settings.items(), self.weight_decay, self.clip_norm, self.clip_value,
                self.ema, id(self._state), id(self.hyper))

    # ---- loss scale ----

    @property
    def loss_scale(self) -> float:
        """What `scaled` multiplies with at present, 1 where nothing was scaled yet."""
        scale = self._state.loss_scale
        return float(to_host(scale[0])) if scale else 1.0

    def scaled(self, loss: Tensor) -> Tensor:
        """Return what to call `backward` on in place of a loss.

        Under `config.precision("float16")` that is, on a GPU, the loss times a factor that keeps
        small gradients from becoming 0; `step` divides the gradients by it. A step whose gradients
        are not finite leaves parameters and state as they are (it counts as one, though), and the
        next factor is half as large; after 2,000 finite ones in a row it is twice as large
        (Micikevicius et al. 2018). Otherwise it is the loss itself.
        """
        if (config.precision_now(), loss.dtype.name) != ("float16", "float32") or (
                loss.device == HOST):
            return loss
        self._scaled = True
        return loss * Tensor.own(self._state.scale_on(loss.device)[0])

    def _unscale(self, gradients: Arrays) -> None:
        """Divide the gradients by the loss scale, and find the next one."""
        scale, streak = self._state.loss_scale
        arrays = [scale, streak, *gradients.values()]
        _run("unscale", arrays, arrays)

    # ---- moving average ----

    def _follow(self, updated: Mapping[int, Parameter], momentum: float) -> None:
        averages = self._state.averages
        if averages:
            values = [self._parameters[i].array for i in averages]
            olds = list(averages.values())
            _run("blend", [*olds, *values], olds, keep=momentum, take=1 - momentum)
        for i, parameter in updated.items():
            if i not in averages:
                averages[i] = dispatch.run("copy", parameter.array)

    def ema_values(self) -> list[np.ndarray]:
        """Return copies of the averages, one per parameter; of a parameter without one, its value.

        Raises:
            ArgumentError: the optimizer keeps no average, or `step` was not called yet.
        """
        values = {i: p.array for i, p in enumerate(self._parameters)}
        return [to_host(a).copy() for a in (values | self._averages("ema_values")).values()]

    def swap_ema(self) -> None:
        """Exchange the parameters and their averages; a second call puts them back.

        Raises:
            ArgumentError: the optimizer keeps no average, or `step` was not called yet.
        """
        for i, average in self._averages("swap_ema").items():
            parameter = self._parameters[i]
            trained = dispatch.run("copy", parameter.array)
            parameter.assign(Tensor.own(average))
            dispatch.run("copy", trained, out=[average])
        self._state.swapped = not self._state.swapped

    def _averages(self, where: str) -> Arrays:
        if self.ema is None or not self._parameters:
            got = "this optimizer has no ema" if self.ema is None else "there was no step yet"
            raise ArgumentError(f"{self._name}.{where}", got, "expected an average",
                                "Give ema=0.99, say, and call step first.")
        return self._state.averages

    # ---- saving ----

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all that a resumed run needs, by name.

        "hyper" holds learning rate and number of the last update, "0/velocity" the slot of the
        first parameter, and so on; "learning_rate" is there where that is a number.
        """
        state = {"hyper": self.hyper.copy(), **self._state.to_dict()}
        if not isinstance(self._rate, schedules.Schedule):
            state["learning_rate"] = np.array(self._rate)
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state that `state_dict` returned.

        Raises:
            CheckpointError: names or shapes do not fit this optimizer and its parameters; then
                nothing is changed.
        """
        rest = {name: array for name, array in state.items() if name not in self._OWN}
        if "hyper" not in state or state["hyper"].shape != self.hyper.shape:
            raise CheckpointError(self._name, f"got a state with {', '.join(state) or 'nothing'}",
                                  f'expected "hyper" of shape {self.hyper.shape}',
                                  "It was saved by another optimizer.")
        loaded = State.from_dict(self._name, rest, self.slots())
        if self._parameters:
            loaded.check([p.array for p in self._parameters])
        self._state = loaded
        np.copyto(self.hyper, state["hyper"])
        if "learning_rate" in state:
            self.learning_rate = float(state["learning_rate"])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal optimizer, as JSON can hold them."""
        return {"learning_rate": schedules.describe(self._rate), **self.settings,
                **{name: getattr(self, name) for name in DEFAULTS}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any],
                    custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Return the optimizer that `get_config` described."""
        rate = schedules.get(config["learning_rate"], custom_objects)
        return cls(**{**config, "learning_rate": rate})


def _zeros(like: np.ndarray) -> np.ndarray:
    """Return zeros of the shape and type of an array, where it lies."""
    return dispatch.move(np.zeros(like.shape, like.dtype), device_of(like))


def _run(name: str, arrays: Sequence[np.ndarray], out: Sequence[np.ndarray] | None,
         **attrs: Any) -> tuple[np.ndarray, ...]:
    return dispatch.call(registry.get(name), arrays, attrs, out=out).out


def _why_none(parameters: Sequence[Parameter]) -> tuple[str, str, str]:
    """Say what came, what was expected and what to do where no parameter has a gradient."""
    if not parameters:
        return ("got no parameters", "expected those of a model", "A model that was never called "
                "may have none yet: call it once, or give it an Input.")
    if not any(p.trainable for p in parameters):
        return ("all parameters are frozen", "expected a trainable one",
                "Set trainable = True on a layer or a parameter.")
    return ("no trainable parameter has a gradient", "expected at least one",
            "Call loss.backward() first.")
