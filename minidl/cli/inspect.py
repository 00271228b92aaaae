"""`minidl inspect`: the layers of a network, by number and name."""

from __future__ import annotations

import argparse
import difflib
import inspect as arguments_of
import sys
from pathlib import Path
from typing import Any

from .. import recipes
from ..errors import ArgumentError
from ..models.zoo import ENTRIES
from ..nn.load import load_model
from ..recipes.folder import RunFolder
from ..train.checkpoint import file_of

HEADS = ("number", "layer", "type", "output", "parameters", "trained")


def inspect(arguments: argparse.Namespace) -> None:
    """Print number, name, type, output shape and parameters of each layer, and if it is trained."""
    rows = layer_rows(found(arguments.name, top=not arguments.no_top))
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        table = Table(*HEADS)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]
    for row in (HEADS, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)
                        ).rstrip())


def layer_rows(model: Any) -> list[tuple[str, ...]]:
    """Return the cells of each layer of a graph, in the order in which they are called first.

    >>> from ..models import lenet
    >>> layer_rows(lenet())[0]
    ('0', 'conv1', 'Conv2D', '28 x 28 x 20', '520', 'yes')
    """
    rows: list[tuple[str, ...]] = []
    for number, (name, layer) in enumerate(model.named_children().items()):
        shape = getattr(model.to_graph().output_of(name), "shape", ())
        trained = {p.trainable for p in layer.parameters()} or {layer.trainable}
        rows.append((str(number), name, type(layer).__name__,
                     " x ".join(str(n or "?") for n in shape[1:]),
                     f"{layer.count_parameters():,}",
                     {(True,): "yes", (False,): "no"}.get(tuple(trained), "in part")))
    return rows


def found(name: str, weights: Any = None, top: bool = True) -> Any:
    """Return the model that a name stands for: a network, an experiment's, or a saved one.

    Args:
        weights: for a network.
        top: keep a network's classes.

    Raises:
        ArgumentError: there is none of that name.
    """
    if name in ENTRIES:
        return network(name, weights, top)
    if weights is not None:
        raise ArgumentError("--weights", f"got them for {name!r}", "expected a network of "
                            f"minidl.models: {', '.join(ENTRIES)}", "A saved model has its own.")
    if name in recipes.names():
        return recipes.get(name).model()
    place = Path(name)
    if (place / "run.json").is_file():
        return load_model(RunFolder(place).need_models()[0])
    if file_of(place).is_file():
        return load_model(place)
    near = difflib.get_close_matches(name, [*ENTRIES, *recipes.names()], n=1)
    raise ArgumentError(name, "there is no such network, experiment or saved model",
                        f"expected a path, or one of {', '.join(ENTRIES)}",
                        f"Did you mean {near[0]}?" if near else "See `minidl list`.")


def network(name: str, weights: Any = None, top: bool = True, size: int | None = None) -> Any:
    """Return a network of the zoo.

    Args:
        weights: for it.
        top: keep its classes.
        size: height and width of its images, where it is not its own.

    Raises:
        ArgumentError: the network has no such argument.
    """
    build = ENTRIES[name].build
    known = arguments_of.signature(build).parameters
    shape = None if size is None else (size, size, ENTRIES[name].input_shape[-1])
    wanted = {"weights": weights, "include_top": None if top else False, "input_shape": shape}
    options = {key: value for key, value in wanted.items() if value is not None}
    missing = [key for key in options if key not in known]
    if missing:
        raise ArgumentError(name, f"got {missing[0]}={options[missing[0]]}",
                            f"the network takes {', '.join(known) or 'no arguments'}",
                            "Leave it out, or choose another network.")
    return build(**options)
