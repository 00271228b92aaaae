"""Data sets by name; each module has `load_data()` and `CLASS_NAMES`."""

from __future__ import annotations

from . import digits, fashion_mnist, imdb, mnist, shuttle

__all__ = ["digits", "fashion_mnist", "imdb", "mnist", "shuttle"]
