"""`minidl build`: the data of an experiment in HDF5 files, which are read faster than images."""

from __future__ import annotations

import argparse

from .. import recipes
from ..data import build_hdf5
from ..recipes.data import PACKED

WORKERS = 2  # threads that decode


def build(arguments: argparse.Namespace) -> None:
    """Write a file for every part of the data, and the mean colour of the training images."""
    recipe = recipes.get(arguments.name).at(arguments.data, arguments.classes)
    parts = recipe.data.stored(arguments.data, arguments.limit)
    names = PACKED if len(parts) == len(PACKED) else (PACKED[0], PACKED[-1])
    build_hdf5(dict(zip(names, parts, strict=True)), arguments.out,
               label_names=recipe.data.class_names, workers=WORKERS,
               overwrite=arguments.overwrite)
    print(f"Train with: minidl train {recipe.name} --data {arguments.out}")
