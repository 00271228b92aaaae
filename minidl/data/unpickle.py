"""A reader of pickle files that makes plain values and NumPy arrays, and calls nothing else.

A pickle is a program: it names functions and the reader calls them. Here the program may push
numbers, text, bytes, lists, tuples and dicts, and may call the few functions of `_CALLS`, which
stand in for those that NumPy writes. An array takes no more memory than the file has bytes for it.
"""

from __future__ import annotations

import io
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from ..errors import DataError

_PLAIN = "a pickle of dict, list, tuple, str, bytes, numbers, NumPy arrays and dtypes"
_AGAIN = "Fetch the file again from its publisher."
_KINDS = "biufcSU"  # kinds of elements that hold no Python objects
LARGEST = 2**63 - 1  # the largest length of an array; products of much larger ones take hours


def load_pickle(path: str | os.PathLike[str]) -> Any:
    """Read a pickle file of plain values and NumPy arrays; nothing that it names is executed.

    Text that Python 2 wrote comes as bytes. Arrays may be read-only.

    Raises:
        DataError: the file is missing, damaged, or asks for another class or function.

    >>> load_pickle("cifar-10-batches-py/data_batch_1")[b"data"].shape  # doctest: +SKIP
    (10000, 3072)
    """
    content = _content(Path(path))
    try:
        return Reader(content).load()
    except ForeignError as foreign:
        raise DataError(str(path), f"asks for {foreign}", f"expected {_PLAIN}",
                        f"Nothing of it was executed. {_AGAIN}") from None
    except Exception as error:  # a damaged program fails in any way
        raise DataError(str(path), f"is damaged or no pickle ({type(error).__name__}: {error})",
                        f"expected {_PLAIN}", _AGAIN) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(str(path), f"the file cannot be read ({error.strerror})",
                        f"expected {_PLAIN}", "Check the path.") from error


class ForeignError(Exception):
    """The name of a class or function that no pickle of this kind needs."""


def _dtype(code: bytes | str, *_: Any) -> np.dtype:
    text = code.decode("ascii") if isinstance(code, bytes) else str(code)
    dtype = np.dtype(text)
    if dtype.kind not in _KINDS or dtype.shape or not dtype.itemsize:
        raise ForeignError(f"elements of type {text!r}")
    return np.dtype(dtype, copy=True)  # of its own: its byte order is set later


def _numbers(raw: bytes | str, dtype: np.dtype, shape: Any, order: str = "C") -> np.ndarray:
    content = _bytes(raw)
    lengths = (shape,) if isinstance(shape, int) else tuple(int(length) for length in shape)
    if max(lengths, default=0) > LARGEST:
        raise ValueError("an array with more elements than there can be")
    if math.prod(lengths) * dtype.itemsize != len(content) or min(lengths, default=0) < 0:
        raise ValueError(f"{len(content):,} bytes for an array {lengths} of {dtype}")
    return np.frombuffer(content, dtype).reshape(lengths, order="F" if order == "F" else "C")


def _bytes(raw: Any) -> bytes:
    content = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(content, bytes):  # bytes(10**12) would reserve that many
        raise ValueError(f"a {type(raw).__name__} as elements of an array")
    return content


def _scalar(dtype: np.dtype, raw: bytes | str) -> Any:
    return _numbers(raw, dtype, ())[()]


def _encode(text: str, encoding: str) -> bytes:
    return text.encode({"latin1": "latin1", "latin-1": "latin1"}[encoding])


def _empty_array(*_: Any) -> np.ndarray:
    return np.empty(0, np.uint8)  # whatever shape is asked for: BUILD sets it


def _empty_bytes() -> bytes:
    return b""


def _never(*_: Any) -> None:
    raise ForeignError("numpy.ndarray as a function")


_CALLS: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _never, "numpy.dtype": _dtype, "_codecs.encode": _encode,
    "builtins.complex": complex, "__builtin__.complex": complex,
    "builtins.bytes": _empty_bytes, "__builtin__.bytes": _empty_bytes,
    **{f"numpy.{core}.{name}": call for core in ("core", "_core") for name, call in {
        "multiarray._reconstruct": _empty_array, "multiarray.scalar": _scalar,
        "numeric._frombuffer": _numbers}.items()}}
"""What a pickle of plain values may call, by the name that is written in it."""

_PUSH = (
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.DUP,
    pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.BININT, pickle.BININT1,
    pickle.BININT2, pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT, pickle.BINFLOAT,
    pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.BINBYTES,
    pickle.SHORT_BINBYTES, pickle.BINBYTES8, pickle.UNICODE, pickle.BINUNICODE,
    pickle.SHORT_BINUNICODE, pickle.BINUNICODE8, pickle.EMPTY_LIST, pickle.EMPTY_DICT,
    pickle.EMPTY_TUPLE, pickle.LIST, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2,
    pickle.TUPLE3, pickle.APPEND, pickle.APPENDS, pickle.PUT,
    pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.GET, pickle.BINGET,
    pickle.LONG_BINGET, pickle.GLOBAL, pickle.STACK_GLOBAL)
"""Opcodes that the standard reader may handle: they make plain values or look names up."""


_KEYS = (str, bytes, int, float, np.generic)


def plain_key(key: Any) -> Any:
    """Return a key of a dict; the hash of deeply nested tuples would overflow the stack."""
    parts = key if isinstance(key, tuple) else (key,)
    if not all(part is None or isinstance(part, _KEYS) for part in parts):
        raise ValueError("a key of a dict is no text or number")
    return key


class Reader(pickle._Unpickler):
    """The standard reader in its Python form, without the opcodes that can make foreign objects.

    Its memo is a dict: a number in the file cannot make it reserve memory, as in the C form.

    Args:
        content: the pickle, or a file that stands where it begins.
        room: bytes that its arrays may take.
        encoding: of texts that Python 2 wrote; "bytes" leaves them as they are.

    Attributes:
        calls: functions by the names that pickles have for them; a subclass may have more.
        constants: values by such names, which cannot be called.
    """

    calls: ClassVar[dict[str, Callable[..., Any]]] = _CALLS
    constants: ClassVar[dict[str, Any]] = {}
    dispatch: ClassVar[dict[int, Any]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]] for code in _PUSH}
    dispatch[pickle.BYTEARRAY8[0]] = pickle._Unpickler.dispatch[pickle.BINBYTES8[0]]

    def __init__(self, content: bytes | BinaryIO, room: int | None = None,
                 encoding: str = "bytes") -> None:
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        super().__init__(file, encoding=encoding)
        self.room = len(content) if isinstance(content, bytes) else room or 0

    def find_class(self, module: Any, name: Any) -> Any:
        """Return what a name stands for here; nothing is imported."""
        place = f"{module}.{name}"
        found = self.calls.get(place, self.constants.get(place))
        if found is None:
            raise ForeignError(place)
        return found

    def _reduce(self) -> None:
        arguments, call = self.stack.pop(), self.stack.pop()  # type: ignore[attr-defined]
        if not any(call is known for known in self.calls.values()):
            raise ForeignError(f"a call of a {type(call).__name__}")
        value = call(*arguments)
        self._charge(getattr(value, "nbytes", 0))
        self.stack.append(value)  # type: ignore[attr-defined]

    def _dict(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self.stack.append({})  # type: ignore[attr-defined]
        self._set(items)

    def _setitems(self) -> None:
        self._set(self.pop_mark())  # type: ignore[attr-defined]

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()  # type: ignore[attr-defined]
        self._set([key, value])

    def _set(self, items: list[Any]) -> None:
        """Put keys and values into the dict on the stack."""
        target = self.stack[-1]  # type: ignore[attr-defined]
        if not isinstance(target, dict):
            raise ForeignError(f"items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain_key(key)] = value

    def _build(self) -> None:
        """Set the state of an array or a dtype in place, as the memo may know it already."""
        state, target = self.stack.pop(), self.stack[-1]  # type: ignore[attr-defined]
        if type(target) is np.ndarray:
            _, shape, dtype, by_columns, raw = state
            array = _numbers(raw, dtype, shape, "F" if by_columns else "C")
            self._charge(array.nbytes)
            checked: Any = (1, array.shape, array.dtype, bool(by_columns), _bytes(raw))
            target.__setstate__(checked)
        elif isinstance(target, np.dtype):
            order: Any = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
            # the state is NumPy's own: one out of the file could claim that bytes are objects
            wanted = target.newbyteorder(order).__reduce__()[2]
            target.__setstate__(wanted)  # type: ignore[attr-defined]
        else:
            raise ForeignError(f"the state of a {type(target).__name__}")

    def _charge(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise ValueError("its arrays are larger than the file")

    dispatch[pickle.REDUCE[0]] = _reduce
    dispatch[pickle.DICT[0]] = _dict
    dispatch[pickle.SETITEM[0]] = _setitem
    dispatch[pickle.SETITEMS[0]] = _setitems
    dispatch[pickle.BUILD[0]] = _build
