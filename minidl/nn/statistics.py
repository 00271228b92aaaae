"""The moving statistics of batch normalisations, computed anew for weights that are as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..spec import tuple_of
from ..train.feed import feed
from ..train.step import build
from ..watch import inference
from .holder import Buffer
from .normalization import BatchNormalization


def update_batch_norm(model: Any, x: Any, batches: int = 200, batch_size: int = 32, seed: int = 0
                      ) -> int:
    """Compute the moving statistics of all batch normalisations anew; return the batches taken.

    In training they are exponential averages over weights that have changed since: over some
    hundred steps with Keras's momentum of 0.99. Here each is the mean over batches, by samples, of
    the batch's mean or variance at the present weights. That makes up for a rate that was high to
    the end, and is needed where the weights come from elsewhere, as after `optimizer.swap_ema()`.
    All other layers are as in use: nothing is dropped or augmented inside the model. Layers that
    are frozen keep their statistics.

    Args:
        x: array (N, ...), a list of arrays, or a `DataLoader`, whose first array is the input: what
            the model is trained on.
        batches: how many are taken at most; an epoch is the most there are.
        batch_size: samples in a batch; a loader has its own.
        seed: of the order of samples; a loader has its own.

    Raises:
        ArgumentError: the model has no batch normalisation that is trained.

    Source: Wu and Johnson, "Rethinking 'batch' in BatchNorm", 2021; PyTorch calls it update_bn.

    >>> update_batch_norm(model, x_train)  # doctest: +SKIP
    200
    """
    batches, = tuple_of("update_batch_norm", "batches", batches, 1)
    data = feed("update_batch_norm", x, batch_size=batch_size, shuffle=True, seed=seed,
                labelled=False)
    build(model, data.epoch())
    layers = _trained(model)
    if not layers:
        raise ArgumentError("update_batch_norm", "got a model without batch normalisations that "
                            "are trained", "expected at least one", "Leave the call out, or let "
                            "frozen ones be trained: layer.trainable = True.")
    totals = [np.zeros((2, *layer.moving_mean.shape)) for layer in layers]
    samples = taken = 0
    with inference(model), _of_the_batch(layers):
        for batch in islice(data.epoch(), batches):
            model(batch.x)
            count = len(batch.x[0] if isinstance(batch.x, list) else batch.x)
            for total, layer in zip(totals, layers, strict=True):
                total += count * np.stack([moving.numpy() for moving in _moving(layer)])
            samples, taken = samples + count, taken + 1
    for total, layer in zip(totals, layers, strict=True):
        for moving, values in zip(_moving(layer), total / samples, strict=True):
            moving.assign(values.astype(moving.dtype))
    return taken


def _trained(model: Any) -> list[BatchNormalization]:
    return [layer for layer in model.modules()
            if isinstance(layer, BatchNormalization) and layer.trainable]


def _moving(layer: BatchNormalization) -> tuple[Buffer, Buffer]:
    return layer.moving_mean, layer.moving_variance


@contextmanager
def _of_the_batch(layers: Sequence[BatchNormalization]) -> Iterator[None]:
    """Let the moving statistics be those of the last batch, for the block; an error undoes it."""
    momenta = [layer.momentum for layer in layers]
    before = [[moving.numpy().copy() for moving in _moving(layer)] for layer in layers]
    for layer in layers:
        layer.training, layer.momentum = True, 0.0
        for moving in _moving(layer):
            moving.assign(0.0)  # 0 times a NaN would be one
    try:
        yield
    except BaseException:
        for layer, values in zip(layers, before, strict=True):
            for moving, value in zip(_moving(layer), values, strict=True):
                moving.assign(value)
        raise
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.training, layer.momentum = False, momentum
