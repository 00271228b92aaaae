"""SqueezeNet 1.1: eight Fire modules, and the classes' maps averaged at the end."""

from __future__ import annotations

from ..errors import ArgumentError
from ..nn import Input, Model, Symbol
from ..nn.layers import Activation, Conv2D, Dropout, GlobalAveragePooling2D, MaxPooling2D
from .blocks import fire_module
from .pretrained import From, Pretrained

FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192),
         8: (64, 256), 9: (64, 256)}
"""Channels of the Fire modules by number: squeezed, and of either expansion."""

STYLES = ("same", "torch")
"""How the edges are treated; see `squeezenet`."""


def squeezenet(input_shape: tuple[int, int, int] = (227, 227, 3), classes: int = 1000,
               include_top: bool = True, style: str | None = None, weights: From = None) -> Model:
    """Return the network: images (N, H, W, 3) to probabilities (N, classes).

    Convolution 3x3 / 2 of 64 channels; Fire modules 2 and 3, 4 and 5, 6 to 9, with a max pool
    3x3 / 2 before each of these groups; dropout; a 1x1 convolution to the classes, with relu; mean
    over all positions; softmax. 1,235,496 parameters.

    Args:
        include_top: add what follows fire9_concat; without it the output is (N, 13, 13, 512).
        style: "same", as TensorFlow's conversions of the published weights have it: conv1 pads,
            pools do not. "torch", as in torchvision and in the Caffe release: conv1 does not pad,
            and pools take windows that the edge cuts off ("ceil mode"); 14 x 14 positions come
            out at 227 x 227. By default the style of the weights, "same" where they have none.
        weights: a file, "imagenet", or None for random ones (see `minidl.models.pretrained`).

    Source: Iandola et al. 2016; version 1.1 is the authors' release of that year.

    >>> squeezenet().count_parameters(), squeezenet(include_top=False).output_shape
    (1235496, (None, 13, 13, 512))
    """
    trained = Pretrained.find("squeezenet", weights, style, include_top)
    style = str(trained.style or style or "same")
    if style not in STYLES:
        raise ArgumentError("squeezenet", f"got style={style!r}", 'expected "same" or "torch"',
                            "Change style.")
    x = Input(input_shape)
    y = Conv2D(64, 3, 2, "same" if style == "same" else "valid", activation="relu",
               kernel_initializer="he_normal", name="conv1")(x)
    for number, (squeeze, expand) in FIRES.items():
        if number in (2, 4, 6):
            y = _pool(y, style, f"pool{number - 1}")
        y = fire_module(y, squeeze, expand, name=f"fire{number}")
    if include_top:
        y = Dropout(0.5, name="drop9")(y)
        y = Conv2D(classes, 1, activation="relu", name="conv10")(y)
        y = GlobalAveragePooling2D(name="avg_pool")(y)
        y = Activation("softmax", name="softmax")(y)
    return trained.into(Model(x, y, name="squeezenet"))


def _pool(x: Symbol, style: str, name: str) -> Symbol:
    """Return maxima of windows 3x3 / 2; of style "torch" also of those that the edge cuts off."""
    cut = [(0, int(style == "torch" and int(size or 1) % 2 == 0)) for size in x.shape[1:3]]
    padding = cut if any(map(any, cut)) else "valid"
    return MaxPooling2D(3, 2, padding, name=name)(x)
