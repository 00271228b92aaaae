"""`minidl show`: a picture of what a network has learned, sees or is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import viz
from ..data.blocks import read_rows
from ..errors import ArgumentError, DataError
from ..nn.plot import plot
from ..recipes.loaders import loaders
from ..recipes.settings import settings_of
from ..train import metrics, probabilities
from .subject import Subject, image_of, subject
from .use import asked
from .view_options import KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..data import DataLoader

Arguments = argparse.Namespace


def show(arguments: Arguments) -> None:
    """Draw the picture that is asked for, and say where it is."""
    found = subject(arguments)
    path = Path(arguments.out)
    if arguments.kind == "graph":
        plot(found.model.to_graph(), str(path), **_given(arguments, "columns", "dpi"))
    elif arguments.kind == "lecture":
        _lecture(found, arguments).save(path)
    else:
        viz.save(DRAW[arguments.kind](found, arguments), path, arguments.dpi)
    text = KINDS[arguments.kind].text
    print(f"{path}: {text}")


def _given(arguments: Arguments, *names: str) -> dict[str, Any]:
    """Return the options that the user has set, for a function that has defaults of its own."""
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


# ---- weights -------------------------------------------------------------------------------


def _convolution(found: Subject, wanted: str | None) -> tuple[str, Any]:
    """Return the layer of this name, or the first with filters (KH, KW, C, K)."""
    layers = {path: module for path, module in found.model.named_modules().items() if path}
    kernels = {path: getattr(module, "kernel", None) for path, module in layers.items()
               if module.built}
    fitting = [path for path, kernel in kernels.items() if getattr(kernel, "ndim", 0) == 4]
    name = (wanted or fitting[0]) if fitting else ""
    if name not in fitting:
        raise ArgumentError("--layer", f"got {wanted}", "expected a layer with filters: "
                            f"{', '.join(fitting) or 'there is none'}", "Name one of them.")
    return name, kernels[name]


def _filters(found: Subject, arguments: Arguments) -> Figure:
    name, kernel = _convolution(found, arguments.layer)
    count = min(arguments.count or 64, kernel.shape[3])
    title = arguments.title or f"{found.name}, {name}: {count} of {kernel.shape[3]} filters"
    if arguments.channel is not None or (kernel.shape[2] > 1 and arguments.style == "symmetric"):
        title += f", input channel {arguments.channel or 0} of {kernel.shape[2]}"
    return viz.filters(kernel, arguments.style, arguments.channel, count, title)


def _pattern(found: Subject, arguments: Arguments) -> Figure:
    layer = arguments.layer or _convolution(found, None)[0]
    chosen = None if arguments.filters is None else [_number(word) for word in arguments.filters]
    return viz.filter_patterns(
        found.model, layer, chosen, arguments.count or 36, arguments.title,
        channels=found.channels, value_range=found.value_range,
        **_given(arguments, "steps", "seed"))


def _number(word: str) -> int:
    if not word.isdecimal():
        raise ArgumentError("--filters", f"got {word!r}", "expected numbers from 0",
                            "Write them with commas between them: 0,3,7.")
    return int(word)


# ---- an image ------------------------------------------------------------------------------


def _maps(found: Subject, arguments: Arguments) -> Figure:
    shown, image = image_of(found, arguments)
    title = f"{found.name}, layer by layer" if arguments.title is None else arguments.title
    return viz.feature_maps(found.model, image, arguments.layers or arguments.first,
                            arguments.count or 40, title, shown)


def _class_picture(function: Callable[..., Figure], *options: str
                   ) -> Callable[[Subject, Arguments], Figure]:
    """Return what draws a picture of a class in an image by a function of `viz`."""
    def draw(found: Subject, arguments: Arguments) -> Figure:
        shown, image = image_of(found, arguments)
        return function(found.model, image, found.label(arguments.label), shown=shown,
                        class_names=found.class_names, **_given(arguments, *options, "title"))

    return draw


def _lecture(found: Subject, arguments: Arguments) -> viz.Page:
    _, image = image_of(found, arguments)
    label = found.label(arguments.label)
    if label is None and arguments.sample is not None:
        folder, recipe = found.need_run("--sample")
        labels = recipe.data.stored(arguments.data or folder.settings().get("data"))[-1][1]
        label = int(labels[arguments.sample])
    return viz.lecture_view(found.model, image, label, found.class_names,
                            title=arguments.title or found.name,
                            **_given(arguments, "channels", "megabytes"))


# ---- the test data -------------------------------------------------------------------------


def _judged(found: Subject, arguments: Arguments) -> tuple[DataLoader, np.ndarray, np.ndarray]:
    """Return the test data of a run, the model's probabilities for it, and the labels."""
    folder, recipe = found.need_run(arguments.kind)
    changes = {"data": arguments.data or folder.settings().get("data"), "limit": arguments.limit}
    test = loaders(recipe, settings_of(recipe, **changes), folder).test
    return test, asked(found.model, test), np.asarray(test.arrays[1][:test.samples])


def _mistakes(found: Subject, arguments: Arguments) -> Figure:
    test, said, true = _judged(found, arguments)
    shape = np.shape(test.arrays[0][:1])
    if len(shape) != 4:
        raise ArgumentError("mistakes", f"{found.name} is trained on samples of shape {shape[1:]}",
                            "expected images (H, W, C)", "See minidl.viz.mistakes for others.")
    return viz.worst_mistakes(_Images(test.arrays[0]), said, true, arguments.count or 12,
                              found.class_names, title=arguments.title)


class _Images:
    """The images of a source one by one, so that only those that are shown are read."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> np.ndarray:
        return read_rows(self._source, np.array([number]))[0]


def _confusion(found: Subject, arguments: Arguments) -> Figure:
    _, said, true = _judged(found, arguments)
    names = list(found.class_names or ())
    counts = metrics.confusion_counts(true, probabilities.classes(said), len(names))
    return viz.confusion_matrix(counts, names, arguments.title)


# ---- the run -------------------------------------------------------------------------------


def _curves(found: Subject, arguments: Arguments) -> Figure:
    folder, recipe = found.need_run("curves")
    file = folder.path / "history.json"
    try:
        history = dict(json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise DataError(str(file), f"cannot be read ({error})", "expected the figures of a run",
                        "Train again.") from error
    return viz.training_curves(history, arguments.title or recipe.name)


DRAW: dict[str, Callable[[Subject, Arguments], Figure]] = {
    "filters": _filters,
    "maps": _maps,
    "pattern": _pattern,
    "cam": _class_picture(viz.class_activation_map),
    "gradcam": _class_picture(viz.grad_cam, "layer"),
    "saliency": _class_picture(viz.saliency, "samples", "noise", "seed"),
    "occlusion": _class_picture(viz.occlusion_map, "size", "stride"),
    "mistakes": _mistakes,
    "confusion": _confusion,
    "curves": _curves,
}
