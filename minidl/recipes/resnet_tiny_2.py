"""ResNet on Tiny ImageNet, the book's experiment 2: a rate that falls evenly."""

from __future__ import annotations

from dataclasses import replace

from .deepergooglenet_tiny_1 import SHUFFLED
from .resnet_tiny_1 import RECIPE as FIRST
from .schedule import linear

RECIPE = replace(
    FIRST,
    name="resnet_tiny_2",
    source="book, chapter 12, experiment 2",
    printed="validation 0.5832; test 0.5803, rank-5 0.8046",
    schedule=linear(1e-1),
    epochs=75,
    notes=SHUFFLED,
)
