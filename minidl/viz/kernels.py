"""The kernels of a convolution as pictures, in the two styles of the lectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from .figure import new_figure, picture_axes, square_grid, to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = ("symmetric", "normalised")


def filters(kernel: Any, style: str = "symmetric", channel: int | None = None,
            limit: int = 64, title: str | None = None) -> Figure:
    """Show the filters of a convolution, one picture each, in a square grid.

    Args:
        kernel: (KH, KW, C, K), such as `layer.kernel`.
        style: "symmetric" colours all filters on one scale from -max |w| to max |w|, so that 0 is
            white; "normalised" shows each in grey as (w - mean) / std + 0.5, clipped to [0, 1],
            which brings out its shape and hides its size.
        channel: input channel to show. By default 0 in the symmetric style; in the normalised one
            all of them, as colours where there are three.
        limit: show the first `limit` pictures.
        title: of the whole; says the style by default.

    Raises:
        ShapeError: the kernel does not have four axes.
        ArgumentError: no such style or channel.

    >>> figure = filters(np.ones((3, 3, 1, 4)))
    >>> [axes.get_title() for axes in figure.axes[:4]]
    ['0', '1', '2', '3']
    """
    w = to_numpy(kernel)
    _check(w, style, channel)
    if style == "symmetric":
        return _symmetric(w, channel or 0, limit, title)
    return _normalised(w, channel, limit, title)


def _check(w: np.ndarray, style: str, channel: int | None) -> None:
    if w.ndim != 4:
        raise ShapeError("filters", f"got a kernel of shape {w.shape}", "expected (KH, KW, C, K)",
                         "Give the kernel of a Conv2D layer.")
    if style not in STYLES:
        raise ArgumentError("filters", f"got style={style!r}", f"expected one of {STYLES}",
                            "Change style.")
    if channel is not None and not 0 <= channel < w.shape[2]:
        raise ArgumentError("filters", f"got channel={channel}",
                            f"the kernel has input channels 0 to {w.shape[2] - 1}",
                            "Change channel.")


def _grid(count: int, heading: str) -> tuple[Figure, list[Any]]:
    rows, columns = square_grid(count)
    figure = new_figure(max(0.95 * columns, 3.4) + 0.6, 1.1 * rows + 0.5, heading)
    return figure, picture_axes(figure, rows, columns, count)


def _symmetric(w: np.ndarray, channel: int, limit: int, title: str | None) -> Figure:
    count = min(w.shape[3], limit)
    largest = float(np.abs(w).max()) or 1.0
    of = f", input channel {channel} of {w.shape[2]}" if w.shape[2] > 1 else ""
    heading = f"{_shown(count, w.shape[3])}{of}" if title is None else title
    figure, grid = _grid(count, heading)
    for i, axes in enumerate(grid):
        shown = axes.imshow(w[:, :, channel, i], cmap="RdBu_r", vmin=-largest, vmax=largest)
        axes.set_title(str(i), fontsize=8, pad=2)
    bar = figure.colorbar(shown, ax=grid, shrink=0.8, aspect=30, pad=0.03)
    bar.ax.tick_params(labelsize=8)
    return figure


def _normalised(w: np.ndarray, channel: int | None, limit: int, title: str | None) -> Figure:
    colour = channel is None and w.shape[2] == 3
    pictures: list[tuple[str, np.ndarray]] = []
    for k in range(w.shape[3]):
        if colour:
            pictures.append((str(k), normalise(w[..., k])))
            continue
        for c in range(w.shape[2]) if channel is None else (channel,):
            name = str(k) if w.shape[2] == 1 else f"{k},{c}"
            pictures.append((name, normalise(w[:, :, c, k])))
    count = min(len(pictures), limit)
    heading = f"{_shown(count, len(pictures))}, each normalised" if title is None else title
    figure, grid = _grid(count, heading)
    for axes, (name, picture) in zip(grid, pictures, strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(name, fontsize=8, pad=2)
    return figure


def _shown(count: int, total: int) -> str:
    return f"{total} filters" if count == total else f"First {count} of {total} filters"


def normalise(w: np.ndarray) -> np.ndarray:
    """Return (w - mean) / std + 0.5, clipped to [0, 1]; a constant gives 0.5.

    >>> normalise(np.array([1.0, 3.0])).tolist()
    [0.0, 1.0]
    """
    return np.clip((w - w.mean()) / (w.std() or 1.0) + 0.5, 0, 1)
