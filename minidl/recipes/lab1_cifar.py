"""CIFAR-10 in TensorFlow, as taught: random crops and colours, 11,120 steps of Adam."""

from __future__ import annotations

from functools import partial

from ..data import CenterCrop, ColorJitter, RandomCrop, RandomFlip
from ..models import lab1_cifar
from ..optim import Adam
from .prepare import unit_range
from .recipe import Recipe
from .sets import cifar10

RECIPE = Recipe(
    name="lab1_cifar",
    source="laboratory work (TensorFlow)",
    printed="0.73 on training batches, about 0.80 in the test",
    data=cifar10(unit_range, (24, 24, 3), crop=RandomCrop(24, 24), test_crop=CenterCrop(24, 24),
                 augment=(RandomFlip(), ColorJitter(hue=0.05, contrast=(0.3, 1.0), brightness=0.2,
                                                    saturation=(0.0, 2.0)))),
    model=lab1_cifar,
    optimizer=partial(Adam, learning_rate=1e-4),
    loss="sparse_categorical_crossentropy",
    epochs=23,
    steps=11_120,
    batch_size=100,
    workers=1,
    notes="Each image comes once in 500 steps; the source draws every batch from all images anew. "
          "Initial values are Glorot's; those of the source's library, He's, lead less far in as "
          "many steps.",
)
