"""The front door: weights of other frameworks, told apart by the first bytes of the file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import FormatError
from .layout import Layout
from .match import Names, Weights, match
from .report import Report
from .torch_file import LEGACY

PathLike = str | os.PathLike[str]
Reader = Callable[[Path, bool, Layout | None], Weights]

_EXPECTED = "a file of PyTorch, safetensors or Keras, or a pickle of arrays"
_PICKLE = b"\x80"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_OTHERS: dict[bytes, tuple[str, str]] = {
    b"<": ("is a web page", "The download went wrong; fetch the file itself."),
    b"version https://git-lfs": ("only stands for a file in Git LFS", "Run git lfs pull."),
    b"\x08": ("looks like an ONNX model", "Use minidl.io.load_onnx(path)."),
    b"\x93NUMPY": ("is a NumPy array", "Load it by np.load and give it to a weight's assign."),
    b"{": ("is a JSON file", "The weights lie in another file beside it."),
    b"": ("is of another kind", "Ask whoever made it what wrote it."),
}
"""What other files begin with, and what to do about them; the first that fits counts."""


def load_weights(model: Any, path: PathLike, names: Names | None = None, strict: bool = True,
                 trust: bool = False, layout: Layout | None = None) -> Report:
    """Load the weights of another framework into a model; return the table of what went where.

    Reads state dicts of PyTorch (.pt, .pth), safetensors, weights and models of Keras (.h5,
    .weights.h5, .keras), and pickles of NumPy arrays; which it is, the file's first bytes tell.
    `print(report)` or `report.show()` shows the table.

    Args:
        names: where order and names do not say it: the file's name by the model's path; see
            `minidl.io.match.match`.
        strict: raise where anything is missing, left over or of another shape.
        trust: read HDF5 files in this process; by default a child process opens them first, as
            damaged ones can crash their library.
        layout: how the kernels of a safetensors file lie, where it does not say so, or of a
            pickle (channels_last by default).

    Raises:
        FormatError: the file is missing, damaged, refused, or does not fit; the model is unchanged.

    >>> report = load_weights(resnet18(), "resnet18-f37072fd.pth")  # doctest: +SKIP
    >>> print(report.check)  # doctest: +SKIP
    turned back, all 102 arrays equal the file's bit by bit
    """
    return match(model, read_weights(path, trust, layout), names, strict)


def read_weights(path: PathLike, trust: bool = False, layout: Layout | None = None) -> Weights:
    """Return the arrays of a file of another framework by their names there.

    Args:
        trust, layout: see `load_weights`.

    Raises:
        FormatError: the file is missing, damaged, refused, or of a kind that is not known.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise FormatError(str(path), f"cannot be read ({error.strerror})", f"expected {_EXPECTED}",
                          "Check the path.") from error
    return _reader(path, start, size)(path, trust, layout)


def _reader(path: Path, start: bytes, size: int) -> Reader:
    """Return the reader for a file that begins with these bytes."""
    if start.startswith(b"PK"):
        return _keras_archive if _is_keras(path) else _torch
    if start.startswith(LEGACY):
        return _torch
    if start.startswith(_PICKLE):
        return _pickle
    if start.startswith(_HDF5) or start[512:].startswith(_HDF5):
        return _keras_h5
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size:
        return _safetensors
    if not start:
        raise FormatError(str(path), "is empty", f"expected {_EXPECTED}", "Fetch it again.")
    got, remedy = next(what for magic, what in _OTHERS.items() if start.startswith(magic))
    raise FormatError(str(path), got, f"expected {_EXPECTED}", remedy)


def _is_keras(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return bool({"config.json", "model.weights.h5"} & set(archive.namelist()))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _torch(path: Path, trust: bool, layout: Layout | None) -> Weights:
    from .torch_file import read_torch
    return read_torch(path)


def _pickle(path: Path, trust: bool, layout: Layout | None) -> Weights:
    from .pickle_file import read_pickle
    return read_pickle(path, layout or "channels_last")


def _safetensors(path: Path, trust: bool, layout: Layout | None) -> Weights:
    from .safetensors_file import read_safetensors
    return read_safetensors(path, layout)


def _keras_h5(path: Path, trust: bool, layout: Layout | None) -> Weights:
    from .keras_files import read_keras_h5
    return read_keras_h5(path, trust)


def _keras_archive(path: Path, trust: bool, layout: Layout | None) -> Weights:
    from .keras_files import read_keras_archive
    return read_keras_archive(path, trust)
