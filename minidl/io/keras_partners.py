"""Which array of a file of Keras belongs to which weight of the model that was built from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .keras_files import KerasFile
from .match import Weights


ROLES = {"kernel": ("kernel", "depthwise_kernel"), "depthwise/kernel": ("depthwise_kernel",),
         "pointwise/kernel": ("pointwise_kernel",), "pointwise/bias": ("bias",)}
"""What version 2 calls weights, where that is not their name here."""


def renamed(file: KerasFile, model: Any, places: Mapping[str, str]) -> Weights:
    """Return the file's weights under the names that they have in the model.

    A layer's numbered weights are in the order of ours; those of version 2 have names.

    Args:
        places: the path in version 3 of each layer, by its path here.
    """
    inside: dict[str, list[str]] = {}
    for path in (*model.named_parameters(), *model.named_buffers()):
        for end in (i for i, sign in enumerate(path) if sign == "/"):
            inside.setdefault(path[:end], []).append(path)
    partners = _numbered if file.version == 3 else _named
    given, arrays = dict(file.arrays), {}
    for path, theirs in partners(file, places, inside):
        if theirs in given and path not in arrays:
            arrays[path] = given.pop(theirs)
    return Weights({**arrays, **given}, "channels_last", file.source, notes=tuple(file.notes))


def _numbered(file: KerasFile, places: Mapping[str, str], inside: Mapping[str, list[str]]
              ) -> Iterator[tuple[str, str]]:
    """Yield weights with the file's names for them, by the layer's own name, else by its number."""
    by_name = {names[0].rpartition("/")[0]: names for names in file.groups.values()}
    for ours, place in places.items():
        theirs = by_name.get(ours) or file.groups.get(place, [])
        yield from zip(inside.get(ours, []), theirs, strict=False)


def _named(file: KerasFile, places: Mapping[str, str], inside: Mapping[str, list[str]]
           ) -> Iterator[tuple[str, str]]:
    """Yield weights with the file's names for them; of a nested model's, the last parts agree."""
    known: dict[str, dict[str, str]] = {ours.split("/")[0]: {} for ours in places}
    for top, names in file.groups.items():
        for theirs in names:
            layer, _, role = theirs.rpartition("/")
            known.setdefault(top, {}).setdefault(f"{layer.rpartition('/')[2]}/{role}", theirs)
    for ours in places:
        for path in inside.get(ours, []):
            own, group = path[len(ours) + 1:], known[ours.split("/")[0]]
            for role in ROLES.get(own, (own,)):
                name = f"{ours.rpartition('/')[2]}/{role}"
                if name in group:
                    yield path, group[name]
