"""Training an experiment from its recipe, and writing down what came out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from .. import random
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
from ..train.ensemble import Ensemble
from . import pretrained
from .data import Part
from .folder import RunFolder
from .loaders import loaders
from .recipe import Features, Recipe
from .report import measured, report_of_fit, report_of_members, write_result
from .schedule import Schedule
from .settings import WISHES, due, schedule_of, settle
from .stages import Stages

Path = str | os.PathLike[str]
DRAWN_EVERY = 20.0  # seconds from one drawing of the curves to the next


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
        changes: epochs, batch_size, learning_rate, seed, limit (use so many samples of each part,
            taken evenly), classes (use these only), checkpoint_every (keep a checkpoint of every
            so many epochs), data (a folder) and weights (a file) in place of the recipe's, device
            ("cpu" or "cuda"). With `resume`, learning_rate is that from the checkpoint on.

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
        write_result(folder, model, history, report)
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
    report = {} if history.interrupted else report_of_fit(
        recipe.name, measured(recipe, model, data), model, history, data.training.samples)
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
    test = measured(recipe, together, loaders(recipe, settings, folder))
    report = report_of_members(recipe.name, test, [result.report for result in results])
    folder.write("report.json", report)
    return Result(together, results[-1].history, report)


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


def compiled(recipe: Recipe, learning_rate: float | None = None, weights: Any = None) -> Any:
    """Return a fresh model with the recipe's optimizer, loss and metrics.

    Args:
        weights: that its network begins with.
    """
    changes = {} if learning_rate is None else {"learning_rate": learning_rate}
    model = recipe.model(**given(weights))
    model.compile(recipe.optimizer(**changes), recipe.loss, metrics=list(recipe.metrics))
    return model
