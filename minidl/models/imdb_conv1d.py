"""The network of the lectures for film reviews: 1,315,937 parameters."""

from __future__ import annotations

from ..nn import Input, Sequential
from ..nn.layers import Conv1D, Dense, Embedding, GlobalMaxPooling1D, MaxPooling1D

WORDS, LENGTH = 10_000, 500
"""Words that are kept, the most frequent ones, and words of a review after padding or cutting."""


def imdb_conv1d(width: int = 128) -> Sequential:
    """Return the network: numbers of words (N, 500) to the probability of praise (N, 1).

    Numbers are below 10,000; short reviews are padded and long ones cut at the front.

    Args:
        width: length of a word's vector; the source names the layer but not the width.

    >>> imdb_conv1d().count_parameters()
    1315937
    """
    return Sequential([
        Input((LENGTH,), dtype="int64"),
        Embedding(WORDS, width, name="embedding"),      # (500, width)
        Conv1D(32, 7, activation="relu", name="conv1"),  # (494, 32)
        MaxPooling1D(5, name="pool1"),                   # (98, 32)
        Conv1D(32, 7, activation="relu", name="conv2"),  # (92, 32)
        GlobalMaxPooling1D(name="pool2"),                # (32,)
        Dense(1, activation="sigmoid", name="dense"),
    ], name="imdb_conv1d")
