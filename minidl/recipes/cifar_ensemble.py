"""Five MiniVGGNets on CIFAR-10 whose probabilities are averaged, as in the book."""

from __future__ import annotations

from functools import partial

from ..models import minivggnet
from ..optim import SGD
from ..optim.schedules import TimeDecay
from .prepare import book_affine, one_hot, unit_range
from .recipe import Recipe
from .sets import cifar10

RECIPE = Recipe(
    name="cifar_ensemble",
    source="book, chapter 6",
    printed="members 0.83, together 0.84",
    data=cifar10(unit_range, label=one_hot, augment=(book_affine(
        rotation=10, width_shift=0.1, height_shift=0.1, horizontal_flip=True),)),
    model=minivggnet,
    optimizer=partial(SGD, learning_rate=TimeDecay(0.01, 0.01 / 40), momentum=0.9, nesterov=True),
    loss="categorical_crossentropy",
    epochs=40,
    workers=1,
    members=5,
)
