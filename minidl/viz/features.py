"""What the layers of a network make of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config
from ..errors import ArgumentError, ShapeError
from .figure import displayable, new_figure

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
    outputs: dict[str, np.ndarray] = {}
    hooks = [_observe(module, name, outputs) for name, module in _chosen(model, layers).items()]
    try:
        with _in_use(model), config.no_grad():
            model(one_image(image)[None])
    finally:
        for remove in hooks:
            remove()
    return outputs


@contextmanager
def _in_use(model: Any) -> Iterator[None]:
    """Let a model and all inside be out of training for the block."""
    before = [(module, module.training) for module in model.named_modules().values()]
    model.train(False)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was


def _observe(module: Any, name: str, outputs: dict[str, np.ndarray]) -> Callable[[], None]:
    """Let a module leave its output in a dict; return what ends that."""
    def keep(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        outputs[name] = np.array(output.array[0])

    return module.register_forward_hook(keep)


def _chosen(model: Any, layers: Sequence[str] | int | None) -> dict[str, Any]:
    """Return modules by name: the named ones, or those that hold no others."""
    known = {path: module for path, module in model.named_modules().items() if path}
    if layers is None or isinstance(layers, int):
        leaves = {path: m for path, m in known.items() if not m.named_children()}
        return dict(list(leaves.items())[:layers])
    missing = [name for name in layers if name not in known]
    if missing:
        raise ArgumentError("feature_maps", f"got layers {', '.join(missing)}",
                            f"the model has {', '.join(known)}", "Change layers.")
    return {name: known[name] for name in layers}


def feature_maps(model: Any, image: Any, layers: Sequence[str] | int | None = None,
                 limit: int = 40, title: str = "") -> Figure:
    """Show the outputs of layers for one image, one picture per channel, layer below layer.

    Args:
        model: a model that takes images (N, H, W, C).
        image: (H, W, C) or (1, H, W, C), preprocessed as the model needs it.
        layers: names of layers, or how many of the first ones; by default all that give images,
            but for those that change nothing in use, such as dropout.
        limit: show the first `limit` channels of each layer.
        title: of the whole.

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
    return _draw(one_image(image), outputs, panels, title)


def _changing(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leave out outputs that are the one before over again."""
    kept: dict[str, np.ndarray] = {}
    for name, y in outputs.items():
        if not kept or not np.array_equal(y, list(kept.values())[-1]):
            kept[name] = y
    return kept


def one_image(image: Any) -> np.ndarray:
    """Return an image (H, W, C) without the batch axis.

    Raises:
        ShapeError: it is not one image.
    """
    array = np.asarray(image)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim != 3:
        raise ShapeError("feature_maps", f"got an image of shape {array.shape}",
                         "expected (H, W, C) or (1, H, W, C)", "Give one image, such as x[0].")
    return array


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
