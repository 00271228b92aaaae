"""Cats and dogs, as taught, with augmentation: every photo is another one in every epoch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models import cats_dogs_small
from ..train.callbacks import EarlyStopping, ReduceLROnPlateau
from .cats_dogs import RECIPE as CATS_DOGS

RECIPE = replace(
    CATS_DOGS,
    name="cats_dogs_augmented",
    printed="test 0.739",
    model=partial(cats_dogs_small, augmentation=True),
    epochs=100,
    callbacks=lambda: [EarlyStopping("val_accuracy", patience=40, restore_best_weights=True),
                       ReduceLROnPlateau("val_accuracy", factor=0.2, patience=20)],
    notes="The lecture's code computes the augmented photos and then uses the others: its network "
          "never saw them. Here it does, and needs longer: on 300 photos for validation the "
          "lecture's patience (20 epochs, 7 for the rate) and its eye on the loss, which is least "
          "long before the accuracy is best, end it before augmentation pays.",
)
