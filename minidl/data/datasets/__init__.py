"""Data sets by name; each module has `load_data()`."""

from __future__ import annotations

from . import (
    caltech101,
    caltech256,
    cifar10,
    cifar100,
    core50,
    digits,
    fashion_mnist,
    hasyv2,
    imdb,
    linnaeus5,
    mnist,
    shuttle,
    tiny_imagenet,
)

__all__ = [
    "caltech101", "caltech256", "cifar10", "cifar100", "core50", "digits", "fashion_mnist",
    "hasyv2", "imdb", "linnaeus5", "mnist", "shuttle", "tiny_imagenet",
]
