"""What every model gets: compile, fit, evaluate, predict, save."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import config, optim
from ..errors import ArgumentError
from ..spec import tuple_of
from ..watch import mode
from . import checkpoint, losses, metrics
from .callback import Callback, History
from .feed import Batch, Feed, feed, several, source, split, weighted
from .loop import Run
from .progress import progress, summary_line
from .step import Compiled, Tracker, build, judge, predict, train_step

PathLike = str | os.PathLike[str]


class Trainable:
    """Base of `nn.Module`: training, evaluation and saving of anything that keeps the protocol.

    A model is called on a batch, and has `train`, `eval`, `training`, `parameters`, `state_dict`
    and `load_state_dict`.

    Attributes:
        stop_training: callbacks set it to end `fit` after the present batch.
    """

    stop_training = False
    _compiled: Compiled | None = None

    def snapshot(self) -> Any:
        """Return what tells later whether a recorded call is still good: an object with `holds()`.

        None, as here, where calls on inputs of one shape may differ, so that none is recorded.
        """
        return None

    # ---- setting up ----

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Sequence[Any] = ()
                ) -> None:
        """Say how the model is trained.

        Args:
            optimizer: a name such as "sgd", or an optimizer.
            loss: a name such as "sparse_categorical_crossentropy", a loss, or a function
                (y_true, y_pred) -> loss of each sample.
            metrics: names such as "accuracy", metrics, or functions.

        Raises:
            ArgumentError: a name is unknown; the text lists those that exist.
        """
        if loss is None:
            raise ArgumentError("compile", "got no loss", f"there are {', '.join(losses.NAMES)}",
                                'For example loss="sparse_categorical_crossentropy".')
        chosen = losses.get(loss)
        self._compiled = Compiled(optim.get(optimizer), chosen, _metrics(metrics, chosen))

    def _how(self, where: str) -> Compiled:
        if self._compiled is None:
            raise ArgumentError(where, "the model is not compiled", "",
                                'Call model.compile(optimizer="adam", loss=...) first.')
        return self._compiled

    @property
    def optimizer(self) -> Any:
        """The optimizer that `compile` set."""
        return self._how("optimizer").optimizer

    # ---- training ----

    def fit(self, x: Any, y: Any = None, batch_size: int = 32, epochs: int = 1,
            verbose: Any = "auto", callbacks: Sequence[Callback] | Callback | None = None,
            validation_split: float = 0.0, validation_data: Any = None, shuffle: bool = True,
            class_weight: Mapping[int, float] | None = None, sample_weight: Any = None,
            initial_epoch: int = 0, validation_batch_size: int | None = None,
            seed: int | None = None, resume: bool | PathLike | None = None,
            learning_rate: Any = None, device: str | None = None,
            precision: str | None = None) -> History:
        """Train for some epochs; return the figures of each.

        Loss and metrics of an epoch are means over its samples; the loss includes regularizers
        and weights: sum of weight times loss, divided by the number of samples. Ctrl+C ends the
        run after the present batch and lets a `Checkpoint` callback save; a second one stops at
        once.

        Args:
            x: array (N, ...), a list of arrays for several inputs, or a `DataLoader` of
                (x, y) or (x, y, sample_weight).
            y: labels (N, ...), unless x is a loader.
            batch_size: samples in a batch; a loader has its own.
            epochs: number of the epoch to stop at.
            verbose: "auto", 0 silent, 1 a bar on a terminal, 2 a line per epoch.
            callbacks: objects of `minidl.callbacks`, one or a list.
            validation_split: share at the end of the arrays, before shuffling, to validate on.
            validation_data: (x, y), (x, y, sample_weight) or a loader to validate on.
            shuffle: take the samples in a new order each epoch.
            class_weight: {class: weight}, factors on the loss; 1 for classes not named.
            sample_weight: (N,), factors on the loss.
            initial_epoch: number of the first epoch.
            validation_batch_size: batch_size by default.
            seed: of the orders; drawn from `minidl.random` by default.
            resume: a checkpoint file, a folder of them (the newest counts), or True for that of
                the `Checkpoint` callback.
            learning_rate: a number or schedule to train with from here on, in place of that of the
                optimizer or of the checkpoint; a `LearningRateScheduler` still sets its own.
            device: where to train, "cpu" or "cuda"; by default where the model is. The model stays
                there afterwards.
            precision: "bfloat16" or "float16" to compute products on a GPU in that type (see
                `config.precision`).

        Raises:
            DeviceError: there is no such device, or what it needs is missing.
            ArgumentError, ShapeError: arguments do not fit each other or the model.
            CheckpointError: there is nothing to resume from, or it belongs to another run.
        """
        how = self._how("fit")
        if device is not None:
            self.to(device)  # type: ignore[attr-defined]
        epochs, = tuple_of("fit", "epochs", epochs, 1, lowest=0)
        watching = [callbacks] if isinstance(callbacks, Callback) else callbacks or ()
        shown = progress(verbose)
        limit, held = None, validation_data
        if validation_split:
            limit, held = split("fit", x, y, sample_weight, validation_split)
        data = feed("fit", x, y, sample_weight, batch_size=batch_size, shuffle=shuffle, seed=seed,
                    limit=limit, class_weight=class_weight)
        validation = _validation(held, validation_batch_size or batch_size)
        run = Run(self, how, data, validation, [*shown, *watching], epochs, initial_epoch)
        with config.precision(precision or config.precision_now()):
            return run.train(resume, learning_rate)

    def train_on_batch(self, x: Any, y: Any, sample_weight: Any = None,
                       class_weight: Mapping[int, float] | None = None,
                       return_dict: bool = False) -> Any:
        """Do one step on a batch; return its loss and metrics, before the step."""
        how = self._how("train_on_batch")
        tracker = Tracker(how.metrics, private=True)
        batch = _batch(x, y, sample_weight, class_weight)
        build(self, [batch])
        with mode(self, training=True):
            train_step(self, how, batch, tracker, self.parameters())  # type: ignore[attr-defined]
        return _figures(tracker, return_dict)

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False
                      ) -> Any:
        """Return loss and metrics of one batch."""
        how = self._how("test_on_batch")
        tracker = Tracker(how.metrics, private=True)
        batch = _batch(x, y, sample_weight)
        build(self, [batch])
        judge(self, how, [batch], tracker)
        return _figures(tracker, return_dict)

    # ---- use ----

    def evaluate(self, x: Any, y: Any = None, batch_size: int = 32, verbose: int = 0,
                 sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return loss and metrics over all samples, each counted once.

        Args:
            x: array, list of arrays, or loader, as in `fit`.
            y: labels.
            batch_size: samples in a batch; the result does not depend on it but for rounding.
            verbose: 0 silent, else one line.
            sample_weight: (N,), factors on the loss.
            return_dict: return the figures by name.

        Returns:
            [loss, metric, ...]; the loss alone where there are no metrics.
        """
        how, start = self._how("evaluate"), time.perf_counter()
        data = feed("evaluate", x, y, sample_weight, batch_size=batch_size, whole=True)
        tracker = Tracker(how.metrics)
        build(self, data.epoch())
        judge(self, how, data.epoch(), tracker)
        if verbose:
            print(summary_line("evaluate", len(data), time.perf_counter() - start, tracker.logs()))
        return _figures(tracker, return_dict)

    def predict(self, x: Any, batch_size: int = 32, verbose: int = 0) -> Any:
        """Return the model's outputs (N, ...) as an array, or as a list of arrays.

        Args:
            x: array, list of arrays, or loader whose first array is the input.
            batch_size: samples in a batch.
            verbose: 0 silent, else one line.
        """
        start = time.perf_counter()
        data = feed("predict", x, batch_size=batch_size, labelled=False, whole=True)
        build(self, data.epoch())
        outputs = predict(self, data.epoch())
        if verbose:
            print(summary_line("predict", len(data), time.perf_counter() - start, {}))
        return outputs

    # ---- saving ----

    def _architecture(self) -> dict[str, Any]:
        """Return what rebuilds this model without its weights; `nn.Module` overrides it."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to build it")

    def save(self, path: PathLike) -> Path:
        """Write architecture, weights and optimizer; `minidl.load_model` reads them.

        Args:
            path: "DIR/model" makes DIR/model.safetensors and, for reading, DIR/model.json.

        Raises:
            CheckpointError: it cannot be written; what was saved there before is unharmed.
        """
        return checkpoint.save_tree(path, "model", {
            "architecture": self._architecture(),
            "compiled": self._compiled_state(),
            "weights": self.state_dict()})  # type: ignore[attr-defined]

    def save_weights(self, path: PathLike) -> Path:
        """Write the weights; `load_weights` reads them."""
        weights = self.state_dict()  # type: ignore[attr-defined]
        return checkpoint.save_tree(path, "weights", {"weights": weights})

    def load_weights(self, path: PathLike, strict: bool = True) -> None:
        """Take over the weights of a file of `save_weights` or `save`, or of a checkpoint.

        Args:
            strict: raise where names are missing on either side.

        Raises:
            CheckpointError: the file is missing, damaged or of another kind, or does not fit.
        """
        weights = checkpoint.load_tree(path, "weights", "model", "checkpoint")["weights"]
        self.load_state_dict(weights, strict)  # type: ignore[attr-defined]

    def _compiled_state(self) -> dict[str, Any] | None:
        how = self._compiled
        if how is None:
            return None
        return {"optimizer": optim.serialize(how.optimizer),
                "optimizer_state": how.optimizer.state_dict(),
                "loss": how.loss.get_config(), "metrics": [m.get_config() for m in how.metrics]}

    def _restore_compiled(self, saved: Mapping[str, Any],
                          custom_objects: Mapping[str, Callable] | None = None) -> None:
        """Compile as a saved model was, with its optimizer's state."""
        loss = losses.get(saved["loss"], custom_objects)
        chosen = [metrics.get(m, loss, custom_objects) for m in saved["metrics"]]
        self.compile(optim.get(saved["optimizer"], custom_objects), loss, chosen)
        self.optimizer.load_state_dict(saved["optimizer_state"])


_metrics = metrics.get_all  # `compile` has an argument of the module's name


def _validation(held: Any, batch_size: int) -> Feed | None:
    if held is None:
        return None
    parts = held if isinstance(held, (tuple, list)) else (held,)
    if len(parts) > 3:
        raise ArgumentError("fit", f"got validation_data of {len(parts)} parts",
                            "expected (x, y) or (x, y, sample_weight)", "Several inputs go into "
                            "a list: ([x1, x2], y).")
    return feed("validation_data", *parts, batch_size=batch_size, whole=True)


def _batch(x: Any, y: Any, sample_weight: Any,
           class_weight: Mapping[int, float] | None = None) -> Batch:
    """Return copies, as the user may change the arrays while they wait for backward."""
    inputs = [np.array(source(p)) for p in x] if several(x) else np.array(source(x))
    labels = np.array(source(y))
    weight = None if sample_weight is None else np.array(source(sample_weight))
    return Batch(inputs, labels, weighted(weight, labels, class_weight))


def _figures(tracker: Tracker, by_name: bool) -> Any:
    logs = tracker.logs()
    if by_name:
        return logs
    return list(logs.values()) if len(logs) > 1 else logs["loss"]
