"""DeeperGoogLeNet on Tiny ImageNet, the book's experiment 2: Adam, without modules 4a to 4e."""

from __future__ import annotations

from dataclasses import replace

from ..optim import Adam
from .deepergooglenet_tiny_1 import RECIPE as FIRST
from .schedule import stages

RECIPE = replace(
    FIRST,
    name="deepergooglenet_tiny_2",
    source="book, chapter 11, experiment 2",
    printed="validation 0.5420",
    optimizer=Adam,
    schedule=stages((20, 1e-3), (10, 1e-4), (10, 1e-5)),
    epochs=40,
)
