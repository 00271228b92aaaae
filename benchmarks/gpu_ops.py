"""Times the kernels of every op on a GPU against PyTorch's, to find the slow ones.

    python benchmarks/gpu_ops.py [--ops PATTERN ...] [--seconds 0.1] [--json FILE]
        [--machine FILE] [--profile NETWORK [--batch source|large|N]]

The calls are those of `op_calls.py`, their gradients included, each with all variants (the one that
minidl takes is marked with *). A time is that of one call in a graph of many, by CUDA's events; so
are PyTorch's, with TF32 and the faster memory format. "of floor" is the least time that the call's
bytes or its operations need at the measured peaks, over its time: what is far below 1 and not
faster than PyTorch is worth a look. `--profile` shows what one step of a network is made of
(`gpu_profile.py`). `--device emulated` tries the path without a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import gpu_machine
import gpu_profile
from bench_ops import described
from measure import WorkerError
from results import text_table, write_json
from workers import Worker

HEAD = ("op", "call", "variant", "us", "torch us", "ratio", "launches", "GB/s", "TFLOP/s",
        "of floor")
WIDTHS = (26, 30, 14)  # of the first columns on the screen
REPEATS = 16  # calls of minidl in a graph
ASKED = ("op", "shapes", "dtypes", "attrs", "copies")

Row = dict[str, Any]


def measure(given: argparse.Namespace, machine: Row) -> Iterator[Row]:
    """Yield a row for each variant of each call; what fails has a row that says so."""
    emulated = given.device == "emulated"
    with (tempfile.TemporaryDirectory() as folder, Worker("gpu_ops_minidl.py") as ours,
          Worker("gpu_ops_torch.py") as theirs):
        kernels = os.environ.get("MINIDL_HOST_CUDA") or folder
        ours.ask("start", emulated=kernels if emulated else "")
        theirs.ask("start", device="cpu" if emulated else "cuda")
        found = ours.ask("find", ops=given.ops)
        for name, error in found["failed"].items():
            yield {"op": name, "call": "", "variant": "", "default": False, "note": error}
        for number, call in enumerate(found["calls"]):
            call["repeats"] = 1 if emulated else REPEATS
            call["copies"] = min(call["copies"], call["repeats"])
            torch_row = timed(theirs, call, given.seconds)
            for variant in call["variants"]:
                yield {**base(call, variant, torch_row),
                       **figures(ours, number, variant, call, torch_row, given.seconds, machine)}


def timed(theirs: Worker, call: Row, seconds: float) -> Row:
    """Return PyTorch's time of a call, where it has the same result."""
    try:
        found = theirs.ask("time", seconds=seconds, **{key: call[key] for key in ASKED})
    except WorkerError as error:
        return {"error": str(error)[-300:]}
    if found.get("size", call["size"]) != call["size"]:
        return {"error": f"PyTorch's result has {found['size']} elements, not {call['size']}"}
    return dict(found)


def base(call: Row, variant: str, torch_row: Row) -> Row:
    """Return what a row says without a time of minidl's."""
    return {"op": call["op"], "call": described(call), "variant": variant,
            "default": variant == call["default"], "torch_ms": torch_row.get("ms"),
            "graph": torch_row.get("graph"), "note": torch_row.get("error")}


def figures(ours: Worker, number: int, variant: str, call: Row, torch_row: Row, seconds: float,
            machine: Row) -> Row:
    """Return minidl's time of a call with a variant, and what follows from it."""
    try:
        run = ours.ask("time", number=number, variant=variant, seconds=seconds,
                       copies=call["copies"], repeats=call["repeats"])
    except WorkerError as error:
        return {"ms": None, "note": str(error)[-300:]}
    ms, other = run["ms"], torch_row.get("ms")
    least = floor(call, machine)
    return {"ms": ms, "ratio": other / ms if other else None, "launches": run["launches"],
            "gbs": call["bytes"] / ms / 1e6, "tflops": call["flops"] / ms / 1e9,
            "of_floor": least / ms if least else None}


def floor(call: Row, machine: Row) -> float | None:
    """Return the milliseconds that a call needs at the machine's peaks; None if not measured.

    >>> floor({"bytes": 4_000_000, "flops": 0}, {"copy_gbs": 4000.0, "tf32_tflops": 400.0})
    0.001
    """
    if not machine.get("copy_gbs") or not machine.get("tf32_tflops"):
        return None
    return max(call["bytes"] / machine["copy_gbs"] / 1e6,
               call["flops"] / machine["tf32_tflops"] / 1e9)


def cells(row: Row) -> tuple[Any, ...]:
    """Return a row of the table."""
    mark = "*" if row["default"] else ""
    ms, other = row.get("ms"), row.get("torch_ms")
    return (row["op"], row["call"], f"{row['variant']}{mark}", ms and ms * 1e3,
            other and other * 1e3, row.get("ratio"), row.get("launches"), row.get("gbs") or None,
            row.get("tflops") or None, row.get("of_floor"))


def clipped(row: Row) -> tuple[Any, ...]:
    """Return a row of the table with its texts cut."""
    texts = [t if len(t) <= width else f"{t[:width - 1]}~"
             for t, width in zip(cells(row), WIDTHS, strict=False)]
    return (*texts, *cells(row)[len(WIDTHS):])


def slowest(rows: list[Row]) -> list[Row]:
    """Return the variants that minidl takes, those that lose most time to PyTorch first.

    Ops without a counterpart come after them, the longest first.
    """
    taken = [row for row in rows if row["default"] and row.get("ms")]
    return sorted(taken, key=lambda row: ((row["torch_ms"] or row["ms"]) / row["ms"], -row["ms"]))


def main() -> int:
    """Run the benchmark."""
    given = options()
    machine = gpu_machine.known(given.machine)
    if given.profile:
        return gpu_profile.main(given, machine)
    rows: list[Row] = []
    for row in measure(given, machine):
        rows.append(row)
        print(f"{text_table(HEAD, [clipped(row)], gap=' ').splitlines()[2]}"
              f"{'  ' + row['note'].splitlines()[0] if row.get('note') else ''}", flush=True)
        if given.json:
            write_json(given.json, {"machine": machine, "ops": rows})
    print(f"\n{gpu_machine.line(machine)}\n{gpu_machine.peaks_line(machine)}\n")
    if rows:
        print(text_table(HEAD, [clipped(row) for row in slowest(rows)], gap=" "))
    return 0


def options() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ops", nargs="+", default=[], metavar="PATTERN",
                        help="names or regular expressions, such as conv2d.*; all by default")
    parser.add_argument("--seconds", type=float, default=0.1, help="per variant")
    parser.add_argument("--device", choices=("cuda", "emulated"), default="cuda")
    parser.add_argument("--profile", metavar="NETWORK", help="profile a training step instead")
    parser.add_argument("--batch", default="source", help="of the profile: source, large, a number")
    parser.add_argument("--precision", choices=("tf32", "bf16"), default="tf32")
    parser.add_argument("--machine", metavar="FILE", help="what gpu_machine.py wrote")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
