"""LeNet in the book's form: two convolutions with pools, and two dense layers."""

from __future__ import annotations

from ..nn import Input, Sequential
from ..nn.layers import Conv2D, Dense, Flatten, MaxPooling2D


def lenet(input_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10) -> Sequential:
    """Return the network: images (N, H, W, C) to probabilities (N, classes).

    5x5 convolutions of 20 and 50 channels with relu and max pools, dense 500. The book names the
    network and takes its layers from the volume before; these are the usual ones. LeCun et al.
    1998 have fewer channels, tanh and mean pools.

    >>> lenet().count_parameters()
    1256080
    """
    return Sequential([
        Input(input_shape),
        Conv2D(20, 5, padding="same", activation="relu", name="conv1"),
        MaxPooling2D(2, name="pool1"),
        Conv2D(50, 5, padding="same", activation="relu", name="conv2"),
        MaxPooling2D(2, name="pool2"),
        Flatten(name="flatten"),
        Dense(500, activation="relu", name="dense1"),
        Dense(classes, activation="softmax", name="dense2"),
    ], name="lenet")
