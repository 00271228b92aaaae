"""Several models that are asked together: the mean of what they say is better than most of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import random
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..spec import tuple_of
from . import checkpoint
from .callback import Callback
from .feed import feed
from .probabilities import probabilities_of, to_outputs
from .resume import Checkpoint
from .step import Outcome, Tracker, build, losses_of


class Ensemble:
    """Models whose probabilities are averaged: p(x) = (p_1(x) + ... + p_k(x)) / k.

    What the models' outputs are (probabilities, logarithms of them, logits) the loss says that
    they are compiled with.

    Args:
        models: trained models of the same inputs and classes.

    Source: Perrone and Cooper, "When networks disagree: ensemble methods for hybrid neural
    networks", 1993.

    >>> ensemble = Ensemble([load_model("a"), load_model("b")])  # doctest: +SKIP
    >>> ensemble.predict(images).argmax(axis=1)  # doctest: +SKIP
    """

    def __init__(self, models: Sequence[Any]) -> None:
        if not models:
            raise ArgumentError("Ensemble", "got no models", "expected at least one",
                                "Give a list of trained models.")
        self.models = list(models)

    def predict(self, x: Any, batch_size: int = 32) -> np.ndarray:
        """Return the mean of the models' probabilities (N, classes).

        Args:
            x: array, list of arrays, or loader whose first array is the input.
            batch_size: samples in a batch; a loader has its own.
        """
        data = feed("predict", x, batch_size=batch_size, labelled=False, whole=True)
        return np.concatenate([self._mean(batch.x) for batch in data.epoch()])

    def evaluate(self, x: Any, y: Any = None, batch_size: int = 32, return_dict: bool = False
                 ) -> Any:
        """Return loss and metrics of the mean over all samples, each counted once.

        Loss and metrics are those that the first model is compiled with, without regularizers.

        Args:
            x: array, list of arrays, or loader of (x, y).
            y: labels, unless x is a loader.
            batch_size: samples in a batch; a loader has its own.
            return_dict: return the figures by name.

        Returns:
            [loss, metric, ...], or a dict of them.
        """
        how = self.models[0]._how("evaluate")
        data = feed("evaluate", x, y, batch_size=batch_size, whole=True)
        tracker = Tracker(how.metrics, private=True)
        for batch in data.epoch():
            outputs = Tensor.own(to_outputs(how.loss, self._mean(batch.x)))
            tracker.update(batch, Outcome(outputs, *losses_of(how.loss, batch, outputs)))
        logs = tracker.logs()
        return logs if return_dict else list(logs.values())

    def _mean(self, x: Any) -> np.ndarray:
        said = [probabilities_of(model, x) for model in self.models]
        shapes = {p.shape for p in said}
        if len(shapes) > 1:
            raise ShapeError("Ensemble", f"got outputs of shapes {sorted(shapes)}",
                             "expected equal ones", "Take models of the same classes.")
        return np.mean(said, axis=0)


# ---- training ------------------------------------------------------------------------------


def train_ensemble(build_model: Callable[[], Any], x: Any, y: Any = None, *, folder: str |
                   os.PathLike[str], members: int = 5, seed: int = 1, test: Any = None,
                   callbacks: Callable[[Path], Sequence[Callback]] | None = None, **fit: Any
                   ) -> Ensemble:
    """Train models that differ in their seed, and print how good each is, and all together.

    Member i has its initial weights, dropout and order of samples from seed + i, and its own
    folder, member-1 and so on, with checkpoints and the trained model. Called again after a stop,
    the function loads what is trained and goes on where it was.

    Args:
        build_model: returns a fresh, compiled model.
        x: what `fit` takes, or a function of the seed that returns it.
        y: labels, unless x is a loader.
        folder: where the members' folders go.
        members: how many models.
        seed: of the first member.
        test: (x, y) or a loader, on which all are measured.
        callbacks: function of the member's folder that returns callbacks for its training.
        fit: further arguments of `fit`, such as epochs.

    Raises:
        KeyboardInterrupt: Ctrl+C stopped the run; everything is saved.

    >>> ensemble = train_ensemble(build, x, y, folder="runs/five", epochs=40)  # doctest: +SKIP
    """
    members, = tuple_of("train_ensemble", "members", members, 1)
    models = []
    for number, place in member_folders(folder, members):
        own = seed + number
        random.seed(own)
        model, file = build_model(), place / "model.safetensors"
        if file.exists():
            build(model, feed("train_ensemble", *_data(x, y, own)).epoch())
            model.load_weights(file)
        else:
            _train(model, *_data(x, y, own), place, own, callbacks, fit)
        models.append(model)
        _say(f"member {number + 1} of {members} (seed {own})", model, test)
    together = Ensemble(models)
    _say(f"the mean of {members} members", together, test)
    return together


def member_folders(folder: str | os.PathLike[str], members: int) -> Iterator[tuple[int, Path]]:
    """Yield number from 0 and folder of each member.

    >>> [(number, place.name) for number, place in member_folders("runs/five", 2)]
    [(0, 'member-1'), (1, 'member-2')]
    """
    for number in range(members):
        yield number, Path(folder) / f"member-{number + 1}"


def _data(x: Any, y: Any, seed: int) -> tuple[Any, Any]:
    return (x(seed), y) if callable(x) and not hasattr(x, "shape") else (x, y)


def _train(model: Any, x: Any, y: Any, place: Path, seed: int,
           callbacks: Callable[[Path], Sequence[Callback]] | None, fit: dict[str, Any]) -> None:
    watching = [Checkpoint(place / "checkpoints"), *(callbacks(place) if callbacks else ())]
    history = model.fit(x, y, callbacks=watching, resume=True, **{"seed": seed, **fit})
    if history.interrupted:
        raise KeyboardInterrupt
    model.save(checkpoint.file_of(place / "model"))


def _say(who: str, model: Any, test: Any) -> None:
    if test is not None:
        figures = model.evaluate(*(test if isinstance(test, (tuple, list)) else (test,)),
                                 return_dict=True)
        print(f"{who}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
