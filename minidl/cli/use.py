"""`minidl evaluate` and `minidl predict`: what a trained model can do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import recipes, viz
from ..nn.load import load_model
from ..recipes import Recipe
from ..recipes.folder import RunFolder
from ..recipes.run import loaders, settings_of

if TYPE_CHECKING:
    from ..data import DataLoader


def evaluate(arguments: argparse.Namespace) -> None:
    """Print loss and accuracy on the test data of the experiment."""
    folder = RunFolder(arguments.folder)
    recipe, model = trained(folder)
    changes = {"data": arguments.data or folder.settings().get("data"), "limit": arguments.limit}
    _, test = loaders(recipe, settings_of(recipe, **changes))
    figures = model.evaluate(test, return_dict=True)
    print(f"{recipe.name} on {test.samples:,} test images of {recipe.data.name}: "
          f"accuracy {figures['accuracy']:.4f}, loss {figures['loss']:.4f}")
    if arguments.confusion:
        picture = viz.confusion_matrix(confusions(model, test, len(recipe.data.class_names)),
                                       recipe.data.class_names)
        print(f"Confusion matrix in {viz.save(picture, arguments.confusion)}")


def trained(folder: RunFolder) -> tuple[Recipe, Any]:
    """Return the recipe and the trained model of a run."""
    file = folder.need_model()
    return recipes.get(folder.settings()["name"]), load_model(file)


def confusions(model: Any, test: DataLoader, classes: int) -> np.ndarray:
    """Return how often each true class (row) was taken for each class (column)."""
    said = model.predict(test).argmax(axis=1)
    true = np.asarray(test.arrays[1][:test.samples])
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, said), 1)
    return counts


def predict(arguments: argparse.Namespace) -> None:
    """Print the class and its probability for every image."""
    from .pictures import read_image

    recipe, model = trained(RunFolder(arguments.folder))
    read = [read_image(path, recipe.data.shape) for path in arguments.images]
    pixels = np.stack([image for image, _ in read])
    rows = probabilities(recipe, model.predict(recipe.data.image(pixels)))
    for path, (_, turned), row in zip(arguments.images, read, rows, strict=True):
        best = int(row.argmax())
        note = "  (dark on light, so inverted)" if turned else ""
        print(f"{path}: {recipe.data.class_names[best]}  probability {row[best]:.4f}{note}")


def probabilities(recipe: Recipe, outputs: np.ndarray) -> np.ndarray:
    """Return probabilities (N, classes) of a model whose loss says what its outputs are."""
    return np.exp(outputs) if recipe.loss == "nll" else outputs
