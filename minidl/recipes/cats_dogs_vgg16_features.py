"""Cats and dogs by VGG16, as taught, the first way: features taken once, a head trained on them."""

from __future__ import annotations

from functools import partial

from ..models import vgg16
from ..models.imagenet import Preprocess
from ..models.transfer import cats_dogs_head
from ..optim import RMSprop
from .cats_dogs import TEST, VALIDATION
from .recipe import Features, Recipe
from .sets import dogs_vs_cats

RECIPE = Recipe(
    name="cats_dogs_vgg16_features",
    source="lecture 5.18 (Keras)",
    printed="validation 0.975",
    data=dogs_vs_cats(180, "stretch", Preprocess("vgg16"), (VALIDATION, TEST)),
    pretrained="vgg16",
    features=Features(partial(vgg16, (180, 180, 3), include_top=False)),
    model=partial(cats_dogs_head, 12_800),
    optimizer=RMSprop,
    loss="binary_crossentropy",
    epochs=20,
    batch_size=32,
    test_batch_size=100,
    notes="Optimizer and epochs are not stated; the lecture's figure is that of the epoch that "
          "validates best.",
)
