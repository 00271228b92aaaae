"""Cats and dogs, as taught, with augmentation and dropout."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models import cats_dogs_small
from .cats_dogs_augmented import RECIPE as AUGMENTED

RECIPE = replace(
    AUGMENTED,
    name="cats_dogs_dropout",
    printed="test 0.750",
    model=partial(cats_dogs_small, augmentation=True, dropout=0.5),
)
