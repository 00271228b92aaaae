"""CIFAR-10 in Keras, as taught: 25 epochs of SGD whose rate falls with every step."""

from __future__ import annotations

from functools import partial

from ..models import lab_cifar
from ..optim import SGD
from ..optim.schedules import TimeDecay
from .prepare import one_hot, unit_range
from .recipe import Recipe
from .sets import cifar10

RECIPE = Recipe(
    name="lab_cifar",
    source="laboratory work (Keras)",
    printed="test accuracy 0.7663",
    data=cifar10(unit_range, label=one_hot),
    model=lab_cifar,
    optimizer=partial(SGD, learning_rate=TimeDecay(0.01, 0.01 / 25), momentum=0.9),
    loss="categorical_crossentropy",
    epochs=25,
    batch_size=32,
)
