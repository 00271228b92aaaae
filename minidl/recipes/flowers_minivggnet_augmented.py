"""Flowers with MiniVGGNet, as in the book, with augmentation and nothing else changed."""

from __future__ import annotations

from dataclasses import replace

from .flowers_minivggnet import RECIPE as PLAIN
from .prepare import book_affine, one_hot, unit_range
from .sets import flowers

RECIPE = replace(
    PLAIN,
    name="flowers_minivggnet_augmented",
    printed="validation 0.6794 (Flowers-17)",
    data=flowers(64, unit_range, label=one_hot, augment=(book_affine(
        rotation=30, width_shift=0.1, height_shift=0.1, shear=0.2, zoom=0.2,
        horizontal_flip=True),)),
    workers=1,
)
