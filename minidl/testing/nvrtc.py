"""NVRTC, NVIDIA's compiler for kernels, without a GPU or CuPy: it says whether a file compiles.

It comes with the wheels of `pip install "minidl[test]"` (Linux on x86-64).
"""

from __future__ import annotations

import ctypes
import importlib.util
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..backend.cuda import OPTIONS
from ..errors import DeviceError

WHEELS = {"lib/libnvrtc.so.*": "nvidia-cuda-nvrtc", "include/cuda_fp16.h": "nvidia-cuda-runtime",
          "include/crt/host_defines.h": "nvidia-cuda-crt",
          "include/cccl/nv/target": "nvidia-cuda-cccl"}
"""What is needed, below `nvidia/cu13` where packages are installed, and the wheel that holds it."""


@dataclass(frozen=True)
class Job:
    """A file to compile.

    Attributes:
        path: of the `.cu` file.
        architecture: as "sm_90".
        defines: definitions of the preprocessor.
        text: compiled instead of the file's own; it may include the file.
        form_only: types and names are checked, but no code is made, which is most of the work.
    """

    path: Path
    architecture: str
    defines: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    form_only: bool = False

    def __str__(self) -> str:
        given = " ".join(f"-D{k}={v}" for k, v in self.defines.items())
        joined = " (joined)" if self.text else ""
        return f"{self.path.name} for {self.architecture} {given}{joined}".rstrip()


def compiled(job: Job) -> bytes:
    """Return the machine code of a file, none where its form alone is checked.

    Raises:
        DeviceError: NVRTC refuses it, with what it says; or a wheel is missing.
    """
    root, nvrtc = _installed()
    options = [f"--gpu-architecture={job.architecture}", *OPTIONS, f"-I{job.path.parent}",
               f"-I{root / 'include'}", f"-I{root / 'include' / 'cccl'}",
               *(f"-D{k}={v}" for k, v in job.defines.items()),
               *(("--fdevice-syntax-only",) if job.form_only else ())]
    program, text = ctypes.c_void_p(), job.text or job.path.read_text("utf-8")
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(),
                             b"joined.cu" if job.text else job.path.name.encode(), 0, None, None)
    given = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
    try:
        if nvrtc.nvrtcCompileProgram(program, len(options), given):
            log = _read(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
            said = log.rstrip(b"\0").decode(errors="replace")[:4000]
            raise DeviceError(str(job), f"NVRTC refuses it:\n{said}",
                              "expected a file that compiles", "Mend the kernel.")
        return b"" if job.form_only else _read(program, nvrtc.nvrtcGetCUBINSize,
                                               nvrtc.nvrtcGetCUBIN)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def problems(jobs: Sequence[Job]) -> dict[str, str]:
    """Compile files on all cores and return what NVRTC says of those that it refuses, by job."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as workers:
        said = workers.map(_problem, jobs)
        return {str(job): problem for job, problem in zip(jobs, said, strict=True) if problem}


def _problem(job: Job) -> str:
    try:
        compiled(job)
    except DeviceError as error:
        return str(error)
    return ""


def missing() -> str:
    """Return why nothing can be compiled here, or an empty text."""
    root = _root()
    if root is None:
        return f"none of the wheels {', '.join(WHEELS.values())} is installed"
    absent = [wheel for pattern, wheel in WHEELS.items() if not any(root.glob(pattern))]
    return f"wheels are missing: {', '.join(absent)}" if absent else ""


@cache
def _installed() -> tuple[Path, ctypes.CDLL]:
    """Return the folder with NVRTC and the headers, and its library."""
    root, why = _root(), missing()
    if root is None or why:
        raise DeviceError("NVRTC", why, "expected NVIDIA's wheels for CUDA 13",
                          'Install them: pip install "minidl[test]".')
    return root, ctypes.CDLL(str(next(root.glob("lib/libnvrtc.so.*"))))


def _root() -> Path | None:
    """Return the folder that NVIDIA's wheels for CUDA 13 install into, if it is there."""
    found = importlib.util.find_spec("nvidia")
    places = [Path(p) / "cu13" for p in (found.submodule_search_locations or ())] if found else []
    return next((p for p in places if p.exists()), None)


def _read(program: ctypes.c_void_p, size_of: Any, read: Any) -> bytes:
    """Return what a pair of NVRTC's functions, one for the size, has to say of a program."""
    size = ctypes.c_size_t()
    size_of(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    read(program, buffer)
    return buffer.raw
