"""ResNet on CIFAR-10, the book's experiment 2: wider stages."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models import resnet_cifar
from ..models.resnet_cifar import FILTERS
from .resnet_cifar_1 import RECIPE as FIRST
from .schedule import stages

RECIPE = replace(
    FIRST,
    name="resnet_cifar_2",
    source="book, chapter 12, experiment 2",
    printed="0.9010",
    model=partial(resnet_cifar, FILTERS[2], reg=0.0001),
    schedule=stages((40, 1e-1), (5, 1e-2), (5, 1e-3)),
    epochs=50,
)
