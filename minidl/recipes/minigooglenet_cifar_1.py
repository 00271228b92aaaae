"""MiniGoogLeNet on CIFAR-10, the book's experiment 1: a rate that falls evenly from 1e-3."""

from __future__ import annotations

from functools import partial

from ..models import minigooglenet
from ..optim import SGD
from .prepare import as_float, book_affine, mean_image, one_hot
from .recipe import Recipe
from .schedule import linear
from .sets import cifar10

RECIPE = Recipe(
    name="minigooglenet_cifar_1",
    source="book, chapter 11, experiment 1",
    printed="0.8795",
    data=cifar10(as_float, label=one_hot, mean=mean_image, augment=(book_affine(
        width_shift=0.1, height_shift=0.1, horizontal_flip=True),)),
    model=minigooglenet,
    optimizer=partial(SGD, momentum=0.9),
    schedule=linear(1e-3),
    loss="categorical_crossentropy",
    epochs=70,
    test_batch_size=500,
    workers=1,
)
