"""The pickles of PyTorch: which names may stand in them, and what they stand for here."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import numpy as np

from ..data.unpickle import LARGEST, ForeignError, Reader, plain_key


@dataclass(frozen=True)
class Kind:
    """A type of elements.

    Attributes:
        dtype: of the bytes in the file.
        bfloat16: the bytes are the upper halves of float32 (bfloat16).
    """

    dtype: np.dtype
    bfloat16: bool = False


@dataclass(frozen=True)
class Storage:
    """A run of elements in the file; tensors are windows on it.

    Attributes:
        kind: None for bytes whose type the tensors tell.
        size: number of elements, or of bytes where there is no kind.
    """

    key: str
    kind: Kind | None
    size: int

    @property
    def unit(self) -> int:
        """Bytes of an element."""
        return 1 if self.kind is None else self.kind.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Window:
    """A tensor: shape, and steps in elements from an offset on."""

    storage: Storage
    kind: Kind
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, elements: np.ndarray) -> np.ndarray:
        """Return the tensor as a read-only view of its storage's elements.

        Raises:
            ValueError: it reaches beyond the storage, or has more elements than that.
        """
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if not math.prod(self.shape):
            return np.empty(self.shape, elements.dtype)
        if last >= elements.size or math.prod(self.shape) > elements.size:
            raise ValueError(f"a tensor {self.shape} with steps {self.strides} from {self.offset} "
                             f"on in {elements.size:,} elements")
        steps = [s * elements.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(elements[self.offset:], self.shape, steps,
                                               writeable=False)
        return view


def _kind(code: str) -> Kind:
    return Kind(np.dtype(f"<{code}"))


_KINDS: dict[str, tuple[str, Kind]] = {
    "Float": ("float32", _kind("f4")), "Double": ("float64", _kind("f8")),
    "Half": ("float16", _kind("f2")), "BFloat16": ("bfloat16", Kind(np.dtype("<u2"), True)),
    "Long": ("int64", _kind("i8")), "Int": ("int32", _kind("i4")), "Short": ("int16", _kind("i2")),
    "Char": ("int8", _kind("i1")), "Byte": ("uint8", _kind("u1")), "Bool": ("bool", _kind("?"))}
"""Types of elements by the beginning of their storage's name."""

_MORE_KINDS = {name: _kind(code) for name, code in (("uint16", "u2"), ("uint32", "u4"),
                                                    ("uint64", "u8"))}


def _lengths(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)):
        raise ValueError(f"a {type(values).__name__} as shape")
    return tuple(map(_length, values))


def _length(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise ValueError("a length or step that is no number from 0 to 2^63")
    return value


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any,
            kind: Kind | None = None) -> Window:
    kind = kind or getattr(storage, "kind", None)
    if not isinstance(storage, Storage) or not isinstance(kind, Kind):
        raise ValueError("a tensor without a storage or type of its elements")
    sizes, steps = _lengths(shape), _lengths(strides)
    if len(sizes) != len(steps) or len(sizes) > 32:
        raise ValueError(f"a tensor with {len(sizes)} lengths and {len(steps)} steps")
    return Window(storage, kind, _length(offset), sizes, steps)


def _tensor_of_type(storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any,
                    kind: Any, *_: Any) -> Window:
    return _tensor(storage, offset, shape, strides, kind=kind)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _subclass(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    known: Any = (_tensor, _tensor_of_type, _parameter)
    if kind not in _CLASSES or not any(function is f for f in known):
        raise ForeignError("a tensor class of its own")
    return function(*arguments)


def _ordered(items: Any = ()) -> dict[Any, Any]:
    return {plain_key(key): value for key, value in items}


def _size(lengths: Any = ()) -> tuple[int, ...]:
    return _lengths(lengths)


def _device(name: Any, *_: Any) -> str:
    return str(name)[:20]


_CLASSES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")


class TorchReader(Reader):
    """Reads the pickle of a state dict: tensors become windows, their storages are read later.

    Attributes:
        storages: all that were named, by key.
    """

    calls: ClassVar[dict[str, Callable[..., Any]]] = {
        **Reader.calls, "collections.OrderedDict": _ordered,
        "torch._utils._rebuild_tensor": _tensor, "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_of_type,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _subclass,
        "torch.Size": _size, "torch.device": _device}
    constants: ClassVar[dict[str, Any]] = {
        **{f"torch.{name}Storage": kind for name, (_, kind) in _KINDS.items()},
        **{f"torch.{name}": kind for name, kind in _KINDS.values()},
        **{f"torch.{name}": kind for name, kind in _MORE_KINDS.items()},
        "torch.storage.UntypedStorage": "bytes", **{name: name for name in _CLASSES}}
    dispatch: ClassVar[dict[int, Any]] = dict(Reader.dispatch)

    def __init__(self, content: bytes | BinaryIO, room: int | None = None,
                 encoding: str = "latin1") -> None:
        super().__init__(content, room, encoding)
        self.storages: dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Storage:
        """Return the storage that a name of PyTorch stands for."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise ForeignError("something outside the file")
        if len(pid) == 6 and pid[5] is not None:
            raise ForeignError("a storage inside a storage, as PyTorch before 0.4 wrote them")
        kind = pid[1] if isinstance(pid[1], Kind) else None
        if kind is None and pid[1] != "bytes":
            raise ForeignError("a storage of an unknown type")
        storage = Storage(str(pid[2])[:40], kind, _length(pid[4]))
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"storage {storage.key} has two sizes or types")
        return storage

    def _storage(self) -> None:
        stack = self.stack  # type: ignore[attr-defined]
        stack.append(self.persistent_load(stack.pop()))

    def _build(self) -> None:
        """Pass over what PyTorch adds to a state dict: the versions of modules."""
        stack = self.stack  # type: ignore[attr-defined]
        if type(stack[-2]) is dict and isinstance(stack[-1], dict):
            stack.pop()
        else:
            super()._build()

    dispatch[pickle.BINPERSID[0]] = _storage
    dispatch[pickle.BUILD[0]] = _build
