"""Cats and dogs, as taught: a small network on few photos, until it stops getting better."""

from __future__ import annotations

from ..models import cats_dogs_small
from ..optim import Adam
from ..train.callbacks import EarlyStopping
from .prepare import as_stored
from .recipe import Recipe
from .sets import dogs_vs_cats

VALIDATION, TEST = 300, 302  # of 2,002 photos

RECIPE = Recipe(
    name="cats_dogs",
    source="lecture 5.18 (Keras)",
    printed="validation 0.756, test 0.726",
    data=dogs_vs_cats(180, "stretch", as_stored, (VALIDATION, TEST)),
    model=cats_dogs_small,
    optimizer=Adam,
    loss="binary_crossentropy",
    epochs=30,
    batch_size=32,
    test_batch_size=100,
    callbacks=lambda: [EarlyStopping("val_loss", patience=10, restore_best_weights=True)],
    notes="The lecture takes 2,000, 1,000 and 1,000 photos, resizes bilinearly (here: by area), "
          "and lowers the rate when the validation loss stays.",
)


