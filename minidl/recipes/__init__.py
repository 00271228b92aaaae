"""Named experiments: each a short file that says everything about one training."""

from __future__ import annotations

import difflib
import importlib
import json
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from .data import Data
from .recipe import Recipe

__all__ = ["Data", "Recipe", "get", "names", "results"]

_NAMES = (
    "demo", "lecture_mnist", "lecture_mnist_wide", "mnist_convnet", "lab1_cifar", "lab_cifar",
    "cats_dogs", "cats_dogs_augmented", "cats_dogs_dropout", "cats_dogs_regularized",
    "telemetry_conv1d", "imdb_conv1d", "flowers_minivggnet", "flowers_minivggnet_augmented",
    "cifar_ensemble", "alexnet_dogs_cats", "minigooglenet_cifar_1", "minigooglenet_cifar_2",
    "minigooglenet_cifar_3", "deepergooglenet_tiny_1", "deepergooglenet_tiny_2",
    "deepergooglenet_tiny_3", "resnet_cifar_1", "resnet_cifar_2", "resnet_cifar_3",
    "resnet_cifar_4", "resnet_tiny_1", "resnet_tiny_2", "animals_features", "animals_vgg16",
    "caltech101_features", "caltech101_vgg16", "flowers_features", "flowers_vgg16",
    "flowers_finetune", "flowers_scratch", "flowers_vgg16_finetune", "dogs_cats_resnet50",
    "cats_dogs_vgg16_features", "cats_dogs_vgg16",
)


def names() -> list[str]:
    """Return the names of all experiments.

    >>> names()[:4]
    ['demo', 'lecture_mnist', 'lecture_mnist_wide', 'mnist_convnet']
    """
    return list(_NAMES)


def get(name: str) -> Recipe:
    """Return the experiment of this name.

    Raises:
        ArgumentError: there is none; the nearest name is suggested.

    >>> get("mnist_convnet").epochs
    5
    """
    if name not in _NAMES:
        near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.5)
        raise ArgumentError("recipe", f"got {name!r}", f"expected one of {', '.join(_NAMES)}",
                            f"Did you mean {near[0]}?" if near else "See `minidl list`.")
    return importlib.import_module(f".{name}", __package__).RECIPE


def results() -> dict[str, dict[str, Any]]:
    """Return what was measured, by name of the experiment; the keys are those of a report's test.

    >>> sorted(set(results()) - set(names()))
    []
    """
    return json.loads((Path(__file__).parent / "results.json").read_text("utf-8"))
