"""Data sets, file readers and the loader that makes batches of them."""

from __future__ import annotations

from . import datasets
from .archive import unpack
from .augment import RandomAffine, RandomCrop, RandomFlip
from .blocks import Blocks
from .build import build_hdf5, read_mean, stratified_parts
from .colour import Clip, ColorJitter, RandomBrightness, RandomContrast, RandomHue, RandomSaturation
from .folders import ImageLoader, image_dataset_from_directory, load_csv, load_folder
from .hdf5 import HDF5Writer
from .hdf5_source import HDF5Source
from .idx import read_idx, write_idx
from .images import ImageFiles, read_image
from .loader import DataLoader
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
from .sources import Rows
from .split import stratified_split, train_val_split
from .table import read_csv
from .text import Vocabulary, pad_sequences, tokenize
from .unpickle import load_pickle

__all__ = [
    "AspectAwareResize", "Blocks", "CenterCrop", "Clip", "ColorJitter", "DataLoader", "Draws",
    "HDF5Source", "HDF5Writer", "ImageFiles", "ImageLoader", "MeanSubtraction", "Pipeline",
    "RandomAffine", "RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip", "RandomHue",
    "RandomSaturation", "Resize", "Rows", "TenCrop", "ToFloat", "Vocabulary",
    "aspect_aware_resize", "build_hdf5", "datasets", "image_dataset_from_directory", "load_csv",
    "load_folder", "load_pickle", "make_small", "pad_sequences", "read_csv", "read_idx",
    "read_image", "read_mean", "resize", "stratified_parts", "stratified_split", "tokenize",
    "train_val_split", "unpack", "write_idx",
]
