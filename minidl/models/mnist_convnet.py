"""The first convnet of lecture 5.17: 93,322 parameters."""

from __future__ import annotations

from ..nn import Input, Sequential
from ..nn.layers import Conv2D, Dense, Flatten, MaxPooling2D


def mnist_convnet(classes: int = 10) -> Sequential:
    """Return the network: images (N, 28, 28, 1) in [0, 1] to probabilities (N, classes).

    3x3 convolutions of 32, 64 and 64 channels with pools between them, then dense 64 and 10.

    >>> model = mnist_convnet()
    >>> sum(p.size for p in model.parameters())
    93322
    """
    return Sequential([
        Input((28, 28, 1)),
        Conv2D(32, 3, activation="relu", name="conv1"),  # (26, 26, 32)
        MaxPooling2D(2, name="pool1"),                   # (13, 13, 32)
        Conv2D(64, 3, activation="relu", name="conv2"),  # (11, 11, 64)
        MaxPooling2D(2, name="pool2"),                   # (5, 5, 64)
        Conv2D(64, 3, activation="relu", name="conv3"),  # (3, 3, 64)
        Flatten(name="flatten"),                         # (576,)
        Dense(64, activation="relu", name="dense1"),
        Dense(classes, activation="softmax", name="dense2"),
    ], name="mnist_convnet")
