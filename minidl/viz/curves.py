"""How loss and metrics went during training."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from .figure import MUTED, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOT_DRAWN = ("epoch", "learning_rate", "lr", "seconds", "time")
MOST_DOTTED, MOST_CHANGES = 30, 8  # epochs with a dot each; changes of the rate that are marked


def training_curves(history: Any, title: str = "") -> Figure:
    """Draw loss and metrics against epochs, training and validation in one panel each.

    Where the history has "learning_rate", a dotted line marks each of a few changes of it.

    Args:
        history: what `fit` returned, or a dict of lists: "loss", "accuracy", "val_loss" ...
        title: of the whole.

    Raises:
        ArgumentError: there is nothing to draw.

    >>> figure = training_curves({"loss": [2.0, 1.0], "val_loss": [1.9, 1.2]})
    >>> figure.axes[0].get_title()
    'loss 1.000, validation 1.200'
    """
    curves = _curves(history)
    names = [name for name in curves if not name.startswith("val_")]
    if not names:
        raise ArgumentError("training_curves", "got a history without values",
                            'expected lists such as history["loss"]', "Train an epoch first.")
    figure = new_figure(4.6 * len(names), 3.4, title)
    for i, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        _panel(axes, name, curves[name], curves.get(f"val_{name}"))
        for epoch, rate in _changes(history):
            axes.axvline(epoch - 0.5, color=MUTED, linestyle=":", linewidth=1)
            axes.text(epoch - 0.4, 1, f"{rate:.2g}", fontsize=7, color=MUTED, va="bottom",
                      transform=axes.get_xaxis_transform())
    return figure


def _changes(history: Any) -> list[tuple[int, float]]:
    """Return epoch (from 1) and learning rate of each change; nothing where they are many."""
    rates = list(getattr(history, "history", history).get("learning_rate", ()))
    found = [(epoch, rate) for epoch, (before, rate) in
             enumerate(itertools.pairwise(rates), start=2) if rate != before]
    return found if len(found) <= min(MOST_CHANGES, len(rates) // 2) else []


def _curves(history: Any) -> Mapping[str, Sequence[float]]:
    values = getattr(history, "history", history)
    return {name: list(row) for name, row in values.items()
            if name not in NOT_DRAWN and len(row) and not isinstance(row[0], (str, list, dict))}


def _panel(axes: Axes, name: str, training: Sequence[float],
           validation: Sequence[float] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    style = "o-" if len(training) <= MOST_DOTTED else "-"
    axes.plot(range(1, len(training) + 1), training, style, markersize=3, label="training")
    text = f"{name.replace('_', ' ')} {training[-1]:.3f}"
    if validation:
        axes.plot(range(1, len(validation) + 1), validation, style, markersize=3,
                  label="validation")
        axes.legend(frameon=False, fontsize=9)
        text += f", validation {validation[-1]:.3f}"
    axes.set_title(text, fontsize=10, pad=12)
    axes.set_xlabel("epoch", color=MUTED)
    axes.set_xlim(0.5, len(training) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
