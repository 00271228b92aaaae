"""The shape of data sets that are a folder per class with no test part of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..classes import Classes, draw_per_class
from ..images import ImageFiles
from ..listing import Listing, list_folder
from .published import Published

Part = tuple[ImageFiles, np.ndarray]
Parts = tuple[Part, Part]


@dataclass(frozen=True)
class TreeSet:
    """A tree of class folders, a part of which is drawn for tests.

    Args:
        published: where it is found.
        ignore: folders that are no classes.

    >>> TreeSet(Published("pets", "pets-v1", ())).ignore
    ()
    """

    published: Published
    ignore: Sequence[str] = ()

    def listing(self, data: str | os.PathLike[str] | None, classes: Classes = None) -> Listing:
        """Return paths, labels and class names.

        Raises:
            DataError: the folder is not there, or a class folder is empty.
            ArgumentError: there is no such class.
        """
        return list_folder(self.published.folder(data), classes, ignore=self.ignore)

    def load(self, data: str | os.PathLike[str] | None, size: tuple[int, int], classes: Classes,
             test: float, seed: int, **options: str) -> Parts:
        """Return the training and the test part.

        Args:
            size: (H, W) that images are brought to.
            test: share of every class that is drawn for the test part.
            seed: of this draw.
            options: fit, mode and interpolation of `ImageFiles`.

        Raises:
            DataError: the folder is not there, or a class folder is empty.
            ArgumentError: there is no such class, or an argument is not known.
        """
        listed = self.listing(data, classes)
        rest, drawn = draw_per_class(self.published.name, listed.labels, test, seed)
        images = ImageFiles(listed.paths, size, **options)
        return ((images.subset(rest), listed.labels[rest]),
                (images.subset(drawn), listed.labels[drawn]))
