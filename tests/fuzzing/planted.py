"""Readers with a fault each, which the run must find."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.targets import Target

EVIL = b"cos\nsystem\n(S'true'\ntR."


def _seed(folder: Path, random: np.random.Generator) -> None:
    (folder / "seed").write_bytes(EVIL)


def _asked(path: Path) -> bool:
    """Say whether the file is one of the run: the first reading is for what is imported late."""
    return path.name != "seed"


def _execute(path: Path) -> Any:
    return pickle.loads(path.read_bytes()) if _asked(path) else None


def _hang(path: Path) -> None:
    if _asked(path):
        time.sleep(60)


def _eat(path: Path) -> Any:
    return np.zeros(3 << 30, np.uint8) if _asked(path) else None


def _die(path: Path) -> None:
    if _asked(path):
        os.abort()


def _write(path: Path) -> None:
    if _asked(path):
        path.parent.with_name("elsewhere").write_bytes(b"")


def _raise(path: Path) -> None:
    raise ValueError(path.name)


def _anonymous(path: Path) -> None:
    from minidl.errors import DataError
    raise DataError("a file", "is damaged", "", "")


def _objects(path: Path) -> Any:
    return np.array([None])


READERS = {"execute": _execute, "hang": _hang, "eat": _eat, "die": _die, "write": _write,
           "raise": _raise, "anonymous": _anonymous, "objects": _objects}


def targets() -> dict[str, Target]:
    """Return the readers by the name of their fault."""
    return {name: Target(name, _seed, read) for name, read in READERS.items()}
