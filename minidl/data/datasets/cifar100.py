"""CIFAR-100: 50,000 + 10,000 colour images of 100 classes in 20 groups (A. Krizhevsky, 2009)."""

from __future__ import annotations

import os

from ...errors import ArgumentError
from ..classes import Classes
from .cifar import MIRRORS, Parts, read_batches
from .published import Published

CLASS_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
    "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar",
    "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile",
    "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster",
    "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster",
    "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar",
    "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm")
"""Names of the fine classes, by label."""

COARSE_NAMES = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables",
    "household_electrical_devices", "household_furniture", "insects", "large_carnivores",
    "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people",
    "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2")
"""Names of the groups, by coarse label."""

PUBLISHED = Published("cifar100", "cifar-100-python", ("train", "test"), MIRRORS,
                      "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85")
"""The archive of python batches."""

_MODES = {"fine": (b"fine_labels", CLASS_NAMES), "coarse": (b"coarse_labels", COARSE_NAMES)}


def load_data(data: str | os.PathLike[str] | None = None, classes: Classes = None,
              label_mode: str = "fine") -> Parts:
    """Return CIFAR-100, from a folder or downloaded once into the user's cache.

    Args:
        data: a folder that holds `train` and `test`, `cifar-100-python/` or the archive; None
            downloads it (169 MB) unless that was done before.
        classes: how many (the first ones), or a list of names and labels; labels are counted
            from 0 anew, in that order.
        label_mode: "fine" for the 100 classes, "coarse" for their 20 groups.

    Returns:
        (x_train, y_train), (x_test, y_test); x is uint8 (N, 32, 32, 3), y is int64 (N,).

    Raises:
        DataError: a file is missing or damaged, or there is no network.
        ArgumentError: there is no such class or mode.

    >>> (x, y), test = load_data("DIR", classes=["rose", "tulip"])  # doctest: +SKIP
    """
    if label_mode not in _MODES:
        raise ArgumentError("cifar100", f"got label_mode={label_mode!r}",
                            'expected "fine" or "coarse"', "Change label_mode.")
    folder, (key, names) = PUBLISHED.folder(data), _MODES[label_mode]
    return (read_batches([folder / "train"], key, names, classes),
            read_batches([folder / "test"], key, names, classes))
