"""ResNet on CIFAR-10, the book's experiment 1: narrow, with a rate that falls in steps."""

from __future__ import annotations

from functools import partial

from ..models import resnet_cifar
from ..models.resnet_cifar import FILTERS
from ..optim import SGD
from .prepare import as_float, book_affine, mean_image, one_hot
from .recipe import Recipe
from .schedule import stages
from .sets import cifar10

RECIPE = Recipe(
    name="resnet_cifar_1",
    source="book, chapter 12, experiment 1",
    printed="0.8906",
    data=cifar10(as_float, label=one_hot, mean=mean_image, augment=(book_affine(
        width_shift=0.1, height_shift=0.1, horizontal_flip=True),)),
    model=partial(resnet_cifar, FILTERS[1], reg=0.0001),
    optimizer=partial(SGD, momentum=0.9),
    schedule=stages((50, 1e-1), (25, 1e-2), (10, 1e-3)),
    loss="categorical_crossentropy",
    epochs=85,
    batch_size=128,
    test_batch_size=250,
    workers=1,
)
