"""Training steps on a GPU, minidl against PyTorch: what `bench_step.py --device cuda` does.

    python benchmarks/bench_step.py --device cuda [--networks NAME ...] [--batch source|large|N]
        [--against eager compile] [--precision tf32 bf16] [--feed] [--rounds 3] [--json FILE]
        [--machine FILE] [--results] [--check]

minidl and PyTorch have a process each (`gpu_step_minidl.py`, `gpu_step_torch.py`), which take turns
of blocks of steps timed by CUDA's events; figures are medians over the rounds. First both compute
loss and gradients with dropout off: in float64, and in float32, where minidl may differ from
PyTorch without TF32 by a few times what PyTorch's own TF32 does. PyTorch's memory format and
optimizer are the fastest of a short trial. The batch lies on the GPU; with --feed it comes from
the host in each step.

`--device emulated` runs minidl on the emulated GPU and PyTorch on the CPU: it tries this path where
there is no GPU, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import gpu_machine
from compare import RoundedCheck, compare
from gpu_tables import printed, write_results
from measure import WorkerError
from results import write_json
from workers import Worker

DEVICES = ("cpu", "cuda", "emulated")
AGAINST, PRECISIONS = ("eager", "compile"), ("tf32", "bf16")
TRIALS = tuple(product(("last", "first"), ("fused", "foreach")))  # memory format, optimizer
DOUBLE_SAMPLES = 4   # of the batch, compared in float64
TRIAL_SECONDS, WARM = 0.15, {"eager": 3, "compile": 6}

Row = dict[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what a GPU's benchmark needs besides."""
    group = parser.add_argument_group("on a GPU")
    group.add_argument("--device", choices=DEVICES, default="cpu")
    group.add_argument("--batch", default="source", help="source, large, or a number")
    group.add_argument("--against", nargs="+", choices=AGAINST, default=["eager"])
    group.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["tf32"])
    group.add_argument("--feed", action="store_true", help="batches come from the host")
    group.add_argument("--seconds", type=float, default=0.5, help="of steps per round")
    group.add_argument("--unchecked", action="store_true", help="do not compare gradients")
    group.add_argument("--machine", metavar="FILE", help="what gpu_machine.py wrote")


# ---- one network ---------------------------------------------------------------------------


class Pair:
    """The two processes of a network, and the files that they share."""

    def __init__(self, network: str, batch: int, emulated: bool, folder: Path) -> None:
        self.network, self.batch, self.folder = network, batch, folder
        self.ours, self.theirs = Worker("gpu_step_minidl.py"), Worker("gpu_step_torch.py")
        self.mirror = str(folder / "mirror.pt")
        self._emulated = emulated

    def __enter__(self) -> Pair:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        kernels = os.environ.get("MINIDL_HOST_CUDA") or str(self.folder / "kernels")
        self.ours.ask("start", emulated=kernels if self._emulated else "")
        self.theirs.ask("start", device="cpu" if self._emulated else "cuda")
        self.prepared = self.theirs.ask("prepare", network=self.network, batch=self.batch,
                                        file=self.mirror)

    def __exit__(self, *error: Any) -> None:
        self.ours.close()
        self.theirs.close()

    def check(self) -> tuple[RoundedCheck, int]:
        """Compare loss and gradients of both; return that and the operations of a step."""
        files = {name: self.folder / f"{name}.npz" for name in ("ours", "plain", "rounded")}
        double = {"dtype": "float64", "samples": DOUBLE_SAMPLES}
        self.theirs.ask("check", file=self.mirror, out=str(files["plain"]), **double)
        self._check_ours(files["ours"], **double)
        exact = compare(files["ours"], files["plain"])
        for name in ("plain", "rounded"):
            self.theirs.ask("check", file=self.mirror, out=str(files[name]),
                            rounded=name == "rounded")
        flops = self._check_ours(files["ours"])
        found = RoundedCheck(exact, compare(files["ours"], files["plain"]),
                             compare(files["rounded"], files["plain"]))
        for file in files.values():
            file.unlink()
        return found, flops

    def flops(self) -> int:
        """Return the operations of a step."""
        return self._check_ours(self.folder / "ours.npz")

    def _check_ours(self, file: Path, **how: Any) -> int:
        return int(self.ours.ask("check", network=self.network, batch=self.batch, file=str(file),
                                 **how)["flops"])

    def best(self, precision: str, feed: bool) -> Row:
        """Return PyTorch's fastest memory format and optimizer, eager, with the time of each."""
        found = []
        for layout, flavour in self._trials():
            how = {"layout": layout, "flavour": flavour}
            made = self.theirs.ask("make", file=self.mirror, precision=precision, feed=feed, **how)
            if "missing" not in made:
                found.append({**how, **self.theirs.ask("time", seconds=TRIAL_SECONDS)})
        return {**min(found, key=lambda row: row["ms"]), "tried": found}

    def _trials(self) -> Iterator[tuple[str, str]]:
        for layout, flavour in TRIALS:
            if (layout == "last" or self.prepared["images"]) and (
                    flavour == "foreach" or self.prepared["trains"]):
                yield layout, flavour


def measure(pair: Pair, given: argparse.Namespace, flops: int, peaks: Row) -> Iterator[Row]:
    """Yield a row for each precision and each way PyTorch runs."""
    for precision in given.precision:
        made = pair.ours.ask("make", network=pair.network, batch=pair.batch, precision=precision,
                             feed=given.feed)
        if "missing" in made:
            print(f"  minidl, {precision}: {made['missing']}", file=sys.stderr)
        best = pair.best(precision, given.feed)
        for against in given.against:
            base = {"network": pair.network, "batch": pair.batch, "against": against,
                    "precision": precision, "feed": given.feed, "tried": best["tried"],
                    "torch_setting": f"{best['layout']}, {best['flavour']}"}
            first = pair.theirs.ask(
                "make", file=pair.mirror, layout=best["layout"], flavour=best["flavour"],
                precision=precision, compiled=against == "compile", feed=given.feed,
                warm=WARM[against])
            ours, theirs = alternate(pair, made, given)
            yield {**base, **figures(made, ours, theirs), **pace(ours, flops, precision, peaks),
                   **sizes(pair, made), "torch_ready_s": first["ready_s"]}


def alternate(pair: Pair, made: Row, given: argparse.Namespace) -> tuple[list[Row], list[Row]]:
    """Time both in turn; PyTorch alone where minidl cannot."""
    ours, theirs = [], []
    for _ in range(given.rounds):
        if "missing" not in made:
            ours.append(pair.ours.ask("time", seconds=given.seconds))
        theirs.append(pair.theirs.ask("time", seconds=given.seconds))
    return ours, theirs


def figures(made: Row, ours: list[Row], theirs: list[Row]) -> Row:
    """Return times and ratios of the rounds; minidl's are None where it cannot."""
    told = {key: made.get(key) for key in ("missing", "parameters", "captured", "launches",
                                           "calls", "ready_s")}
    other = statistics.median(run["ms"] for run in theirs)
    if not ours:
        return {**told, "minidl_ms": None, "torch_ms": other, "ratio": None, "ratio_min": None,
                "ratio_max": None}
    mine = statistics.median(run["ms"] for run in ours)
    ratios = [b["ms"] / a["ms"] for a, b in zip(ours, theirs, strict=True)]
    return {**told, "minidl_ms": mine, "torch_ms": other, "ratio": other / mine,
            "ratio_min": min(ratios), "ratio_max": max(ratios)}


def pace(ours: list[Row], flops: int, precision: str, peaks: Row) -> Row:
    """Return the products of a step in TFLOP/s, and their share of the matrix units' peak."""
    if not ours:
        return {"tflops": None, "peak_share": None}
    tflops = flops / statistics.median(run["ms"] for run in ours) / 1e9
    peak = peaks.get(f"{precision}_tflops")
    return {"tflops": tflops, "peak_share": tflops / peak if peak else None}


def sizes(pair: Pair, made: Row) -> Row:
    """Return the memory of both in MiB, and PyTorch's launches of a step."""
    theirs = pair.theirs.ask("memory") or {}
    return {"minidl_mb": None if "missing" in made else pair.ours.ask("memory"),
            "torch_mb": theirs.get("mb"), "torch_reserved_mb": theirs.get("reserved_mb"),
            "torch_launches": pair.theirs.ask("launches")}


# ---- the command ---------------------------------------------------------------------------


def run(network: str, given: argparse.Namespace, peaks: Row) -> Iterator[Row]:
    """Check a network, print the differences, and yield its rows.

    Raises:
        ValueError: minidl and PyTorch differ.
    """
    from networks import batch_size
    with (tempfile.TemporaryDirectory() as folder,
          Pair(network, batch_size(network, given.batch), given.device == "emulated",
               Path(folder)) as pair):
        if given.unchecked:
            yield from measure(pair, given, pair.flops(), peaks)
            return
        found, flops = pair.check()
        print(f"{network}, batch {pair.batch}: {found}", flush=True)
        found.need()
        if not given.check:
            yield from ({**row, "difference": found.row()}
                        for row in measure(pair, given, flops, peaks))


def main(given: argparse.Namespace) -> int:
    """Run the benchmark; every row is written as soon as it is there."""
    from networks import chosen
    machine = gpu_machine.facts(peaks=False) if given.check else gpu_machine.known(given.machine)
    rows: list[Row] = []
    failed = 0
    for network in chosen(given.networks):
        try:
            for row in run(network, given, machine):
                rows.append(row)
                print(printed([row], head=False), flush=True)
                if given.json:
                    write_json(given.json, {"machine": machine, "rows": rows})
        except (WorkerError, ValueError) as error:
            print(f"{network}: not timed: {error}", file=sys.stderr, flush=True)
            failed = 1
    if rows:
        print(f"\nms per step on {machine['gpu']}; {gpu_machine.peaks_line(machine)}\n")
        print(printed(rows))
    if given.results:
        write_results(machine, rows)
    return failed
