"""ResNet on CIFAR-10, the book's experiment 3: a wider stem, and five times the penalty."""

from __future__ import annotations

from dataclasses import replace

from ..models import resnet_cifar
from .resnet_cifar_1 import RECIPE as FIRST
from .schedule import stages

RECIPE = replace(
    FIRST,
    name="resnet_cifar_3",
    source="book, chapter 12, experiment 3",
    printed="0.9183",
    model=resnet_cifar,
    schedule=stages((80, 1e-1), (10, 1e-2), (10, 1e-3)),
    epochs=100,
)
