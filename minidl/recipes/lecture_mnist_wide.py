"""Digits in Keras, as taught: a wide network, ten epochs of Adam."""

from __future__ import annotations

from ..models import lecture_mnist_wide
from ..optim import Adam
from .prepare import one_hot, unit_range
from .recipe import Recipe
from .sets import mnist

RECIPE = Recipe(
    name="lecture_mnist_wide",
    source="lecture 4 (Keras)",
    printed="none",
    data=mnist(unit_range, label=one_hot),
    model=lecture_mnist_wide,
    optimizer=Adam,
    loss="categorical_crossentropy",
    epochs=10,
)
