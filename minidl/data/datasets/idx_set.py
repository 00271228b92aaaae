"""The shape that MNIST and its kin share: four IDX files, 28x28 grey images, ten classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..classes import Classes, choose
from ..idx import read_idx
from .download import cache_folder, download

Part = tuple[np.ndarray, np.ndarray]
Parts = tuple[Part, Part]

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""The published names, without .gz."""


@dataclass(frozen=True)
class IdxSet:
    """Where a data set of four IDX files comes from.

    Args:
        name: of the data set and of its subfolder.
        mirrors: base URLs, each ending in a slash.
        md5: sums, in the order of `FILES`.
        unpacked: whether these are the sums of the unpacked files.
        class_names: by label.

    >>> IdxSet("mnist", (), ()).name
    'mnist'
    """

    name: str
    mirrors: Sequence[str]
    md5: Sequence[str]
    unpacked: bool = False
    class_names: Sequence[str] = tuple("0123456789")

    def load(self, data: str | os.PathLike[str] | None = None, classes: Classes = None) -> Parts:
        """Return the two parts from the folder `data`, or from the cache after a download.

        Args:
            classes: how many (the first ones), or a list of names and labels; labels are counted
                from 0 anew, in that order.

        Returns:
            (x_train, y_train), (x_test, y_test); x is uint8 (N, 28, 28, 1), y is int64 (N,).

        Raises:
            DataError: a file is missing, damaged, of another shape, or cannot be downloaded.
            ArgumentError: there is no such class.

        >>> IdxSet("mnist", (), ()).load("DIR")  # doctest: +SKIP
        """
        if data is None:
            arrays = [self._cached(i) for i in range(4)]
            names = [str(cache_folder(self.name) / f"{file}.gz") for file in FILES]
        else:
            paths = find_files(self.name, Path(data))
            arrays, names = [read_idx(path) for path in paths], [str(path) for path in paths]
        parts = (_part(names[0], names[1], arrays[0], arrays[1]),
                 _part(names[2], names[3], arrays[2], arrays[3]))
        return parts if classes is None else (self._chosen(parts[0], classes),
                                              self._chosen(parts[1], classes))

    def _chosen(self, part: Part, classes: Classes) -> Part:
        rows, labels, _ = choose(self.name, part[1], self.class_names, classes)
        return part[0][rows], labels

    def _cached(self, i: int) -> np.ndarray:
        path = cache_folder(self.name) / f"{FILES[i]}.gz"
        try:
            return read_idx(path)
        except DataError:  # missing, or damaged since it was written
            download(self.name, self.mirrors, path, self.md5[i], self.unpacked)
        return read_idx(path)


def find_files(name: str, data: Path) -> list[Path]:
    """Return the four files in the folder `data/name` or `data`, unpacked or as .gz.

    Raises:
        DataError: there is no such folder, or neither of the two has all four files.

    >>> from minidl.data.datasets.digits import FOLDER
    >>> len(find_files("digits", FOLDER))
    4
    """
    if not data.is_dir():
        raise DataError(name, f"got {data}, which is not a folder",
                        "expected the folder that holds the four IDX files", "Check the path.")
    missing: Sequence[str] = FILES
    for folder in (data / name, data):
        found = [_spelled(folder, file) for file in FILES]
        paths = [path for path in found if path]
        if len(paths) == len(FILES):
            return paths
        lacks = [file for file, path in zip(FILES, found, strict=True) if not path]
        missing = min(missing, lacks, key=len)
    raise DataError(name, f"the folder {data} lacks {', '.join(missing)}",
                    f"expected the four IDX files, .gz or unpacked, there or in {name}/",
                    "Put them there; data=None (no --data) downloads them.")


def _spelled(folder: Path, file: str) -> Path | None:
    stems = (file, file.replace("-idx", ".idx"))
    paths = [folder / (stem + end) for end in ("", ".gz") for stem in stems]
    return next((path for path in paths if path.is_file()), None)


def _part(images_file: str, labels_file: str, images: np.ndarray, labels: np.ndarray) -> Part:
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise DataError(images_file, f"got {images.shape} of {images.dtype}",
                        "expected images, (N, 28, 28) of uint8",
                        "Give the image file of this data set.")
    if labels.shape != images.shape[:1]:
        raise DataError(labels_file, f"got labels of shape {labels.shape}",
                        f"{images_file} holds {len(images):,} images, so {images.shape[:1]} was "
                        "expected", "Take both files from the same source.")
    if labels.dtype != np.uint8 or labels.max(initial=0) > 9:
        raise DataError(labels_file, f"got labels of {labels.dtype} up to {labels.max(initial=0)}",
                        "expected uint8 from 0 to 9", "Give the label file of this data set.")
    return images[..., None], labels.astype(np.int64)
