"""The network of lecture 5.18 for photos of cats and dogs: 991,041 parameters."""

from __future__ import annotations

from typing import Any

from ..nn import Input, Module, Sequential, Symbol
from ..nn.layers import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    RandomFlip,
    RandomRotation,
    RandomZoom,
    Rescaling,
)

_CHANNELS = (32, 64, 128, 256)


def cats_dogs_small(dropout: float = 0.0, regularizer: Any = None, augmentation: bool = False
                    ) -> Sequential:
    """Return the network: photos (N, 180, 180, 3), pixels 0 to 255, to the probability (N, 1).

    Four 3x3 convolutions, each with a pool, and a fifth; maps of 178, 89, 87, 43, 41, 20, 18, 9
    and 7 rows. The network itself divides the pixels by 255.

    Args:
        dropout: share dropped after flatten; the source's second network has 0.5.
        regularizer: of the kernels of all convolutions, and of the dense layer.
        augmentation: mirror, turn by up to 36 degrees and zoom by up to 20 %, in training only.

    >>> cats_dogs_small().count_parameters()
    991041
    """
    layers: list[Module | Symbol] = [
        Input((180, 180, 3)),
        *([RandomFlip("horizontal", name="flip"), RandomRotation(0.1, name="rotation"),
           RandomZoom(0.2, name="zoom")] if augmentation else []),
        Rescaling(1 / 255, name="rescaling"),
    ]
    for i, channels in enumerate(_CHANNELS, 1):
        layers += [Conv2D(channels, 3, activation="relu", kernel_regularizer=regularizer,
                          name=f"conv{i}"),
                   MaxPooling2D(2, name=f"pool{i}")]
    layers += [
        Conv2D(256, 3, activation="relu", kernel_regularizer=regularizer, name="conv5"),
        Flatten(name="flatten"),                       # (12544,)
        *([Dropout(dropout, name="dropout")] if dropout else []),
        Dense(1, activation="sigmoid", kernel_regularizer=regularizer, name="dense"),
    ]
    return Sequential(layers, name="cats_dogs_small")
