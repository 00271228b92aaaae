"""The CIFAR-10 network of the laboratory work in Keras: 4,293,194 parameters."""

from __future__ import annotations

from ..nn import Input, Sequential
from ..nn.constraints import MaxNorm
from ..nn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D


def lab_cifar(classes: int = 10) -> Sequential:
    """Return the network: images (N, 32, 32, 3) in [0, 1] to probabilities (N, classes).

    3x3 convolutions of 32, 64 and 128 channels, dense 512 and 10, dropout between them. The second
    convolution and the first dense layer keep the norm of their kernels at 3 or below. The norm is
    taken along axis 0, Keras' default: over the inputs of each dense unit, but in the convolution
    over the three rows of the window only, not over a whole filter.

    >>> lab_cifar().count_parameters()
    4293194
    """
    return Sequential([
        Input((32, 32, 3)),
        Conv2D(32, 3, padding="same", activation="relu", name="conv1"),   # (32, 32, 32)
        Dropout(0.2, name="dropout1"),
        Conv2D(64, 3, padding="same", activation="relu", kernel_constraint=MaxNorm(3.0),
               name="conv2"),                                             # (32, 32, 64)
        MaxPooling2D(2, name="pool1"),                                    # (16, 16, 64)
        Conv2D(128, 3, padding="same", activation="relu", name="conv3"),  # (16, 16, 128)
        MaxPooling2D(2, name="pool2"),                                    # (8, 8, 128)
        Dropout(0.2, name="dropout2"),
        Flatten(name="flatten"),                                          # (8192,)
        Dense(512, activation="relu", kernel_constraint=MaxNorm(3.0), name="dense1"),
        Dropout(0.5, name="dropout3"),
        Dense(classes, activation="softmax", name="dense2"),
    ], name="lab_cifar")
