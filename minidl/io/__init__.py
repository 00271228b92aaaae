"""Weights and models of other frameworks, read and written without them."""

from __future__ import annotations

from .load import load_weights, read_weights
from .safetensors_file import save_torch

__all__ = ["load_weights", "read_weights", "save_torch"]
