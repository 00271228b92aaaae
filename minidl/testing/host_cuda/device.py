"""A device whose kernels are the GPU's, compiled for the CPU."""

from __future__ import annotations

import ctypes
import math
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...backend import arrays, device, memory
from ...backend.cuda import packed_arguments
from ...backend.device import ALIGNMENT, DevicePool, Graph
from ...errors import DeviceError
from ...spec import Shape
from .array import HostArray
from .compiler import Compiler


class HostCuda:
    """The device "cuda", emulated.

    Args:
        folder: where compiled kernels are kept.
        sanitize: watch every access with the address and undefined-behaviour sanitizers; the
            process must have been started with libasan loaded before.
        order: the order in which the threads of a block take their turns, 0, 1 or 2.
    """

    name = "cuda"
    array_type = HostArray

    def __init__(self, folder: Path, sanitize: bool = False, order: int = 0) -> None:
        self.compiler, self.sanitize, self.order = Compiler(folder, sanitize), sanitize, order
        self._libraries: dict[Any, ctypes.CDLL] = {}
        self._captured: list[Callable[[], None]] | None = None

    # ---- memory ----

    def reserve(self, nbytes: int) -> tuple[Any, int]:
        """Return fresh memory, full of NaN, and its address."""
        owner = np.full(nbytes + ALIGNMENT, 0xff, np.uint8)
        return owner, owner.ctypes.data + -owner.ctypes.data % ALIGNMENT

    def array(self, shape: Shape, dtype: np.dtype, start: int, owner: Any,
              strides: Shape | None = None) -> HostArray:
        """Return the array that begins at an address and keeps `owner` alive."""
        first, last = start, start + max(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, 1)
        if strides is not None:
            for n, s in zip(shape, strides, strict=True):
                first, last = first + min(0, (n - 1) * s), last + max(0, (n - 1) * s)
        raw: Any = (ctypes.c_ubyte * (last - first)).from_address(first)
        raw.owner = owner
        return HostArray(np.ndarray(shape, dtype, raw, start - first, strides))

    # ---- copies ----

    def upload(self, source: np.ndarray, target: HostArray) -> None:
        """Copy to the device."""
        self._outside_of_capture("a copy to the device")
        target._values[...] = source

    def download(self, source: HostArray) -> np.ndarray:
        """Return a copy on the host."""
        self._outside_of_capture("a copy from the device")
        return source._values.copy()

    def send(self, source: HostArray) -> Callable[[], np.ndarray]:
        """Copy to the host now; the function that is returned hands the copy out."""
        copy = self.download(source)
        return lambda: copy

    def synchronize(self) -> None:
        """Do nothing: everything is done."""
        self._outside_of_capture("waiting")

    def event(self) -> float:
        """Return the time."""
        return time.perf_counter()

    def elapsed(self, first: float, last: float) -> float:
        """Return the milliseconds between two times."""
        return (last - first) * 1e3

    def _outside_of_capture(self, what: str) -> None:
        if self._captured is not None:
            raise DeviceError("capture", f"got {what} while launches are captured",
                              "expected kernels only", "Do it before or after.")

    # ---- kernels ----

    def function(self, path: Path, name: str, defines: Mapping[str, str]) -> Any:
        """Return the launcher of a kernel."""
        key = (path, *defines.items())
        if key not in self._libraries:
            self._libraries[key] = ctypes.CDLL(str(self.compiler.library(path, defines)))
        launcher = getattr(self._libraries[key], f"launch_{name}")
        launcher.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        return launcher

    def launch(self, function: Any, blocks: Shape, threads: int, shared: int,
               arguments: Sequence[Any]) -> None:
        """Run a kernel, or note it while launches are captured."""
        if threads > device.MOST_THREADS:
            raise DeviceError("launch", f"got {threads} threads", "expected at most 1024", "")
        pointers, _ = packed_arguments(arguments)
        dims = (ctypes.c_uint * 5)(*blocks, threads, self.order)

        def run() -> None:
            function(dims, shared, pointers)
        if self._captured is None:
            run()
        else:
            self._captured.append(run)

    @contextmanager
    def capture(self) -> Iterator[list[Graph]]:
        """Note what is launched inside the block; the list holds the graph afterwards."""
        found: list[Graph] = []
        captured: list[Callable[[], None]] = []
        self._captured = captured
        try:
            yield found
        finally:
            self._captured = None
        found.append(_Captured(captured))


class _Captured:
    """Launches that were noted."""

    def __init__(self, launches: Sequence[Callable[[], None]]) -> None:
        self._launches = launches

    def __len__(self) -> int:
        return len(self._launches)

    def launch(self) -> None:
        """Run them."""
        for run in self._launches:
            run()


class ExactPool(DevicePool):
    """Hands out arrays that are an allocation each, so that the sanitizer sees where they end."""

    def empty(self, shape: Shape, dtype: np.dtype) -> Any:
        """Return an array of the given shape and type, full of NaN."""
        library = ctypes.CDLL(None)
        library.free.argtypes = [ctypes.c_void_p]
        place, size = ctypes.c_void_p(), max(math.prod(shape) * dtype.itemsize, 1)
        if library.posix_memalign(ctypes.byref(place), ALIGNMENT, ctypes.c_size_t(size)):
            raise MemoryError(size)
        start = place.value or 0
        ctypes.memset(start, 0xff, size)
        ticket = _Ticket()
        weakref.finalize(ticket, library.free, start).atexit = False
        return self._device.array(shape, dtype, start, ticket)


class _Ticket:
    """Dies with the last view of an allocation."""


@contextmanager
def emulated(folder: Path, kind: type[HostCuda] = HostCuda, **options: Any) -> Iterator[Any]:
    """Let the device "cuda" be an emulated one inside the block.

    Args:
        folder: where compiled kernels are kept.
        kind: what it is; it gets the options.
    """
    before = device._devices.get("cuda"), memory._pools.get("cuda")
    own = kind(folder, **options)
    device.install(own)
    if own.sanitize:
        memory.install(own.name, ExactPool(own))
    try:
        yield own
    finally:
        arrays._devices.pop(HostArray, None)
        device._devices.pop("cuda")
        memory._pools.pop("cuda")
        if before[0] is not None:
            device._devices["cuda"] = before[0]
            memory._pools["cuda"] = before[1]  # type: ignore[assignment]
            arrays.register(before[0].array_type, "cuda")
