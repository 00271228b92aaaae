"""The data sets of the recipes, each with the preprocessing that its experiments share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Rows, datasets, load_folder, stratified_split
from ..errors import ArgumentError, DataError
from .data import Data, Folder, Part
from .prepare import as_float, as_stored

Image = Callable[[np.ndarray], np.ndarray]


def mnist(image: Image, **more: Any) -> Data:
    """Return MNIST: 60,000 + 10,000 digits."""
    return Data("MNIST", datasets.mnist.load_data, image, datasets.mnist.CLASS_NAMES, (28, 28, 1),
                **more)


def digits(image: Image, **more: Any) -> Data:
    """Return the 10,000 + 2,000 digits that come with minidl."""
    return Data("shipped digits", _shipped, image, datasets.digits.CLASS_NAMES, (28, 28, 1),
                **more)


def _shipped(folder: Folder) -> Sequence[Part]:
    if folder is not None:
        raise ArgumentError("data", f"got {folder}", "the demo has its own digits",
                            "Leave --data out, or train lecture_mnist.")
    return datasets.digits.load_data()


def cifar10(image: Image, shape: tuple[int, int, int] = (32, 32, 3), **more: Any) -> Data:
    """Return CIFAR-10: 50,000 + 10,000 images."""
    return Data("CIFAR-10", datasets.cifar10.load_data, image, datasets.cifar10.CLASS_NAMES,
                shape, **more)


def tiny_imagenet(**more: Any) -> Data:
    """Return Tiny ImageNet, with as many classes as the folder has; pixels 0 to 255.

    The book draws 50 images of each class out of training for its test.
    """
    return Data("Tiny ImageNet", datasets.tiny_imagenet.load_data, as_float,
                datasets.tiny_imagenet.class_names, (64, 64, 3), **more)


def flowers(size: int, image: Image, fit: str = "crop", **more: Any) -> Data:
    """Return photos of flowers, a folder a kind, and a quarter of each kind for the test."""
    return _photos("flowers", "flowers", size, fit, image, **more)


def animals(size: int, image: Image, **more: Any) -> Data:
    """Return 3,000 photos of cats, dogs and pandas, and a quarter of each for the test."""
    return _photos("animals", "animals", size, "stretch", image, **more)


def caltech101(size: int, image: Image, **more: Any) -> Data:
    """Return CALTECH-101, 101 kinds of things without its backgrounds; a quarter for the test."""
    return _photos("CALTECH-101", "101_ObjectCategories", size, "stretch", image,
                   ("BACKGROUND_Google",), **more)


def _photos(name: str, place: str, size: int, fit: str, image: Image,
            ignore: Sequence[str] = (), **more: Any) -> Data:
    """Return photos in a folder a class, and a quarter of each class for the test."""
    def files(folder: Folder) -> Any:
        return load_folder(_place(place, folder), (size, size), fit=fit, ignore=ignore)

    def load(folder: Folder) -> Sequence[Part]:
        x, y, _ = files(folder)
        return _divided(x, y, 0.25)

    return Data(name, load, image, lambda folder: files(folder)[2], (size, size, 3), **more)


def dogs_vs_cats(size: int, fit: str, image: Image, parts: tuple[float, ...],
                 shape: tuple[int, int, int] | None = None, **more: Any) -> Data:
    """Return photos of Kaggle's Dogs vs. Cats: training, validation, test.

    Args:
        fit: as in `ImageFiles`.
        parts: number or share of photos for validation and for the test, or for the test alone.
        shape: that the model takes, if it is not (size, size, 3).
    """
    def load(folder: Folder) -> Sequence[Part]:
        place = _place("train", folder)
        x, y, _ = load_folder(place, (size, size), labels="prefix", fit=fit)
        return _divided(x, y, *parts)

    return Data("Dogs vs. Cats", load, image, ("cat", "dog"), shape or (size, size, 3), **more)


def shuttle(**more: Any) -> Data:
    """Return Statlog Shuttle: nine readings a row, normal or not; in place of the telemetry."""
    def load(folder: Folder) -> Sequence[Part]:
        parts = datasets.shuttle.load_data(folder)
        return [(x, y.astype(np.int64)) for x, y in parts]

    return Data("Statlog Shuttle", load, as_stored, datasets.shuttle.CLASS_NAMES, (9, 1), **more)


def imdb(**more: Any) -> Data:
    """Return IMDB reviews: 25,000 + 25,000 sequences of 500 word numbers."""
    return Data("IMDB", datasets.imdb.load_data, as_stored, ("negative", "positive"), (500,),
                **more)


# ---- folders -------------------------------------------------------------------------------


def _place(name: str, folder: Folder) -> Path:
    """Return the folder of this name that the user's folder holds at some depth, or is."""
    if folder is None:
        raise DataError(name, "got no folder", "this data set cannot be downloaded by minidl",
                        "Name the folder that holds it with --data DIR.")
    root = Path(folder)
    found = [root / name, *sorted(root.glob(f"*/{name}")), root]
    return next((place for place in found if place.name == name and place.is_dir()), root)


def _divided(x: Any, y: np.ndarray, *parts: float) -> list[Part]:
    """Return training and other parts, drawn with the book's seed 42, classes in proportion."""
    return [(Rows(x, rows), y[rows]) for rows in stratified_split(y, *parts, seed=42)]
