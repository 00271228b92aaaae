"""The CIFAR-10 network of the laboratory work in TensorFlow: 731,850 parameters."""

from __future__ import annotations

from ..nn import Input, Sequential
from ..nn.layers import Activation, BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D


def lab1_cifar(classes: int = 10) -> Sequential:
    """Return the network: crops (N, 24, 24, 3) in [0, 1] to probabilities (N, classes).

    The crops are 24 x 24 of the 32 x 32 pixels: at random in training, from the centre in use. Two
    5x5 convolutions of 64 channels, the first normalised before its relu and with a bias all the
    same; then dense 256, 128 and 10. The source leaves initial values and the settings of the
    normalisation to its library, Pretty Tensor (He's values where relu follows, no gamma, averages
    over some thousand steps); here they are minidl's defaults.

    >>> lab1_cifar().count_parameters()  # 128 of them are moving statistics
    731850
    """
    return Sequential([
        Input((24, 24, 3)),
        Conv2D(64, 5, padding="same", name="conv1"),                     # (24, 24, 64)
        BatchNormalization(name="bn1"),
        Activation("relu", name="relu1"),
        MaxPooling2D(2, name="pool1"),                                   # (12, 12, 64)
        Conv2D(64, 5, padding="same", activation="relu", name="conv2"),  # (12, 12, 64)
        MaxPooling2D(2, name="pool2"),                                   # (6, 6, 64)
        Flatten(name="flatten"),                                         # (2304,)
        Dense(256, activation="relu", name="dense1"),
        Dense(128, activation="relu", name="dense2"),
        Dense(classes, activation="softmax", name="dense3"),
    ], name="lab1_cifar")
