"""Training an experiment from its recipe, and writing down what came out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .. import random, viz
from ..data import DataLoader
from ..errors import ArgumentError
from ..train.resume import Checkpoint
from .folder import RunFolder
from .memory import peak_rss_mb
from .recipe import Recipe

Path = str | os.PathLike[str]
FIXED = ("name", "batch_size", "learning_rate", "seed", "limit")
"""Settings that a resumed run shares with its beginning."""


@dataclass(frozen=True)
class Result:
    """What a training gave.

    Attributes:
        model: the trained model.
        history: figures of every epoch.
        report: what report.json holds; empty where Ctrl+C ended the run.
    """

    model: Any
    history: Any
    report: dict[str, Any]


def settings_of(recipe: Recipe, **changes: Any) -> dict[str, Any]:
    """Return the settings of a run: the recipe's, changed by those that are not None.

    >>> from minidl.recipes import get
    >>> settings_of(get("mnist_convnet"), epochs=1, seed=None)["epochs"]
    1
    """
    settings = {"name": recipe.name, "epochs": recipe.epochs, "batch_size": recipe.batch_size,
                "seed": recipe.seed, "learning_rate": None, "limit": None, "data": None}
    return settings | {key: value for key, value in changes.items() if value is not None}


def run(recipe: Recipe, out: Path, *, resume: Path | bool = False, overwrite: bool = False,
        **changes: Any) -> Result:
    """Train an experiment and write model, figures and report into a folder.

    Args:
        out: the folder (`recipes.folder` says what will be in it).
        resume: True to go on from the newest checkpoint in the folder, or begin where there is
            none; or a checkpoint to go on from, or a folder of them.
        overwrite: replace what an earlier run wrote into the folder; with `resume`, replace
            what it wrote after that checkpoint.
        changes: epochs, batch_size, learning_rate, seed, limit (use the first samples only) and
            data (a folder) in place of the recipe's.

    Raises:
        ArgumentError: the folder holds a run, or settings differ from those of a resumed run.
        CheckpointError: the folder cannot be written, or a checkpoint cannot be read.
        DataError: the data set is missing or damaged.
    """
    folder = RunFolder(out)
    folder.prepare()
    settings = _settings(recipe, folder, bool(resume), overwrite, changes)
    training, test = loaders(recipe, settings)
    if not resume:
        folder.clear()
    folder.write("run.json", settings)
    random.seed(settings["seed"])
    model = compiled(recipe, settings["learning_rate"])
    history = model.fit(training, epochs=settings["epochs"], validation_data=test, resume=resume,
                        callbacks=[Checkpoint(folder.checkpoints, overwrite=overwrite)])
    if history.interrupted:
        return Result(model, history, {})
    test_figures = model.evaluate(test, return_dict=True)
    report = _report(recipe, model, history, training.samples, test_figures)
    _write(folder, model, history, report)
    return Result(model, history, report)


def _settings(recipe: Recipe, folder: RunFolder, resume: bool, overwrite: bool,
              changes: dict[str, Any]) -> dict[str, Any]:
    if not folder.begun() or (overwrite and not resume):
        return settings_of(recipe, **changes)
    if not resume:
        raise ArgumentError(str(folder.path), "holds a run already", "",
                            "Go on with --resume, start anew with --overwrite, or name another "
                            "folder with --out.")
    before = folder.settings()
    settings = before | settings_of(recipe, **{**before, **{
        key: value for key, value in changes.items() if value is not None}})
    settings["name"] = recipe.name
    for key in FIXED:
        if settings[key] != before.get(key):
            raise ArgumentError(str(folder.path), f"got {key}={settings[key]}",
                                f"the run to resume has {key}={before.get(key)}",
                                "Leave it out, or start anew with --overwrite.")
    return settings


def loaders(recipe: Recipe, settings: dict[str, Any]) -> tuple[DataLoader, DataLoader]:
    """Return the training and the test data as batches for the model."""
    (x, y), (x_test, y_test) = recipe.data.load(settings["data"])
    prepare = recipe.data.transform
    training = DataLoader(x, y, batch_size=settings["batch_size"], shuffle=True,
                          seed=settings["seed"], limit=settings["limit"], transform=prepare)
    test = DataLoader(x_test, y_test, batch_size=recipe.test_batch_size,
                      limit=settings["limit"], transform=prepare)
    return training, test


def compiled(recipe: Recipe, learning_rate: float | None = None) -> Any:
    """Return a fresh model with the recipe's optimizer, loss and metrics."""
    changes = {} if learning_rate is None else {"learning_rate": learning_rate}
    model = recipe.model()
    model.compile(recipe.optimizer(**changes), recipe.loss, metrics=list(recipe.metrics))
    return model


def _report(recipe: Recipe, model: Any, history: Any, samples: int, test: dict[str, float]
            ) -> dict[str, Any]:
    seconds = sum(history.seconds)
    return {"name": recipe.name, "parameters": model.count_parameters(),
            "epochs": len(history.epoch), "seconds": round(seconds, 3),
            "images_per_second": round(samples * len(history.epoch) / max(seconds, 1e-9), 1),
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "test": {"loss": test["loss"], "accuracy": test["accuracy"]}}


def _write(folder: RunFolder, model: Any, history: Any, report: dict[str, Any]) -> None:
    folder.write("history.json", history.history)
    viz.save(viz.training_curves(history, report["name"]), folder.path / "history.png")
    model.save(folder.model)
    folder.write("report.json", report)
