"""Compiles `.cu` files with g++ into libraries that run a grid on the CPU.

A few hundred of them are made in a run of the tests, so what they share is compiled once: the shim
as a precompiled header, and what runs the grid as an object that each is linked with.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from ...backend.cuda import INCLUDE
from ...errors import DeviceError

SHIM = Path(__file__).parent / "host.h"
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-w", "-ffp-contract=off", "-fno-strict-aliasing",
         "-fno-gnu-unique",  # else libraries share the static arrays of templates
         "-DHOST")
SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
            "-fno-sanitize=alignment", "-static-libubsan")
KERNEL = re.compile(r"^KERNEL\((\w+)\)\s*(?:__launch_bounds__\([^)]*\)\s*)?\(([^)]*)\)", re.M)
KEPT = 30 * 24 * 3600  # seconds that a library is kept without being used

Combination = tuple[Path, Mapping[str, str]]  # a `.cu` file and its definitions


class Compiler:
    """Compiles `.cu` files for the CPU.

    Args:
        folder: where libraries are kept from run to run.
        sanitize: let the address and undefined-behaviour sanitizers watch them.
    """

    def __init__(self, folder: Path, sanitize: bool = False) -> None:
        self._flags = (*FLAGS, *(SANITIZE if sanitize else ()))
        self._folder = folder

    def library(self, path: Path, defines: Mapping[str, str]) -> Path:
        """Return the library of a file with these definitions; it is compiled if it is new."""
        text = path.read_text("utf-8")
        headers = sorted([*INCLUDE.glob("*.cuh"), *path.parent.glob("*.cuh")])
        digest = _digest(text, str(path), *(h.read_text("utf-8") for h in headers),
                         str(sorted(defines.items())))
        library = self._shared / f"{path.stem}_{digest}.so"
        if library.exists():
            os.utime(library)
        else:
            self._compile(path, text, defines, library)
        return library

    def prepare(self, combinations: Iterable[Combination]) -> None:
        """Compile what is new among these, on all cores."""
        _ = self._shared  # made once, before threads ask for it
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(lambda c: self.library(*c), combinations))

    def _compile(self, path: Path, text: str, defines: Mapping[str, str], library: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self._shared) as folder:
            source, made = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
            source.write_text(f'#include "host.h"\n#include "{path}"\n{launchers(text)}', "utf-8")
            _run(path, [*self._flags, "-shared", f"-I{self._shared}", f"-I{INCLUDE}",
                        *(f"-D{k}={v}" for k, v in defines.items()), source,
                        self._shared / "engine.o", "-o", made])
            os.replace(made, library)

    @cached_property
    def _shared(self) -> Path:
        """The folder of what all libraries share, and of the libraries."""
        _need_compiler()
        folder = self._folder / _digest(SHIM.read_text("utf-8"), str(self._flags))
        if folder.exists():
            _forget_old(folder)
            return folder
        self._folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=self._folder))
        header = Path(shutil.copy(SHIM, made))
        engine = made / "engine.cpp"
        engine.write_text('#define ENGINE\n#include "host.h"\n', "utf-8")
        _run(SHIM, [*self._flags, "-c", f"-I{made}", engine, "-o", made / "engine.o"])
        _run(SHIM, [*self._flags, "-x", "c++-header", header, "-o", made / "host.h.gch"])
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(made)
        return folder


def launchers(text: str) -> str:
    """Return a function `launch_NAME(dims, shared, pointers)` for every kernel of a file.

    >>> print(launchers("KERNEL(twice)(const T* x, Int n) {"))
    extern "C" void launch_twice(const unsigned* dims_, size_t shared_, void** all_) {
        run_grid(dims_, shared_, [](void** a_) { twice(*(const T**)a_[0], *(Int*)a_[1]); }, all_);
    }
    """
    made = []
    for name, parameters in KERNEL.findall(text):
        types = [re.sub(r"\s*\b\w+$", "", p.strip()) for p in parameters.split(",") if p.strip()]
        values = ", ".join(f"*({t}*)a_[{i}]" for i, t in enumerate(types))
        made.append(f'extern "C" void launch_{name}(const unsigned* dims_, size_t shared_, '
                    f"void** all_) {{\n    run_grid(dims_, shared_, [](void** a_) {{ "
                    f"{name}({values}); }}, all_);\n}}")
    return "\n".join(made)


def _need_compiler() -> None:
    if shutil.which("g++") is None:
        raise DeviceError("the emulated GPU", "there is no g++", "expected one on the PATH",
                          "Install GCC 12 or later.")


def _run(path: Path, arguments: Sequence[str | Path]) -> None:
    done = subprocess.run(["g++", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise DeviceError(str(path), f"g++ refuses it:\n{done.stderr[:4000]}", "",
                          "Mend the kernel, or add to host.h what CUDA has and it lacks.")


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _forget_old(folder: Path) -> None:
    """Delete libraries that were not used for long."""
    for library in folder.glob("*.so"):
        if time.time() - library.stat().st_mtime > KEPT:
            library.unlink(missing_ok=True)
