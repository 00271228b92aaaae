"""The result of a run, as report.json has it: its size, its time, and its test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import viz
from ..train.crops import ten_crop_predict
from ..train.metrics import rank_accuracy
from ..train.monitor import write_table
from .folder import RunFolder
from .loaders import Loaders
from .memory import peak_rss_mb
from .recipe import Recipe


def measured(recipe: Recipe, model: Any, data: Loaders) -> dict[str, float]:
    """Return loss and metrics on the test data, and the accuracy by ten crops where asked for."""
    figures = model.evaluate(data.test, return_dict=True)
    if recipe.ten_crops is not None:
        said = ten_crop_predict(model, data.whole, recipe.ten_crops)
        labels = data.whole.arrays[1]
        figures["ten_crop_accuracy"] = rank_accuracy(labels, said, k=(1,))[0]
    return figures


def report(name: str, test: Mapping[str, float], *, parameters: int, samples: float,
           seconds: float, epochs: int = 0, waited: float = 0.0, **more: Any) -> dict[str, Any]:
    """Return the report of a run.

    Args:
        name: of the recipe.
        test: loss and metrics on the test data.
        samples: that were trained on, those of all epochs.
        seconds: of the training, validation not counted.
        waited: seconds of these in which there were no data.
        more: what only some runs have.
    """
    length = max(seconds, 1e-9)
    return {"name": name, "parameters": parameters, "epochs": epochs,
            "seconds": round(seconds, 3), "waiting": round(waited / length, 4),
            "images_per_second": round(samples / length, 1),
            "peak_rss_mb": round(peak_rss_mb(), 1), **more, "test": dict(test)}


def report_of_fit(name: str, test: Mapping[str, float], model: Any, history: Any, samples: int
                  ) -> dict[str, Any]:
    """Return the report of a model that `fit` has trained on so many samples an epoch."""
    epochs = len(history.epoch)
    return report(name, test, parameters=model.count_parameters(), epochs=epochs,
                  samples=samples * epochs, seconds=sum(history.seconds),
                  waited=sum(history.waited))


def report_of_members(name: str, test: Mapping[str, float], reports: Sequence[Mapping[str, Any]]
                      ) -> dict[str, Any]:
    """Return the report of an ensemble, with the sums of its members' reports."""
    def total(*keys: str) -> Any:
        return sum(math.prod(r[key] for key in keys) for r in reports)

    return report(name, test, parameters=total("parameters"), epochs=total("epochs"),
                  samples=total("seconds", "images_per_second"), seconds=total("seconds"),
                  waited=total("seconds", "waiting"),
                  members=[r["test"]["accuracy"] for r in reports])


def write_result(folder: RunFolder, model: Any, history: Any, said: dict[str, Any]) -> None:
    """Write model and report of a finished run, and its curves where they are not there yet."""
    drawn = (folder.path / "history.json").exists()
    if history and not drawn:  # a finished run, from elsewhere
        write_table(folder.path / "history.json", {"epoch": history.epoch, **history.history})
        viz.save(viz.training_curves(history, said["name"]), folder.path / "history.png")
    model.save(folder.model)
    folder.write("report.json", said)
