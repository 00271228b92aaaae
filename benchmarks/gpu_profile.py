"""What a training step on a GPU is made of: every launch of every op, sorted by time.

    python benchmarks/gpu_ops.py --profile NETWORK [--batch source|large|N] [--json FILE]

The calls of the recorded step are made again one by one, with an event behind each launch. Python
is slower than small kernels, so the GPU is first given as much to do as Python needs for a whole
step: what lies between two events is then the kernel's time alone. Figures are medians of several
passes. The step's own time is that of its graph, where launches follow each other without Python.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import gpu_machine
from bench_ops import described
from gpu_time import span
from results import text_table, write_json

PASSES = 7
HEAD = ("us", "share", "op", "call", "kernel", "blocks", "threads", "GB/s", "TFLOP/s")
OP_HEAD = ("us", "share", "op", "calls", "launches")
SHOWN = 40  # launches on the screen

Row = dict[str, Any]


def profile(network: str, batch: int, precision: str = "tf32", passes: int = PASSES) -> Row:
    """Return the time of a step, and a row for each launch in the order of the step.

    Raises:
        ValueError: the network's step is not captured, or cannot be computed.
    """
    import gpu_step_minidl

    from minidl.backend import device as devices
    made = gpu_step_minidl.make(network, batch, precision)
    if not made.get("captured"):
        raise ValueError(f"{network}: {made.get('missing', 'its step is not one graph')}")
    held, device = gpu_step_minidl._made[0], devices.get(gpu_step_minidl.DEVICE)
    recording = held.steps.recorded.recording
    calls = [call for call in recording.calls if not call.plan.op.transfers]
    step_ms = statistics.median(span(held.step, device, 5) for _ in range(passes))
    busy = plug(recording._graph.launch, calls, device)
    runs = [one_pass(calls, device, busy) for _ in range(passes)]
    rows = [{**first, "us": statistics.median(run[i]["us"] for run in runs)}
            for i, first in enumerate(runs[0])]
    return {"network": network, "batch": batch, "precision": precision, "step_ms": step_ms,
            "launches": rows}


def plug(graph: Callable[[], None], calls: Sequence[Any], device: Any) -> Callable[[], None]:
    """Return what keeps the GPU busy for as long as Python needs to launch the calls."""
    graph_ms = span(graph, device, 3) / 3
    start = time.perf_counter()
    one_pass(calls, device, lambda: None)
    count = min(math.ceil(1500 * (time.perf_counter() - start) / max(graph_ms, 1e-3)), 300)

    def busy() -> None:
        for _ in range(count):
            graph()
    return busy


def one_pass(calls: Sequence[Any], device: Any, busy: Callable[[], None]) -> list[Row]:
    """Make the calls once; return a row for each launch with its time in microseconds."""
    busy()
    with marked(device) as marks:
        for number, call in enumerate(calls):
            marks.append((number, None, None, device.event()))
            call.compute()
    device.synchronize()
    rows = []
    for (*_, before), (number, name, grid, after) in pairwise(marks):
        if name is not None:
            rows.append({**told(calls[number]), "kernel": name, "grid": grid,
                         "us": 1e3 * device.elapsed(before, after)})
    return rows


@contextmanager
def marked(device: Any) -> Iterator[list[Any]]:
    """Put an event behind each launch inside the block; the list has (call, kernel, grid, event).

    Whoever makes the calls puts an entry without a kernel before each of them.
    """
    plain, marks = device.launch, []

    def launch(function: Any, blocks: Any, threads: int, *rest: Any) -> None:
        plain(function, blocks, threads, *rest)
        marks.append((marks[-1][0], name_of(function), [*blocks, threads], device.event()))

    device.launch = launch
    try:
        yield marks
    finally:
        del device.launch


def name_of(function: Any) -> str:
    """Return a kernel's name."""
    name = getattr(function, "name", None) or getattr(function, "__name__", "kernel")
    return str(name).removeprefix("launch_")  # the emulated GPU's


def told(call: Any) -> Row:
    """Return what tells a call at the waist, and what it moves and computes."""
    plan = call.plan
    moved = [*plan.specs, *plan.out, *plan.saved.values()]
    shapes = [None if s is None else list(s.shape) for s in plan.specs]
    attrs = {k: listed(v) for k, v in plan.attrs.items()}
    return {"op": plan.op.name, "variant": plan.kernel.name, "flops": plan.flops,
            "bytes": sum(s.size * s.dtype.itemsize for s in moved if s is not None),
            "call": described({"shapes": shapes, "attrs": attrs, "source": "step"})}


def listed(value: Any) -> Any:
    """Return an attribute with lists for tuples."""
    return [listed(v) for v in value] if isinstance(value, (tuple, list)) else value


# ---- tables --------------------------------------------------------------------------------


def launch_cells(found: Row) -> list[tuple[Any, ...]]:
    """Return the lines of the launches, the longest first."""
    total = sum(row["us"] for row in found["launches"])
    rows = sorted(found["launches"], key=lambda row: -row["us"])
    return [(row["us"], f"{row['us'] / total:.0%}", row["op"], row["call"][:40], row["kernel"],
             "x".join(str(n) for n in row["grid"][:-1] if n > 1) or "1", row["grid"][-1],
             row["bytes"] / row["us"] / 1e3 if row["us"] else None,
             row["flops"] / row["us"] / 1e6 or None if row["us"] else None) for row in rows]


def op_cells(found: Row) -> list[tuple[Any, ...]]:
    """Return the lines of the ops, the longest first."""
    total = sum(row["us"] for row in found["launches"])
    ops: dict[str, list[Row]] = {}
    for row in found["launches"]:
        ops.setdefault(f"{row['op']} ({row['variant']})", []).append(row)
    lines = [(sum(row["us"] for row in rows), name, len({row["call"] for row in rows}), len(rows))
             for name, rows in ops.items()]
    return [(us, f"{us / total:.0%}", name, calls, launches)
            for us, name, calls, launches in sorted(lines, reverse=True)]


def text(found: Row) -> str:
    """Return the tables of a profile."""
    total = sum(row["us"] for row in found["launches"])
    return (f"{found['network']}, batch {found['batch']}, {found['precision']}: "
            f"{found['step_ms'] * 1e3:.0f} us a step; {len(found['launches'])} launches take "
            f"{total:.0f} us one by one\n\n{text_table(OP_HEAD, op_cells(found))}\n\n"
            f"{text_table(HEAD, launch_cells(found)[:SHOWN])}")


def main(given: argparse.Namespace, machine: Row) -> int:
    """Profile a network."""
    import gpu_step_minidl
    from networks import batch_size
    with tempfile.TemporaryDirectory() as folder:
        kernels = os.environ.get("MINIDL_HOST_CUDA") or folder
        gpu_step_minidl.start(kernels if given.device == "emulated" else "")
        found = profile(given.profile, batch_size(given.profile, given.batch), given.precision)
    print(f"{gpu_machine.line(machine)}\n\n{text(found)}")
    if given.json:
        write_json(given.json, {"machine": machine, "profile": found})
    return 0
