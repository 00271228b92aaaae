"""Data sets, file readers and the loader that makes batches of them."""

from __future__ import annotations

from . import datasets
from .blocks import Blocks
from .hdf5 import HDF5Writer
from .hdf5_source import HDF5Source
from .idx import read_idx, write_idx
from .loader import DataLoader
from .sources import Rows
from .split import stratified_split, train_val_split

__all__ = ["Blocks", "DataLoader", "HDF5Source", "HDF5Writer", "Rows", "datasets", "read_idx",
           "stratified_split", "train_val_split", "write_idx"]
