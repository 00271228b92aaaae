"""`minidl list` and `minidl summary`: what there is to train."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .. import recipes
from ..models.zoo import ENTRIES
from ..recipes import Recipe

WIDTH = 100  # columns, where the output is no terminal
FIFTH = "top_5_accuracy"
OTHERWISE = {"epochs": "{} epochs", "classes": "{} classes", "learning_rate": "rate {:g}",
             "interpolation": "{} shifts", "seeds": "{} seeds"}
"""What a measured result says of its runs where they were not as the recipe says, or several."""


def list_recipes(arguments: argparse.Namespace) -> None:
    """Print every experiment with its source, the result printed there, and the one measured."""
    from rich.table import Column, Table

    if arguments.name:
        return _describe(recipes.get(arguments.name))
    rest = [Column(name, overflow="fold") for name in ("source", "printed there", "measured")]
    table = Table(Column("name", no_wrap=True), *rest, box=None, pad_edge=False)
    measured = recipes.results()
    for data, group in by_data().items():
        table.add_row()
        table.add_row(f"[bold]{data}[/]")
        for recipe in group:
            table.add_row(f"  {recipe.name}", recipe.source, recipe.printed,
                          short_result(measured.get(recipe.name)))
    _print(table)
    print("\nMeasured is the accuracy on the test data. More on one: minidl list NAME. "
          "Train it: minidl train NAME")


def _print(table: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def _describe(recipe: Recipe) -> None:
    """Print what an experiment is, and what differs from its source."""
    from rich.table import Column, Table

    table = Table(Column(no_wrap=True), Column(overflow="fold"), box=None, pad_edge=False,
                  show_header=False)
    for row in {"name": recipe.name, "source": recipe.source, "data": recipe.data.name,
                "training": training_text(recipe), "printed there": recipe.printed,
                "measured": result_text(recipes.results().get(recipe.name)),
                "differences": recipe.notes or "none known"}.items():
        table.add_row(*row)
    _print(table)


def training_text(recipe: Recipe) -> str:
    """Return how an experiment is trained, in short.

    >>> training_text(recipes.get("mnist_convnet"))
    'RMSprop, 5 epochs, batches of 64'
    """
    if recipe.grid:
        return f"logistic regression, C of {', '.join(f'{c:g}' for c in recipe.grid)}"
    steps = f" ({recipe.steps:,} steps)" if recipe.steps else ""
    members = f"{recipe.members} networks, " if recipe.members > 1 else ""
    return (f"{members}{type(recipe.optimizer()).__name__}, {recipe.epochs} epochs{steps}, "
            f"batches of {recipe.batch_size}")


def by_data() -> dict[str, list[Recipe]]:
    """Return the experiments by the name of their data set, in the order of its first one."""
    found: dict[str, list[Recipe]] = {}
    for name in recipes.names():
        recipe = recipes.get(name)
        found.setdefault(recipe.data.name, []).append(recipe)
    return found


def short_result(result: dict[str, Any] | None) -> str:
    """Return a measured result for a narrow column.

    >>> short_result({"accuracy": 0.98912, "loss": 0.0345, "seeds": 3})
    '0.9891 (3 seeds)'
    >>> short_result({"accuracy": 0.541, "top_5_accuracy": 0.788})
    '0.5410, rank-5 0.7880'
    >>> short_result({"accuracy": 0.861, "epochs": 12, "learning_rate": 0.02})
    '0.8610 (12 epochs, rate 0.02)'
    """
    if not result:
        return "not yet"
    fifth = f", rank-5 {result[FIFTH]:.4f}" if FIFTH in result else ""
    said = _how(result)
    return f"{result['accuracy']:.4f}{fifth}{said and f' ({said})'}"


def _how(result: dict[str, Any]) -> str:
    """Say in what a run was not that of the recipe, and how many there were."""
    return ", ".join(text.format(result[key]) for key, text in OTHERWISE.items() if key in result)


def result_text(result: dict[str, Any] | None) -> str:
    """Return a measured result for reading.

    >>> result_text({"accuracy": 0.98912, "loss": 0.0345, "seeds": 3})
    'test accuracy 0.9891, loss 0.0345 (median of 3 seeds)'
    """
    if not result:
        return "not yet"
    text = f"test accuracy {result['accuracy']:.4f}"
    if FIFTH in result:
        text += f", rank-5 {result[FIFTH]:.4f}"
    if "loss" in result:
        text += f", loss {result['loss']:.4f}"
    said = _how(result).replace(f"{result.get('seeds')} seeds",
                                f"median of {result.get('seeds')} seeds")
    return f"{text} ({said})" if said else text


def summary(arguments: argparse.Namespace) -> None:
    """Print the layers of a network, or of that of an experiment."""
    known = ENTRIES.get(arguments.name)
    (known.build if known else recipes.get(arguments.name).model)().summary()
