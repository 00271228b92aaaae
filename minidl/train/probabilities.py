"""What a model's outputs say as probabilities, and the way back to what its loss takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .losses import NLL, BinaryCrossentropy, Loss
from .passes import running

EPSILON = 1e-7  # probabilities are kept this far from 0 and 1 before a logarithm


def probabilities(model: Any, outputs: np.ndarray) -> np.ndarray:
    """Return a model's outputs (N, classes) or (N, 1) as probabilities.

    The loss that the model is compiled with says what they are: log-probabilities for "nll",
    logits where it has from_logits=True, else probabilities already.

    >>> probabilities(None, np.array([[0.25, 0.75]])).tolist()
    [[0.25, 0.75]]
    """
    how = getattr(model, "_compiled", None)
    return outputs if how is None else to_probabilities(how.loss, outputs)


def probabilities_of(model: Any, x: Any) -> np.ndarray:
    """Return a model's probabilities for a batch of inputs."""
    with running(model) as run:
        return probabilities(model, run(x).numpy())


def to_probabilities(loss: Loss, outputs: np.ndarray) -> np.ndarray:
    """Return outputs for a loss as probabilities.

    >>> to_probabilities(NLL(), np.log([[0.25, 0.75]])).tolist()
    [[0.25, 0.75]]
    """
    if isinstance(loss, NLL):
        return np.exp(outputs)
    if not getattr(loss, "from_logits", False):
        return outputs
    if isinstance(loss, BinaryCrossentropy):
        return np.exp(-np.logaddexp(0, -outputs)).astype(outputs.dtype)
    shifted = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def to_outputs(loss: Loss, probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities as a loss takes them: as logarithms, logits or as they are.

    >>> to_outputs(NLL(), np.array([[1.0, 1.0]])).tolist()
    [[0.0, 0.0]]
    """
    logits = getattr(loss, "from_logits", False)
    if not logits and not isinstance(loss, NLL):
        return probabilities
    logarithms = np.log(np.maximum(probabilities, EPSILON))
    if not isinstance(loss, BinaryCrossentropy):
        return logarithms
    return logarithms - np.log(np.maximum(1 - probabilities, EPSILON))


def classes(probabilities: np.ndarray) -> np.ndarray:
    """Return the likeliest class of each row; of a single output, 1 above 0.5, else 0.

    >>> classes(np.array([[0.2, 0.8], [0.9, 0.1]])).tolist(), classes(np.array([[0.7]])).tolist()
    ([1, 0], [1])
    """
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] > 0.5).astype(np.int64)
    return probabilities.argmax(axis=-1)
