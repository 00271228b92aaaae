"""The wide digit network of a lecture on Keras: 3,274,634 parameters."""

from __future__ import annotations

from ..nn import Input, Sequential
from ..nn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D


def lecture_mnist_wide(classes: int = 10) -> Sequential:
    """Return the network: images (N, 28, 28, 1) in [0, 1] to probabilities (N, classes).

    Two blocks of a 5x5 convolution and a pool, 32 and 64 channels, then a dense layer of 1024
    that holds nearly all of the parameters.

    >>> model = lecture_mnist_wide()
    >>> sum(p.size for p in model.parameters())
    3274634
    """
    return Sequential([
        Input((28, 28, 1)),
        Conv2D(32, 5, padding="same", activation="relu", name="conv1"),  # (28, 28, 32)
        MaxPooling2D(2, padding="same", name="pool1"),                   # (14, 14, 32)
        Conv2D(64, 5, padding="same", activation="relu", name="conv2"),  # (14, 14, 64)
        MaxPooling2D(2, padding="same", name="pool2"),                   # (7, 7, 64)
        Flatten(name="flatten"),                                         # (3136,)
        Dense(1024, activation="relu", name="dense1"),
        Dropout(0.5, name="dropout"),
        Dense(classes, activation="softmax", name="dense2"),
    ], name="lecture_mnist_wide")
