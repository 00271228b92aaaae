"""Experiments that begin with a trained network: its weights, and its features in HDF5 files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import HDF5Source
from ..errors import ArgumentError, DataError
from ..models.transfer import given, joined
from ..train.features import extract_features
from ..train.linear import LogisticRegression, fit_logistic_regression
from ..train.metrics import rank_accuracy
from .data import PACKED, Part
from .folder import RunFolder
from .prepare import as_stored
from .recipe import Features, Recipe
from .report import report

PUBLISHED = "imagenet"
"""What stands for the published weights of a network, where no file is named."""


def weights_of(recipe: Recipe, settings: dict[str, Any]) -> Any:
    """Return the weights that a recipe's network begins with: a file, "imagenet", or None.

    Raises:
        ArgumentError: some are given, and the recipe takes none.
    """
    weights = settings.get("weights")
    if weights is not None and recipe.pretrained is None:
        raise ArgumentError("weights", f"got {weights}", f"{recipe.name} begins with random ones",
                            "Leave it out.")
    return weights or (PUBLISHED if recipe.pretrained else None)


def origin_of(recipe: Recipe, weights: Any) -> str | None:
    """Return the name of who published the weights, None where it is not known.

    Raises:
        FormatError, DataError: the file cannot be read, or not be fetched.
    """
    if recipe.pretrained is None:
        return None
    from ..models.origins import ORIGINS
    from ..models.pretrained import Pretrained
    if recipe.pretrained not in ORIGINS:
        return None
    origin = Pretrained.find(recipe.pretrained, weights, include_top=False).origin
    return origin.name if origin else None


def as_weights_want(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """Return a recipe with `Preprocess` for its images for the weights' origin, if it has one."""
    from ..models.imagenet import Preprocess
    if settings.get("origin") is None or not isinstance(recipe.data.image, Preprocess):
        return recipe
    image = Preprocess(str(recipe.pretrained), settings["origin"])
    return replace(recipe, data=replace(recipe.data, image=image))


# ---- features ------------------------------------------------------------------------------


def body_of(features: Features, weights: Any) -> Any:
    """Return the network of some features, up to their layer."""
    network = features.network(**given(weights))
    return network if features.layer is None else network.up_to(features.layer)


def extracted(recipe: Recipe, features: Features, body: Any, parts: Sequence[Part],
              folder: RunFolder) -> list[Part]:
    """Return the features of all parts, and their labels; they are kept in the run's folder.

    A file that is there is taken as it is; one that a kill left unfinished is gone on with.
    """
    prepared = recipe.data.prepared(False, None)
    names = PACKED if len(parts) == len(PACKED) else (PACKED[0], PACKED[-1])
    found: list[Part] = []
    for name, (x, y) in zip(names, parts, strict=True):
        path = folder.features / f"{name}.hdf5"
        if not path.exists():
            extract_features(body, x, y, path, pooling=features.pooling,
                             preprocess=lambda images: prepared((images,))[0], seed=None,
                             label_names=recipe.data.class_names, batch_size=features.batch_size,
                             workers=max(recipe.workers, 1))
        found.append(_read(path, y))
    return found


def _read(path: Path, labels: np.ndarray) -> Part:
    source = HDF5Source(path)
    if source.labels is None or not np.array_equal(source.labels, labels):
        raise DataError(str(path), "holds the features of other samples",
                        f"expected those of the run's {len(labels):,}",
                        "Begin anew with --overwrite.")
    return source[:], source.labels


def on_features(recipe: Recipe) -> Recipe:
    """Return the experiment that trains the head alone, on features as they are stored."""
    return replace(recipe, data=replace(recipe.data, image=as_stored, crop=None, test_crop=None,
                                        mean=None, augment=()))


def whole_model(recipe: Recipe, features: Features, body: Any, head: Any) -> Any:
    """Return body and trained head as one model of images, compiled as the recipe says."""
    model = joined(body, head, features.pooling)
    model.compile(recipe.optimizer(), recipe.loss, metrics=list(recipe.metrics))
    return model


# ---- logistic regression -------------------------------------------------------------------


def fit_grid(recipe: Recipe, folder: RunFolder, parts: Sequence[Part]
             ) -> tuple[Any, dict[str, Any]]:
    """Fit the logistic regression of a recipe; return it as a head, and the report."""
    (x, y), (x_test, y_test), begun = parts[0], parts[-1], time.perf_counter()
    found = fit_logistic_regression(x, y, recipe.data.class_names, grid=recipe.grid)
    seconds = time.perf_counter() - begun
    found.save(folder.path / "classifier")
    head = recipe.model()
    head.load_state_dict(dict(zip(head.named_parameters(), found.folded(), strict=True)))
    scores = [[c, round(score, 4)] for c, score in found.scores.items()]
    return head, report(recipe.name, measured_by(found, x_test, y_test), seconds=seconds,
                        parameters=head.count_parameters(), samples=len(y),
                        c=found.c, converged=found.converged, scores=scores)


def measured_by(found: LogisticRegression, x: Any, y: np.ndarray) -> dict[str, float]:
    """Return loss, accuracy and, from six classes on, rank-5 accuracy on features and labels."""
    said = found.predict_proba(x)
    own = np.maximum(said[np.arange(len(y)), y], 1e-12)
    ranks = rank_accuracy(y, said)
    fifth = {"top_5_accuracy": ranks[1]} if said.shape[1] > 5 else {}
    return {"loss": float(-np.log(own).mean()), "accuracy": ranks[0], **fifth}
