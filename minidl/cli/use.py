"""`minidl evaluate` and `minidl predict`: what a trained model can do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import recipes, viz
from ..errors import ArgumentError
from ..files import replacing
from ..nn.load import load_model
from ..nn.statistics import update_batch_norm
from ..recipes import Recipe
from ..recipes.folder import ADDED, RunFolder
from ..recipes.loaders import loaders
from ..recipes.report import measured
from ..recipes.run import wanted
from ..recipes.settings import settings_of
from ..train import metrics, probabilities
from ..train.ensemble import Ensemble
from .pictures import read_input

if TYPE_CHECKING:
    from ..data import DataLoader


def evaluate(arguments: argparse.Namespace) -> None:
    """Print loss and metrics on the test data of the experiment, and what else is asked for."""
    folder = RunFolder(arguments.folder)
    recipe, model = trained(folder, arguments.data)
    changes = {"data": arguments.data or folder.settings().get("data"), "limit": arguments.limit}
    data = loaders(recipe, settings_of(recipe, **changes), folder)
    if arguments.update_batch_norm:
        _update_batch_norm(model, data.training, arguments.update_batch_norm)
    test, figures = data.test, measured(recipe, model, data)
    named = ", ".join(f"{name} {figures[name]:.4f}" for name in sorted(figures, key=_order))
    print(f"{recipe.name} on {test.samples:,} test images of {recipe.data.name}: {named}")
    if arguments.report or arguments.confusion:
        _report(folder, recipe, model, test, arguments)


def _update_batch_norm(model: Any, training: DataLoader, batches: int) -> None:
    for one in model.models if isinstance(model, Ensemble) else [model]:
        taken = update_batch_norm(one, training, batches)
    print(f"Statistics of batch normalisations: from {taken} batches of training data")


def _order(name: str) -> tuple[bool, str]:
    return name == "loss", name


def trained(folder: RunFolder, data: str | None = None) -> tuple[Recipe, Any]:
    """Return the recipe and the trained model of a run, or its ensemble.

    Args:
        data: the folder of the data, if it is another one now.
    """
    models = [load_model(file) for file in folder.need_models()]
    settings = folder.settings()
    settings["data"] = data or settings.get("data")
    recipe = wanted(recipes.get(settings["name"]), settings)
    return recipe, models[0] if len(models) == 1 else Ensemble(models)


def _report(folder: RunFolder, recipe: Recipe, model: Any, test: DataLoader,
            arguments: argparse.Namespace) -> None:
    names, said = recipe.data.class_names, asked(model, test)
    true = np.asarray(test.arrays[1][:test.samples])
    if arguments.report:
        text = metrics.classification_report(true, said, names)
        ranks = metrics.rank_accuracy(true, said) if len(names) > 5 else ()
        text += "".join(f"\nrank-{k} {rank:.2%}" for k, rank in zip((1, 5), ranks, strict=False))
        print(f"\n{text}\n")
        with replacing(folder.path / ADDED[1]) as aside:
            aside.write_text(text + "\n", "utf-8")
    counts = metrics.confusion_counts(true, probabilities.classes(said), len(names))
    for path in filter(None, (arguments.report and folder.path / ADDED[0], arguments.confusion)):
        print(f"Confusion matrix in {viz.save(viz.confusion_matrix(counts, names), path)}")


def asked(model: Any, x: Any) -> np.ndarray:
    """Return the probabilities (N, classes) of a model or of an ensemble."""
    outputs = model.predict(x)
    return outputs if isinstance(model, Ensemble) else probabilities.probabilities(model, outputs)


def _image_shape(recipe: Recipe) -> tuple[int, int, int]:
    if len(recipe.data.shape) != 3:
        raise ArgumentError("predict", f"got images for {recipe.name}",
                            f"it is trained on {recipe.data.name}, samples of {recipe.data.shape}",
                            "Load its model with minidl.load_model and call predict.")
    height, width, channels = recipe.data.shape
    return height, width, channels


def predict(arguments: argparse.Namespace) -> None:
    """Print the class and its probability for every image."""
    if arguments.weights:
        from .named import predict as predict_named
        return predict_named(arguments)
    folder = RunFolder(arguments.folder)
    recipe, model = trained(folder)
    shape = _image_shape(recipe)
    read = [read_input(path, shape) for path in arguments.images]
    pixels = np.stack([image for image, _ in read])
    prepared = recipe.data.prepared(False, folder.mean())
    rows = asked(model, prepared((pixels,))[0])
    for path, (_, turned), row in zip(arguments.images, read, rows, strict=True):
        best = int(row.argmax())
        note = "  (dark on light, so inverted)" if turned else ""
        print(f"{path}: {recipe.data.class_names[best]}  probability {row[best]:.4f}{note}")
