"""DeeperGoogLeNet on Tiny ImageNet, the book's experiment 1: SGD, without modules 4a to 4e."""

from __future__ import annotations

from functools import partial

from ..models import deepergooglenet
from ..optim import SGD
from .prepare import book_affine, mean_colour, one_hot
from .recipe import Recipe
from .schedule import stages
from .sets import tiny_imagenet

DATA = tiny_imagenet(label=one_hot, mean=mean_colour, augment=(book_affine(
    rotation=18, width_shift=0.2, height_shift=0.2, shear=0.15, zoom=0.15,
    horizontal_flip=True),))

SHUFFLED = ("Images come in another order in every epoch; in the book's they stay in that of the "
            "file. Every image is counted: the book's test leaves out 16 of 10,000, which count as "
            "wrong.")

RECIPE = Recipe(
    name="deepergooglenet_tiny_1",
    source="book, chapter 11, experiment 1",
    printed="validation 0.5225",
    data=DATA,
    model=partial(deepergooglenet, fourth=False),
    optimizer=partial(SGD, momentum=0.9),
    schedule=stages((25, 1e-2), (10, 1e-3), (30, 1e-4)),
    loss="categorical_crossentropy",
    metrics=("accuracy", "top_5_accuracy"),
    epochs=65,
    test_batch_size=250,
    workers=1,
    notes=f"The book states the factor of L2 for experiment 3 only. {SHUFFLED}",
)


