"""`minidl extract` and `minidl classify`: features of a network, and a classifier on them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from .. import viz
from ..data import HDF5Source, Rows, load_folder, stratified_split
from ..errors import ArgumentError, DataError
from ..files import replacing
from ..models.imagenet import Preprocess
from ..models.origins import ORIGINS
from ..models.pretrained import Pretrained
from ..models.zoo import ENTRIES
from ..recipes.folder import RunFolder, write_json
from ..recipes.pretrained import measured_by
from ..train import metrics
from ..train.features import extract_features
from ..train.linear import GRID, LogisticRegression, fit_logistic_regression
from .inspect import found, network

LABELS = {"folder": "inferred", "prefix": "prefix"}
CLASSIFIER = "classifier.safetensors"


def extract(arguments: argparse.Namespace) -> None:
    """Write the outputs of a layer for all images of a folder into an HDF5 file."""
    model, preprocess, size, fit = _prepared(arguments)
    images, labels, names = load_folder(arguments.data, size, LABELS[arguments.labels], fit=fit)
    source: Any = images
    if arguments.limit is not None and arguments.limit < len(labels):
        rows = np.arange(arguments.limit) * len(labels) // arguments.limit
        source, labels = Rows(images, rows), labels[rows]
    layer = arguments.layer
    layer = int(layer) if layer and layer.lstrip("-").isdecimal() else layer
    extract_features(model, source, labels, arguments.out, layer=layer,
                     pooling=arguments.pooling, preprocess=preprocess, label_names=names,
                     batch_size=arguments.batch_size, seed=arguments.seed,
                     workers=arguments.workers, overwrite=arguments.overwrite)
    print(f"Classify with: minidl classify {arguments.out} --out DIR")


def _prepared(arguments: argparse.Namespace) -> tuple[Any, Any, tuple[int, int], str]:
    """Return the network, what its images go through, their size, and how they are fitted."""
    name = arguments.model
    if name in ENTRIES:
        return _of_zoo(name, arguments)
    model = found(name, arguments.weights)
    height, width = model.input_shape[1:3]
    if arguments.size or None in (height, width):
        height = width = arguments.size or 224
    if not (Path(name) / "run.json").is_file():
        return model, None, (height, width), "stretch"
    from .use import trained
    recipe, _ = trained(RunFolder(name))
    prepared = recipe.data.prepared(False, RunFolder(name).mean())
    return model, lambda batch: prepared((batch,))[0], (height, width), "crop"


def _of_zoo(name: str, arguments: argparse.Namespace) -> tuple[Any, Any, tuple[int, int], str]:
    if name not in ORIGINS:
        raise ArgumentError("extract", f"got {name}", "expected a network that has published "
                            f"weights: {', '.join(ORIGINS)}", "Or name the folder of a run.")
    if arguments.weights is None:
        raise ArgumentError("extract", f"got {name} without weights", "expected --weights FILE",
                            "With --weights imagenet published ones are downloaded.")
    weights = Pretrained.find(name, arguments.weights)
    model = network(name, weights, False, arguments.size)
    if arguments.layer in _head_of(name, model, arguments.layer):
        model = network(name, weights, True, arguments.size)
    height, width = model.input_shape[1:3]
    origin = weights.origin.name if weights.origin else None
    return model, Preprocess(name, origin), (height, width), "stretch"


def _head_of(name: str, body: Any, layer: str | None) -> list[str]:
    """Return the layers of a network's head, which is left out unless one of them is asked for."""
    if layer is None or layer in body.named_modules() or layer.lstrip("-").isdecimal():
        return []
    return list(network(name).named_modules())


# ---- classify ------------------------------------------------------------------------------


def classify(arguments: argparse.Namespace) -> None:
    """Fit a logistic regression to features, and write it, its report and confusion matrix."""
    out = Path(arguments.out)
    if (out / CLASSIFIER).exists() and not arguments.overwrite:
        raise ArgumentError(str(out), "holds a classifier already", "expected another folder",
                            "Replace it with --overwrite, or name another one with --out.")
    source = HDF5Source(arguments.features)
    if len(source.shape) != 2 or source.labels is None:
        raise DataError(arguments.features, f"holds samples of shape {source.shape}"
                        + ("" if source.labels is not None else " without labels"),
                        "expected features (N, F) and their labels",
                        "Make them with minidl extract.")
    labels = source.labels
    names = source.label_names or [str(i) for i in range(int(labels.max()) + 1)]
    train, test = _division(labels, arguments)
    begun = time.perf_counter()
    model = fit_logistic_regression(source[train], labels[train], names,
                                    grid=arguments.c or GRID, jobs=arguments.jobs)
    seconds = time.perf_counter() - begun
    print(_found(model, len(train), source.shape[1], seconds))
    _write(out, model, Rows(source, test), labels[test], names)


def _division(labels: np.ndarray, arguments: argparse.Namespace) -> list[np.ndarray]:
    """Return the rows of training and test."""
    if not arguments.in_order:
        return stratified_split(labels, arguments.test, seed=arguments.seed)
    first = int(len(labels) * (1 - arguments.test))
    return [np.arange(first), np.arange(first, len(labels))]


def _found(model: LogisticRegression, rows: int, width: int, seconds: float) -> str:
    tried = "".join(f"\n  C = {c:<8g} accuracy {score:.4f}" for c, score in model.scores.items())
    slow = "" if model.converged else (
        "\nThe search stopped before it converged; smaller values of C need fewer steps.")
    return (f"Logistic regression on {rows:,} rows of {width:,} features, {seconds:.1f} s; by "
            f"cross-validation{tried}\nC = {model.c:g} is taken.{slow}")


def _write(out: Path, model: LogisticRegression, x: Any, y: np.ndarray, names: Any) -> None:
    said, figures = model.predict_proba(x), measured_by(model, x, y)
    text = metrics.classification_report(y, said, names)
    ranks = metrics.rank_accuracy(y, said)
    text += "".join(f"\nrank-{k} {rank:.2%}" for k, rank in zip((1, 5), ranks, strict=True)
                    if k < len(names))
    print(f"\n{text}\n")
    model.save(out / "classifier")
    with replacing(out / "classification.txt") as aside:
        aside.write_text(text + "\n", "utf-8")
    write_json(out / "report.json", {"c": model.c, "converged": model.converged,
                                     "samples": len(y), "test": figures})
    counts = metrics.confusion_counts(y, said.argmax(axis=1), len(names))
    viz.save(viz.confusion_matrix(counts, names), out / "confusion.png")
    print(f"Accuracy {figures['accuracy']:.4f} on {len(y):,} test rows. Classifier, report and "
          f"confusion matrix are in {out}.")
