"""Files of Keras: HDF5 of version 2, weights of version 3, and `.keras` archives.

Version 2 lists layers and weights by name in attributes (`layer_names`, `weight_names`); version 3
numbers the weights of each layer in a group `vars` under the path on which the model holds it.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from .keras_hdf5 import Tree, is_hdf5, read_tree
from .match import Weights

CONFIG, ARCHIVED = "config.json", "model.weights.h5"
TEXT = 16 << 20  # bytes of a config
DEPTH = 100      # lists and dicts in each other in a config


@dataclass
class KerasFile:
    """What a file of Keras holds.

    Attributes:
        source: file and format, for texts.
        arrays: weights by natural names, such as "block1_conv1/kernel", in the file's order.
        groups: names of a layer's arrays: by its path in version 3 ("layers/conv2d"), by its name
            in version 2.
        version: 2 or 3.
        config: the architecture, if the file has one.
        notes: what was passed over.
    """

    source: str
    arrays: dict[str, np.ndarray]
    groups: dict[str, list[str]]
    version: int
    config: Any = None
    notes: list[str] = field(default_factory=list)

    @property
    def weights(self) -> Weights:
        """The arrays for `match`."""
        return Weights(self.arrays, "channels_last", self.source, notes=tuple(self.notes))


def read_keras_h5(path: Path | str, trust: bool = False) -> Weights:
    """Return the weights of an HDF5 file that Keras wrote, in either version's layout.

    State of the optimizer is passed over.

    Args:
        trust: read it in this process, not in a child that may crash.

    Raises:
        FormatError: the file is damaged, refused, or no file of Keras.
    """
    return open_h5(Path(path), trust).weights


def read_keras_archive(path: Path | str, trust: bool = False) -> Weights:
    """Return the weights in a `.keras` archive; `read_keras_h5` says the rest."""
    return open_archive(Path(path), trust).weights


def open_keras(path: Path, trust: bool = False) -> KerasFile:
    """Return what a file of Keras of either kind holds, by its first bytes."""
    if path.is_file() and is_hdf5(path):
        return open_h5(path, trust)
    return open_archive(path, trust)


def open_h5(path: Path, trust: bool = False) -> KerasFile:
    """Return what an HDF5 file of Keras holds."""
    return _understood(read_tree(path, trust), str(path))


def _understood(tree: Tree, name: str) -> KerasFile:
    for top in ("model_weights", ""):
        if _listed(tree.groups.get(top, {}), "layer_names") is not None:
            found = _version_2(tree, top, name)
            break
    else:
        found = _version_3(tree, name)
    if tree.skipped:
        found.notes.append(f"passed over: {', '.join(sorted(tree.skipped)[:3])} (not weights)")
    if "model_config" in tree.groups[""]:
        found.config = parsed(tree.groups[""]["model_config"], f"{name}, model_config")
    return found


def _kept(array: np.ndarray) -> bool:
    """Say whether an array is a weight; counters and states of random numbers are whole numbers."""
    return array.dtype.kind == "f"


# ---- version 2 -----------------------------------------------------------------------------

OLD_ROLES = {"W": "kernel", "b": "bias", "running_mean": "moving_mean",
             "running_std": "moving_variance"}
_ROLE = re.compile(r"(?:^|_)(W|b|running_mean|running_std)(?:_\d+)?$")


def _listed(attributes: dict[str, Any], name: str) -> list[str] | None:
    """Return a list of names, which may be split over name0, name1 and so on."""
    if isinstance(attributes.get(name), list):
        return attributes[name]
    found: list[str] = []
    while isinstance(attributes.get(f"{name}{len(found)}"), list):
        found.append(f"{name}{len(found)}")
    return [entry for key in found for entry in attributes[key]] if found else None


def _version_2(tree: Tree, top: str, name: str) -> KerasFile:
    found = KerasFile(f"{name} (Keras 2, HDF5)", {}, {}, 2)
    for layer in _listed(tree.groups[top], "layer_names") or ():
        place = f"{top}/{layer}" if top else layer
        if place not in tree.groups:
            raise FormatError(name, f'it lists the layer "{layer}" but has no group of it',
                              "expected one for every entry of layer_names", "Fetch it again.")
        for weight in _listed(tree.groups[place], "weight_names") or ():
            array = tree.arrays.get(f"{place}/{weight}")
            if array is None:
                raise FormatError(name, f'it lists the weight "{weight}" of the layer "{layer}" '
                                  "but has no data of it",
                                  "expected a data set for every entry of weight_names",
                                  "Fetch it again.")
            if _kept(array):
                _keep(found, layer, f"{layer}/{_below(weight, layer)}", array)
    return found


def _below(weight: str, layer: str) -> str:
    """Return the name of a weight within its group: "vgg/conv/kernel:0" of "vgg" is conv/kernel."""
    path, _, role = re.sub(r":\d+$", "", weight).rpartition("/")
    old = _ROLE.search(role)
    role = OLD_ROLES[old[1]] if old else role
    inner = path.rpartition("/")[2]
    same = inner in ("", layer) or re.fullmatch(re.escape(layer) + r"_\d+", inner)
    return role if same else f"{inner}/{role}"


def _keep(found: KerasFile, group: str, name: str, array: np.ndarray) -> None:
    if name in found.arrays:
        name = f"{name}_{len(found.arrays)}"
    found.arrays[name] = array
    found.groups.setdefault(group, []).append(name)


# ---- version 3 -----------------------------------------------------------------------------

_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
ROLES: dict[tuple[str, int], tuple[str, ...]] = {
    ("batch_normalization", 4): _NORM, ("batch_normalization", 3): _NORM[1:],
    ("batch_normalization", 2): _NORM[2:], ("embedding", 1): ("embeddings",),
    ("separable_conv2d", 3): ("depthwise_kernel", "pointwise_kernel", "bias"),
    ("separable_conv2d", 2): ("depthwise_kernel", "pointwise_kernel")}
"""What the numbered weights of a kind of layer are; of others, their numbers of axes say it."""

_BY_AXES = {(True,): ("kernel",), (True, False): ("kernel", "bias"), (False,) * 4: _NORM,
            (False,) * 2: _NORM[:2]}


def _version_3(tree: Tree, name: str) -> KerasFile:
    found = KerasFile(f"{name} (Keras 3)", {}, {}, 3)
    numbered: dict[str, dict[int, np.ndarray]] = {}
    for path, array in tree.arrays.items():
        place, _, number = path.rpartition("/")
        if f"/{place}".endswith("/vars") and number.isdecimal() and _kept(array):
            numbered.setdefault(place.removesuffix("vars").rstrip("/"), {})[int(number)] = array
    if not any(f"/{path}".endswith("/vars") for path in tree.groups):
        raise FormatError(name, "it is HDF5, but has no weights as Keras writes them",
                          "expected groups `vars`, or the attribute layer_names",
                          "Data sets are read by minidl.data.HDF5Source.")
    for path, arrays in numbered.items():
        layer, values = _natural(path, tree), [arrays[i] for i in sorted(arrays)]
        for role, array in zip(_roles(path, values), values, strict=True):
            _keep(found, path, f"{layer}/{role}" if layer else role, array)
    return found


def _natural(path: str, tree: Tree) -> str:
    """Return a layer's name by the names that Keras noted: "vgg16/block1_conv1".

    What lies in a list such as `layers` is numbered by class there, and has its own name beside
    its weights; an attribute of a model of one's own goes by the attribute's name.
    """
    names, in_list, parts = [], False, path.split("/") if path else []
    for i, part in enumerate(parts):
        about = tree.groups.get("/".join((*parts[:i + 1], "vars")))
        if about is None and i + 1 < len(parts):
            in_list = True
        else:
            noted = (about or {}).get("name")
            names.append(noted if in_list and isinstance(noted, str) else part)
            in_list = False
    return "/".join(names)


def _roles(path: str, values: list[np.ndarray]) -> tuple[str, ...]:
    kind = re.sub(r"_\d+$", "", path.rpartition("/")[2])
    axes = tuple(array.ndim > 1 for array in values)
    numbers = tuple(map(str, range(len(values))))
    return ROLES.get((kind, len(values))) or _BY_AXES.get(axes, numbers)


# ---- archives ------------------------------------------------------------------------------


def open_archive(path: Path, trust: bool = False) -> KerasFile:
    """Return what a `.keras` archive holds."""
    with _zip(path) as archive, tempfile.TemporaryDirectory(prefix="minidl-") as folder:
        text = _member(path, archive, CONFIG, TEXT).read(TEXT + 1)
        room = 8 * path.stat().st_size + (1 << 20)
        aside = Path(folder, "weights.h5")
        with _member(path, archive, ARCHIVED, room) as source, aside.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        found = _understood(read_tree(aside, trust, f"{path}, {ARCHIVED}"), str(path))
    found.source = f"{path} (Keras archive)"
    found.config = parsed(text, f"{path}, {CONFIG}")
    return found


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.is_file():
        raise FormatError(str(path), "there is no such file", "", "Check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, RuntimeError, ValueError,
            NotImplementedError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        if isinstance(error, FormatError):
            raise
        raise FormatError(str(path), f"it is damaged or no archive of Keras: {error}",
                          "expected HDF5, or a zip archive", "Fetch it again.") from error


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> Any:
    """Return an open file of an archive; it may not unpack to more than `limit` bytes."""
    names = archive.namelist()
    if names.count(name) != 1:
        raise FormatError(str(path), f"it has {names.count(name)} files {name}, of {len(names)}",
                          f"expected one, beside {CONFIG if name != CONFIG else ARCHIVED}",
                          "Write it with model.save(...) of Keras 3, not sharded.")
    size = archive.getinfo(name).file_size
    if size > limit:
        raise FormatError(str(path), f"{name} unpacks to {size} bytes",
                          f"expected up to {limit} in such a file", "It is not read.")
    return archive.open(name)


def parsed(text: str | bytes, where: str) -> Any:
    """Return a config from JSON whose depth is bounded.

    Raises:
        FormatError: it is no JSON, too long or too deep.
    """
    if len(text) > TEXT:
        raise FormatError(where, f"it is {len(text)} bytes long", f"expected up to {TEXT}", "")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(where, f"it is no JSON: {error}", "expected the architecture as Keras "
                          "writes it", "Fetch it again.") from error
    if _deeper(config, DEPTH):
        raise FormatError(where, f"it is more than {DEPTH} levels deep", "", "It is not read.")
    return config


def _deeper(thing: Any, levels: int) -> bool:
    parts = thing.values() if isinstance(thing, dict) else thing
    return isinstance(thing, (dict, list)) and (
        levels == 0 or any(_deeper(part, levels - 1) for part in parts))
