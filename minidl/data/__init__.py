"""Data sets, file readers, steps that change images, and the loader that makes batches of them."""

from __future__ import annotations

from . import datasets
from .augment import RandomAffine, RandomCrop, RandomFlip
from .colour import (
    Clip,
    ColorJitter,
    RandomBrightness,
    RandomContrast,
    RandomHue,
    RandomSaturation,
)
from .idx import read_idx, write_idx
from .loader import DataLoader, train_val_split
from .pipeline import Draws, Pipeline
from .preprocess import (
    AspectAwareResize,
    CenterCrop,
    MeanSubtraction,
    Resize,
    TenCrop,
    ToFloat,
    aspect_aware_resize,
    resize,
)

__all__ = [
    "AspectAwareResize", "CenterCrop", "Clip", "ColorJitter", "DataLoader", "Draws",
    "MeanSubtraction", "Pipeline", "RandomAffine", "RandomBrightness", "RandomContrast",
    "RandomCrop", "RandomFlip", "RandomHue", "RandomSaturation", "Resize", "TenCrop", "ToFloat",
    "aspect_aware_resize", "datasets", "read_idx", "resize", "train_val_split", "write_idx",
]
