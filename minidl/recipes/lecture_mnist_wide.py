"""Digits in Keras, as taught: a wide network, ten epochs of Adam."""

from __future__ import annotations

from ..models import lecture_mnist_wide
from ..optim import Adam
from .recipe import Recipe, mnist, one_hot, unit_range

RECIPE = Recipe(
    name="lecture_mnist_wide",
    source="lecture 4 (Keras)",
    printed="none",
    data=mnist(unit_range, one_hot(10)),
    model=lecture_mnist_wide,
    optimizer=Adam,
    loss="categorical_crossentropy",
    epochs=10,
)
