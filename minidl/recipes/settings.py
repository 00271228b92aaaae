"""The settings of a run, in run.json: what it began with, and where its learning rate changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArgumentError
from ..train.resume import Position
from .folder import RunFolder
from .recipe import Recipe
from .schedule import Schedule, scaled

FIXED = ("name", "batch_size", "seed", "limit", "classes", "members")
"""Settings that a resumed run shares with its beginning."""
WISHES = ("epochs", "batch_size", "learning_rate", "limit", "classes", "data",
          "checkpoint_every", "device")
"""Settings that the members of an ensemble share."""
Change = dict[str, Any]  # epoch and step done, and the learning rate from there on


def settings_of(recipe: Recipe, **changes: Any) -> dict[str, Any]:
    """Return the settings of a run: the recipe's, changed by those that are not None.

    >>> from minidl.recipes import get
    >>> settings_of(get("mnist_convnet"), epochs=1, seed=None)["epochs"]
    1
    """
    settings = {"name": recipe.name, "epochs": recipe.epochs, "batch_size": recipe.batch_size,
                "seed": recipe.seed, "learning_rate": None, "learning_rates": [], "limit": None,
                "classes": None, "data": None, "device": "cpu", "checkpoint_every": None,
                "members": recipe.members}
    return settings | {key: value for key, value in changes.items() if value is not None}


def settle(recipe: Recipe, folder: RunFolder, resume: bool, overwrite: bool,
           position: Position | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with which a run begins or goes on in a folder.

    Args:
        position: epochs and steps that the checkpoint to go on from has done; None to begin.
        changes: what the user wants otherwise than the recipe, None where nothing.

    Raises:
        ArgumentError: the folder holds a run, or settings differ from those of a resumed run.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    rate = given.pop("learning_rate", None)
    if rate is not None and (recipe.stages or recipe.grid):
        raise ArgumentError("learning_rate", f"got {rate}", f"{recipe.name} has its own in stages"
                            if recipe.stages else f"{recipe.name} trains without one",
                            "Leave it out.")
    settings = _base(recipe, folder, resume, overwrite, given)
    if position is None and rate is not None:
        settings["learning_rate"] = rate
    if position is None or not settings["learning_rates"]:
        settings["learning_rates"] = [change((0, 0), _begun_with(recipe, settings))]
    if position is not None:
        settings["learning_rates"] = changed(settings["learning_rates"], position, rate)
    return settings


def _base(recipe: Recipe, folder: RunFolder, resume: bool, overwrite: bool,
          given: Mapping[str, Any]) -> dict[str, Any]:
    if not folder.begun() or (overwrite and not resume):
        return settings_of(recipe, **given)
    if not resume:
        raise ArgumentError(str(folder.path), "holds a run already", "",
                            "Go on with --resume, start anew with --overwrite, or name another "
                            "folder with --out.")
    before = settings_of(recipe) | folder.settings()
    settings: dict[str, Any] = {**before, **given, "name": recipe.name}
    for key in (*FIXED, "weights", *(("epochs",) if recipe.stages else ())):
        if settings.get(key) != before.get(key):
            raise ArgumentError(str(folder.path), f"got {key}={settings.get(key)}",
                                f"the run to resume has {key}={before.get(key)}",
                                "Leave it out, or start anew with --overwrite.")
    return settings


# ---- learning rates ------------------------------------------------------------------------


def _begun_with(recipe: Recipe, settings: Mapping[str, Any]) -> float:
    schedule = schedule_of(recipe, settings)
    if schedule is not None:
        return schedule(0, settings["epochs"])
    rate = settings["learning_rate"]
    return float(recipe.optimizer().learning_rate if rate is None else rate)


def schedule_of(recipe: Recipe, settings: Mapping[str, Any]) -> Schedule | None:
    """Return the learning rate by epoch of a run: the recipe's, as high as the user wants it.

    None where the recipe has no schedule, or the user has set a rate since the run began.
    """
    if recipe.schedule is None or len(settings["learning_rates"]) > 1:
        return None
    highest = settings["learning_rate"]
    return recipe.schedule if highest is None else scaled(recipe.schedule, highest)


def change(position: Position, rate: float) -> Change:
    """Return what run.json says of a learning rate from a position on."""
    return {"epoch": position[0], "step": position[1], "learning_rate": rate}


def _place(entry: Mapping[str, Any]) -> Position:
    return entry["epoch"], entry["step"]


def changed(rates: Sequence[Change], position: Position, rate: float | None) -> list[Change]:
    """Return the learning rates of a run that goes on from a position, maybe with another one.

    Changes that come after the position are let go; so is one at it where there is a new rate.
    The first entry, what the run began with, stays.

    >>> began = change((0, 0), 0.1)
    >>> rates = changed([began], (25, 0), 0.01)
    >>> [r["learning_rate"] for r in rates]
    [0.1, 0.01]
    >>> [r["learning_rate"] for r in changed(rates, (20, 0), None)]
    [0.1]
    """
    kept = [entry for i, entry in enumerate(rates) if i == 0 or _place(entry) < position
            or (rate is None and _place(entry) == position)]
    return kept if rate is None else [*kept, change(position, rate)]


def due(rates: Sequence[Change], position: Position | None) -> float | None:
    """Return the learning rate that was set at a position, None where none was.

    >>> due([change((0, 0), 0.1), change((25, 0), 0.01)], (25, 0))
    0.01
    """
    found = [entry["learning_rate"] for entry in rates[1:] if _place(entry) == position]
    return found[-1] if found else None
