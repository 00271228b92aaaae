"""Digits in PyTorch, as taught: three epochs of SGD on all of MNIST."""

from __future__ import annotations

from functools import partial

from ..models.lecture_mnist import MEAN, STD, lecture_mnist
from ..optim import SGD
from .prepare import normalised
from .recipe import Recipe
from .sets import mnist

RECIPE = Recipe(
    name="lecture_mnist",
    source="lecture 4 (PyTorch)",
    printed="29 of 30 shown digits right",
    data=mnist(normalised(MEAN, STD)),  # the network itself takes normalised images
    model=lecture_mnist,
    optimizer=partial(SGD, learning_rate=0.01, momentum=0.5),
    loss="nll",
    epochs=3,
)
