"""Give mutated files to every reader: each must end in a clean error or a correct load.

A process that reads must not hang for more than 5 seconds, take more than 2 GB, execute anything,
or write elsewhere; only what a library in C kills may die, since users' processes open such files
in a child.

    python tests/fuzz.py [--count 10000] [--seed 0] [--keep DIR] [TARGET...]
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing.mutate import mutated
from fuzzing.targets import Target, targets

SECONDS = 5.0
ENDS = ("error", "load", "death", "hang")
TESTS = Path(__file__).parent


class Worker:
    """A process that reads files, started again when it dies."""

    def __init__(self, seeds: Path, module: str) -> None:
        self.seeds, self.module = seeds, module
        self.process: subprocess.Popen | None = None

    def ask(self, name: str, path: Path) -> dict[str, Any]:
        """Let a file be read; return how that ended."""
        process = self._running()
        process.stdin.write(f"{name}\t{path}\n")
        process.stdin.flush()
        answer = self._line(process, SECONDS)
        if answer:
            return json.loads(answer)
        try:  # a process that died has closed its end
            process.wait(0.2)
            hangs = False
        except subprocess.TimeoutExpired:
            hangs = True
        self.close()
        return {"outcome": "hang" if hangs else "death", "text": "", "seconds": SECONDS,
                "wrong": f"no answer in {SECONDS:g} s" if hangs else
                f"the process died with status {process.returncode}"}

    def _running(self) -> subprocess.Popen:
        if self.process is None:
            place = os.pathsep.join(filter(None, (str(TESTS.parent), str(TESTS),
                                                  os.environ.get("PYTHONPATH"))))
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fuzzing.worker", str(self.seeds), self.module], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                cwd=self.seeds, env={**os.environ, "PYTHONPATH": place})
            if self._line(self.process, 120.0) != "ready\n":
                raise RuntimeError("the worker did not start: run python -m fuzzing.worker")
        return self.process

    @staticmethod
    def _line(process: subprocess.Popen, seconds: float) -> str:
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return process.stdout.readline() if ready else ""

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.process = None


@dataclass
class Tally:
    """How the files of one reader ended."""

    ends: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0


def files(target: Target, folder: Path, count: int, seed: int) -> Iterator[bytes]:
    """Yield the good files, and then mutated ones."""
    good = [path.read_bytes() for path in sorted(folder.iterdir())]
    yield from good[:count]
    random = np.random.default_rng([seed, *target.name.encode()])
    for _ in range(min(count, target.files or count) - len(good)):
        content, other = (good[random.integers(len(good))] for _ in range(2))
        yield mutated(random, content, other)


def fuzz(target: Target, count: int, seed: int, work: Path, keep: Path | None = None,
         module: str = "fuzzing.targets") -> Tally:
    """Read `count` files; return how they ended. Files that showed a fault go into `keep`."""
    tally, worker = Tally(), Worker(work / "seeds", module)
    place = work / "files" / target.name
    place.mkdir(parents=True)
    try:
        for number, content in enumerate(files(target, work / "seeds" / target.name, count, seed)):
            path = place / f"{target.name}-{number}"
            path.write_bytes(content)
            answer = worker.ask(target.name, path)
            tally.ends[answer["outcome"]] += 1
            tally.slowest = max(tally.slowest, answer["seconds"])
            died = target.may_die and answer["outcome"] in ("death", "hang")
            if answer["wrong"] and not died:
                tally.faults.append(f"{path.name}: {answer['wrong']}: {answer['text']}")
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / path.name).write_bytes(content)
            _clear(place)
    finally:
        worker.close()
    return tally


def _clear(place: Path) -> None:
    for left in place.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def make_seeds(chosen: list[Target], folder: Path) -> None:
    """Write the good files of readers, a folder each."""
    for target in chosen:
        (folder / target.name).mkdir(parents=True)
        target.make(folder / target.name, np.random.default_rng(len(target.name)))


def main() -> int:
    """Print a line for each reader; return 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--count", type=int, default=10_000, help="files, over all readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that showed a fault")
    given = parser.parse_args()
    known = targets()
    chosen = [known[name] for name in given.targets or known if not known[name].missing()]
    total, faults = Counter(), 0
    few = sum(target.files or 0 for target in chosen)
    share = -(-(given.count - few) // max(1, sum(not target.files for target in chosen)))
    print(f"{'reader':12}", *(f"{word:>8}" for word in (*ENDS, "slowest", "faults")))
    with tempfile.TemporaryDirectory() as folder:
        make_seeds(chosen, Path(folder) / "seeds")
        for target in chosen:
            tally = fuzz(target, share, given.seed, Path(folder), given.keep)
            total += tally.ends
            faults += len(tally.faults)
            print(f"{target.name:12}", *(f"{tally.ends[end]:8,}" for end in ENDS),
                  f"{tally.slowest:7.2f}s {len(tally.faults):8,}", flush=True)
            print(*(f"    {fault}" for fault in tally.faults[:5]), sep="\n",
                  end="\n" if tally.faults else "")
    print(f"{total.total():,} files, {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    start = time.perf_counter()
    status = main()
    print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(status)
