"""Mutated files end in clean errors or correct loads; the run that says so finds planted faults.

The long run is `python tests/fuzz.py`; here are a few files for each reader.
"""

from __future__ import annotations

import sys
from pathlib import Path

import fuzz
import pytest
from fuzzing import planted, targets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux are used")
FILES = 60

FOUND = {"execute": "os.system(b'true',)", "hang": "no answer in", "eat": "out of memory",
         "die": "the process died", "write": "executed [\"open(", "raise": "not an error of minidl",
         "anonymous": "does not name the file", "objects": "an array of objects"}


@pytest.mark.parametrize("target", targets.targets().values(), ids=lambda target: target.name)
def test_mutated_files(target: targets.Target, tmp_path: Path) -> None:
    if target.missing():
        pytest.skip(f"{', '.join(target.missing())} is not installed")
    fuzz.make_seeds([target], tmp_path / "seeds")
    tally = fuzz.fuzz(target, FILES, 1, tmp_path)
    assert tally.faults == []
    assert tally.ends.total() == min(FILES, target.files or FILES)
    assert tally.ends["load"] > 0 and tally.ends["error"] > 0


@pytest.mark.parametrize("target", planted.targets().values(), ids=lambda target: target.name)
def test_planted_fault_is_found(target: targets.Target, tmp_path: Path,
                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 2.0)
    fuzz.make_seeds([target], tmp_path / "seeds")
    fault, = fuzz.fuzz(target, 1, 1, tmp_path, module="fuzzing.planted").faults
    assert FOUND[target.name] in fault
