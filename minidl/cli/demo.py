"""`minidl demo`: from nothing to a network that reads handwritten digits, with pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from .. import config, recipes, viz
from ..errors import ArgumentError
from ..recipes import Recipe
from ..recipes.folder import RunFolder
from ..recipes.run import Result, run
from .train import count, interrupted, sentence

OUT = "runs/demo"
IMAGES = 10_000  # shipped to train on
SHOWN = 30  # test digits on the picture, 5 rows of 6


def demo(arguments: argparse.Namespace) -> int:
    """Train the lecture's network on the shipped digits, draw pictures, and say where they are."""
    recipe, out = recipes.get("demo"), arguments.out or OUT
    _check_free(RunFolder(out))
    epochs = arguments.epochs or recipe.epochs
    images = min(arguments.limit or IMAGES, IMAGES)
    print(f"A convolutional network learns handwritten digits: {count(epochs, 'round')} through "
          f"{count(images, 'image')}\nof the MNIST data set, on "
          f"{count(config.num_threads(), 'thread')} of this computer's CPU.\n")
    result = run(recipe, out, overwrite=True, epochs=arguments.epochs, seed=arguments.seed,
                 limit=arguments.limit)
    if not result.report:
        return interrupted(recipe.name, out)
    pictures = draw(recipe, result, Path(out))
    print(f"\n{_verdict(result)}\n{sentence(result)}\n\nPictures, to look at:")
    for path, text in pictures.items():
        print(f"  {path!s:<28} {text}")
    print(f"\nNext: minidl predict {out} YOUR_IMAGE.png\n      minidl summary demo\n"
          "      minidl list")
    return 0


def _check_free(folder: RunFolder) -> None:
    """Raise where the folder holds a run that is not a demo's."""
    if folder.begun() and folder.settings().get("name") != "demo":
        raise ArgumentError(str(folder.path), "holds a run that is not a demo", "",
                            "Name another folder with --out.")


def _verdict(result: Result) -> str:
    accuracy = result.report["test"]["accuracy"]
    return f"It now reads {accuracy:.1%} of the test digits right, none of which it had seen."


def draw(recipe: Recipe, result: Result, out: Path) -> dict[Path, str]:
    """Write the pictures of the demo and return what is on each."""
    _, (images, labels) = recipe.data.load(None)
    model, chosen = result.model, np.linspace(0, len(images) - 1, SHOWN).astype(int)
    inputs = recipe.data.image(images[chosen])
    said = model.predict(inputs).argmax(axis=1)
    first: Any = model.get_layer("conv1")
    figures = {
        "digits.png": (viz.image_grid(images[chosen], said, labels[chosen]),
                       "test digits with prediction and truth, wrong ones marked ERR"),
        "filters.png": (viz.filters(first.kernel, title="The 10 filters of the first layer"),
                        "what the first layer has learned to look for"),
        "feature_maps.png": (viz.feature_maps(model, inputs[0], title="One digit, layer by layer"),
                             "what each layer makes of one digit"),
    }
    paths = {viz.save(figure, out / name): text for name, (figure, text) in figures.items()}
    return paths | {out / "history.png": "loss and accuracy during training"}
