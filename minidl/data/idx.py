"""Reader and writer of IDX files, the format that MNIST is published in.

Two zero bytes, one byte for the element type, one for the number of axes, the axis lengths as
big-endian uint32, then the elements, big-endian too (Y. LeCun, "The MNIST database of handwritten
digits", section "File formats").
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError, DTypeError

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_CODES = {np.dtype(name): code for code, name in _TYPES.items()}
_AGAIN = "Fetch the file again, or unpack it again from its archive."


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file, gzip-compressed if its name ends in .gz.

    Returns:
        A writable array in the machine's byte order, of the shape and type that the header names.

    Raises:
        DataError: the file is missing, empty, cut short, too long, or not IDX.

    >>> from minidl.data.datasets.digits import FOLDER
    >>> read_idx(FOLDER / "t10k-images-idx3-ubyte.gz").shape
    (2000, 28, 28)
    """
    path = Path(path)
    content = _content(path)
    dtype, shape, start = _header(path, content)
    there, wanted = len(content) - start, math.prod(shape) * dtype.itemsize
    if there != wanted:
        raise DataError(str(path), f"got {there:,} bytes of elements",
                        f"its header, {shape} of {dtype.name}, expects {wanted:,}", _AGAIN)
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def write_idx(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as an IDX file, gzip-compressed if the name ends in .gz.

    The same array always gives the same bytes, as no time is put into the gzip header.

    Raises:
        DTypeError: IDX has no such element type; it has uint8, int8, int16, int32 and floats.

    >>> write_idx("labels.idx1-ubyte.gz", np.zeros(10, np.uint8))  # doctest: +SKIP
    """
    code = _CODES.get(array.dtype.newbyteorder(">"))
    if code is None or not 1 <= array.ndim <= 255:
        raise DTypeError(str(path), f"got an array of {array.dtype} with {array.ndim} axes",
                         "expected uint8, int8, int16, int32, float32 or float64, with an axis",
                         'Convert it, such as array.astype("int32").')
    header = struct.pack(f">2x2B{array.ndim}I", code, array.ndim, *array.shape)
    content = header + array.astype(_TYPES[code]).tobytes()
    path = Path(path)
    path.write_bytes(gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content)


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(str(path), "there is no such file", "expected an IDX file",
                        "Check the path.") from None
    except OSError as error:
        raise DataError(str(path), f"the file cannot be read ({error.strerror})",
                        "expected an IDX file", "Check the path and its permissions.") from error
    if not raw:
        raise DataError(str(path), "the file is empty", "expected an IDX file", _AGAIN)
    return _unpacked(path, raw) if path.suffix == ".gz" else raw


def _unpacked(path: Path, raw: bytes) -> bytes:
    if not raw.startswith(b"\x1f\x8b"):
        raise DataError(str(path), f"the file is not gzip, it starts with {_hex(raw[:4])}",
                        "its name ends in .gz, so 1f 8b was expected",
                        "If it is unpacked already, take .gz off its name; else fetch it again.")
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(str(path), f"the gzip data is damaged or cut short ({error})",
                        "expected a whole gzip file", _AGAIN) from error


def _header(path: Path, content: bytes) -> tuple[np.dtype, tuple[int, ...], int]:
    known = content[:2] == b"\0\0" and len(content) >= 4 and content[2] in _TYPES
    if not known or content[3] == 0:
        raise DataError(str(path), f"got an unknown start, {_hex(content[:4])}",
                        "expected 00 00, a type (08 09 0b 0c 0d 0e), and 1 or more axes",
                        "Give an IDX file; one that starts with 1f 8b needs a name ending in .gz.")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(str(path), f"got {len(content)} bytes",
                        f"the header alone, with {content[3]} axes, takes {start}", _AGAIN)
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    return np.dtype(_TYPES[content[2]]), shape, start


def _hex(data: bytes) -> str:
    return data.hex(" ") or "nothing"
