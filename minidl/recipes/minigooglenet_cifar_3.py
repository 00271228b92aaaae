"""MiniGoogLeNet on CIFAR-10, the book's experiment 3: a rate that falls evenly from 5e-3."""

from __future__ import annotations

from dataclasses import replace

from .minigooglenet_cifar_1 import RECIPE as FIRST
from .schedule import linear

RECIPE = replace(
    FIRST,
    name="minigooglenet_cifar_3",
    source="book, chapter 11, experiment 3",
    printed="0.9081",
    schedule=linear(5e-3),
)
