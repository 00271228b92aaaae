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

    def load_data(self, data: str | os.PathLike[str] | None = None,
                  size: tuple[int, int] = (64, 64), classes: Classes = None, test: float = 0.25,
                  seed: int = 42, fit: str = "crop", mode: str = "RGB",
                  interpolation: str = "area") -> Parts:
        """Return the training and the test part, sources that decode images when they are read.

        Args:
            data: a folder that holds the class folders, itself or in that of the published tree,
                or the archive; None downloads it, if it can be, unless that was done before.
            size: (H, W) that images are brought to.
            classes: how many (the first ones), or a list of names and labels; labels are counted
                from 0 anew, in that order.
            test: share of every class that is drawn for the test part.
            seed: of this draw.
            fit, mode, interpolation: see `ImageFiles`.

        Returns:
            (x_train, y_train), (x_test, y_test); x is a source of uint8 (N, H, W, C), y is int64.

        Raises:
            DataError: the folder is not there, or a class folder is empty.
            ArgumentError: there is no such class, or an argument is not known.
        """
        listed = self.listing(data, classes)
        rest, drawn = draw_per_class(self.published.name, listed.labels, test, seed)
        images = ImageFiles(listed.paths, size, fit, mode, interpolation)
        return ((images.subset(rest), listed.labels[rest]),
                (images.subset(drawn), listed.labels[drawn]))

    def class_names(self, data: str | os.PathLike[str] | None = None, classes: Classes = None
                    ) -> tuple[str, ...]:
        """Return the names of the classes, by label; arguments and errors as in `load_data`."""
        return self.listing(data, classes).class_names
