"""The lecture view: a page that walks a network layer by layer on one sample, and back.

`trace` runs the model, `views` and `products` say what the page must know of each layer, `kept`
bounds its size, `page` joins data, style and scripts. The page computes every output again in the
browser and shows the difference to the engine's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import ArgumentError
from .kept import choose
from .loss import Loss
from .page import Page, data_of, page_of
from .trace import Trace, walk
from .views import Scene, view_of

__all__ = ["Page", "lecture_view"]

MEGABYTE = 1_000_000
SMALL_PAGE, LARGE_PAGE = 5.0, 15.0  # megabytes
LARGE_IMAGE = 100 * 100  # pixels
SCRIPT_BYTES = 120_000  # about what a page takes besides its arrays

_LOSSES = {
    "probabilities": "L = − log y[label], the cross-entropy",
    "log_probabilities": "L = − y[label], the cross-entropy",
    "logits": "L = − log softmax(y)[label], the cross-entropy",
    "binary": "L = − log of the probability of the label, the binary cross-entropy",
    "score": "L = the largest output, since the outputs are not probabilities of classes"}


def lecture_view(model: Any, sample: Any, label: int | None = None,
                 class_names: Sequence[str] | None = None, channels: int | None = None,
                 megabytes: float | None = None, title: str | None = None) -> Page:
    """Return a page that shows what every layer makes of one sample, and the gradients back.

    The page is one file without any reference to others. A click on an output shows its window,
    the weights and the sum; the values are recomputed in the browser and compared.

    Args:
        model: takes one input, such as images (N, H, W, C), and is in use (not training).
        sample: (H, W, C) or (1, H, W, C), preprocessed as the model needs it; sequences likewise.
        label: class for the loss whose gradients are shown; the predicted one by default.
        class_names: of the outputs.
        channels: show at most so many channels of each layer, the strongest.
        megabytes: channels are left out until the page is about this large; 5 by default, 15 for
            images of more than 100 x 100 pixels.
        title: of the page; the model's name by default.

    Raises:
        ArgumentError: there is no such class, or the model takes several inputs.
        ShapeError: it is not one sample.

    >>> from minidl.nn import Input, Sequential, layers
    >>> import numpy as np
    >>> net = Sequential([Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)])
    >>> page = lecture_view(net, np.zeros((6, 6, 1)), label=2)
    >>> "conv2d" in page.html, page.channels
    (True, 'all')
    """
    if channels is not None and (isinstance(channels, bool) or channels < 1):
        raise ArgumentError("lecture_view", f"got channels={channels!r}", "expected at least 1",
                            "Change channels.")
    traced = walk(model, sample, label)
    views = {number: view_of(step, traced) for number, step in enumerate(traced.steps)}
    size = _size(traced) if megabytes is None else megabytes
    kept, rung = choose(traced, views, channels, size * MEGABYTE - SCRIPT_BYTES)
    data = data_of(traced, views, Scene(traced, kept, rung))
    shown = _shown(kept, traced)
    data.update(title=title or getattr(model, "name", None) or type(model).__name__,
                model=type(model).__name__, channels=shown, parameters=model.count_parameters(),
                **_result(traced.loss, class_names))
    return page_of(data, shown)


def _size(traced: Trace) -> float:
    height, width, _ = traced.values[0].map_shape
    return LARGE_PAGE if height * width > LARGE_IMAGE else SMALL_PAGE


def _shown(kept: Sequence[Any], traced: Trace) -> str:
    """Say how many channels the page holds."""
    if all(chosen is None for chosen in kept):
        return "all"
    counts = [(len(chosen), value.map_shape[2]) for chosen, value in
              zip(kept, traced.values, strict=True) if chosen is not None]
    fewest, most = min(counts), max(counts)
    return f"{fewest[0]} of {fewest[1]} to {most[0]} of {most[1]}"


def _result(loss: Loss, class_names: Sequence[str] | None) -> dict[str, Any]:
    names = None if class_names is None else [str(name) for name in class_names]
    return {"loss": float(loss.tensor.item()), "loss_text": _LOSSES[loss.kind],
            "loss_kind": loss.kind, "label": loss.label, "predicted": loss.predicted,
            "probability": loss.probability, "classes": names}
