"""How loss and metrics went during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from .figure import MUTED, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOT_DRAWN = ("epoch", "learning_rate", "lr", "seconds", "time")


def training_curves(history: Any, title: str = "") -> Figure:
    """Draw loss and metrics against epochs, training and validation in one panel each.

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
        _panel(figure.add_subplot(1, len(names), i + 1), name, curves[name],
               curves.get(f"val_{name}"))
    return figure


def _curves(history: Any) -> Mapping[str, Sequence[float]]:
    values = getattr(history, "history", history)
    return {name: list(row) for name, row in values.items()
            if name not in NOT_DRAWN and len(row) and not isinstance(row[0], (str, list, dict))}


def _panel(axes: Axes, name: str, training: Sequence[float],
           validation: Sequence[float] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.plot(range(1, len(training) + 1), training, "o-", markersize=3, label="training")
    text = f"{name.replace('_', ' ')} {training[-1]:.3f}"
    if validation:
        axes.plot(range(1, len(validation) + 1), validation, "o-", markersize=3,
                  label="validation")
        axes.legend(frameon=False, fontsize=9)
        text += f", validation {validation[-1]:.3f}"
    axes.set_title(text, fontsize=10)
    axes.set_xlabel("epoch", color=MUTED)
    axes.set_xlim(0.5, len(training) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
