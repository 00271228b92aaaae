"""Files in the ONNX format: parsed and checked before anything is allocated; written whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..files import replacing

PathLike = str | os.PathLike[str]
MOST_BYTES = 2**31 - 1  # of a file: Protocol Buffers count no further
OLDEST = 7  # operator set that is read

Fields = Callable[[Any], Any]


def library() -> Any:
    """Return the package `onnx`.

    Raises:
        FormatError: it is not installed.
    """
    try:
        import onnx
        import onnx.helper
    except ImportError:
        raise FormatError("ONNX", "the package onnx is not installed", "",
                          "Install it: pip install 'minidl[onnx]'.") from None
    return onnx


# ---- reading -------------------------------------------------------------------------------


def parse(path: PathLike) -> Any:
    """Return the content of a file as the package onnx has it; data beside it is not read yet.

    Raises:
        FormatError: it is missing, too large, no ONNX model, or of operators that are not known.
    """
    file = Path(path)
    data = _bytes(file)
    model = library().ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # of the package protobuf, which has several kinds
        raise FormatError(str(file), "is no ONNX model, or a damaged one", str(error),
                          "Check that it was copied whole.") from None
    _check_versions(file, model)
    return model


def _bytes(file: Path) -> bytes:
    try:
        if not file.is_file():
            raise FormatError(str(file), "is no file", "expected an ONNX model", "Check the path.")
        if file.stat().st_size > MOST_BYTES:
            raise FormatError(str(file), "is larger than 2 GB", "", "Keep the weights in a file "
                              "beside it (ONNX calls that external data).")
        return file.read_bytes()
    except OSError as error:
        raise FormatError(str(file), f"cannot be read: {error.strerror or error}", "",
                          "Check the path.") from None


def _check_versions(file: Path, model: Any) -> None:
    if not model.graph.output or not model.opset_import:
        raise FormatError(str(file), "is no ONNX model: it has no graph with outputs",
                          "expected a file that a framework has exported", "Check the path.")
    opset, newest = opset_of(model), library().defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise FormatError(str(file), f"uses operator set {opset}",
                          f"expected {OLDEST} to {newest}", "Export it with another opset, or "
                          "install a newer onnx." if opset > newest else
                          "Export it again, or convert it with onnx.version_converter.")


def opset_of(model: Any) -> int:
    """Return the version of the standard operators; 0 where the file names none."""
    return max((entry.version for entry in model.opset_import
                if entry.domain in ("", "ai.onnx")), default=0)


# ---- tensors -------------------------------------------------------------------------------

_TYPES: dict[str, tuple[str, str]] = {  # name: NumPy type of raw bytes, field of single values
    "FLOAT": ("<f4", "float_data"), "DOUBLE": ("<f8", "double_data"),
    "FLOAT16": ("<f2", "int32_data"), "BFLOAT16": ("<u2", "int32_data"),
    "INT8": ("i1", "int32_data"), "UINT8": ("u1", "int32_data"),
    "INT16": ("<i2", "int32_data"), "UINT16": ("<u2", "int32_data"),
    "INT32": ("<i4", "int32_data"), "INT64": ("<i8", "int64_data"),
    "BOOL": ("?", "int32_data"), "UINT32": ("<u4", "uint64_data"),
    "UINT64": ("<u8", "uint64_data"),
}


def array_of(tensor: Any, folder: Path, where: str) -> np.ndarray:
    """Return a tensor's values: floats of any width as float32, whole numbers as they are.

    Args:
        folder: of the file, in which weights beside it must lie.
        where: names the tensor in errors.

    Raises:
        FormatError: type or shape is not possible, or there is not as much data as the shape says.
    """
    names = library().TensorProto.DataType
    kind = names.Name(tensor.data_type) if tensor.data_type in names.values() else "?"
    if kind not in _TYPES:
        raise FormatError(where, f"has elements of type {kind}", f"expected one of "
                          f"{', '.join(_TYPES)}", "Export the model with float32 weights.")
    stored, field = np.dtype(_TYPES[kind][0]), _TYPES[kind][1]
    shape = tuple(tensor.dims)
    if min(shape, default=1) < 0 or len(shape) > 8:
        raise FormatError(where, f"has the shape {shape}", "", "The file is damaged.")
    if tensor.data_location == library().TensorProto.EXTERNAL:
        flat = np.frombuffer(_beside(tensor, folder, where, prod(shape) * stored.itemsize), stored)
    elif tensor.raw_data:
        flat = _raw(tensor.raw_data, stored, shape, where)
    else:
        flat = _values(getattr(tensor, field), kind, stored, shape, where)
    return _plain(flat, kind).reshape(shape)


def _check_count(where: str, shape: tuple[int, ...], count: int) -> None:
    if prod(shape) != count:
        raise FormatError(where, f"has the shape {shape} but {count} values",
                          f"expected {prod(shape)}", "The file is damaged.")


def _raw(data: bytes, stored: np.dtype, shape: tuple[int, ...], where: str) -> np.ndarray:
    if len(data) % stored.itemsize:
        raise FormatError(where, f"has {len(data)} bytes",
                          f"expected a multiple of {stored.itemsize}", "The file is damaged.")
    _check_count(where, shape, len(data) // stored.itemsize)
    return np.frombuffer(data, stored)


def _values(values: Any, kind: str, stored: np.dtype, shape: tuple[int, ...], where: str
            ) -> np.ndarray:
    _check_count(where, shape, len(values))
    if kind == "FLOAT16":  # the bits are kept as whole numbers
        return (np.array(values, np.int64) & 0xffff).astype(np.uint16).view(np.float16)
    wide = np.array(values, np.float64 if stored.kind == "f" else None)
    return wide.astype(stored) if wide.size else np.zeros(0, stored)


def _plain(flat: np.ndarray, kind: str) -> np.ndarray:
    if kind == "BFLOAT16":  # the upper half of a float32
        return (flat.astype(np.uint32) << 16).view(np.float32)
    if flat.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return flat.astype(np.float32, copy=False)
    return flat.astype(flat.dtype.newbyteorder("="), copy=False)


def _beside(tensor: Any, folder: Path, where: str, size: int) -> bytes:
    """Return the bytes of a tensor that lies in another file of the same folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    file = _inside(folder, entries.get("location", ""), where)
    try:
        start = int(entries.get("offset") or 0)
        length = int(entries.get("length") or size)
        if start < 0 or length != size or start + size > file.stat().st_size:
            raise FormatError(where, f"lies at byte {start} of {file.name}, {length} bytes",
                              f"expected {size} bytes within the file", "The file is damaged.")
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(size)
    except (OSError, ValueError) as error:
        raise FormatError(where, f"cannot be read from {file.name}: {error}", "",
                          "Keep all files of the model in one folder.") from None


def size_beside(path: Path, model: Any) -> int:
    """Return the bytes of all files beside a model that its weights name; each counts once."""
    places = {_inside(path.parent, entry.value, f'{path}: weight "{tensor.name}"')
              for tensor in model.graph.initializer for entry in tensor.external_data
              if entry.key == "location"}
    return sum(place.stat().st_size for place in places if place.is_file())


def _inside(folder: Path, location: str, where: str) -> Path:
    """Return a file below a folder; names that lead out of it, by links too, are refused."""
    base = folder.resolve()
    if location and "\0" not in location:
        file = (base / location).resolve()
        if base in file.parents:
            return file
    raise FormatError(where, f"names the file {location!r}", "expected one in the model's folder",
                      "Do not load models that point to other files of the computer.")


# ---- writing -------------------------------------------------------------------------------


def write(path: PathLike, model: Any) -> None:
    """Check a model and write it; an older file stays until the new one is complete.

    Raises:
        FormatError: it breaks a rule of the format.
        CheckpointError: the file cannot be written.
    """
    data = model.SerializeToString()
    try:
        library().checker.check_model(data, full_check=True)
    except Exception as error:  # of the checker and of shape inference, which have no common base
        raise FormatError(str(path), f"the model breaks a rule of ONNX: {error}", "",
                          "Choose another opset; if that does not help, report it.") from error
    with replacing(Path(path)) as aside:
        aside.write_bytes(data)


def attributes_of(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of a node's attributes; texts as str."""
    for attribute in node.attribute:
        value = library().helper.get_attribute_value(attribute)
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        yield attribute.name, text
