"""Files that are whole or absent: safetensors with a JSON header, written aside and renamed.

A file holds arrays and, in its header, everything else as JSON; the same JSON lies readable beside
it. Nested dicts and lists with arrays anywhere in them ("trees") are what the rest of minidl saves.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..files import replacing
from .tree import put_together, take_apart

SUFFIX = ".safetensors"
KEY = "minidl"  # entry of the header that holds the JSON
VERSION = 1
PathLike = str | os.PathLike[str]


def file_of(path: PathLike) -> Path:
    """Return the file that a path stands for; ".safetensors" need not be given.

    >>> file_of("runs/model").name, file_of("runs/model.safetensors").name
    ('model.safetensors', 'model.safetensors')
    """
    path = Path(path)
    return path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)


# ---- writing -------------------------------------------------------------------------------


def save_file(path: PathLike, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
              ) -> Path:
    """Write arrays and a JSON-able dict; return the path of the file.

    Both go into PATH.safetensors; the dict is written readably to PATH.json, too. Whatever goes
    wrong, an older file of that name stays as it was.

    Raises:
        CheckpointError: the file cannot be written.
    """
    from safetensors.numpy import save_file as write
    target = file_of(path)
    arrays = {name: _plain(array) for name, array in tensors.items()}
    header = {"version": VERSION, "crc32": _checksum(arrays), **metadata}
    text = json.dumps(header, allow_nan=False)
    with replacing(target) as aside:
        write(arrays, aside, {KEY: text})
    with replacing(target.with_suffix(".json")) as aside:
        aside.write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    return target


def _plain(array: np.ndarray) -> np.ndarray:
    """Return a C-contiguous array of the machine's byte order, as safetensors needs it."""
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _checksum(arrays: Mapping[str, np.ndarray]) -> int:
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].reshape(-1).view(np.uint8).data if arrays[name].size else b"",
                         zlib.crc32(name.encode(), crc))
    return crc


# ---- reading -------------------------------------------------------------------------------


def read_file(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the dict that `save_file` wrote.

    Raises:
        CheckpointError: there is no such file, it is damaged, or minidl did not write it.
    """
    from safetensors import SafetensorError, safe_open
    target = file_of(path)
    if not target.is_file():
        raise CheckpointError(str(target), "there is no such file", "", _others(target))
    try:
        with safe_open(target, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(str(target), f"cannot be read ({error})",
                              "expected a whole safetensors file",
                              "It is cut short, damaged or of another kind.") from error
    return arrays, _checked(target, text, arrays)


def _checked(target: Path, text: str | None, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    if text is None:
        raise CheckpointError(str(target), f"its header has no entry {KEY!r}",
                              "expected a file that minidl saved",
                              "Use minidl.io.load_weights(model, path) for files of others.")
    try:
        header = json.loads(text)
        version, checksum = int(header["version"]), int(header["crc32"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(str(target), f"its header is damaged ({error!r})", "",
                              "Use another copy.") from error
    if version > VERSION:
        raise CheckpointError(str(target), f"it has format version {version}",
                              f"this minidl reads up to {VERSION}", "Install a newer minidl.")
    if checksum != _checksum(arrays):
        raise CheckpointError(str(target), "its contents do not match their checksum", "",
                              "The file was damaged after it was saved; use another copy.")
    return header


def _others(target: Path) -> str:
    """Say what lies in the folder instead, the remedy for a mistyped name."""
    given = target.with_name(target.name.removesuffix(SUFFIX))
    if given.is_file():
        return f"Use minidl.io.load_weights(model, path) if {given.name} is of another framework."
    if not target.parent.is_dir():
        return f"There is no folder {target.parent} either."
    names = sorted(p.name for p in target.parent.glob(f"*{SUFFIX}"))
    return f"In {target.parent} there are {', '.join(names)}." if names else (
        f"No {SUFFIX} file lies in {target.parent}.")


# ---- trees ---------------------------------------------------------------------------------

_LOADED_BY = {"model": "Use load_model for it.", "weights": "Use model.load_weights for it.",
              "checkpoint": "Use model.fit(..., resume=PATH) for it."}


def save_tree(path: PathLike, kind: str, tree: Mapping[str, Any]) -> Path:
    """Write nested dicts and lists of arrays, numbers and texts; return the path of the file.

    Args:
        kind: what the file is, such as "model" or "weights".

    Raises:
        CheckpointError: the file cannot be written, or the tree holds what JSON cannot.
    """
    skeleton, tensors = take_apart(tree)
    return save_file(path, tensors, {"kind": kind, "content": skeleton})


def load_tree(path: PathLike, *kinds: str) -> dict[str, Any]:
    """Return the tree that `save_tree` wrote as a file of one of these kinds.

    Raises:
        CheckpointError: as in `read_file`, or the file is of another kind.
    """
    arrays, header = read_file(path)
    found = header.get("kind")
    if found not in kinds:
        raise CheckpointError(str(file_of(path)), f"its kind is {found!r}",
                              f"expected {' or '.join(map(repr, kinds))}",
                              _LOADED_BY.get(str(found), "Choose another file."))
    return put_together(header["content"], arrays)
