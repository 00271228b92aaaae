"""The data of a run as batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..data import DataLoader, HDF5Source
from .data import Part
from .folder import RunFolder
from .recipe import Recipe

CROPPED = 16  # images whose ten crops are taken at once


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
