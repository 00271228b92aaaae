"""`minidl export` and `minidl import`: networks to and from the files of other frameworks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import io, recipes
from ..errors import ArgumentError, FormatError
from ..models.zoo import ENTRIES
from ..nn import Module
from ..nn.load import load_model
from ..recipes.folder import RunFolder
from ..train.checkpoint import file_of

READERS: tuple[tuple[str, Callable[[bytes], bool], Callable[..., Module]], ...] = (
    ("ONNX", lambda head: head[:1] == b"\x08", io.load_onnx),
    ("Keras", lambda head: head.startswith((b"PK", b"\x89HDF")), io.load_keras),
)
"""Per format its name, what its files begin with (ONNX: the IR version; Keras: archives and HDF5),
and what reads them."""
HEAD = 16  # bytes that are looked at


def export(arguments: argparse.Namespace) -> None:
    """Write a trained or a fresh network as an ONNX file, and say what became of each layer."""
    model = _model(arguments.model)
    report = io.save_onnx(model, arguments.file, arguments.layout)
    report.show()


def _model(name: str) -> Any:
    """Return the model of a run or of a file, or a network or an experiment's by name."""
    path = Path(name)
    if path.is_dir():
        files = RunFolder(path).need_models()
        if len(files) > 1:
            raise ArgumentError("export", f"{name} holds {len(files)} models",
                                "expected one", f"Export a member: {files[0]}.")
        return load_model(files[0], compile=False)
    if file_of(path).is_file():
        return load_model(path, compile=False)
    if name in ENTRIES:
        return ENTRIES[name].build()
    return recipes.get(name).model()


def import_(arguments: argparse.Namespace) -> None:
    """Read a network of another framework, say what became of it, and save it."""
    path = Path(arguments.file)
    model = _reader(path)(path)
    print(f"Saved in {model.save(arguments.out)}")


def _reader(path: Path) -> Callable[..., Module]:
    """Return what reads a file, by its first bytes.

    Raises:
        FormatError: it is missing, or of no format that is known.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise FormatError(str(path), f"cannot be read: {error.strerror or error}", "",
                          "Check the path.") from None
    for _, begins, read in READERS:
        if begins(head):
            return read
    names = ", ".join(name for name, _, _ in READERS)
    raise FormatError(str(path), "is of no known format", f"expected a model in {names}",
                      "Weights alone are loaded into a model in Python, see minidl.io.")
