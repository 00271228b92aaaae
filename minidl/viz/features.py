"""What the layers of a network make of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from .figure import displayable, new_figure
from .look import leaf_modules, named, one_image, outputs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TILES_PER_ROW = 10
TILE = 0.62  # inches


def activations(model: Any, image: Any, layers: Sequence[str] | int | None = None
                ) -> dict[str, np.ndarray]:
    """Return the outputs of layers for one image, by the layers' names, as they are computed.

    Args:
        model: a model that takes images (N, H, W, C).
        image: (H, W, C) or (1, H, W, C), preprocessed as the model needs it.
        layers: names of layers, or how many of the first ones; all by default.

    Returns:
        Arrays without the batch axis: (H, W, C) or (units,).

    Raises:
        ArgumentError: the model has no layer of such a name.
        ShapeError: it is not one image.
    """
    return outputs_of(model, one_image(image), _chosen(model, layers))


def _chosen(model: Any, layers: Sequence[str] | int | None) -> dict[str, Any]:
    """Return modules by name: the named ones, or those that hold no others."""
    if layers is None or isinstance(layers, int):
        return dict(list(leaf_modules(model).items())[:layers])
    return named("feature_maps", model, layers)


def feature_maps(model: Any, image: Any, layers: Sequence[str] | int | None = None,
                 limit: int = 40, title: str = "", shown: Any = None) -> Figure:
    """Show the outputs of layers for one image, one picture per channel, layer below layer.

    Args:
        model: a model that takes images (N, H, W, C).
        image: (H, W, C) or (1, H, W, C), preprocessed as the model needs it.
        layers: names of layers, or how many of the first ones; by default all that give images,
            but for those that change nothing in use, such as dropout.
        limit: show the first `limit` channels of each layer.
        title: of the whole.
        shown: the image as people see it, where preprocessing has changed it.

    Raises:
        ArgumentError: the model has no layer of such a name, or none gives images.
        ShapeError: it is not one image.
    """
    outputs = activations(model, image, layers)
    if layers is None:
        outputs = _changing({name: y for name, y in outputs.items() if y.ndim == 3})
    if not outputs:
        raise ArgumentError("feature_maps", "no layer gives images (H, W, C)", "", "Name layers.")
    panels = {name: mosaic(y, limit) for name, y in outputs.items()}
    return _draw(one_image(image if shown is None else shown), outputs, panels, title)


def _changing(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leave out outputs that are the one before over again."""
    kept: dict[str, np.ndarray] = {}
    for name, y in outputs.items():
        if not kept or not np.array_equal(y, list(kept.values())[-1]):
            kept[name] = y
    return kept


def mosaic(output: np.ndarray, limit: int) -> np.ndarray:
    """Return the channels of an output beside each other with gaps of nan, (rows H, columns W).

    A vector (units,) becomes a single row.
    """
    if output.ndim == 1:
        return output[None]
    height, width, channels = output.shape
    count = min(channels, limit)
    columns = min(count, TILES_PER_ROW)
    rows = -(-count // columns)
    gap = max(1, width // 12)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for k in range(count):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        canvas[top:top + height, left:left + width] = output[..., k]
    return canvas


def _draw(image: np.ndarray, outputs: dict[str, np.ndarray], panels: dict[str, np.ndarray],
          title: str) -> Figure:
    heights = [2 * TILE, *(_height(outputs[name], panel) for name, panel in panels.items())]
    figure = new_figure(TILES_PER_ROW * TILE + 0.4, sum(heights) + 0.3 * len(heights) + 0.4, title)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    first = figure.add_subplot(grid[0])
    first.imshow(displayable("feature_maps", image), cmap="gray_r", interpolation="nearest")
    _finish(first, f"input: {_size(image)}")
    for row, (name, panel) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(grid[row])
        axes.imshow(panel, cmap="viridis", interpolation="nearest",
                    aspect="auto" if outputs[name].ndim == 1 else "equal")
        _finish(axes, f"{name}: {_size(outputs[name])}")
    return figure


def _height(output: np.ndarray, panel: np.ndarray) -> float:
    """Return inches, so that a row of `TILES_PER_ROW` channels fills the width."""
    if output.ndim == 1:
        return 0.25
    rows = round((panel.shape[0] + 1) / (output.shape[0] + 1))
    return max(1, rows) * TILE * output.shape[0] / output.shape[1]


def _finish(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=8, loc="left", pad=2)
    axes.set_anchor("W")
    axes.set_axis_off()


def _size(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))
