"""The argument `weights` of networks: reading published weights and putting them in.

`weights` is None, a file, a word, or what `Pretrained.find` read. A file is of any format that
`minidl.io.read_weights` reads; its layers are found by the names that `origins.ORIGINS` knows, and
by their order where it knows none. "imagenet" stands for the file that is published for the
network, "imagenet-NAME" for that of one origin, such as "imagenet-torch"; it is fetched once, into
the user's cache, and its checksum is compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..data.datasets.download import cache_folder, checksum_of, download
from ..errors import ArgumentError, FormatError
from ..io.load import read_weights
from ..io.match import Weights, match
from ..nn import Module
from .origins import ORIGINS, Origin

M = TypeVar("M", bound=Module)
_WORD = "imagenet"

HEADS = ("fc1", "fc2", "predictions", "conv10")
"""Layers of networks' heads, by our names: a body takes a file that has them."""


@dataclass(frozen=True)
class Pretrained:
    """Weights that were read, and where they are from.

    Attributes:
        network: that they are for.
        weights: the arrays as the file has them; None for a network with random weights.
        origin: that the names of the arrays tell; None if they are unknown.
    """

    network: str
    weights: Weights | None = None
    origin: Origin | None = None

    @classmethod
    def find(cls, network: str, weights: From, style: object = None,
             include_top: bool = True) -> Pretrained:
        """Return the weights that an argument `weights` means.

        Args:
            style: that the network was asked for; None leaves it to the weights.
            include_top: which file to fetch, where one is published without the head.

        Raises:
            ArgumentError: the word is unknown, or the weights are of another style.
            FormatError, DataError: the file cannot be read, or not be fetched.

        >>> Pretrained.find("vgg16", None)
        Pretrained(network='vgg16', weights=None, origin=None)
        """
        if weights is None:
            return cls(network)
        if isinstance(weights, Pretrained):
            return weights
        if isinstance(weights, str) and weights.partition("-")[0] == _WORD:
            weights = _fetched(network, _origin_named(network, weights, style), include_top)
        read = read_weights(weights)
        origin = origin_of(network, read)
        _need_style(network, str(weights), origin, style)
        return cls(network, read, origin)

    @property
    def style(self) -> Any:
        """The style that fits the weights; None if any does."""
        return self.origin.style if self.origin else None

    def into(self, model: M) -> M:
        """Return the model with the weights in it; it stays as it is where there are none.

        Raises:
            ArgumentError: the model's head is not that of the weights.
            FormatError: a layer is missing, or has another shape.
        """
        if self.weights is None:
            return model
        if self.origin is None:
            match(model, self.weights)
            return model
        names = {path: self.origin.theirs(path) for path in _weighted(model)}
        _need_head(model, self.weights, names)
        match(model, _without_head(self.weights, set(names.values()), self.origin), names)
        return model


From = str | os.PathLike[str] | Pretrained | None
"""A file, "imagenet", "imagenet-NAME", weights that were read, or None."""

# ---- which weights -------------------------------------------------------------------------


def origin_of(network: str, weights: Weights) -> Origin | None:
    """Return the origin whose names the arrays have; None if they have other ones.

    >>> import numpy as np
    >>> file = Weights({"layer1.0.conv1.weight": np.zeros(1)}, "channels_first", "a file")
    >>> origin_of("resnet50", file)
    torch
    """
    return next((origin for origin in ORIGINS[network]
                 if any(name.startswith(origin.mark) for name in weights.arrays)), None)


def _origin_named(network: str, word: str, style: object) -> Origin:
    """Return the origin that a word means: the first that has a file, and is of the style."""
    published = [origin for origin in ORIGINS[network] if origin.file]
    fitting = [origin for origin in published if word == f"{_WORD}-{origin.name}"
               or (word == _WORD and (style is None or origin.style in (None, style)))]
    if not fitting:
        words = ", ".join(f'"{_WORD}-{origin.name}"' for origin in published)
        fits = f" {published[0].write}" if word == _WORD else ""
        raise ArgumentError(network, f"got weights={word!r}" + (f", style={style!r}" if style
                                                                 else ""),
                            f'expected a file, "{_WORD}" or one of {words}',
                            f"Write{fits} or another word." if fits else
                            "Write ./ before the name of a file that begins so.")
    return fitting[0]


def _need_style(network: str, file: str, origin: Origin | None, style: object) -> None:
    if origin and style is not None and origin.style not in (None, style):
        raise ArgumentError(network, f"got style={_shown(style, network)}, but {file} has the "
                            f"names of {origin.name}", f"expected {origin.write}",
                            f"Write {origin.write}, or leave style out.")


def _shown(style: object, network: str) -> str:
    known = [origin.write for origin in ORIGINS[network] if origin.style == style]
    return known[0].partition("=")[2] if known else repr(style)


def _fetched(network: str, origin: Origin, include_top: bool) -> Path:
    """Return the published file of an origin, downloaded unless it is in the cache."""
    file = origin.file if include_top or origin.body is None else origin.body
    if file is None:
        raise ArgumentError(network, f"no file of {origin.name} is published", "expected a file")
    base, _, name = file.url.rpartition("/")
    path = cache_folder("models") / name
    if not path.is_file() or checksum_of(path, file.checksum) != file.checksum:
        download(network, [f"{base}/"], path, file.checksum,
                 remedy='Check the network; or get the file in another way: weights="FILE".')
    return path


# ---- what goes in --------------------------------------------------------------------------


def _weighted(model: Module) -> Iterator[str]:
    """Yield the paths of the layers that have weights."""
    paths = [*model.named_parameters(), *model.named_buffers()]
    yield from dict.fromkeys(path.rpartition("/")[0] for path in paths)


def _of(name: str, prefix: str) -> bool:
    """Say whether an array belongs to a layer of a file."""
    return name.startswith((f"{prefix}.", f"{prefix}/"))


def _need_head(model: Module, weights: Weights, names: dict[str, str]) -> None:
    """Raise where the model has a head, and the file has none or one of other classes."""
    head = next((path for path in reversed(names) if path in HEADS), None)
    if head is None:
        return
    found = {name: array.shape for name, array in weights.arrays.items()
             if _of(name, names[head])}
    if not found:
        raise FormatError(weights.source, f"has no layer {names[head]}, the head of the network",
                          "expected one for include_top=True",
                          "Write include_top=False, or take a file with the head.")
    ours = model.named_parameters()[f"{head}/bias"].size
    theirs = min((shape[0] for shape in found.values() if len(shape) == 1), default=ours)
    if ours != theirs:
        raise ArgumentError(str(getattr(model, "name", "model")), f"got classes={ours}, but "
                            f"{weights.source} knows {theirs} classes",
                            f"expected classes={theirs} where its head is kept",
                            "Write include_top=False, and put a head of your own on the body, "
                            "such as minidl.models.blocks.fc_head.")


def _without_head(weights: Weights, kept: set[str], origin: Origin) -> Weights:
    """Return the weights without the layers of a head that the model does not have."""
    gone = [theirs for head in HEADS if (theirs := origin.theirs(head)) not in kept]
    arrays = {name: array for name, array in weights.arrays.items()
              if not any(_of(name, prefix) for prefix in gone)}
    return replace(weights, arrays=arrays)
