"""One step: forward, loss, backward, update; and the running means of loss and metrics."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import config, dispatch
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..backend import device as devices
from ..backend.arrays import HOST
from ..backend.device import to_host
from ..errors import ArgumentError
from ..optim.parameters import Pair, penalty_of
from ..watch import inference
from .feed import Batch
from .losses import Loss
from .metric import Mean, Metric, State
from .passes import inputs_of, kind_of, passes_of, running

MOST_LATE = 4  # batches on a GPU that were trained on and are not counted yet
Sent = Callable[[], tuple[Any, float]]  # outputs and loss of a batch, when they have come


@dataclass
class Compiled:
    """What `compile` sets: how a model is trained and judged."""

    optimizer: Any
    loss: Loss
    metrics: list[Metric]


class Tracker:
    """Sums of the loss and of metrics over the samples seen so far.

    Args:
        metrics: counted in; copies are, where `private`.
    """

    def __init__(self, metrics: Sequence[Metric], private: bool = False) -> None:
        self.metrics = copy.deepcopy(list(metrics)) if private else list(metrics)
        self.loss = Mean("loss")
        self._late: deque[tuple[Batch, int, Sent]] = deque()  # batches that are not counted yet
        self.reset()

    @property
    def samples(self) -> int:
        """Number of samples seen."""
        self.settle()
        return self.loss.count

    def reset(self) -> None:
        """Forget what was seen."""
        self._late.clear()
        for metric in (self.loss, *self.metrics):
            metric.reset()

    def update(self, batch: Batch, outcome: Outcome) -> None:
        """Take a batch into account.

        What lies on a GPU is copied from there beside the steps that follow, and counted when it
        has come; whoever reads the sums waits for that.
        """
        self._late.append((batch, len(outcome.losses), outcome.sent()))
        most = 0 if outcome.losses.device == HOST else MOST_LATE
        while len(self._late) > most:
            self._count()

    def _count(self) -> None:
        """Count the oldest batch that waits."""
        batch, samples, sent = self._late.popleft()
        y_pred, loss = sent()
        self.loss.add(loss, samples)
        for metric in self.metrics:
            metric.update(batch.y, y_pred)  # type: ignore[arg-type]

    def settle(self) -> None:
        """Count all batches that wait."""
        while self._late:
            self._count()

    def logs(self, prefix: str = "") -> dict[str, float]:
        """Return the means by name."""
        self.settle()
        named = {}
        for metric in (self.loss, *self.metrics):
            value = metric.result()
            several = value if isinstance(value, dict) else {metric.name: value}
            named.update({prefix + name: float(v) for name, v in several.items()})
        return named

    def get_state(self) -> list[State]:
        """Return the sums so far."""
        self.settle()
        return [metric.get_state() for metric in (self.loss, *self.metrics)]

    def set_state(self, states: Sequence[State]) -> None:
        """Go on from sums that `get_state` returned."""
        self._late.clear()
        for metric, state in zip((self.loss, *self.metrics), states, strict=True):
            metric.set_state(state)


# ---- forward -------------------------------------------------------------------------------


def build(model: Any, batches: Iterable[Batch]) -> None:
    """Let a model that makes its weights at the first call make them now, for such batches."""
    if not getattr(model, "built", True):
        with inference(model), config.shapes_only():
            model(next(iter(batches)).x)


def losses_of(loss: Loss, batch: Batch, y_pred: Tensor) -> tuple[Tensor, np.ndarray]:
    """Return the loss of each sample (N,), and what each counts (N,).

    The second is the gradient of the batch's loss, the weighted mean, by the first.
    """
    if batch.y is None:
        raise ArgumentError("loss", "got a batch without labels", "expected (x, y) from the loader",
                            "Write DataLoader(x, y).")
    losses = loss(Tensor.own(batch.y), y_pred)
    return losses, shares_of(batch, losses)


def shares_of(batch: Batch, losses: Tensor) -> np.ndarray:
    """Return what each sample counts (N,): its weight, or 1, divided by N."""
    weight = np.ones(losses.shape, losses.dtype) if batch.weight is None else batch.weight
    return np.divide(weight, len(losses), dtype=losses.dtype)


def penalty(parameters: Sequence[Parameter]) -> Tensor | None:
    """Return the sum of the parameters' regularizers, None where there are none."""
    total: Tensor | None = None
    for parameter in parameters:
        if parameter.regularizer is not None:
            term = parameter.regularizer(parameter)
            total = term if total is None else total + term
    return total


def known_penalties(parameters: Sequence[Parameter]) -> dict[Parameter, Pair]:
    """Return (l1, l2) of the parameters whose regularizers the optimizer applies itself."""
    pairs = {p: penalty_of(p) for p in parameters if p.regularizer is not None}
    return {p: pair for p, pair in pairs.items() if pair is not None}


def costs_of(known: Mapping[Parameter, Pair]) -> list[np.ndarray]:
    """Return l1 sum |p| + l2 sum p^2 of all these parameters, by one pass over them, if any."""
    if not known:
        return []
    return [dispatch.run("penalty", *[p.array for p in known], penalties=tuple(known.values()))]


# ---- steps ---------------------------------------------------------------------------------


def _at_hand(array: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: array


class Outcome(NamedTuple):
    """What the forward pass of a step leaves to be read.

    Attributes:
        y_pred: the outputs (N, ...).
        losses: of each sample (N,).
        shares: what each counts (N,), the gradient of the loss by `losses`.
        costs: of the regularizers, arrays of one element.
    """

    y_pred: Tensor
    losses: Tensor
    shares: np.ndarray
    costs: Sequence[np.ndarray] = ()

    def sent(self) -> Sent:
        """Return a function that gives the outputs (from a GPU, a copy), and the loss.

        That is the sum over the batch of share times loss, and the cost of the regularizers.
        """
        on_gpu = self.losses.device != HOST
        send = devices.get(self.losses.device).send if on_gpu else _at_hand
        several = not isinstance(self.y_pred, Tensor)  # outputs, which no metric takes
        y_pred = (lambda: self.y_pred) if several else send(self.y_pred.array)
        losses, *costs = [send(a) for a in (self.losses.array, *self.costs)]

        def wait() -> tuple[Any, float]:
            return y_pred(), self._loss(losses(), [cost() for cost in costs])
        return wait

    def _loss(self, losses: np.ndarray, costs: Sequence[np.ndarray]) -> float:
        loss = float(np.sum(losses * self.shares, dtype=np.float64))
        return loss + sum(cost.item() for cost in costs)


def train_step(model: Any, how: Compiled, batch: Batch, tracker: Tracker,
               parameters: Sequence[Parameter]) -> Outcome:
    """Change the weights by the gradient of a batch's loss, regularizers included.

    L1 and L2 stay out of the graph: one pass over the weights gives what they cost, and the
    optimizer adds their gradient in the pass in which it changes the weights.
    """
    outcome, extra = forward(model, how, batch, parameters)
    tracker.update(batch, outcome)
    update(how, outcome, extra, parameters)
    return outcome


def forward(model: Any, how: Compiled, batch: Batch, parameters: Sequence[Parameter]
            ) -> tuple[Outcome, Tensor | None]:
    """Return what a step gives, and the penalties whose gradient autograd takes."""
    known = known_penalties(parameters)
    with dispatch.quiet():
        y_pred = model(inputs_of(batch.x, *kind_of(parameters)))
        losses, shares = losses_of(how.loss, batch, y_pred)
        extra = penalty([p for p in parameters if p not in known])
    costs = costs_of(known) + ([] if extra is None else [extra.array])
    return Outcome(y_pred, losses, shares, costs), extra


def update(how: Compiled, outcome: Outcome, extra: Tensor | None,
           parameters: Sequence[Parameter]) -> None:
    """Change the weights by the gradients of losses and penalties."""
    for part, gradient in ((outcome.losses, outcome.shares), (extra, None)):
        if part is not None and part.requires_grad:
            how.optimizer.scaled(part).backward(gradient)
    known = known_penalties(parameters)
    how.optimizer.step(parameters, **({"regularize": True} if known else {}))
    how.optimizer.zero_grad(parameters)


def judge(model: Any, how: Compiled, batches: Iterable[Batch], tracker: Tracker,
          stop: Callable[[], bool] = bool) -> None:
    """Take every sample into account once, for the loss with what the regularizers cost.

    Args:
        stop: asked after each batch; True ends it early.
    """
    tracker.reset()
    parameters = model.parameters()
    kind, run = kind_of(parameters), passes_of(model)
    with inference(model):
        known = known_penalties(parameters)
        extra = penalty([p for p in parameters if p not in known])
        costs = costs_of(known) + ([] if extra is None else [extra.array])
        for batch in batches:
            y_pred = run(batch.x, *kind)
            tracker.update(batch, Outcome(y_pred, *losses_of(how.loss, batch, y_pred), costs))
            if stop():
                return


def predict(model: Any, batches: Iterable[Batch]) -> Any:
    """Return the model's outputs for all samples; a list of arrays where it has several."""
    parts: list[list[np.ndarray]] = []
    several = False
    with running(model) as run:
        for batch in batches:
            y = run(batch.x)
            several = isinstance(y, (list, tuple))
            parts.append([to_host(part.array) for part in (y if several else [y])])
    columns = zip(*parts, strict=True)
    whole = [np.concatenate(c) if len(c) > 1 else c[0] for c in columns]
    return whole if several else whole[0]
