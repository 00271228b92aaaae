"""Training an experiment from its recipe, and writing down what came out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from .. import random, viz
from ..data import DataLoader, HDF5Source
from ..errors import ArgumentError, CheckpointError
from ..models.transfer import given
from ..train import resume as resuming
from ..train.callbacks import (
    Callback,
    Checkpoint,
    EpochCheckpoint,
    LearningRateScheduler,
    StopAfter,
    TrainingMonitor,
)
from ..train.crops import ten_crop_predict
from ..train.ensemble import Ensemble
from ..train.metrics import rank_accuracy
from ..train.monitor import write_table
from . import pretrained
from .data import Part
from .folder import RunFolder
from .memory import peak_rss_mb
from .recipe import Features, Recipe
from .schedule import Schedule
from .settings import WISHES, due, schedule_of, settings_of, settle
from .stages import Stages

Path = str | os.PathLike[str]
DRAWN_EVERY = 20.0  # seconds from one drawing of the curves to the next
CROPPED = 16        # images whose ten crops are taken at once

__all__ = ["Result", "compiled", "loaders", "run", "settings_of", "wanted"]


@dataclass(frozen=True)
class Result:
    """What a training gave.

    Attributes:
        model: the trained model.
        history: figures of every epoch; None for a logistic regression.
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
            classes (use these only), checkpoint_every (keep a checkpoint of every so many epochs),
            data (a folder) and weights (a file) in place of the recipe's, device ("cpu" or
            "cuda"). With `resume`, learning_rate is that from the checkpoint on.

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
    found, recipe = callable(recipe.data.names), wanted(recipe, settings)
    if found:  # in the folder, which may be gone when the model is used
        settings["class_names"] = list(recipe.data.names)  # type: ignore[arg-type]
    weights = pretrained.weights_of(recipe, settings)
    if weights is not None and "origin" not in settings:
        settings["origin"] = pretrained.origin_of(recipe, weights)
        recipe = pretrained.as_weights_want(recipe, settings)
    read = recipe.data.stored if recipe.features else recipe.data.parts
    parts = read(settings["data"], settings["limit"])
    if not resume:
        folder.clear()  # only now: a run is not given up for data that cannot be read
    start = Start(file or bool(resume), position, overwrite)
    train = _on_features if recipe.features else _fit
    model, history, report = train(recipe, folder, settings, parts, weights, start)
    if report:
        _write(folder, model, history, report)
    return Result(model, history, report)


class Start(NamedTuple):
    """How a run begins.

    Attributes:
        resume: what `fit` takes: a checkpoint to go on from, or whether to.
        position: epochs and steps that are done; None to begin.
        overwrite: whether checkpoints of an earlier run are replaced.
    """

    resume: Any
    position: resuming.Position | None
    overwrite: bool


Trained = tuple[Any, Any, dict[str, Any]]  # model, history, and the report if it came to its end


def _fit(recipe: Recipe, folder: RunFolder, settings: dict[str, Any], parts: Sequence[Part],
         weights: Any, start: Start) -> Trained:
    """Train the network of a recipe."""
    data = loaders(recipe, settings, folder, parts)
    random.seed(settings["seed"])
    model = compiled(recipe, settings["learning_rate"], None if start.position else weights)
    model.to(settings["device"])
    callbacks = _callbacks(recipe, folder, settings, start.overwrite)
    if recipe.stages:
        stages = Stages(recipe.stages, settings["epochs"])
        model.compile(stages.prepare(model, start.position), recipe.loss, [*recipe.metrics])
        callbacks = [stages, *callbacks]
    folder.write("run.json", settings)
    history = model.fit(data.training, epochs=settings["epochs"], validation_data=data.validation,
                        resume=start.resume, callbacks=callbacks,
                        learning_rate=due(settings["learning_rates"], start.position))
    report = {} if history.interrupted else _report(
        recipe, model, history, data.training.samples, measured(recipe, model, data))
    return model, history, report


def _on_features(recipe: Recipe, folder: RunFolder, settings: dict[str, Any],
                 parts: Sequence[Part], weights: Any, start: Start) -> Trained:
    """Take the features of all images, and train a head or a logistic regression on them."""
    features = recipe.features or Features(recipe.model)
    folder.write("run.json", settings)
    random.seed(settings["seed"])
    body = pretrained.body_of(features, weights).to(settings["device"])
    parts = pretrained.extracted(recipe, features, body, parts, folder)
    if recipe.grid:
        head, report = pretrained.fit_grid(recipe, folder, parts)
        history = None
    else:
        head, history, report = _fit(pretrained.on_features(recipe), folder, settings, parts,
                                     None, start)
    return pretrained.whole_model(recipe, features, body, head), history, report


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
    recipe = wanted(recipe, settings)
    report = _summed([result.report for result in results], recipe.name)
    report["test"] = measured(recipe, together, loaders(recipe, settings, folder))
    folder.write("report.json", report)
    return Result(together, results[-1].history, report)


def _summed(reports: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the report of an ensemble without its test: sums over its members."""
    seconds = sum(r["seconds"] for r in reports)
    images = sum(r["seconds"] * r["images_per_second"] for r in reports)
    return {"name": name, "parameters": sum(r["parameters"] for r in reports),
            "epochs": sum(r["epochs"] for r in reports), "seconds": round(seconds, 3),
            "waiting": round(sum(r["waiting"] * r["seconds"] for r in reports)
                             / max(seconds, 1e-9), 4),
            "images_per_second": round(images / max(seconds, 1e-9), 1),
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "members": [r["test"]["accuracy"] for r in reports]}


def wanted(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """Return the recipe with the classes that the data has, or that the settings choose.

    Images are scaled as the weights want them that the run began with.
    """
    recipe = recipe.at(settings.get("data"), settings.get("classes"), settings.get("class_names"))
    return pretrained.as_weights_want(recipe, settings)


def _callbacks(recipe: Recipe, folder: RunFolder, settings: dict[str, Any], overwrite: bool
               ) -> Sequence[Callback]:
    found = [*recipe.callbacks(), Checkpoint(folder.checkpoints, overwrite=overwrite),
             TrainingMonitor(folder.path / "history.png", folder.path / "history.json",
                             title=recipe.name, interval=DRAWN_EVERY)]
    schedule = schedule_of(recipe, settings)
    if schedule is not None:
        found.append(LearningRateScheduler(partial(_rate, schedule, settings["epochs"])))
    if recipe.steps is not None and settings["epochs"] == recipe.epochs:
        found.append(StopAfter(recipe.steps))
    if settings["checkpoint_every"]:
        found.append(EpochCheckpoint(folder.checkpoints, settings["checkpoint_every"],
                                     overwrite=overwrite))
    return found


def _rate(schedule: Schedule, epochs: int, epoch: int) -> float:
    return schedule(epoch, epochs)


class Loaders(NamedTuple):
    """The batches of a run.

    Attributes:
        training: with random crops and augmentation.
        validation: after each epoch; the test's where there is no part for it.
        test: of the end.
        whole: the test's images uncropped.
    """

    training: DataLoader
    validation: DataLoader
    test: DataLoader
    whole: DataLoader


def loaders(recipe: Recipe, settings: dict[str, Any], folder: RunFolder,
            parts: Sequence[Part] | None = None) -> Loaders:
    """Return the data as batches for the model; without a part for validation the test is it.

    What is subtracted from all images is computed once and kept in the folder.

    Args:
        parts: of the data, where they are read already.
    """
    data = recipe.data
    parts = parts or data.parts(settings["data"], settings["limit"])
    mean = folder.mean()
    if data.mean is not None and mean is None:
        mean = folder.write_mean(data.mean(parts[0][0]))
    blocks = isinstance(parts[0][0], HDF5Source)
    training = DataLoader(*parts[0], batch_size=settings["batch_size"], workers=recipe.workers,
                          shuffle="blocks" if blocks else True, seed=settings["seed"],
                          transform=data.prepared(True, mean, settings["seed"]))
    rest = [DataLoader(*part, batch_size=recipe.test_batch_size, workers=recipe.workers,
                       transform=data.prepared(False, mean)) for part in parts[1:]]
    whole = DataLoader(*parts[-1], batch_size=CROPPED,
                       transform=data.prepared(False, mean, whole=True))
    return Loaders(training, rest[0], rest[-1], whole)


def compiled(recipe: Recipe, learning_rate: float | None = None, weights: Any = None) -> Any:
    """Return a fresh model with the recipe's optimizer, loss and metrics.

    Args:
        weights: that its network begins with.
    """
    changes = {} if learning_rate is None else {"learning_rate": learning_rate}
    model = recipe.model(**given(weights))
    model.compile(recipe.optimizer(**changes), recipe.loss, metrics=list(recipe.metrics))
    return model


def measured(recipe: Recipe, model: Any, data: Loaders) -> dict[str, float]:
    """Return loss and metrics on the test data, and the accuracy by ten crops where asked for."""
    figures = model.evaluate(data.test, return_dict=True)
    if recipe.ten_crops is not None:
        said = ten_crop_predict(model, data.whole, recipe.ten_crops)
        labels = data.whole.arrays[1]
        figures["ten_crop_accuracy"] = rank_accuracy(labels, said, k=(1,))[0]
    return figures


def _report(recipe: Recipe, model: Any, history: Any, samples: int, test: dict[str, float]
            ) -> dict[str, Any]:
    seconds = sum(history.seconds)
    return {"name": recipe.name, "parameters": model.count_parameters(),
            "epochs": len(history.epoch), "seconds": round(seconds, 3),
            "waiting": round(sum(history.waited) / max(seconds, 1e-9), 4),
            "images_per_second": round(samples * len(history.epoch) / max(seconds, 1e-9), 1),
            "peak_rss_mb": round(peak_rss_mb(), 1), "test": dict(test)}


def _write(folder: RunFolder, model: Any, history: Any, report: dict[str, Any]) -> None:
    brought = not (folder.path / "history.json").exists()  # a finished run, from elsewhere
    if history and brought:
        write_table(folder.path / "history.json", {"epoch": history.epoch, **history.history})
        viz.save(viz.training_curves(history, report["name"]), folder.path / "history.png")
    model.save(folder.model)
    folder.write("report.json", report)
