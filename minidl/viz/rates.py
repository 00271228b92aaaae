"""How the loss goes while the learning rate rises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ShapeError
from .figure import MUTED, WRONG, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_rates(rates: Sequence[float], losses: Sequence[float],
                   suggestion: float | None = None, raw: Sequence[float] | None = None,
                   title: str = "") -> Figure:
    """Draw losses against learning rates on a logarithmic axis.

    Args:
        rates: learning rates, one per step.
        losses: smoothed loss of each step.
        suggestion: a rate to mark.
        raw: losses before smoothing, drawn thinly.
        title: of the whole; the suggestion by default.

    Raises:
        ShapeError: rates and losses differ in length, or there are none.

    >>> learning_rates([1e-3, 1e-2], [2.0, 1.0], suggestion=1e-3).axes[0].get_title()
    'suggested learning rate 0.001'
    """
    if not rates or len(rates) != len(losses):
        raise ShapeError("learning_rates", f"got {len(rates)} rates and {len(losses)} losses",
                         "expected equally many", "Give one loss for each rate.")
    figure = new_figure(5.4, 3.6)
    axes = figure.add_subplot()
    if raw is not None:
        axes.plot(rates, raw, color="#bbbbbb", linewidth=0.8, label="each batch")
    axes.plot(rates, losses, label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color=WRONG, linestyle="--", linewidth=1)
        title = title or f"suggested learning rate {suggestion:.2g}"
    axes.set_xscale("log")
    low, high = min([*losses, *(raw or ())]), max(losses[:max(len(losses) // 2, 1)])
    axes.set_ylim(low - 0.1 * (high - low or 1), high + 0.5 * (high - low or 1))
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("learning rate", color=MUTED)
    axes.set_ylabel("loss", color=MUTED)
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
