"""Folders of images as sources and as loaders of labelled batches."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError
from .archive import is_archive, unpacked
from .classes import Classes, checked_labels, draw_per_class
from .datasets.download import cache_folder
from .images import ImageFiles
from .listing import Listing, hidden, list_csv, list_folder, list_images, list_prefix
from .loader import DataLoader

COLOR_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
"""Modes of `ImageFiles` by the names that `image_dataset_from_directory` has for them."""

SUBSETS = ("training", "validation", "both")
"""What `image_dataset_from_directory` returns of a split."""

_LABEL_MODES = {
    "int": lambda labels, count: labels,
    "categorical": lambda labels, count: np.eye(count, dtype=np.float32)[labels],
    "binary": lambda labels, count: labels.astype(np.float32)[:, None]}


class ImageLoader(DataLoader):
    """A `DataLoader` of image files that knows their paths and the names of their classes.

    Args:
        images: the source of x.
        labels: the source of y, or None.
        class_names: by label.
        options: those of `DataLoader`.

    >>> loader = ImageLoader(ImageFiles(["a.png"], (8, 8)), None, ("a",), batch_size=4)
    >>> loader.class_names, loader.file_paths
    (('a',), ['a.png'])
    """

    def __init__(self, images: ImageFiles, labels: np.ndarray | None,
                 class_names: Sequence[str] = (), **options: Any) -> None:
        super().__init__(images, *([] if labels is None else [labels]), **options)
        self.class_names, self.file_paths = tuple(class_names), images.paths


def load_folder(directory: str | os.PathLike[str], size: tuple[int, int], labels: str = "inferred",
                classes: Classes = None, level: int = 1, ignore: Collection[str] = (),
                **options: str) -> tuple[ImageFiles, np.ndarray, tuple[str, ...]]:
    """Return the labelled images of a folder, or of a zip or tar archive of one.

    Args:
        directory: the folder; an archive is unpacked into the cache when it is first used.
        size: (H, W) that images are brought to.
        labels: "inferred" from the names of folders, or "prefix": from file names up to the
            first dot.
        classes: how many (the first ones) or a list of names and numbers; None for all.
        level, ignore: see `list_folder`.
        options: fit, mode and interpolation of `ImageFiles`.

    Returns:
        source of images (N, H, W, C), labels (N,) int64, names of the classes by label.

    Raises:
        DataError: there is no such folder, a class folder is empty, or a name has no label.
        ArgumentError: there is no such class, or an argument is not known.

    >>> x, y, class_names = load_folder("flowers", (64, 64), fit="crop")  # doctest: +SKIP
    """
    listed = _listing(folder_of(directory), labels, classes, level, ignore)
    return ImageFiles(listed.paths, size, **options), listed.labels, listed.class_names


def load_csv(file: str | os.PathLike[str], size: tuple[int, int], label: str, path: str = "path",
             classes: Classes = None, **options: str
             ) -> tuple[ImageFiles, np.ndarray, tuple[str, ...]]:
    """Return the labelled images whose paths stand in a CSV file.

    Args:
        label, path: the columns; paths start from the folder of the CSV file.
        size, classes, options: as in `load_folder`.

    Returns:
        source of images (N, H, W, C), labels (N,) int64, names of the classes by label.

    Raises:
        DataError: the file is missing, lacks a column, or a row lacks a value.

    >>> x, y, names = load_csv("hasy-data-labels.csv", (32, 32), "latex",
    ...                        mode="L")  # doctest: +SKIP
    """
    listed = list_csv(file, label, path, classes)
    return ImageFiles(listed.paths, size, **options), listed.labels, listed.class_names


def image_dataset_from_directory(
        directory: str | os.PathLike[str], labels: str | Sequence[int] | None = "inferred",
        label_mode: str | None = "int", class_names: Classes = None, color_mode: str = "rgb",
        batch_size: int = 32, image_size: tuple[int, int] = (256, 256), shuffle: bool = True,
        seed: int | None = None, validation_split: float | None = None, subset: str | None = None,
        interpolation: str = "bilinear", follow_links: bool = False,
        crop_to_aspect_ratio: bool = False, pad_to_aspect_ratio: bool = False, workers: int = 0
) -> Any:
    """Return a loader of the images of a folder, with the arguments of Keras's function.

    Batches are (x, y): x uint8 (B, H, W, C), for a model that begins with `Rescaling`, and y as
    `label_mode` says. A split is drawn per class, so that all classes are in both parts; it
    depends on the seed alone (None counts as 0).

    Args:
        directory: a folder with a folder per class, or a zip or tar archive of one.
        labels: "inferred" from folders; "prefix" from file names up to the first dot; a list
            with a label for every file in the order of `list_images`; None for no labels.
        label_mode: "int": int64 (B,); "categorical": float32 (B, K), one-hot; "binary": float32
            (B, 1), for two classes; None: batches are (x,).
        class_names: the classes to use, in this order; None for all.
        color_mode: "rgb", "grayscale" or "rgba".
        image_size: (H, W).
        validation_split: share of the images that is for validation.
        subset: "training", "validation", or "both" for a pair of loaders.
        interpolation: one of `images.INTERPOLATIONS`.
        crop_to_aspect_ratio, pad_to_aspect_ratio: keep proportions: cut, or fill with black.
        workers: threads that decode ahead.

    Returns:
        an `ImageLoader`, or two for "both"; they have `class_names` and `file_paths`.

    Raises:
        DataError: there is no such folder, a class folder is empty, or labels do not fit.
        ArgumentError: an argument is not known or does not go with another one.

    >>> train = image_dataset_from_directory("cats_and_dogs/train", label_mode="binary",
    ...                                      image_size=(180, 180))  # doctest: +SKIP
    """
    _check_options(color_mode, label_mode, validation_split, subset,
                   crop_to_aspect_ratio and pad_to_aspect_ratio)
    listed = _labelled(folder_of(directory), labels, class_names, follow_links)
    if label_mode == "binary" and len(listed.class_names) != 2:
        raise ArgumentError("label_mode", f"got 'binary' for {len(listed.class_names)} classes",
                            "expected two classes", 'Choose two, or write label_mode="int".')
    fit = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else "stretch"
    images = ImageFiles(listed.paths, image_size, fit, COLOR_MODES[color_mode], interpolation)
    y = None if labels is None or label_mode is None else _LABEL_MODES[label_mode](
        listed.labels, len(listed.class_names))
    parts = [slice(None)] if subset is None else _parts(
        str(directory), listed.labels, float(validation_split or 0), seed or 0, subset)
    loaders = [ImageLoader(images.subset(rows), None if y is None else y[rows], listed.class_names,
                           batch_size=batch_size, shuffle=shuffle, seed=seed or 0, workers=workers)
               for rows in parts]
    return tuple(loaders) if subset == "both" else loaders[0]


def folder_of(place: str | os.PathLike[str]) -> Path:
    """Return a folder as it is; unpack an archive into the cache and return what it holds.

    Where an archive holds nothing but one folder with folders in it, that one is returned.

    Raises:
        DataError: the archive is damaged or not safe.

    >>> str(folder_of("flowers"))
    'flowers'
    """
    if not is_archive(place):
        return Path(place)
    folder = unpacked(place, cache_folder("archives"))
    while len(inside := _visible(folder)) == 1 and any(p.is_dir() for p in _visible(inside[0])):
        folder = inside[0]
    return folder


def _visible(folder: Path) -> list[Path]:
    inside = folder.iterdir() if folder.is_dir() else ()
    return [path for path in inside if not hidden(path.name)]


def _listing(root: Path, labels: str, classes: Classes, level: int = 1,
             ignore: Collection[str] = (), follow_links: bool = False) -> Listing:
    if labels == "inferred":
        return list_folder(root, classes, level, ignore, follow_links)
    if labels == "prefix":
        return list_prefix(root, classes)
    raise ArgumentError("labels", f"got {labels!r}", 'expected "inferred" or "prefix"',
                        "Change labels; load_csv reads labels out of a CSV file.")


def _labelled(root: Path, labels: str | Sequence[int] | None, class_names: Classes,
              follow_links: bool) -> Listing:
    if isinstance(labels, str):
        return _listing(root, labels, class_names, follow_links=follow_links)
    paths = list_images(root, follow_links)
    given = np.zeros(len(paths), np.int64) if labels is None else np.asarray(labels)
    if len(given) != len(paths):
        raise DataError(str(root), f"holds {len(paths):,} images", f"labels has {len(given):,}",
                        "Give a label for every image, in the order of list_images.")
    names = class_names if isinstance(class_names, (list, tuple)) else range(
        int(given.max(initial=0)) + 1)
    return Listing(paths, checked_labels(str(root), given, len(names)), tuple(map(str, names)))


def _parts(where: str, labels: np.ndarray, share: float, seed: int, subset: str) -> list[Any]:
    training, validation = draw_per_class(where, labels, share, seed)
    return {"training": [training], "validation": [validation],
            "both": [training, validation]}[subset]


def _check_options(color_mode: str, label_mode: str | None, validation_split: float | None,
                   subset: str | None, both_fits: bool) -> None:
    where = "image_dataset_from_directory"
    for name, value, known in (("color_mode", color_mode, [*COLOR_MODES]),
                               ("label_mode", label_mode, [*_LABEL_MODES, None]),
                               ("subset", subset, [*SUBSETS, None])):
        if value not in known:
            raise ArgumentError(where, f"got {name}={value!r}", f"expected one of {known}",
                                f"Change {name}.")
    if (validation_split is None) != (subset is None):
        raise ArgumentError(where, f"got validation_split={validation_split}, subset={subset!r}",
                            "expected both or neither", 'Such as 0.2 and "both".')
    if validation_split is not None and not 0 < validation_split < 1:
        raise ArgumentError(where, f"got validation_split={validation_split}",
                            "expected a share between 0 and 1", "Change it.")
    if both_fits:
        raise ArgumentError(where, "got crop_to_aspect_ratio and pad_to_aspect_ratio",
                            "expected one of them at most", "Take one out.")
