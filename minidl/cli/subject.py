"""What `minidl show` looks at: a run, a saved model or a network by name; and the image for it."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import models, recipes
from ..data import Pipeline
from ..errors import ArgumentError
from ..models.zoo import ENTRIES
from ..nn.load import load_model
from ..recipes import Recipe
from ..recipes.folder import RunFolder
from ..train.ensemble import Ensemble
from .pictures import read_input
from .use import trained

Prepare = Callable[[np.ndarray], np.ndarray]
PIXELS = 255  # the value of white


@dataclass(frozen=True)
class Subject:
    """A model, and how images become its input.

    Attributes:
        name: for titles.
        model: as it was trained.
        prepare: turns pixels (N, H, W, C) from 0 to 255 into inputs.
        class_names: by class, where they are known.
        folder, recipe: of a run.
    """

    name: str
    model: Any
    prepare: Prepare
    class_names: Sequence[str] | None = None
    folder: RunFolder | None = None
    recipe: Recipe | None = None

    @property
    def value_range(self) -> tuple[float, float]:
        """The lowest and highest value that pixels can become."""
        shape = (1, *self.model.input_shape[1:])
        ends = [self.prepare(np.full(shape, p, np.uint8)) for p in (0, PIXELS)]
        return float(min(e.min() for e in ends)), float(max(e.max() for e in ends))

    def label(self, given: str | None) -> int | None:
        """Return a class by its name or number; None for none.

        Raises:
            ArgumentError: there is no such class.
        """
        if given is None or given.isdecimal():
            return None if given is None else int(given)
        names = list(self.class_names or ())
        if given not in names:
            known = f"one of {', '.join(names[:20])}" if names else "a number"
            raise ArgumentError("--class", f"got {given!r}", f"expected {known}",
                                "Give a name or a number from 0.")
        return names.index(given)

    def need_run(self, kind: str) -> tuple[RunFolder, Recipe]:
        """Return folder and recipe.

        Raises:
            ArgumentError: it is no run.
        """
        if self.folder is None or self.recipe is None:
            raise ArgumentError(kind, f"got {self.name}, which is no run", "expected the folder of "
                                "one, with its settings and figures",
                                "Name a folder that `minidl train` wrote.")
        return self.folder, self.recipe


# ---- finding it ----------------------------------------------------------------------------


def subject(arguments: argparse.Namespace) -> Subject:
    """Return what the words MODEL, --weights, --data and --range name.

    Raises:
        ArgumentError: there is no such network, or it cannot be looked into.
        DataError, CheckpointError, FormatError: a folder or file is not what it must be.
    """
    name, weights = arguments.model, getattr(arguments, "weights", None)
    place = Path(name)
    if place.is_dir() or (place.is_file() and (place.parent / "run.json").is_file()):
        return _run(RunFolder(place if place.is_dir() else place.parent),
                    getattr(arguments, "data", None))
    if place.is_file() or place.with_name(f"{place.name}.safetensors").is_file():
        return Subject(place.stem, load_model(place), _scaled(getattr(arguments, "range", None)))
    if name in ENTRIES:
        return _network(name, weights, getattr(arguments, "range", None))
    recipe = recipes.get(name)
    return Subject(name, recipe.model(), recipe.data.image)


def _run(folder: RunFolder, data: str | None) -> Subject:
    recipe, model = trained(folder, data)
    if isinstance(model, Ensemble):
        raise ArgumentError(str(folder.path), f"holds {len(model.models)} networks",
                            "expected one", f"Name one: {folder.members(1)[0].path}")
    prepared = recipe.data.prepared(False, folder.mean())
    return Subject(recipe.name, model, lambda pixels: prepared((pixels,))[0],
                   recipe.data.class_names, folder, recipe)


def _network(name: str, weights: str | None, ends: Sequence[float] | None) -> Subject:
    build = ENTRIES[name].build
    takes = "weights" in inspect.signature(build).parameters
    model: Any = build(weights=weights) if takes and weights else build()  # type: ignore[call-arg]
    if weights and not takes:
        model.load_weights(weights)
    if weights is None:
        print(f"The weights of {name} are random; --weights FILE gives it others.")
    imagenet, pretrained = (getattr(models, part, None) for part in ("imagenet", "pretrained"))
    if takes and weights and ends is None and imagenet and pretrained:
        origin = pretrained.Pretrained.find(name, weights).origin
        prepare = imagenet.Preprocess(name, origin and origin.name)
        names = [found for _, found in imagenet.class_names()]
        return Subject(name, model, prepare, names)
    return Subject(name, model, _scaled(ends))


def _scaled(ends: Sequence[float] | None) -> Prepare:
    """Return what turns pixels 0 to 255 into floats between two ends, 0 and 1 by default."""
    low, high = ends or (0.0, 1.0)
    return lambda pixels: (low + pixels * ((high - low) / PIXELS)).astype(np.float32)


# ---- the image -----------------------------------------------------------------------------


def image_of(found: Subject, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (H, W, C) as people see it and as the model takes it.

    Raises:
        ArgumentError: none is named, or both ways are, or there is no such sample.
        DataError: it cannot be read.
    """
    if (arguments.image is None) == (arguments.sample is None):
        raise ArgumentError(arguments.kind, "got no image" if arguments.image is None else
                            "got an image and --sample", "expected one of the two",
                            "Name an image file, or --sample N of a run's test data.")
    if arguments.sample is not None:
        return _sample(found, arguments)
    shape = found.model.input_shape
    if len(shape) != 4 or None in shape[1:]:
        raise ArgumentError(found.name, f"takes inputs of shape {shape}",
                            "expected images (N, H, W, C) of a known size",
                            "Call the function of minidl.viz with an array.")
    pixels = read_input(arguments.image, tuple(shape[1:]))[0]
    return pixels, found.prepare(pixels[None])[0]


def _sample(found: Subject, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    folder, recipe = found.need_run("--sample")
    data, number = arguments.data or folder.settings().get("data"), arguments.sample
    images = recipe.data.stored(data)[-1][0]
    if number >= len(images):
        raise ArgumentError("--sample", f"got {number}", f"expected 0 to {len(images) - 1}, as "
                            f"there are {len(images)} test samples", "Change it.")
    pixels = np.asarray(images[number:number + 1])
    if pixels.ndim != 4:
        raise ArgumentError("--sample", f"{recipe.data.name} has samples of shape "
                            f"{pixels.shape[1:]}", "expected images (H, W, C)",
                            "Take a run on images.")
    crop = recipe.data.test_crop
    shown = pixels if crop is None else Pipeline(crop)(pixels)
    return shown[0], found.prepare(pixels)[0]
