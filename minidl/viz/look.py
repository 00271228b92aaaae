"""Looking into a model without leaving a trace: outputs of layers, and gradients by them.

A model comes back as it was: what is in training, which weights are trained, their gradients and
the hooks. Nothing random is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

from .. import config
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..watch import mode

Replace = Callable[[Any], "Tensor | None"]


class _Reached(BaseException):
    """Ends a forward pass at the layer that was waited for."""


@contextmanager
def in_use(model: Any) -> Iterator[None]:
    """Let a model and all inside be out of training, and no weight get a gradient, for the block.
    """
    trained = model.trainable_parameters()
    with mode(model, training=False):
        _set_trainable(trained, False)
        try:
            yield
        finally:
            _set_trainable(trained, True)


def _set_trainable(parameters: Sequence[Any], value: bool) -> None:
    for parameter in parameters:
        parameter.trainable = value


@contextmanager
def observed(modules: dict[str, Any], see: Callable[[str, Any], Any]) -> Iterator[None]:
    """Call `see(name, output)` for every output of modules inside the block.

    What it returns, unless that is None, takes the place of the output.
    """
    def hook(name: str) -> Callable[[Any, Any, Any], Any]:
        return lambda module, inputs, output: see(name, output)

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(hook(name)))
        yield


# ---- outputs -------------------------------------------------------------------------------


def outputs_of(model: Any, image: np.ndarray, modules: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return copies of what modules give for one image (H, W, C), without the batch axis.

    They come in the order in which the modules are done; of several calls the last counts.
    """
    outputs: dict[str, np.ndarray] = {}

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.pop(name, None)
            outputs[name] = np.array(output.array[0])

    with in_use(model), config.no_grad(), observed(modules, keep):
        model(image[None])
    return outputs


def output_at(model: Any, x: Tensor, layer: str) -> Tensor:
    """Return the output of a layer's first call; the layers after it are not computed."""
    found: list[Tensor] = []

    def stop(name: str, output: Any) -> None:
        found.append(output)
        raise _Reached

    with observed(named("layer", model, [layer]), stop), suppress(_Reached):
        model(x)
    if not found:
        raise ArgumentError("layer", f'"{layer}" takes no part in the model\'s output',
                            "expected a layer that is called", "Name another layer.")
    return found[0]


# ---- layers --------------------------------------------------------------------------------


def named(where: str, model: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return modules by their names.

    Raises:
        ArgumentError: the model has no layer of such a name.
    """
    known = {path: module for path, module in model.named_modules().items() if path}
    missing = [name for name in names if name not in known]
    if missing:
        raise ArgumentError(where, f"got layers {', '.join(missing)}",
                            f"the model has {', '.join(known)}", "Change layers.")
    return {name: known[name] for name in names}


def leaf_modules(model: Any) -> dict[str, Any]:
    """Return the modules that hold no others, by path, in the order of the model."""
    return {path: module for path, module in model.named_modules().items()
            if path and not module.named_children()}


def input_shape(where: str, model: Any, size: tuple[int, int] | None = None
                ) -> tuple[int, int, int]:
    """Return height, width and channels of the images that a model takes.

    Args:
        size: height and width, where the model leaves them open.

    Raises:
        ArgumentError: the model does not say, or does not take images.
    """
    shape: tuple[int | None, ...] = tuple(getattr(model, "input_shape", None) or ())
    if len(shape) != 4 or shape[3] is None:
        raise ArgumentError(where, f"got a model whose input has the shape {shape or 'unknown'}",
                            "expected one of images (N, H, W, C)",
                            "Put Input((height, width, channels)) in front of the model.")
    height, width = shape[1:3] if size is None else size
    if height is None or width is None:
        raise ArgumentError(where, f"got a model of images of shape {shape[1:]}",
                            "expected a size", "Give size=(height, width).")
    return height, width, shape[3]


def one_image(image: Any, where: str = "feature_maps") -> np.ndarray:
    """Return an image (H, W, C) without the batch axis.

    Raises:
        ShapeError: it is not one image.
    """
    array = np.asarray(image)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim != 3:
        raise ShapeError(where, f"got an image of shape {array.shape}",
                         "expected (H, W, C) or (1, H, W, C)", "Give one image, such as x[0].")
    return array


def dtype_of(model: Any) -> np.dtype:
    """Return the element type of a model's weights, float32 where there are none."""
    found = (p.dtype for p in model.parameters() if p.dtype.kind == "f")
    return next(found, np.dtype(np.float32))


def as_input(where: str, model: Any, image: Any) -> np.ndarray:
    """Return an image (H, W, C) without the batch axis, in the element type of the weights."""
    return one_image(image, where).astype(dtype_of(model))


# ---- gradients -----------------------------------------------------------------------------


def leaf(array: np.ndarray) -> Tensor:
    """Return a tensor of one's own that gets a gradient."""
    tensor = Tensor.own(np.array(array))
    tensor.requires_grad = True
    return tensor


def at_layer(model: Any, image: np.ndarray, layer: str, score: Callable[[Any], Tensor]
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return the output of a layer for an image, and the gradient of a score by it: (H, W, C).

    Args:
        score: makes a tensor of one element of the model's output.

    Raises:
        ArgumentError: there is no such layer, or the score does not depend on it.
        ShapeError: the layer's output is not (H, W, C).
    """
    kept: list[Tensor] = []

    def cut(name: str, output: Any) -> Tensor | None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise ShapeError(f'layer "{layer}"', f"gives {getattr(output, 'shape', ('?',))[1:]}",
                             "expected maps (H, W, C)", "Name a convolution or a pooling.")
        kept.append(leaf(output.array))
        return kept[-1]

    with in_use(model), config.enable_grad(), observed(named("layer", model, [layer]), cut):
        result = score(model(image[None]))
        if result.requires_grad:
            result.backward()
    if not kept or kept[-1].grad is None:
        raise ArgumentError(f'layer "{layer}"', "the score does not depend on it",
                            "expected a layer on the way to the output", "Name another layer.")
    return kept[-1].array[0], kept[-1].grad.array[0]
