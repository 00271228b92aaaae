"""Times every op of the op table, with PyTorch's counterpart beside it.

    python benchmarks/bench_ops.py [--ops PATTERN ...] [--rounds 3] [--json FILE] [--results]

Calls of realistic size are in `op_calls.py`; their gradients are taken, too, and every op that this
runs is timed on its own: the convolution, its gradient by the input, its gradient by the kernel.
All variants of an op are listed, the one that minidl takes marked with *. Ops marked "sample" have
no call of their own and are timed on the largest one that the tests make.

minidl and PyTorch run in separate processes that take turns; figures are medians over the rounds.
PyTorch has the faster of its two memory formats and a tuned allocator, under which its results do
not cost page faults, as minidl's do not. Nothing else should run meanwhile. PyTorch may be missing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from measure import TUNED_ALLOCATOR, WorkerError, run_worker
from results import markdown_table, text_table, write_json, write_section

HEAD = ("op", "call", "variant", "ms", "torch", "ratio", "GFLOP/s", "GB/s")
SHOWN = {"stride": "s", "padding": "p", "groups": "g", "axis": "axis", "mask_shape": "mask"}
USUAL = {"stride": 1, "padding": 0, "groups": 1, "axis": None}  # not worth a word
WIDTHS = (24, 30)  # of the first columns on the screen
SECONDS = 0.25  # per variant and round

Row = dict[str, Any]


def measure(ops: Sequence[str], rounds: int, seconds: float = SECONDS) -> list[Row]:
    """Return a row for each variant of each call."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(run_worker("op_minidl.py", {"do": "time", "ops": list(ops),
                                                "seconds": seconds}))
        theirs.append(torch_times(ours[-1], seconds))
    return [row for i, _ in enumerate(ours[0])
            for row in variants([run[i] for run in ours], [run[i] for run in theirs])]


def torch_times(calls: list[Row], seconds: float) -> list[Row]:
    """Return PyTorch's times of the same calls; nothing where it is missing."""
    asked = [{key: call[key] for key in ("op", "shapes", "dtypes", "attrs")} for call in calls]
    try:
        return list(run_worker("op_torch.py", {"do": "time", "calls": asked, "seconds": seconds},
                               TUNED_ALLOCATOR))
    except WorkerError as error:
        print(str(error)[-300:], file=sys.stderr)
        return [{} for _ in calls]


def variants(ours: list[Row], theirs: list[Row]) -> list[Row]:
    """Return a row per variant of one call from its rounds."""
    call, notes = ours[0], [run["error"] for run in theirs if "error" in run]
    timed = [run for run in theirs if "ms" in run]
    same = [run["ms"] for run in timed if run["size"] == call["size"]]
    if len(same) < len(timed):
        notes.append(f"PyTorch's result has {timed[0]['size']} elements, not {call['size']}")
    torch_ms = statistics.median(same) if same else None
    rows = []
    for name, first in call["ms"].items():
        base = {"op": call["op"], "call": described(call), "variant": name,
                "default": name == call["default"], "torch_ms": torch_ms, "notes": notes}
        if isinstance(first, str):
            rows.append({**base, "ms": None, "ratio": None, "notes": [*notes, first]})
            continue
        ms = statistics.median(run["ms"][name] for run in ours)
        rows.append({**base, "ms": ms, "ratio": torch_ms / ms if torch_ms else None,
                     "gflops": call["flops"] / ms / 1e6, "gbs": call["bytes"] / ms / 1e6})
    return rows


def described(call: Row) -> str:
    """Return shapes and attributes of a call in a few characters."""
    shapes = call["shapes"]
    several = [shape for shape in shapes if shape and len(shape) > 1] or shapes[:1]
    texts = ["x".join(map(str, shape)) or "1" for shape in several]
    if len(set(texts)) == 1:
        texts = texts[:1]
    if len(texts) > 3:
        texts = [texts[0], "..."]
    attrs = [f"{SHOWN[name]}{text(value)}" for name, value in call["attrs"].items()
             if name in SHOWN and set(flat(value)) - {USUAL.get(name)}]
    sample = ["sample"] if call["source"] == "sample" else []
    return " ".join([" ".join(texts), *attrs, *sample])


def flat(value: Any) -> list[Any]:
    """Return the numbers in nested lists."""
    return [v for part in value for v in flat(part)] if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """Return an attribute's value, equal numbers once."""
    numbers = flat(value)
    return str(numbers[0]) if len(set(numbers)) == 1 else ",".join(map(str, numbers))


def cells(row: Row) -> tuple[Any, ...]:
    """Return a row of the table."""
    mark = "*" if row["default"] else ""
    return (row["op"], row["call"], f"{row['variant']}{mark}", row["ms"], row["torch_ms"],
            row["ratio"], row.get("gflops") or None, row.get("gbs") or None)


def clipped(row: Row) -> tuple[Any, ...]:
    """Return a row of the table with its texts cut, so that it fits on a page."""
    texts = [t if len(t) <= width else f"{t[:width - 1]}~"
             for t, width in zip(cells(row), WIDTHS, strict=False)]
    return (*texts, *cells(row)[len(WIDTHS):])


def report(rows: list[Row], rounds: int) -> str:
    """Return the section of the results page."""
    intro = (f"`python benchmarks/bench_ops.py --rounds {rounds}`: milliseconds a call, medians "
             f"over {rounds} rounds of alternating processes; ratio is PyTorch's time over "
             "minidl's. `*` marks the variant that minidl takes. PyTorch has the faster of its "
             "memory formats and a tuned allocator. s stride, p padding, g groups.")
    return f"{intro}\n\n{markdown_table(HEAD, [cells(row) for row in rows])}"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ops", nargs="+", default=(), metavar="PATTERN",
                        help="names or regular expressions, such as conv2d.*; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per variant and round")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--results", action="store_true", help="write into RESULTS.md")
    given = parser.parse_args()
    rows = measure(given.ops, given.rounds, given.seconds)
    print(text_table(HEAD, [clipped(row) for row in rows], gap=" "))
    for row in rows:
        for note in dict.fromkeys(row["notes"]):
            print(f"{row['op']} {row['call']} {row['variant']}: {note}", file=sys.stderr)
    if given.json:
        write_json(given.json, rows)
    if given.results:
        write_section("bench_ops", "Ops", report(rows, given.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
