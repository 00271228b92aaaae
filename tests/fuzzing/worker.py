"""The process that reads mutated files: it is watched from outside, and watches what is executed.

    python -m fuzzing.worker SEEDS MODULE

It gets lines "TARGET<tab>FILE" and answers each with a line of JSON; MODULE has the targets, SEEDS
their good files.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 2 << 30  # bytes that a reader may take
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn",
             "subprocess.Popen", "socket.", "ctypes.dlopen", "ctypes.dlsym",
             "urllib.", "webbrowser.", "ftplib.",
             "os.putenv", "os.chmod", "os.chown", "os.symlink", "os.link")
WRITES = ("shutil.rmtree", "shutil.move", "os.remove", "os.rename", "os.mkdir", "os.rmdir",
          "os.truncate")

_seen: list[str] = []
_inside = ""
_allowed: tuple[str, ...] = ()


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what a reader of files has no business with."""
    if not _inside:
        return
    bad = event.startswith(FORBIDDEN) and event not in _allowed
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        bad = not str(arguments[0]).startswith(_inside)
    if event in WRITES:  # names in a folder that is open were checked with that folder
        in_folder = arguments[-1] not in (-1, None) and not os.path.isabs(str(arguments[0]))
        bad = not in_folder and not str(arguments[0]).startswith(_inside)
    if event == "exec":
        file = getattr(arguments[0], "co_filename", "")
        bad = not Path(file).is_file() and not file.startswith("<frozen")
    if bad:
        _seen.append(f"{event}{arguments!r}"[:300])


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def arrays_of(thing: Any) -> list[np.ndarray]:
    """Return all arrays in what a reader returned."""
    if isinstance(thing, np.ndarray):
        return [thing]
    if isinstance(thing, dict):
        return [a for value in thing.values() for a in arrays_of(value)]
    if isinstance(thing, (list, tuple)):
        return [a for value in thing for a in arrays_of(value)]
    return []


def judge(target: Any, path: Path) -> dict[str, Any]:
    """Read a file; say how it ended, and what was wrong with that."""
    from minidl.errors import MinidlError
    global _inside
    start = time.perf_counter()
    text, wrong = "", ""
    _inside = tempfile.tempdir = str(path.parent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that read
            loaded = arrays_of(target.read(path))
        outcome = "load"
        if any(a.dtype.hasobject for a in loaded):
            wrong = "an array of objects"
    except MinidlError as error:
        outcome, text = "error", str(error)
        if path.name not in text:
            wrong = "the error does not name the file"
    except MemoryError:
        outcome, wrong = "error", "out of memory"
    except BaseException as error:
        outcome, text = "error", repr(error)
        wrong = "not an error of minidl"
    _inside, tempfile.tempdir = "", None
    if _seen:
        wrong = f"executed {_seen[:3]}"
        _seen.clear()
    return {"outcome": outcome, "wrong": wrong, "text": text[:500],
            "seconds": round(time.perf_counter() - start, 3)}


def warm_up(target: Any, file: Path) -> None:
    """Read a copy of a good file, so that what is imported late is there."""
    with tempfile.TemporaryDirectory() as folder:
        judge(target, Path(shutil.copy(file, folder)))


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print do not disturb the answers
    known = importlib.import_module(sys.argv[2]).targets()
    global _allowed
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        for file in sorted(folder.iterdir()):
            warm_up(known[folder.name], file)
    _limit_memory()
    sys.addaudithook(_watch)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        name, _, file = line.rstrip("\n").partition("\t")
        target = known[name]
        _allowed = target.allowed
        print(json.dumps(judge(target, Path(file))), file=answers, flush=True)


if __name__ == "__main__":
    main()
