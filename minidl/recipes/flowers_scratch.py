"""Flowers with the network of flowers_finetune and random weights, to compare."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..optim import Adam
from .flowers_finetune import RECIPE as FINE_TUNED

RECIPE = replace(
    FINE_TUNED,
    name="flowers_scratch",
    source="for comparison with fine-tuning",
    printed="none",
    pretrained=None,
    stages=(),
    optimizer=partial(Adam, learning_rate=0.0005),
    notes="The same images, batches and epochs; all layers are trained throughout.",
)
