"""The digit network of a lecture on PyTorch: 21,840 parameters."""

from __future__ import annotations

from typing import Any

from ..nn import Input, Sequential
from ..nn.layers import (
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ReLU,
    SpatialDropout2D,
)

MEAN, STD = 0.1307, 0.3081
"""Mean and standard deviation of MNIST's pixels in [0, 1]; the network takes (x - MEAN) / STD."""


def lecture_mnist(classes: int = 10) -> Sequential:
    """Return the network: images (N, 28, 28, 1), normalised, to log-probabilities (N, classes).

    conv 5x5x10, pool, relu; conv 5x5x20, spatial dropout, pool, relu; dense 50 relu, dropout,
    dense 10, log-softmax. Initial values are drawn as PyTorch draws them: uniform within
    1 / sqrt(fan in), biases too.

    >>> model = lecture_mnist()
    >>> sum(p.size for p in model.parameters())
    21840
    """
    init: dict[str, Any] = {"kernel_initializer": "torch_uniform",
                            "bias_initializer": "torch_uniform"}
    return Sequential([
        Input((28, 28, 1)),
        Conv2D(10, 5, name="conv1", **init),          # (24, 24, 10)
        MaxPooling2D(2, name="pool1"),                # (12, 12, 10)
        ReLU(name="relu1"),
        Conv2D(20, 5, name="conv2", **init),          # (8, 8, 20)
        SpatialDropout2D(0.5, name="dropout2"),
        MaxPooling2D(2, name="pool2"),                # (4, 4, 20)
        ReLU(name="relu2"),
        Flatten(name="flatten"),                      # (320,)
        Dense(50, activation="relu", name="dense1", **init),
        Dropout(0.5, name="dropout3"),
        Dense(classes, name="dense2", **init),
        Activation("log_softmax", name="log_softmax"),
    ], name="lecture_mnist")
