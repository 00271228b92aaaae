"""Caltech-256: 29,780 photographs of 256 kinds of things (Griffin, Holub and Perona, 2007)."""

from __future__ import annotations

from .published import Published
from .tree_set import TreeSet

TREE = TreeSet(Published("caltech256", "256_ObjectCategories", (),
                          ("https://data.caltech.edu/records/nyy15-4j048/files/",),
                          "256_ObjectCategories.tar", "67b4f42ca05d46448c6bb8ecd2220f6d"),
               ignore=("257.clutter",))
"""The folder of categories, without that of clutter."""

load_data = TREE.load_data
"""Returns training and test images; see `TreeSet.load_data`."""

class_names = TREE.class_names
"""Returns the names of the classes, by label."""
