"""What an HDF5 file holds as plain groups, attributes and arrays, with every size checked.

Links to other files, soft links, objects that are linked twice, data sets that lie elsewhere
(virtual, external) or declare more than they hold are refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from . import child

SIGNATURE = b"\x89HDF\r\n\x1a\n"
DEPTH = 24                      # groups in groups
OBJECTS = 50_000
TEXT = 16 << 20                 # bytes of one attribute
SMALL = 1 << 20                 # a data set up to here may be as sparse as it likes
EXPANSION = 64                  # times that other data sets may be larger than what is stored
FILTERS = {1, 2, 3, 4, 32000}   # deflate, shuffle, checksum, szip, lzf
SKIPPED = ("optimizer_weights", "optimizer", "_optimizer", "seed_generator")
"""Groups that are no weights of layers."""


@dataclass
class Tree:
    """The content of a file.

    Attributes:
        groups: attributes by the path of each group, "" for the file itself.
        arrays: data sets by path, in the order they were written.
        skipped: names of groups that were passed over.
    """

    groups: dict[str, dict[str, Any]]
    arrays: dict[str, np.ndarray]
    skipped: list[str] = field(default_factory=list)


def is_hdf5(path: Path) -> bool:
    """Say whether a file begins as HDF5 files do."""
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def read_tree(path: Path, trust: bool = False, name: str = "") -> Tree:
    """Return the content of an HDF5 file, read in a child process unless it is trusted.

    Raises:
        FormatError: the file is damaged, or has something that is refused.
    """
    facts, arrays = child.read(walk, path, trust, name)
    return Tree(facts["groups"], arrays, facts["skipped"])


def walk(path: str, put: child.Put) -> dict[str, Any]:
    """Hand all arrays of an HDF5 file to `put`; return its groups with their attributes."""
    import h5py
    with h5py.File(path, "r", locking=False) as file:
        return _Walk(os.path.getsize(path), put).of(file)


class _Walk:
    """One way through a file: groups come before what they hold, in the order of writing."""

    def __init__(self, size: int, put: child.Put) -> None:
        self.room = (64 << 20) + 20 * size
        self.put, self.seen = put, set[Any]()
        self.groups: dict[str, Any] = {}
        self.skipped: list[str] = []

    def of(self, file: Any) -> dict[str, Any]:
        import h5py
        pending = [("", file)]
        while pending:
            path, thing = pending.pop()
            self._once(path, thing)
            if isinstance(thing, h5py.Dataset):
                self.put(path, self._values(path, thing))
            elif isinstance(thing, h5py.Group):
                self.groups[path] = _attributes(path, thing)
                pending += list(self._inside(path, thing))[::-1]
        return {"groups": self.groups, "skipped": self.skipped}

    def _once(self, path: str, thing: Any) -> None:
        import h5py
        info = h5py.h5o.get_info(thing.id)
        place = (info.fileno, info.addr)
        if place in self.seen or len(self.seen) >= OBJECTS or path.count("/") >= DEPTH:
            raise _refused(path, "is linked twice, or one of too many",
                           f"expected a tree of up to {OBJECTS} objects, {DEPTH} levels deep")
        self.seen.add(place)

    def _inside(self, path: str, group: Any) -> Iterator[tuple[str, Any]]:
        """Return the members of a group, in the order they were written."""
        import h5py
        members = []
        if len(group) > OBJECTS:
            raise _refused(path, f"holds {len(group)} objects", f"expected up to {OBJECTS}")
        for name in group:
            place = f"{path}/{name}" if path else name
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise _refused(place, f"is a {type(link).__name__}", "expected what lies in the "
                               "file itself")
            if name in SKIPPED:
                self.skipped.append(place)
            else:
                members.append((h5py.h5o.get_info(group.id, name.encode()).addr, place, name))
        return iter([(place, group[name]) for _, place, name in sorted(members)])

    def _values(self, path: str, dataset: Any) -> np.ndarray:
        size = _checked_size(path, dataset)
        self.room -= size
        if self.room < 0:
            raise _refused(path, "and those before it declare far more bytes than the file has",
                           "expected sizes that fit the file")
        values = np.asarray(dataset[()])
        if values.dtype.kind == "V":  # bfloat16: the upper half of a float32
            return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        return native.astype(np.float32) if native.dtype == np.float16 else native


def _refused(path: str, got: str, expected: str) -> FormatError:
    return FormatError("", f'"{path or "/"}" {got}', expected, "Such a file is not read.")


def _checked_size(path: str, dataset: Any) -> int:
    """Return the bytes of a data set that lies in the file and is as large as it says."""
    import h5py
    dtype, shape, plan = dataset.dtype, dataset.shape, dataset.id.get_create_plist()
    marked = dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None
    if shape is None or not (dtype.kind in "fiub" or marked):
        raise _refused(path, f"holds {dtype}", "expected an array of numbers")
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise _refused(path, "has its data in other files", "expected them in the file itself")
    filters = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    if not filters <= FILTERS:
        raise _refused(path, f"is packed by filter {min(filters - FILTERS)}",
                       "expected deflate, lzf, szip or none")
    size, stored = math.prod(shape) * dtype.itemsize, dataset.id.get_storage_size()
    packed = plan.get_layout() == h5py.h5d.CHUNKED
    if size > (max(SMALL, EXPANSION * stored) if packed else stored):
        raise _refused(path, f"declares {shape} of {dtype}, {size} bytes, but holds {stored}",
                       "expected data for the whole shape")
    _check_chunks(path, dataset, size)
    return size


def _check_chunks(path: str, dataset: Any, size: int) -> None:
    chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
    if chunk > SMALL + 2 * size:
        raise _refused(path, f"has pieces of {chunk} bytes", f"expected no more than its {size}")


# ---- attributes ----------------------------------------------------------------------------


def _attributes(path: str, group: Any) -> dict[str, Any]:
    if len(group.attrs) > 1000:
        raise _refused(path, f"has {len(group.attrs)} attributes", "expected up to 1000")
    found = {name: _attribute(path, group, name) for name in group.attrs}
    return {name: value for name, value in found.items() if value is not None}


def _attribute(path: str, group: Any, name: str) -> Any:
    """Return text, a list of texts, or None for what is neither."""
    import h5py
    about = group.attrs.get_id(name)
    space = math.prod(about.shape or ()) * max(about.dtype.itemsize, 1)
    if space > TEXT:
        raise _refused(path, f"has the attribute {name} of {space} bytes",
                       f"expected up to {TEXT}")
    if about.dtype.kind not in "SO" or (
            about.dtype.kind == "O" and h5py.check_string_dtype(about.dtype) is None):
        return [] if about.shape == (0,) else None
    value = group.attrs[name]
    return _text(value) if np.ndim(value) == 0 else [_text(v) for v in np.ravel(value)]


def _text(value: Any) -> str:
    raw = value.tobytes() if isinstance(value, np.ndarray) else value
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    return text.rstrip("\x00")
