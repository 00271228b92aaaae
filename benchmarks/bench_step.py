"""Times one training step of every network of the zoo, minidl against PyTorch.

    python benchmarks/bench_step.py [--networks NAME ...] [--rounds 5] [--json FILE] [--variants]
                                    [--results] [--predict N]

With `--predict N` a step is a call of `predict` with N samples; PyTorch's is `model(x)` in
evaluation and inference mode. With `--device cuda` the step is timed on a GPU, as `gpu_step.py`
says.

A step is forward, loss, backward and update, dropout on, with the optimizer of the network's source
(`vgg16` only computes features, as in its sources). minidl runs the function that `fit` runs;
PyTorch runs the usual loop on a module that is made from minidl's own layer graph, with the same
weights and data, and is at its best: channels first or last, the default or a tuned allocator,
optimizer as it is, `foreach` or `fused`. A short calibration of all of them finds the best one,
and the rounds use it.

First both compute loss and gradients with dropout off; if these differ, nothing is timed (see
`compare.py`). Then minidl and PyTorch run in separate processes that take turns, and the figures
are medians over the rounds. Nothing else should run meanwhile. Needs `pip install torch`.

Memory is the largest resident size of the process that runs the steps, less its size before the
model is built; PyTorch's is that with its default allocator (the tuned one takes 1 GB at a time).
GFLOP/s counts the products of the step as the op table does; the machine's peak is NumPy's matrix
product on all cores.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gpu_step
from compare import Check, compare
from measure import DEFAULT_ALLOCATOR, TUNED_ALLOCATOR, WorkerError, run_worker
from results import markdown_table, text_table, weights, write_json, write_section

ALLOCATORS = {"default": DEFAULT_ALLOCATOR, "tuned": TUNED_ALLOCATOR}
LAYOUTS = ("first", "last")
FLAVOURS = ("default", "foreach", "fused")
VARIANTS: dict[str, dict[str, bool]] = {
    "bf16": {"autocast": True}, "compile": {"compiled": True},
    "compile, bf16": {"autocast": True, "compiled": True}}
CALIBRATION = {"seconds": 0.7, "steps": 2, "warm": 1}  # per combination
DOUBLE_SAMPLES = 4  # of the batch, compared in float64
SECONDS = 2.5  # of steps per round

Row = dict[str, Any]


# ---- one network ---------------------------------------------------------------------------


def check(network: str, folder: Path, how: Row) -> tuple[Check, int]:
    """Compare loss and gradients, or outputs, of both; return that and the operations of a step."""
    files = {name: folder / f"{name}.npz" for name in ("minidl", "first", "last")}
    mirror = str(folder / "mirror.pt")

    def write(**part: Any) -> int:
        for layout in ("first", "last"):
            run_worker("step_torch.py", {"do": "check", "file": mirror, "layout": layout,
                                         "out": str(files[layout]), **part})
        task = {"do": "check", "network": network, "file": str(files["minidl"])}
        return int(run_worker("step_minidl.py", {**task, **part, **how})["flops"])

    write(dtype="float64", samples=DOUBLE_SAMPLES)
    double = compare(files["minidl"], files["first"])
    flops = write()
    single = compare(files["minidl"], files["first"])
    itself = compare(files["last"], files["first"])
    for file in files.values():
        file.unlink()
    return Check(double, single, itself), flops


def prepare(network: str, folder: Path, how: Row) -> Row:
    """Write the network's mirror into the folder."""
    return dict(run_worker("step_torch.py", {"do": "prepare", "network": network,
                                             "file": str(folder / "mirror.pt"), **how}))


def torch_time(folder: Path, layout: str, allocator: str, flavours: Sequence[str],
               **options: Any) -> list[Row]:
    """Time PyTorch in a process of its own."""
    task = {"do": "time", "file": str(folder / "mirror.pt"), "layout": layout,
            "flavours": list(flavours), **options}
    found = run_worker("step_torch.py", task, ALLOCATORS[allocator])
    return [{"layout": layout, "allocator": allocator, **result} for result in found]


def calibrate(folder: Path, prepared: Row) -> list[Row]:
    """Time PyTorch shortly in every combination, the fastest first."""
    layouts = LAYOUTS if prepared["images"] else LAYOUTS[:1]
    flavours = FLAVOURS if prepared["trains"] else FLAVOURS[:1]
    found = [row for allocator in ALLOCATORS for layout in layouts
             for row in torch_time(folder, layout, allocator, flavours, **CALIBRATION)]
    return sorted(found, key=lambda row: row["ms"])


def alternate(network: str, folder: Path, how: Row, best: Row, rounds: int
              ) -> tuple[list[Row], list[Row]]:
    """Time both in turn."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(run_worker("step_minidl.py", {"do": "time", "network": network,
                                                  "seconds": SECONDS, **how}))
        theirs += torch_time(folder, best["layout"], best["allocator"], [best["flavour"]],
                             seconds=SECONDS)
    return ours, theirs


def torch_memory(folder: Path, best: Row) -> float:
    """Return PyTorch's memory in MiB, of the best combination but with the default allocator."""
    return float(torch_time(folder, best["layout"], "default", [best["flavour"]], seconds=0,
                            steps=4)[0]["mb"])


def variants(folder: Path, best: Row) -> Row:
    """Time compiled and half-precision PyTorch, each in the faster memory format.

    One that does not run (compiling needs a C++ compiler) is left out.
    """
    found: Row = {}
    for name, options in VARIANTS.items():
        try:
            runs = [run for layout in sorted({best["layout"], "last"}) for run in torch_time(
                folder, layout, best["allocator"], [best["flavour"]], seconds=SECONDS, **options)]
        except WorkerError as error:
            print(f"  {name}: {str(error)[-300:]}", file=sys.stderr)
            continue
        fastest = min(runs, key=lambda run: run["ms"])
        found[name] = {key: fastest[key] for key in ("ms", "first_s", "layout")}
    return found


def measure(network: str, how: Row, rounds: int, peak: float, with_variants: bool = False) -> Row:
    """Return all figures of a network.

    Args:
        how: `batch` and `predict` of `networks.case`, nothing for a training step.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepared = prepare(network, folder, how)
        found, flops = check(network, folder, how)
        print(f"{network}: {found}", flush=True)
        found.need()
        tried = calibrate(folder, prepared)
        print(calibration_text(tried), flush=True)
        ours, theirs = alternate(network, folder, how, tried[0], rounds)
        row = figures(network, ours, theirs, torch_memory(folder, tried[0]), flops, peak)
        if with_variants:
            row["variants"] = variants(folder, tried[0])
    return {**row, "torch_setting": setting(tried[0]), "difference": found.row(),
            "calibration": [{**c, "ms": round(c["ms"], 3)} for c in tried]}


def figures(network: str, ours: list[Row], theirs: list[Row], torch_mb: float, flops: int,
            peak: float) -> Row:
    """Return a network's row from the rounds."""
    mine, other = (statistics.median(run["ms"] for run in runs) for runs in (ours, theirs))
    ratios = [b["ms"] / a["ms"] for a, b in zip(ours, theirs, strict=True)]
    gflops = flops / mine / 1e6
    return {"network": network, "batch": ours[0]["batch"], "minidl_ms": mine, "torch_ms": other,
            "ratio": other / mine, "minidl_mb": known(statistics.median(run["mb"] for run in ours)),
            "torch_mb": known(torch_mb), "ratio_min": min(ratios), "ratio_max": max(ratios),
            "parameters": ours[0]["parameters"], "gflops": gflops, "peak_share": gflops / peak,
            "compiler_mb": known(statistics.median(run["compiler_mb"] for run in ours))}


def known(value: float) -> float | None:
    """Return a number, None for NaN: what the system does not say is null in JSON."""
    return None if value != value else value


# ---- what is printed -----------------------------------------------------------------------


def setting(run: Row) -> str:
    """Return a combination in words: "last, tuned, fused"."""
    return f"{run['layout']}, {run['allocator']}, {run['flavour']}"


def calibration_text(tried: list[Row]) -> str:
    """Return all combinations with their times, as many as fit on a line."""
    parts = [f"{setting(run)} {run['ms']:.4g}" for run in tried]
    lines = ["  PyTorch, ms (format, allocator, optimizer):"]
    for part in parts:
        if len(lines[-1]) + len(part) > 96:
            lines.append("   ")
        lines[-1] += f" {part};"
    return "\n".join(lines)


HEAD = ("network", "batch", "weights", "minidl", "torch", "ratio", "min-max", "MiB", "torch MiB",
        "GFLOP/s", "peak")


def cells(row: Row) -> tuple[Any, ...]:
    """Return a network's line in the table."""
    return (row["network"], row["batch"], weights(row["parameters"]), float(row["minidl_ms"]),
            float(row["torch_ms"]), float(row["ratio"]),
            f"{row['ratio_min']:.2f}-{row['ratio_max']:.2f}", row["minidl_mb"], row["torch_mb"],
            float(row["gflops"]), f"{row['peak_share']:.0%}")


def variant_rows(rows: list[Row]) -> list[tuple[Any, ...]]:
    """Return the lines of the table of variants: ms and ratio to minidl."""
    found = [(row, row["variants"]) for row in rows if "variants" in row]
    return [(row["network"], float(row["minidl_ms"]),
             *(with_ratio(runs.get(name), row["minidl_ms"]) for name in VARIANTS),
             runs.get("compile", {}).get("first_s")) for row, runs in found]


def with_ratio(run: Row | None, ours: float) -> str:
    """Return a time with its ratio to ours."""
    return f"{run['ms']:.4g} ({run['ms'] / ours:.2f})" if run else "-"


VARIANT_HEAD = ("network", "minidl", *VARIANTS, "first compiled step, s")


def section(predicted: int | None) -> dict[str, str]:
    """Return marker, title and words of a section of the results page.

    Args:
        predicted: how many samples at a time; None where the network trains.
    """
    if predicted is None:
        return {"marker": "bench_step", "title": "Training steps", "option": "",
                "step": "training step", "compared": "all gradients, dropout off"}
    return {"marker": f"bench_step_predict_{predicted}",
            "title": f"Predictions, {predicted} at a time", "option": f" --predict {predicted}",
            "step": "call of `predict`", "compared": "the outputs"}


def report(rows: list[Row], peak: float, rounds: int, words: dict[str, str]) -> str:
    """Return the section of the results page."""
    parts = [f"`python benchmarks/bench_step.py --rounds {rounds}{words['option']}`: milliseconds "
             f"per {words['step']}, medians over {rounds} rounds of alternating processes; ratio "
             "is PyTorch's time over minidl's. Peak of the machine: "
             f"{peak:.0f} GFLOP/s (NumPy's float32 matrix product, all cores); convolutions are "
             "counted as direct ones, so Winograd can exceed 100 %. Memory: largest resident size "
             "less that before the model is built; PyTorch's with its default allocator.",
             markdown_table(HEAD, [cells(row) for row in rows]),
             "PyTorch at its best (memory format, allocator, optimizer), and the difference of "
             f"{words['compared']}: minidl and PyTorch in float64 and float32, and PyTorch's two "
             "memory formats in float32:",
             markdown_table(("network", "setting", "float64", "float32", "PyTorch itself"), [
                 (row["network"], row["torch_setting"], *(row["difference"][name] for name in (
                     "float64", "float32", "torch_itself"))) for row in rows])]
    if lines := variant_rows(rows):
        parts += ["Variants of PyTorch: ms (ratio to minidl in float32):",
                  markdown_table(VARIANT_HEAD, lines)]
    return "\n\n".join(parts)


# ---- the command ---------------------------------------------------------------------------


def options() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="all of the zoo by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="write the rows there")
    parser.add_argument("--variants", action="store_true", help="torch.compile and bf16, too")
    parser.add_argument("--results", action="store_true", help="write into RESULTS.md")
    parser.add_argument("--check", action="store_true", help="compare gradients, time nothing")
    parser.add_argument("--predict", type=int, metavar="N", help="predict N samples, do not train")
    gpu_step.add_options(parser)
    given = parser.parse_args()
    if given.predict is not None and (given.predict < 1 or given.device != "cpu"):
        parser.error("--predict takes a number of samples, 1 or more, and runs on the CPU")
    return given


def check_all(networks: Sequence[str], how: Row) -> int:
    """Print the differences of all networks; return 1 if one is too large."""
    wrong = 0
    for network in networks:
        with tempfile.TemporaryDirectory() as folder:
            prepare(network, Path(folder), how)
            found, _ = check(network, Path(folder), how)
        print(f"{network}: {found}", flush=True)
        wrong |= not found.good
    return wrong


def main() -> int:
    """Run the benchmark."""
    given = options()
    if given.device != "cpu":
        return gpu_step.main(given)
    how = {"batch": given.predict, "predict": True} if given.predict else {}
    networks = run_worker("networks.py", {"do": "chosen", "names": given.networks})
    if given.check:
        return check_all(networks, how)
    peak, rows, failed = run_worker("measure.py", {"do": "peaks"})["gflops"], [], 0
    for network in networks:
        try:
            rows.append(measure(network, how, given.rounds, peak, given.variants))
        except (WorkerError, ValueError) as error:
            print(f"{network}: not timed: {error}", file=sys.stderr, flush=True)
            failed = 1
    print(f"\nms per step; peak {peak:.0f} GFLOP/s\n")
    print(text_table(HEAD, [cells(row) for row in rows], gap=" "))
    if lines := variant_rows(rows):
        print("\n" + text_table(VARIANT_HEAD, lines))
    if given.json:
        write_json(given.json, rows)
    if given.results:
        words = section(given.predict)
        write_section(words["marker"], words["title"], report(rows, peak, given.rounds, words))
    return failed


if __name__ == "__main__":
    sys.exit(main())
