"""Data sets, file readers and the loader that makes batches of them."""

from __future__ import annotations

from . import datasets
from .blocks import Blocks
from .build import build_hdf5, read_mean, stratified_parts
from .hdf5 import HDF5Writer
from .hdf5_source import HDF5Source
from .idx import read_idx, write_idx
from .loader import DataLoader
from .sources import Rows
from .split import stratified_split, train_val_split
from .table import read_csv
from .text import Vocabulary, pad_sequences, tokenize

__all__ = ["Blocks", "DataLoader", "HDF5Source", "HDF5Writer", "Rows", "Vocabulary", "build_hdf5",
           "datasets", "pad_sequences", "read_csv", "read_idx", "read_mean", "stratified_parts",
           "stratified_split", "tokenize", "train_val_split", "write_idx"]
