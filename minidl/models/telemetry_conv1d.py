"""The network of lecture 5.19 for rows of telemetry: 67,073 parameters."""

from __future__ import annotations

from ..nn import Input, Sequential
from ..nn.layers import Conv1D, Dense, GlobalMaxPooling1D, MaxPooling1D


def telemetry_conv1d(classes: int = 2) -> Sequential:
    """Return the network: rows of nine readings (N, 9, 1) to probabilities.

    Args:
        classes: 2 gives one output (N, 1), the probability that the row is abnormal; more give
            (N, classes), for one-hot labels.

    >>> telemetry_conv1d().count_parameters()
    67073
    """
    last = (Dense(1, activation="sigmoid", name="dense") if classes == 2
            else Dense(classes, activation="softmax", name="dense"))
    return Sequential([
        Input((9, 1)),
        Conv1D(256, 4, padding="same", activation="relu", name="conv1"),  # (9, 256)
        MaxPooling1D(2, name="pool1"),                                    # (4, 256)
        Conv1D(128, 2, padding="same", activation="relu", name="conv2"),  # (4, 128)
        GlobalMaxPooling1D(name="pool2"),                                 # (128,)
        last,
    ], name="telemetry_conv1d")
