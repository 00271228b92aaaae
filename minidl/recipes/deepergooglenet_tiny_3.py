"""DeeperGoogLeNet on Tiny ImageNet, the book's experiment 3: Adam, the whole network."""

from __future__ import annotations

from dataclasses import replace

from ..models import deepergooglenet
from .deepergooglenet_tiny_1 import SHUFFLED
from .deepergooglenet_tiny_2 import RECIPE as SECOND
from .schedule import stages

RECIPE = replace(
    SECOND,
    name="deepergooglenet_tiny_3",
    source="book, chapter 11, experiment 3",
    printed="validation 0.5577; test 0.5438, rank-5 0.7896",
    model=deepergooglenet,
    schedule=stages((40, 1e-3), (20, 1e-4), (10, 1e-5)),
    epochs=70,
    notes=SHUFFLED,
)
