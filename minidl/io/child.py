"""Reading a file in a process of its own, which may crash, hang or ask for too much memory.

The C library of HDF5 can crash on files that were made to crash it. The child has limits of time
and memory, and hands back plain arrays and JSON in a folder that is removed afterwards.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, MinidlError

Put = Callable[[str, np.ndarray], None]
Reader = Callable[[str, Put], Any]
"""Called with a path and with `put(name, array)`; returns what JSON can hold."""

SECONDS = 5.0                 # for reading, beyond what the size justifies
START = 30.0                  # for Python and its libraries to start on a busy machine
BYTES_PER_SECOND = 20 << 20
MEMORY = 1200 << 20           # of addresses, beyond four times the file

_REMEDY = "Fetch the file again; trust=True reads it in this process, without these limits."
_TOO_LARGE = "it takes more memory than its size justifies"


def read(reader: Reader, path: Path, trust: bool = False, name: str = ""
         ) -> tuple[Any, dict[str, np.ndarray]]:
    """Return what a reader says of a file, and the arrays it put.

    Args:
        reader: a function at the top of a module.
        trust: call the reader in this process.
        name: the file's name for errors; by default its path.

    Raises:
        FormatError: the reader refused the file, crashed, hung, or asked for too much memory.
    """
    name = name or str(path)
    if not path.is_file():
        raise FormatError(name, "there is no such file", "", "Check the path.")
    if trust:
        arrays: dict[str, np.ndarray] = {}
        return _guarded(reader, path, name, arrays.__setitem__), arrays
    with tempfile.TemporaryDirectory(prefix="minidl-") as folder:
        reason = _run(reader, path, Path(folder))
        return _results(Path(folder), name, reason)


def _guarded(reader: Reader, path: Path, name: str, put: Put) -> Any:
    """Call a reader; whatever it raises becomes an error that names the file."""
    try:
        return reader(str(path), put)
    except MinidlError as error:
        raise FormatError(name, error.got, error.expected, error.remedy) from error
    except MemoryError as error:
        raise FormatError(name, _TOO_LARGE, "", _REMEDY) from error
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise FormatError(name, f"it is damaged or of another kind: {text}", "",
                          "Fetch it again.") from error


# ---- the parent's side ---------------------------------------------------------------------


def _run(reader: Reader, path: Path, folder: Path) -> str:
    """Run the child; return why it ended without a result, should there be none."""
    seconds = SECONDS + path.stat().st_size / BYTES_PER_SECOND
    task = {"module": reader.__module__, "function": reader.__qualname__, "path": os.fspath(
        path.resolve()), "seconds": seconds, "memory": MEMORY + 4 * path.stat().st_size}
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", __name__, json.dumps(task)], cwd=folder,
        env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    try:
        errors = child.communicate(timeout=START + seconds)[1]
    except subprocess.TimeoutExpired:
        return f"reading it takes longer than {seconds:.0f} s"
    finally:
        child.kill()
        child.wait()
    if errors.startswith(b"Timeout"):
        return f"reading it takes longer than {seconds:.0f} s"
    return _TOO_LARGE if b"MemoryError" in errors else _death(child.returncode)


def _environment() -> dict[str, str]:
    """Return the child's variables: our modules, one thread, no plug-ins of HDF5."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
            "HDF5_PLUGIN_PRELOAD": "::", "PYTHONSAFEPATH": "1"}


def _death(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"reading it crashed the library ({signal.Signals(-code).name})"
    return f"reading it ended the process with {code}"


def _results(folder: Path, name: str, reason: str) -> tuple[Any, dict[str, np.ndarray]]:
    index = folder / "index.json"
    if not index.is_file():
        raise FormatError(name, reason, "expected a file that reads safely", _REMEDY)
    written = json.loads(index.read_text("utf-8"))
    if "error" in written:
        raise FormatError(name, *written["error"])
    arrays = {key: np.load(folder / f"{i}.npy", allow_pickle=False)
              for i, key in enumerate(written["names"])}
    return written["facts"], arrays


# ---- the child's side ----------------------------------------------------------------------


def main(task: dict[str, Any]) -> None:
    """Read one file and leave the result in the present folder."""
    reader = getattr(importlib.import_module(task["module"]), task["function"])
    importlib.import_module("h5py")
    _limit_memory(task["memory"])
    faulthandler.dump_traceback_later(task["seconds"], exit=True)
    names: list[str] = []

    def put(name: str, array: np.ndarray) -> None:
        np.save(f"{len(names)}.npy", array, allow_pickle=False)
        names.append(name)

    try:
        facts = _guarded(reader, Path(task["path"]), "", put)
        written: dict[str, Any] = {"facts": facts, "names": names}
    except FormatError as error:
        written = {"error": [error.got, error.expected, error.remedy]}
    aside = Path("index.json.tmp")
    aside.write_text(json.dumps(written), "utf-8")
    aside.replace("index.json")


def _limit_memory(size: int) -> None:
    """Limit the addresses of this process, where the system can."""
    if sys.platform != "win32":
        import resource
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
