"""`minidl list` and `minidl summary`: what there is to train."""

from __future__ import annotations

import argparse
from typing import Any

from .. import recipes
from ..models.zoo import ENTRIES


def list_recipes(arguments: argparse.Namespace) -> None:
    """Print every experiment with its source, the result printed there, and the one measured."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("name", no_wrap=True), "data", "source", "printed there", "measured",
                  box=None, pad_edge=False)
    measured = recipes.results()
    for name in recipes.names():
        recipe = recipes.get(name)
        table.add_row(name, recipe.data.name, recipe.source, recipe.printed,
                      result_text(measured.get(name)))
    Console().print(table)
    print("\nTrain one with: minidl train NAME")


def result_text(result: dict[str, Any] | None) -> str:
    """Return a measured result for reading.

    >>> result_text({"accuracy": 0.98912, "loss": 0.0345, "seeds": 3})
    'test accuracy 0.9891, loss 0.0345 (median of 3 seeds)'
    """
    if not result:
        return "not yet"
    text = f"test accuracy {result['accuracy']:.4f}"
    if "loss" in result:
        text += f", loss {result['loss']:.4f}"
    return f"{text} (median of {result['seeds']} seeds)" if "seeds" in result else text


def summary(arguments: argparse.Namespace) -> None:
    """Print the layers of a network, or of that of an experiment."""
    known = ENTRIES.get(arguments.name)
    (known.build if known else recipes.get(arguments.name).model)().summary()
