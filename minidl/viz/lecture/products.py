"""Convolutions and dense layers for a page: kernels of the channels shown, the rest as a number.

Where a page holds some channels of the input only, the sum over the others is computed here, by the
engine, for every output: the terms that are shown, this rest and the bias are the whole sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import config
from ...autograd.tensor import Tensor

if TYPE_CHECKING:
    from .trace import Step
    from .views import Scene

FEWEST = 4  # contributions that are kept of every unit of a large dense layer
BLOCK = 128  # units whose contributions are looked through at a time
GRADIENT_WEIGHTS = 200_000  # of a kernel whose gradient is shown as numbers


def conv(step: Step, scene: Scene) -> dict[str, Any]:
    """Return window, kernel, bias and rest of a convolution, plain, grouped or transposed.

    The kernel is (KH, KW, input channels shown, output channels shown). With groups, the input
    channels are those within a group.
    """
    geometry = _geometry(step)
    whole = _as_conv(step, step.layer.kernel.array, geometry["groups"])
    inputs, outputs = scene.kept[step.inputs[0]], scene.kept[step.output]
    rows = inputs if geometry["groups"] == 1 else None
    made = {**geometry, "kernel": _cut(whole, rows, outputs), "words": _conv_words(step, whole),
            "rows": None if rows is None else rows.tolist(), **_bias(step, outputs)}
    if step.gradients.get("kernel") is not None and made["kernel"].size <= GRADIENT_WEIGHTS:
        turned = _as_conv(step, step.gradients["kernel"], geometry["groups"])
        made["kernel_gradient"] = _cut(turned, rows, outputs)
    if inputs is not None:
        made["rest"] = _rest(step, scene, inputs, outputs)
    return made


def _geometry(step: Step) -> dict[str, Any]:
    """Return how the window moves; a dense layer on a map is a window of one place."""
    if "stride" not in step.attrs:
        return {"stride": [1, 1], "dilation": [1, 1], "before": [0, 0], "groups": 1}
    (top, _), (left, _) = step.attrs["padding"]
    return {"stride": list(step.attrs["stride"]), "dilation": list(step.attrs["dilation"]),
            "before": [top, left], "groups": step.attrs["groups"]}


def _as_conv(step: Step, kernel: np.ndarray, groups: int) -> np.ndarray:
    """Return any kernel as that of a convolution of images (KH, KW, C / groups, filters)."""
    kind = type(step.layer).__name__
    kernel = kernel.reshape((1,) * (4 - kernel.ndim) + kernel.shape)
    if kind == "DepthwiseConv2D":
        return kernel.reshape(*kernel.shape[:2], 1, -1)
    if not kind.endswith("Transpose"):
        return kernel
    rows, columns, filters, channels = kernel.shape
    parted = kernel.reshape(rows, columns, filters, groups, channels // groups)
    return parted.transpose(0, 1, 4, 3, 2).reshape(rows, columns, channels // groups, -1)


def _cut(kernel: np.ndarray, rows: np.ndarray | None, columns: np.ndarray | None) -> np.ndarray:
    kernel = kernel if rows is None else kernel[:, :, rows]
    return kernel if columns is None else kernel[..., columns]


def _bias(step: Step, outputs: np.ndarray | None) -> dict[str, Any]:
    bias = step.layer.bias
    if bias is None:
        return {"bias": None}
    return {"bias": bias.array if outputs is None else bias.array[outputs]}


def _rest(step: Step, scene: Scene, inputs: np.ndarray, outputs: np.ndarray | None) -> np.ndarray:
    """Return the sums over the input channels that are not shown (P, Q, output channels shown)."""
    x = scene.trace.values[step.inputs[0]].array.copy()
    x[..., inputs] = 0
    layer, before = step.layer, step.layer.activation
    try:
        layer.activation = _identity
        with config.no_grad():
            z = np.asarray(layer.forward(Tensor(x[None])).array[0])
    finally:
        layer.activation = before
    z = z if layer.bias is None else z - layer.bias.array
    z = z.reshape(scene.trace.values[step.output].map_shape)
    return z if outputs is None else z[..., outputs]


def _identity(x: Any) -> Any:
    return x


def _conv_words(step: Step, kernel: np.ndarray) -> list[str]:
    layer = step.layer
    rows, columns, channels, filters = kernel.shape
    if not hasattr(layer, "strides"):
        return [f"{filters} units over {channels} features, at every place alike"]
    window = f"{rows} × {columns}" if layer.input_axes == 4 else str(columns)
    words = [f"{filters} kernels of {window} over {channels} channel{'s' * (channels > 1)}",
             f"step {' × '.join(map(str, layer.strides))}",
             "no padding" if layer.padding == "valid" else f"padding {layer.padding}"]
    if set(layer.dilation_rate) != {1}:
        words.append(f"dilation {' × '.join(map(str, layer.dilation_rate))}")
    if step.attrs.get("groups", 1) > 1:
        words.append(f"{step.attrs['groups']} groups of channels that do not mix")
    return words


# ---- dense ---------------------------------------------------------------------------------


def dense(step: Step, scene: Scene) -> dict[str, Any]:
    """Return the weights of a dense layer; of a large one those of the largest contributions."""
    kernel = step.layer.kernel.array
    made: dict[str, Any] = {
        "features": kernel.shape[0], "units": kernel.shape[1], **_bias(step, None),
        "words": [f"{kernel.shape[1]:,} units, each over all {kernel.shape[0]:,} features"]}
    if kernel.size <= scene.rung.weights:
        gradient = step.gradients.get("kernel")
        return {**made, "kernel": kernel, "kernel_gradient": gradient}
    x = scene.trace.values[step.inputs[0]].array
    return {**made, **_largest(x, kernel, scene.rung.weights)}


def _largest(x: np.ndarray, kernel: np.ndarray, weights: int) -> dict[str, Any]:
    """Return number and weight of the inputs that contribute most to each unit, and the rest."""
    units = kernel.shape[1]
    count = int(np.clip(weights // (2 * units), FEWEST, min(64, len(x))))
    top = np.empty((units, count), np.int32)
    chosen, rest = np.empty((units, count), np.float32), np.empty(units)
    for start in range(0, units, BLOCK):
        part = slice(start, start + BLOCK)
        rows = np.ascontiguousarray(kernel[:, part].T)
        products = rows * x
        top[part] = np.argpartition(-np.abs(products), count - 1, axis=1)[:, :count]
        chosen[part] = np.take_along_axis(rows, top[part], 1)
        shown = np.take_along_axis(products, top[part], 1)
        rest[part] = products.sum(1, np.float64) - shown.sum(1, np.float64)
    return {"top": top, "top_weights": chosen, "rest": rest}
