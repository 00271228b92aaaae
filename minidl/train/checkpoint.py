"""Files that are whole or absent: safetensors with a JSON header, written aside and renamed.

A file holds arrays and, in its header, everything else as JSON; the same JSON lies readable beside
it. Nested dicts and lists with arrays anywhere in them ("trees") are what the rest of minidl saves.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from .tree import put_together, take_apart

SUFFIX = ".safetensors"
KEY = "minidl"  # entry of the header that holds the JSON
VERSION = 1
PathLike = str | os.PathLike[str]

_REMEDIES = {errno.ENOSPC: "The disk is full; free some space.",
             errno.EDQUOT: "Your quota is used up; free some space.",
             errno.EFBIG: "The file would exceed the size limit; save elsewhere.",
             errno.EACCES: "No permission; save into a folder of your own.",
             errno.EPERM: "No permission; save into a folder of your own.",
             errno.EROFS: "That disk is read-only; save elsewhere.",
             errno.ENOTDIR: "A part of the path is a file; choose another path.",
             errno.EISDIR: "There is a folder of that name; choose another path."}


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
    with _in_place_of(target) as aside:
        write(arrays, aside, {KEY: text})
    with _in_place_of(target.with_suffix(".json")) as aside:
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


@contextmanager
def _in_place_of(target: Path) -> Iterator[Path]:
    """Give a file name in the same folder; what was written there replaces `target` at once."""
    aside = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
        mode = aside.stat().st_mode  # as the user's umask has it; safetensors makes private files
        yield aside
        aside.chmod(mode)
        _sync(aside)
        os.replace(aside, target)
        _sync_folder(target.parent)
    except BaseException as error:
        _remove(aside)
        if isinstance(error, Exception):
            raise _cannot_write(target, error) from error
        raise


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the renaming last through a power cut; Windows has no such call."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the folder itself is missing or closed to us, so nothing was written


def _cannot_write(target: Path, error: Exception) -> CheckpointError:
    remedies = [r for code, r in _REMEDIES.items() if getattr(error, "errno", None) == code
                or f"os error {code}" in str(error)]
    return CheckpointError(str(target), f"cannot be written: {error}", "",
                           remedies[0] if remedies else "What was saved there before is unchanged.")


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
                              "For files of other libraries use their importer.")
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
