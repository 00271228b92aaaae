"""NVIDIA's GPUs by CuPy: memory, copies, compiling `.cu` files, launches, graphs.

CuPy is imported here alone, and only when the device is asked for. Of CuPy this takes arrays, the
driver's calls and the compiler with its cache on disk; the kernels are minidl's own.

All kernels run on one stream. Copies to the GPU go through page-locked memory and a stream of their
own, so that those of the next batch run beside the step before it.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DeviceError
from ..spec import Shape
from .device import Graph

INCLUDE = Path(__file__).parent          # holds common.cuh
OPTIONS = ("-std=c++17", f"-I{INCLUDE}", "--fmad=true")
INSTALL = 'pip install "minidl[gpu]"'
SMALL = 1 << 16     # bytes; smaller copies are not worth a stream of their own
STAGES = 2          # copies that may be on their way at a time
DEFAULT_SHARED = 48 << 10  # bytes of shared memory that a kernel gets without asking


class Cuda:
    """The GPU that CuPy calls the current one.

    Raises:
        DeviceError: CuPy, the driver, a GPU, or a library of CUDA is missing.
    """

    name = "cuda"

    def __init__(self) -> None:
        self._cupy = cp = _cupy()
        self.array_type: type = cp.ndarray
        self._number = cp.cuda.Device().id
        self._stream = cp.cuda.Stream(non_blocking=True)
        self._copying = cp.cuda.Stream(non_blocking=True)
        self._stages: deque[tuple[Any, Any, Any]] = deque()  # staged copies on their way
        self._modules: dict[Any, Any] = {}

    def __repr__(self) -> str:
        properties = self._cupy.cuda.runtime.getDeviceProperties(self._number)
        return f"Cuda({properties['name'].decode()!r})"

    # ---- memory ----

    def reserve(self, nbytes: int) -> tuple[Any, int]:
        """Return fresh memory of the GPU, and its address."""
        try:
            memory = self._cupy.cuda.Memory(nbytes)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise MemoryError(nbytes) from error
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            if "OutOfMemory" in str(error) or "MemoryAllocation" in str(error):
                raise MemoryError(nbytes) from error
            raise
        return memory, memory.ptr

    def array(self, shape: Shape, dtype: np.dtype, start: int, owner: Any,
              strides: Shape | None = None) -> Any:
        """Return the CuPy array that begins at an address and keeps `owner` alive."""
        cp = self._cupy
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        memory = cp.cuda.UnownedMemory(start, max(size, 1), owner, self._number)
        return cp.ndarray(shape, dtype, cp.cuda.MemoryPointer(memory, 0), strides=strides)

    # ---- copies ----

    def upload(self, source: np.ndarray, target: Any) -> None:
        """Copy to the GPU; the source may be changed as soon as this returns."""
        if not source.nbytes:
            return
        cp, kind = self._cupy, self._cupy.cuda.runtime.memcpyHostToDevice
        locked = cp.cuda.alloc_pinned_memory(source.nbytes)
        np.copyto(np.frombuffer(locked, source.dtype, source.size).reshape(source.shape), source)
        if source.nbytes < SMALL:
            cp.cuda.runtime.memcpyAsync(target.data.ptr, locked.ptr, source.nbytes, kind,
                                        self._stream.ptr)
            self._keep(locked, None, self._stream)
            return
        stage = cp.cuda.alloc(source.nbytes)
        cp.cuda.runtime.memcpyAsync(stage.ptr, locked.ptr, source.nbytes, kind, self._copying.ptr)
        self._stream.wait_event(self._copying.record())
        cp.cuda.runtime.memcpyAsync(target.data.ptr, stage.ptr, source.nbytes,
                                    cp.cuda.runtime.memcpyDeviceToDevice, self._stream.ptr)
        self._keep(locked, stage, self._stream)

    def _keep(self, locked: Any, stage: Any, stream: Any) -> None:
        """Keep the memory of a copy until it is done."""
        self._stages.append((stream.record(), locked, stage))
        while len(self._stages) > STAGES or (self._stages and self._stages[0][0].done):
            event, *_ = self._stages.popleft()
            event.synchronize()

    def download(self, source: Any) -> np.ndarray:
        """Return a copy on the host, when all before it is done."""
        return self.send(source)()

    def send(self, source: Any) -> Callable[[], np.ndarray]:
        """Begin to copy to the host; the function that is returned waits for the copy."""
        cp = self._cupy
        if not source.size:
            return lambda: np.empty(source.shape, source.dtype)
        locked = cp.cuda.alloc_pinned_memory(source.nbytes)
        cp.cuda.runtime.memcpyAsync(locked.ptr, source.data.ptr, source.nbytes,
                                    cp.cuda.runtime.memcpyDeviceToHost, self._stream.ptr)
        event = self._stream.record()

        def wait() -> np.ndarray:
            event.synchronize()
            flat = np.frombuffer(locked, source.dtype, source.size)
            return flat.reshape(source.shape).copy()
        return wait

    def synchronize(self) -> None:
        """Wait until all kernels and copies are done."""
        self._copying.synchronize()
        self._stream.synchronize()

    def event(self) -> Any:
        """Return a mark behind what was launched so far."""
        return self._stream.record()

    def elapsed(self, first: Any, last: Any) -> float:
        """Return the milliseconds between two marks, when the last one is reached."""
        last.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(first, last))

    # ---- kernels ----

    def function(self, path: Path, name: str, defines: Mapping[str, str]) -> Any:
        """Return a kernel of a `.cu` file; CuPy keeps what was compiled in its cache on disk."""
        key = (path, *defines.items())
        if key not in self._modules:
            options = (*OPTIONS, *(f"-D{k}={v}" for k, v in defines.items()))
            self._modules[key] = self._cupy.RawModule(
                code=path.read_text("utf-8"), options=options, backend="nvrtc")
        return self._modules[key].get_function(name)

    def launch(self, function: Any, blocks: Shape, threads: int, shared: int,
               arguments: Sequence[Any]) -> None:
        """Run a kernel on the stream."""
        if shared > DEFAULT_SHARED:
            function.max_dynamic_shared_size_bytes = shared
        pointers, kept = packed_arguments(arguments)
        del kept  # ctypes objects stay alive in `pointers`
        self._cupy.cuda.driver.launchKernel(
            function.kernel.ptr, *blocks, threads, 1, 1, shared, self._stream.ptr,
            ctypes.addressof(pointers), 0)

    @contextmanager
    def capture(self) -> Iterator[list[Graph]]:
        """Capture what is launched inside the block; the list holds the graph afterwards."""
        found: list[Graph] = []
        self._stream.begin_capture()
        try:
            yield found
        except BaseException:
            with contextlib.suppress(Exception):  # what went wrong first is what counts
                self._stream.end_capture()
            raise
        found.append(_Captured(self._stream.end_capture(), self._stream))


class _Captured:
    """A graph of CUDA and the stream that it runs on."""

    def __init__(self, graph: Any, stream: Any) -> None:
        self._graph, self._stream = graph, stream

    def launch(self) -> None:
        """Run all launches that were captured."""
        self._graph.launch(self._stream)


# ---- arguments -----------------------------------------------------------------------------


def packed_arguments(arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return an array of pointers to the values of a kernel's arguments, and what they point to."""
    values = [_value(a) for a in arguments]
    pointers = (ctypes.c_void_p * max(len(values), 1))(*map(ctypes.addressof, values))
    pointers.values = values  # type: ignore[attr-defined]
    return pointers, values


def _value(argument: Any) -> Any:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, (bool, int, np.integer)):
        return ctypes.c_longlong(int(argument))
    if isinstance(argument, (float, np.floating)):
        return ctypes.c_double(float(argument))
    if isinstance(argument, bytes):
        return ctypes.create_string_buffer(argument, len(argument))
    return ctypes.c_void_p(argument.data.ptr)


# ---- what may be missing -------------------------------------------------------------------


def _cupy() -> Any:
    """Return CuPy, or raise with what is missing and the line that mends it."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError("device \"cuda\"", f"CuPy cannot be imported ({error})",
                          "expected CuPy 14 for CUDA 12 or 13", f"Install it: {INSTALL}") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError('device "cuda"', f"CUDA does not start ({error})",
                          "expected a GPU of NVIDIA and its driver", _driver_remedy(str(error))
                          ) from error
    if not count:
        raise DeviceError('device "cuda"', "CUDA finds no GPU", "expected one",
                          "See whether nvidia-smi lists it, and what CUDA_VISIBLE_DEVICES says.")
    return cupy


def _driver_remedy(error: str) -> str:
    if "InsufficientDriver" in error:
        return ("There is no driver, or it is older than CuPy's CUDA: install a newer one, or the "
                'CuPy for the CUDA that nvidia-smi shows, as cupy-cuda12x.')
    return 'See whether nvidia-smi works; device="cpu" needs no GPU.'
