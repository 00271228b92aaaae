"""Cats and dogs by VGG16, as taught, the second way: augmentation, a frozen body, fine-tuning."""

from __future__ import annotations

from functools import partial

from ..models.imagenet import Preprocess
from ..models.transfer import cats_dogs_vgg16
from ..optim import RMSprop
from .cats_dogs import TEST, VALIDATION
from .recipe import Recipe, Stage
from .sets import dogs_vs_cats

RECIPE = Recipe(
    name="cats_dogs_vgg16",
    source="lecture 5.18 (Keras)",
    printed="validation 0.981, test 0.976",
    data=dogs_vs_cats(180, "stretch", Preprocess("vgg16"), (VALIDATION, TEST)),
    pretrained="vgg16",
    model=cats_dogs_vgg16,
    stages=(Stage(50, RMSprop, "flatten"),
            Stage(30, partial(RMSprop, learning_rate=1e-5), "block5_conv1")),
    optimizer=RMSprop,
    loss="binary_crossentropy",
    epochs=80,
    batch_size=32,
    test_batch_size=100,
    notes="The lecture's figures are those of the frozen body (here the first 50 epochs) at the "
          "epoch that validates best. Optimizer, epochs and which layers are fine-tuned are not "
          "stated.",
)
