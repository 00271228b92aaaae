"""Data sets, file readers and the loader that makes batches of them."""

from __future__ import annotations

from . import datasets
from .archive import unpack
from .augment import RandomAffine, RandomCrop, RandomFlip
from .colour import Clip, ColorJitter, RandomBrightness, RandomContrast, RandomHue, RandomSaturation
from .folders import ImageLoader, image_dataset_from_directory, load_csv, load_folder
from .idx import read_idx, write_idx
from .images import ImageFiles, read_image
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
from .small import make_small
from .unpickle import load_pickle

__all__ = [
    "AspectAwareResize", "CenterCrop", "Clip", "ColorJitter", "DataLoader", "Draws", "ImageFiles",
    "ImageLoader", "MeanSubtraction", "Pipeline", "RandomAffine", "RandomBrightness",
    "RandomContrast", "RandomCrop", "RandomFlip", "RandomHue", "RandomSaturation", "Resize",
    "TenCrop", "ToFloat", "aspect_aware_resize", "datasets", "image_dataset_from_directory",
    "load_csv", "load_folder", "load_pickle", "make_small", "read_idx", "read_image", "resize",
    "train_val_split", "unpack", "write_idx",
]
