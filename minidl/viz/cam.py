"""Class activation maps: where in the image a class is seen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from .heat import heat_figure, photo
from .look import as_input, at_layer, leaf_modules, outputs_of
from .score import called, judged, score_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACTIVATION = "evidence for the class"


def class_activation_values(model: Any, image: Any, label: int | None = None) -> np.ndarray:
    """Return the class activation map M(i, j) = sum over k of w_k A(i, j, k): (h, w).

    A are the last maps of the network, w_k the weights by which their means enter the score of
    the class, so that the mean of M is the score but for the bias. Where the last maps are one per
    class (a 1x1 convolution before the pooling, as in SqueezeNet), M is that of the class.

    Args:
        model: maps, global average pooling, and then nothing but one dense layer, or none.
        image: (H, W, C) or (1, H, W, C), preprocessed as the model needs it.
        label: the class; the likeliest by default.

    Raises:
        ArgumentError: the model is of another form, or there is no such class.
        ShapeError: it is not one image.

    Source: Zhou et al. 2016, "Learning deep features for discriminative localization".
    """
    where, one = "class_activation_map", as_input("class_activation_map", model, image)
    judge, label, _ = judged(where, model, one, label)
    maps, gradient = at_layer(model, one, last_maps(where, model, one),
                              partial(score_of, label=label))
    weights = gradient.sum(axis=(0, 1))
    column = 0 if judge.one_output else label
    sign = -1 if judge.one_output and not label else 1
    even = np.allclose(gradient * gradient[..., 0].size, weights, rtol=1e-3, atol=1e-5)
    if not even or not _enters(model, weights, column, sign):
        raise ArgumentError(where, "the scores are not made of the means of the last maps by one "
                            "dense layer", "expected global average pooling and one dense layer "
                            "at the end, or a map per class and global average pooling",
                            "Use grad_cam, which takes any network.")
    return maps @ weights


def _enters(model: Any, weights: np.ndarray, column: int, sign: int) -> bool:
    """Say whether weights (C,) are those of a class in a dense layer, or pick a map out."""
    columns = [np.eye(len(weights))[:, column]] if column < len(weights) else []
    for module in leaf_modules(model).values():
        kernel = getattr(module, "kernel", None) if module.built else None
        if kernel is not None and kernel.size == len(weights) * kernel.shape[-1] > column:
            columns.append(kernel.array.reshape(len(weights), -1)[:, column])
    return any(np.allclose(sign * w, weights, rtol=1e-3, atol=1e-5) for w in columns)


def last_maps(where: str, model: Any, image: np.ndarray) -> str:
    """Return the name of the last layer that gives maps (H, W, C) of more than one pixel.

    Raises:
        ArgumentError: there is none.
    """
    outputs = outputs_of(model, image, leaf_modules(model))
    found = [name for name, y in outputs.items() if y.ndim == 3 and y[..., 0].size > 1]
    if not found:
        raise ArgumentError(where, "no layer gives maps (H, W, C)", "expected a convolution",
                            "Give a convolutional network.")
    return found[-1]


def class_activation_map(model: Any, image: Any, label: int | None = None, shown: Any = None,
                         class_names: Sequence[str] | None = None, title: str | None = None
                         ) -> Figure:
    """Show where in an image a class is seen, by the weights of the last layer.

    What speaks against the class is drawn as 0.

    Args:
        model, image, label: as in `class_activation_values`.
        shown: the image as people see it, of any size; by default `image`.
        class_names: by class, for the title.
        title: of the whole.

    Raises:
        ArgumentError, ShapeError: as in `class_activation_values`.
    """
    one = as_input("class_activation_map", model, image)
    _, which, p = judged("class_activation_map", model, one, label)
    values = class_activation_values(model, one, which)
    if title is None:
        title = (f"Class activation map of {called(which, class_names)}, probability {p:.3f}"
                 f"{_nothing(values)}")
    return heat_figure("class_activation_map", photo(one, shown), values, title, ACTIVATION,
                       (0.0, float(values.max())))


def _nothing(values: np.ndarray) -> str:
    """Return what a title says of a map without any evidence."""
    return "" if values.max() > 0 else "\nno evidence for it in this layer"


# ---- Grad-CAM ------------------------------------------------------------------------------


def grad_cam_values(model: Any, image: Any, label: int | None = None, layer: str | None = None
                    ) -> np.ndarray:
    """Return the Grad-CAM map relu(sum over k of a_k A(i, j, k)): (h, w).

    A are the maps of a layer, a_k the means over the map of the gradient of the class's score by
    A_k; the score is that before softmax or sigmoid.

    Args:
        model: a model that takes images (N, H, W, C) and gives (N, classes).
        image: (H, W, C) or (1, H, W, C), preprocessed as the model needs it.
        label: the class; the likeliest by default.
        layer: name of the layer; by default the last that gives maps of more than one pixel.

    Raises:
        ArgumentError: there is no such class or layer, or the score does not depend on it.
        ShapeError: it is not one image, or the layer gives no maps.

    Source: Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", equations 1 and 2.
    """
    where, one = "grad_cam", as_input("grad_cam", model, image)
    _, label, _ = judged(where, model, one, label)
    maps, gradient = at_layer(model, one, layer or last_maps(where, model, one),
                              partial(score_of, label=label))
    return np.maximum(maps @ gradient.mean(axis=(0, 1)), 0)


def grad_cam(model: Any, image: Any, label: int | None = None, layer: str | None = None,
             shown: Any = None, class_names: Sequence[str] | None = None,
             title: str | None = None) -> Figure:
    """Show where in an image a layer sees what speaks for a class.

    Args:
        model, image, label, layer: as in `grad_cam_values`.
        shown: the image as people see it, of any size; by default `image`.
        class_names: by class, for the title.
        title: of the whole.

    Raises:
        ArgumentError, ShapeError: as in `grad_cam_values`.
    """
    one = as_input("grad_cam", model, image)
    _, which, p = judged("grad_cam", model, one, label)
    layer = layer or last_maps("grad_cam", model, one)
    values = grad_cam_values(model, one, which, layer)
    if title is None:
        title = f"Grad-CAM of {called(which, class_names)}, probability {p:.3f}\nlayer {layer}, "
        title += f"{values.shape[0]} x {values.shape[1]} maps{_nothing(values)}"
    return heat_figure("grad_cam", photo(one, shown), values, title, ACTIVATION,
                       (0.0, float(values.max())))
