"""The first convnet, as taught: five epochs of RMSprop on one-hot labels."""

from __future__ import annotations

from ..models import mnist_convnet
from ..optim import RMSprop
from .prepare import one_hot, unit_range
from .recipe import Recipe
from .sets import mnist

RECIPE = Recipe(
    name="mnist_convnet",
    source="lecture 5.17 (Keras)",
    printed="test accuracy 0.9889, loss 0.0340",
    data=mnist(unit_range, label=one_hot),
    model=mnist_convnet,
    optimizer=RMSprop,
    loss="categorical_crossentropy",
    epochs=5,
)
