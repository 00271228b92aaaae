"""What the engine needs of a device beside the CPU, and its buffer pool.

`cuda.py` is the one for NVIDIA's GPUs, by CuPy. `minidl.testing.host_cuda` is another one, which
runs the same kernels on the CPU, so that everything above can be tested without a GPU.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import DeviceError
from ..spec import Shape
from . import arrays, memory

ALIGNMENT = 256       # bytes; what the driver's own allocation gives
REGION = 1 << 26      # bytes that a pool asks the driver for at least
MOST_THREADS = 1024   # of a block


class Graph(Protocol):
    """Launches that were captured, to be launched as one."""

    def launch(self) -> None:
        """Run all of them, in the order of the stream."""


class Device(Protocol):
    """A device; everything happens in the order of one stream, and nothing waits but `download`.

    Attributes:
        name: as in `Tensor.to(name)`.
        array_type: the type of its arrays.
    """

    name: str
    array_type: Any

    def reserve(self, nbytes: int) -> tuple[Any, int]:
        """Return fresh memory, and its address; it is freed with the object."""

    def array(self, shape: Shape, dtype: np.dtype, start: int, owner: Any,
              strides: Shape | None = None) -> Any:
        """Return the array that begins at an address and keeps `owner` alive."""

    def upload(self, source: np.ndarray, target: Any) -> None:
        """Copy a C-contiguous array to the device."""

    def download(self, source: Any) -> np.ndarray:
        """Return a copy of a C-contiguous array of the device, when all before it is done."""

    def send(self, source: Any) -> Callable[[], np.ndarray]:
        """Begin to copy from the device; the function that is returned waits for the copy."""

    def function(self, path: Path, name: str, defines: Mapping[str, str]) -> Any:
        """Return a kernel of a `.cu` file, compiled with these definitions."""

    def launch(self, function: Any, blocks: Shape, threads: int, shared: int,
               arguments: Sequence[Any]) -> None:
        """Run a kernel; arguments are addresses and int (64 bits), float (double), bytes."""

    def capture(self) -> AbstractContextManager[list[Graph]]:
        """Capture what is launched inside the block; the list holds the graph afterwards."""

    def synchronize(self) -> None:
        """Wait until all is done."""

    def event(self) -> Any:
        """Return a mark behind what was launched so far."""

    def elapsed(self, first: Any, last: Any) -> float:
        """Return the milliseconds between two marks, when the last one is reached."""


# ---- which there are -----------------------------------------------------------------------

_devices: dict[str, Device] = {}


def get(name: str) -> Device:
    """Return a device by its name; CuPy is imported when the GPU is first asked for.

    Raises:
        DeviceError: there is no such device, or something that it needs is missing.
    """
    if name not in _devices:
        if name != "cuda":
            raise DeviceError("device", f"got {name!r}", 'expected "cpu" or "cuda"',
                              "Name one of these two.")
        from .cuda import Cuda
        install(Cuda())
    return _devices[name]


def install(device: Device) -> None:
    """Let a device be the one of its name; tests put the host's emulation in place of the GPU."""
    arrays.register(device.array_type, device.name)
    _devices[device.name] = device
    memory.install(device.name, DevicePool(device))


def pool(name: str) -> memory.Pool:
    """Return the pool of a device that is there for the whole process."""
    if name != arrays.HOST:
        get(name)
    return memory.of(name)


# ---- memory --------------------------------------------------------------------------------


class _Ticket:
    """Dies with the last view of a buffer, and notes then that its part came back."""

    __slots__ = ("_part", "_region", "_returned")

    def __init__(self, returned: Any, part: tuple[int, int], region: Any) -> None:
        self._returned, self._part, self._region = returned, part, region

    def __del__(self) -> None:
        self._returned.append(self._part)


class DevicePool(memory.Pool):
    """Hands out arrays of a device."""

    spare = ALIGNMENT * 16

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def empty(self, shape: Shape, dtype: np.dtype) -> Any:
        """Return an array of the given shape and type with arbitrary contents."""
        nbytes = max(math.prod(shape) * dtype.itemsize, 1)
        part, region, _ = self._take(-(-nbytes // ALIGNMENT) * ALIGNMENT)
        return self._device.array(shape, dtype, part[0], _Ticket(self._returned, part, region))

    def unowned(self, array: Any) -> Any:
        """Return the same array as one that does not keep its memory from being used again."""
        start = arrays.address(array)
        place = self._place(start)
        if place is None:
            return array
        return self._device.array(array.shape, array.dtype, start, place[0], array.strides)

    def _reserve(self, least: int) -> tuple[Any, int, int]:
        size = max(least, REGION, self._taken // 4)
        try:
            region, start = self._device.reserve(size)
        except MemoryError:
            if size == least:
                raise
            size = least
            region, start = self._device.reserve(size)
        return region, start, size


# ---- copies --------------------------------------------------------------------------------


def to_host(array: Any) -> np.ndarray:
    """Return an array of any device as one of the CPU: itself, or a copy."""
    name = arrays.device_of(array)
    if name == arrays.HOST:
        return array
    return get(name).download(array)


# ---- kernels -------------------------------------------------------------------------------

CTYPES = {"float32": "float", "float64": "double", "float16": "__half",
          "bfloat16": "__nv_bfloat16", "int64": "long long", "int32": "int",
          "int16": "short", "int8": "signed char", "uint64": "unsigned long long",
          "uint32": "unsigned int", "uint16": "unsigned short", "uint8": "unsigned char",
          "bool": "bool"}
"""NumPy's names of element types as `.cu` files write them."""

Observer = Callable[[Path, Mapping[str, str]], None]
_observers: list[Observer] = []


@contextmanager
def observed(function: Observer) -> Iterator[None]:
    """Tell `function` of every `.cu` file that is launched from, and of its definitions."""
    _observers.append(function)
    try:
        yield
    finally:
        _observers.remove(function)


class Source:
    """A `.cu` file beside the Python file that launches its kernels.

    Args:
        beside: `__file__` of that one.
        name: the file's name.
        device: the device that the kernels run on.

    >>> code = Source(__file__, "common.cuh")
    >>> code.path.name
    'common.cuh'
    """

    def __init__(self, beside: str, name: str, device: str = "cuda") -> None:
        self.path = Path(beside).with_name(name)
        self._device = device
        self._known: dict[Any, Any] = {}

    def launch(self, name: str, dtype: np.dtype | str, blocks: int | Shape, threads: int,
               *arguments: Any, shared: int = 0, defines: Mapping[str, str] | None = None) -> None:
        """Run a kernel.

        Args:
            dtype: what T is in the file (the definition REAL).
            blocks: of the grid, one number or up to three; nothing runs where one is 0.
            arguments: arrays of the device (their addresses are passed), None (a null pointer),
                int (64 bits), float (double), bytes (a struct by value).
            shared: bytes of dynamic shared memory of each block.
            defines: further definitions of the preprocessor.
        """
        grid = (blocks, 1, 1) if isinstance(blocks, int) else (*blocks, 1, 1)[:3]
        if 0 in grid:
            return
        device = get(self._device)
        key = (name, str(dtype), *(defines or {}).items(), device)
        function = self._known.get(key)
        if function is None:
            all_defines = {"REAL": CTYPES[np.dtype(dtype).name], **(defines or {})}
            function = self._known[key] = device.function(self.path, name, all_defines)
            for observer in _observers:
                observer(self.path, all_defines)
        device.launch(function, grid, threads, shared, arguments)


def blocks_for(count: int, threads: int = 256, most: int = 1 << 16) -> int:
    """Return how many blocks of threads take `count` elements, one or more for each thread."""
    return min(-(-count // threads), most)


def integers(values: Sequence[int], room: int = 8) -> bytes:
    """Return integers as the struct `Ints` (or of another size) that kernels take by value."""
    if len(values) > room:
        raise DeviceError("kernel", f"got {len(values)} numbers", f"expected at most {room}",
                          "Use arrays of fewer axes.")
    return struct.pack(f"{room}q", *values, *[0] * (room - len(values)))
