"""Flowers with MiniVGGNet, as in the book: what overfitting looks like."""

from __future__ import annotations

from functools import partial

from ..models import minivggnet
from ..optim import SGD
from .prepare import one_hot, unit_range
from .recipe import Recipe
from .sets import flowers

RECIPE = Recipe(
    name="flowers_minivggnet",
    source="book, chapter 2",
    printed="validation 0.6206 (Flowers-17)",
    data=flowers(64, unit_range, label=one_hot),
    model=partial(minivggnet, (64, 64, 3)),
    optimizer=partial(SGD, learning_rate=0.05),
    loss="categorical_crossentropy",
    epochs=100,
    batch_size=32,
    test_batch_size=256,
    notes="The book has 17 kinds with 80 photos each, and does not divide them in proportion.",
)
