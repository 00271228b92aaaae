"""Caltech-101: 8,677 photographs of 101 kinds of things (Fei-Fei, Fergus and Perona, 2004)."""

from __future__ import annotations

from .published import Published
from .tree_set import TreeSet

TREE = TreeSet(Published("caltech101", "101_ObjectCategories", ()),
               ignore=("BACKGROUND_Google",))
"""The folder of categories, without that of backgrounds."""

load_data = TREE.load_data
"""Returns training and test images; see `TreeSet.load_data`."""

class_names = TREE.class_names
"""Returns the names of the classes, by label."""
