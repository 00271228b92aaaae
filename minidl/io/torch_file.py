"""Reading PyTorch's `.pt` and `.pth` files without PyTorch: state dicts, zip and older format.

Both formats hold a pickle that says which tensors there are, and the bytes of their storages: the
zip archive one record for each, the older format (before PyTorch 1.6) one after another at the end.
The pickle is read by a restricted reader; nothing that it names is imported or called.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data.unpickle import ForeignError
from ..errors import FormatError
from .bfloat16 import widened
from .match import Weights
from .torch_pickle import Storage, TorchReader, Window

PathLike = str | os.PathLike[str]

LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e"
"""The beginning of an older file: a pickle of PyTorch's magic number."""
_PROTOCOL = 1001
MOST = 100_000  # tensors in a file; a network of 1,000 layers has 6,000
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params",
             "module")
_STATE = "a state dict: tensors by name"
_REMEDY = "In PyTorch, write torch.save(model.state_dict(), path) and load that file."

Bytes = Callable[[Storage], bytes]
"""Where the bytes of a storage come from."""


def read_torch(path: PathLike) -> Weights:
    """Return the tensors of a state dict as read-only arrays; bfloat16 becomes float32.

    A state dict inside a checkpoint ({"state_dict": ...}, {"model": ...}) is found.

    Raises:
        FormatError: the file is missing, damaged, holds no state dict, or asks for a class or
            function that no state dict needs. Nothing of it was executed then.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        reader = _read_zip if content.startswith(b"PK") else _read_legacy
        found, source, notes = reader(content)
    except OSError as error:
        raise FormatError(str(path), f"cannot be read ({error.strerror})", f"expected {_STATE}",
                          "Check the path.") from error
    except ForeignError as foreign:
        raise FormatError(str(path), f"{_asks_for(str(foreign))}", f"expected {_STATE}",
                          f"Nothing of it was executed. {_REMEDY}") from None
    except FormatError as error:
        raise error.inside(str(path)) from error
    except Exception as error:  # a damaged program fails in any way
        raise FormatError(str(path), f"is damaged ({type(error).__name__}: {error})"[:300],
                          f"expected {_STATE}", "Fetch or save it again.") from error
    return Weights(found, "channels_first", f"{path.name} ({source})", notes=tuple(notes))


def _asks_for(name: str) -> str:
    if name.startswith(("torch.nn.modules.", "__main__.")):
        return f"holds a whole model (class {name})"
    return f"asks for {name}"


# ---- the two formats -----------------------------------------------------------------------


def _read_zip(content: bytes) -> tuple[dict[str, np.ndarray], str, list[str]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        _plain_members(archive, members, len(content))
        top = _top(members)
        if archive.read(f"{top}byteorder") != b"little" if f"{top}byteorder" in members else False:
            raise FormatError("", "its numbers are big-endian", "expected little-endian ones",
                              "Save it on another machine, or as safetensors.")
        tree = TorchReader(archive.read(f"{top}data.pkl")).load()
        windows, notes = _state_dict(tree)

        def raw(storage: Storage) -> bytes:
            return archive.read(f"{top}data/{storage.key}")

        return _arrays(windows, raw), "torch, zip format", notes


def _plain_members(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], size: int
                   ) -> None:
    """Raise for archives that are not as PyTorch writes them: records as they are, each once."""
    if len(members) != len(archive.infolist()):
        raise ValueError("two records of one name")
    squeezed = [m.filename for m in members.values()
                if m.compress_type != zipfile.ZIP_STORED or m.compress_size != m.file_size]
    if squeezed:
        raise ValueError(f"record {squeezed[0]} is compressed")
    if sum(m.file_size for m in members.values()) > size:
        raise ValueError("its records are larger than the file")


def _top(members: dict[str, zipfile.ZipInfo]) -> str:
    tops = [name[:-len("data.pkl")] for name in members
            if name.endswith("/data.pkl") and name.count("/") == 1]
    if not tops and "[Content_Types].xml" not in members and "data.pkl" in members:
        tops = [""]
    if len(tops) != 1:
        raise FormatError("", "is a zip archive without the record data.pkl",
                          f"expected {_STATE}", _REMEDY)
    if f"{tops[0]}constants.pkl" in members:
        raise FormatError("", "holds a program (TorchScript)", f"expected {_STATE}",
                          "In PyTorch, write torch.save(torch.jit.load(path).state_dict(), path2) "
                          "and load that file.")
    return tops[0]


def _read_legacy(content: bytes) -> tuple[dict[str, np.ndarray], str, list[str]]:
    if not content.startswith(LEGACY):
        raise FormatError("", f"begins with {content[:8]!r}", "expected a zip archive or PyTorch's "
                          "magic number", "It is no file of torch.save, or an incomplete one.")
    file = io.BytesIO(content)

    def load() -> Any:
        return TorchReader(file, len(content)).load()

    _, protocol, system = load(), load(), load()
    if protocol != _PROTOCOL:
        raise ValueError(f"version {protocol!r} of the format")
    if system.get("little_endian") is not True:
        raise FormatError("", "its numbers are big-endian", "expected little-endian ones",
                          "Save it on another machine, or as safetensors.")
    reader = TorchReader(file, len(content))
    windows, notes = _state_dict(reader.load())
    records = dict(_records(file, load(), reader.storages))
    return _arrays(windows, lambda s: records[s.key]), "torch, format before 1.6", notes


def _records(file: io.BytesIO, keys: Any, storages: dict[str, Storage]
             ) -> Iterator[tuple[str, bytes]]:
    """Yield the storages at the end of an older file: each has its number of elements first."""
    names = [key for key in keys if isinstance(key, str)]
    if len(names) != len(keys) or set(names) != set(storages):
        raise ValueError("the list of storages is not that of the tensors")
    for key in names:
        storage, size = storages[key], int.from_bytes(file.read(8), "little")
        if size != storage.size:
            raise ValueError(f"storage {key} has {size:,} elements instead of {storage.size:,}")
        yield key, file.read(size * storage.unit)


# ---- tensors -------------------------------------------------------------------------------


def _state_dict(tree: Any) -> tuple[dict[str, Window], list[str]]:
    """Return the tensors by name, and where they were found."""
    place: list[str] = []
    for _ in range(4):
        if not isinstance(tree, dict):
            break
        found = {str(name): value for name, value in tree.items() if isinstance(value, Window)}
        if len(found) > MOST:
            raise ValueError(f"{len(found):,} tensors; expected at most {MOST:,}")
        if found:
            others = [str(name)[:40] for name in tree if str(name) not in found]
            notes = [f"taken from the entry {'/'.join(place)!r}"] if place else []
            notes += [f"passed over, as no tensors: {', '.join(others[:5])}"] if others else []
            return found, notes
        name = _wrapped(tree)
        place.append(str(name))
        tree = tree[name]
    raise FormatError("", f"holds a {type(tree).__name__}" + (
        f" in its entry {'/'.join(place)!r}" if place else ""), f"expected {_STATE}", _REMEDY)


def _wrapped(tree: dict[Any, Any]) -> Any:
    """Return the name of the entry that holds the weights."""
    dicts = [name for name, value in tree.items() if isinstance(value, dict) and value]
    known = [name for name in _WRAPPERS if name in dicts]
    if known or len(dicts) == 1:
        return (known or dicts)[0]
    shown = ", ".join(repr(str(name)[:40]) for name in list(tree)[:8]) or "nothing"
    raise FormatError("", f"holds {shown}, and no tensors by name", f"expected {_STATE}", _REMEDY)


def _arrays(windows: dict[str, Window], raw: Bytes) -> dict[str, np.ndarray]:
    """Return the tensors as arrays; those that share a storage share memory."""
    kept: dict[Any, np.ndarray] = {}
    arrays = {}
    for name, window in windows.items():
        key = window.storage.key, window.kind
        if key not in kept:
            kept[key] = _elements(window, raw)
        arrays[name] = window.array(kept[key])
    return arrays


def _elements(window: Window, raw: Bytes) -> np.ndarray:
    """Return all elements of a tensor's storage."""
    storage, content = window.storage, raw(window.storage)
    if len(content) != storage.size * storage.unit:
        raise ValueError(f"storage {storage.key} has {len(content):,} bytes instead of "
                         f"{storage.size * storage.unit:,}")
    elements = np.frombuffer(content, window.kind.dtype)
    return widened(elements) if window.kind.bfloat16 else elements
