"""Data sets, file readers and the loader that makes batches of them."""

from __future__ import annotations

from . import datasets
from .idx import read_idx, write_idx
from .loader import DataLoader, train_val_split

__all__ = ["DataLoader", "datasets", "read_idx", "train_val_split", "write_idx"]
