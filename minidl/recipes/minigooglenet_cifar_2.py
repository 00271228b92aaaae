"""MiniGoogLeNet on CIFAR-10, the book's experiment 2: a rate that falls evenly from 1e-2."""

from __future__ import annotations

from dataclasses import replace

from .minigooglenet_cifar_1 import RECIPE as FIRST
from .schedule import linear

RECIPE = replace(
    FIRST,
    name="minigooglenet_cifar_2",
    source="book, chapter 11, experiment 2",
    printed="0.9179",
    schedule=linear(1e-2),
)
