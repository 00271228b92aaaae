"""Training an experiment from its recipe, and writing down what came out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import random, viz
from ..data import DataLoader
from ..errors import ArgumentError, CheckpointError
from ..train import resume as resuming
from ..train.callbacks import (
    Callback,
    Checkpoint,
    EpochCheckpoint,
    LearningRateScheduler,
    TrainingMonitor,
)
from ..train.ensemble import Ensemble
from ..train.monitor import write_table
from .folder import RunFolder
from .memory import peak_rss_mb
from .recipe import Recipe
from .settings import WISHES, due, scheduled, settings_of, settle

Path = str | os.PathLike[str]
DRAWN_EVERY = 20.0  # seconds from one drawing of the curves to the next

__all__ = ["Result", "compiled", "loaders", "run", "settings_of", "wanted"]


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


def run(recipe: Recipe, out: Path, *, resume: Path | bool = False, overwrite: bool = False,
        **changes: Any) -> Result:
    """Train an experiment and write model, figures and report into a folder.

    Args:
        out: the folder (`recipes.folder` says what will be in it).
        resume: True to go on from the newest checkpoint in the folder, or begin where there is
            none; or a checkpoint to go on from, or a folder of them.
        overwrite: replace what an earlier run wrote into the folder; with `resume`, replace
            what it wrote after that checkpoint.
        changes: epochs, batch_size, learning_rate, seed, limit (use the first samples only),
            classes (use these only), checkpoint_every (keep a checkpoint of every so many epochs)
            and data (a folder) in place of the recipe's. With `resume`, learning_rate is that
            from the checkpoint on.

    Raises:
        ArgumentError: the folder holds a run, or settings differ from those of a resumed run.
        CheckpointError: the folder cannot be written, or a checkpoint cannot be read.
        DataError: the data set is missing or damaged.
    """
    if recipe.members > 1:
        return _run_members(recipe, RunFolder(out), resume, overwrite, changes)
    folder = RunFolder(out)
    folder.prepare()
    file = resuming.find(resume, [folder.checkpoints]) if resume else None
    position = resuming.position(file) if file else None
    settings = settle(recipe, folder, bool(resume), overwrite, position, changes)
    if position and not overwrite:
        _check_ahead(folder, position)
    recipe = wanted(recipe, settings)
    training, test = loaders(recipe, settings)
    if not resume:
        folder.clear()
    random.seed(settings["seed"])
    model = compiled(recipe, settings["learning_rate"])
    folder.write("run.json", settings)
    history = model.fit(training, epochs=settings["epochs"], validation_data=test,
                        resume=file or bool(resume),
                        learning_rate=due(settings["learning_rates"], position),
                        callbacks=_callbacks(recipe, folder, settings, overwrite))
    if history.interrupted:
        return Result(model, history, {})
    test_figures = model.evaluate(test, return_dict=True)
    report = _report(recipe, model, history, training.samples, test_figures)
    _write(folder, model, history, report)
    return Result(model, history, report)


def _check_ahead(folder: RunFolder, position: resuming.Position) -> None:
    """Raise where the folder holds checkpoints that are ahead of the one to go on from."""
    ahead = [f for p, f in resuming.files(folder.checkpoints).items() if p > position]
    if ahead:
        raise CheckpointError(str(folder.checkpoints), f"it holds {ahead[-1].name}",
                              f"the run is to go on from epoch {position[0]}, step {position[1]}",
                              "Let go of what came after it with --overwrite, or name another "
                              "folder with --out.")


def _run_members(recipe: Recipe, folder: RunFolder, resume: Path | bool, overwrite: bool,
                 changes: dict[str, Any]) -> Result:
    """Train the members of an ensemble one after the other, and measure them together."""
    if resume and (resume is not True or changes.get("learning_rate") is not None):
        raise ArgumentError(str(folder.path), "got a checkpoint or a learning rate to go on with",
                            f"{recipe.name} has {recipe.members} members, each with its own",
                            "Leave it out; the ensemble goes on where it was.")
    folder.prepare()
    settings = settle(recipe, folder, bool(resume), overwrite, None, changes)
    if not resume:
        folder.clear()
    folder.write("run.json", settings)
    results = []
    for number, member in enumerate(folder.members(recipe.members)):
        wishes = {name: settings[name] for name in WISHES} | {"seed": settings["seed"] + number}
        if member.begun() and resume:
            wishes["learning_rate"] = None  # it has its own by now
        print(f"Member {number + 1} of {recipe.members}, seed {wishes['seed']}", flush=True)
        results.append(run(replace(recipe, members=1), member.path, resume=resume,
                           overwrite=overwrite, **wishes))
        if not results[-1].report:
            return results[-1]
    together = Ensemble([result.model for result in results])
    _, test = loaders(wanted(recipe, settings), settings)
    report = _summed([result.report for result in results], recipe.name)
    report["test"] = together.evaluate(test, return_dict=True)
    folder.write("report.json", report)
    return Result(together, results[-1].history, report)


def _summed(reports: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the report of an ensemble without its test: sums over its members."""
    seconds = sum(r["seconds"] for r in reports)
    images = sum(r["seconds"] * r["images_per_second"] for r in reports)
    return {"name": name, "parameters": sum(r["parameters"] for r in reports),
            "epochs": sum(r["epochs"] for r in reports), "seconds": round(seconds, 3),
            "images_per_second": round(images / max(seconds, 1e-9), 1),
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "members": [r["test"]["accuracy"] for r in reports]}


def wanted(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """Return the recipe on the classes that the settings choose, if they do."""
    return recipe if settings.get("classes") is None else recipe.cut(settings["classes"])


def _callbacks(recipe: Recipe, folder: RunFolder, settings: dict[str, Any], overwrite: bool
               ) -> Sequence[Callback]:
    found = [*recipe.callbacks(), Checkpoint(folder.checkpoints, overwrite=overwrite),
             TrainingMonitor(folder.path / "history.png", folder.path / "history.json",
                             title=recipe.name, interval=DRAWN_EVERY)]
    if recipe.schedule is not None and scheduled(recipe, settings):
        found.append(LearningRateScheduler(recipe.schedule))
    if settings["checkpoint_every"]:
        found.append(EpochCheckpoint(folder.checkpoints, settings["checkpoint_every"],
                                     overwrite=overwrite))
    return found


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
            "peak_rss_mb": round(peak_rss_mb(), 1), "test": dict(test)}


def _write(folder: RunFolder, model: Any, history: Any, report: dict[str, Any]) -> None:
    if not (folder.path / "history.json").exists():  # a finished run that was brought elsewhere
        write_table(folder.path / "history.json", {"epoch": history.epoch, **history.history})
        viz.save(viz.training_curves(history, report["name"]), folder.path / "history.png")
    model.save(folder.model)
    folder.write("report.json", report)
