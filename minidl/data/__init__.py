"""Data sets, file readers and the loader that makes batches of them."""

from __future__ import annotations

from . import datasets
from .archive import unpack
from .folders import ImageLoader, image_dataset_from_directory, load_csv, load_folder
from .idx import read_idx, write_idx
from .images import ImageFiles, read_image
from .loader import DataLoader, train_val_split
from .small import make_small
from .unpickle import load_pickle

__all__ = ["DataLoader", "ImageFiles", "ImageLoader", "datasets", "image_dataset_from_directory",
           "load_csv", "load_folder", "load_pickle", "make_small", "read_idx", "read_image",
           "train_val_split", "unpack", "write_idx"]
