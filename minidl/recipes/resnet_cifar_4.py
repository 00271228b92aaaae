"""ResNet on CIFAR-10, the book's experiment 4: as 3, with a rate that falls evenly."""

from __future__ import annotations

from dataclasses import replace

from ..models import resnet_cifar
from .resnet_cifar_1 import RECIPE as FIRST
from .schedule import linear

RECIPE = replace(
    FIRST,
    name="resnet_cifar_4",
    source="book, chapter 12, experiment 4",
    printed="0.9358",
    model=resnet_cifar,
    schedule=linear(1e-1),
    epochs=100,
)
