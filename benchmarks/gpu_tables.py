"""The tables of the GPU's benchmarks, and their section of RESULTS.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gpu_machine
from results import RESULTS, markdown_table, text_table, weights, write_section

HEAD = ("network", "batch", "against", "type", "minidl", "torch", "ratio", "min-max", "MiB",
        "torch MiB", "launches", "torch's", "TFLOP/s", "peak")
FULL_HEAD = ("network", "weights", *HEAD[1:], "setting", "gradients", "float64")
EXPLAINED = (
    "Milliseconds per training step, by CUDA's events over blocks of steps, medians over rounds in "
    "which the processes take turns; ratio is PyTorch's time over minidl's. minidl's step is one "
    "graph, PyTorch's eager or by `torch.compile(mode=\"reduce-overhead\")`; PyTorch has TF32, "
    "cuDNN's trials, and the faster memory format and optimizer (setting). `tf32` is float32 with "
    "products rounded to TF32, `bf16` mixed precision. MiB: the largest size of all arrays on the "
    "GPU. Launches: kernels of a step. TFLOP/s counts the products of minidl's step as the op "
    "table does; peak is their share of what PyTorch's product of matrices reaches. Gradients: "
    "difference of all gradients from PyTorch's in float32 without TF32, dropout off.")

Row = dict[str, Any]


def cells(row: Row) -> tuple[Any, ...]:
    """Return a row's line in the table."""
    spread = f"{row['ratio_min']:.2f}-{row['ratio_max']:.2f}" if row["ratio"] else None
    share = f"{row['peak_share']:.0%}" if row["peak_share"] is not None else None
    return (row["network"], row["batch"], f"{row['against']}{', fed' if row['feed'] else ''}",
            row["precision"], ours(row), row["torch_ms"], row["ratio"], spread, row["minidl_mb"],
            row["torch_mb"], launches(row), row["torch_launches"], row["tflops"], share)


def ours(row: Row) -> Any:
    """Return minidl's time, or why there is none."""
    if row.get("missing"):
        return str(row["missing"]).partition(":")[0]
    return row["minidl_ms"]


def launches(row: Row) -> Any:
    """Return minidl's launches; those that are not one graph are marked."""
    return f"{row['launches']} single" if row.get("captured") is False else row["launches"]


def full_cells(row: Row) -> tuple[Any, ...]:
    """Return a row's line in RESULTS.md."""
    network, *rest = cells(row)
    count, differ = row.get("parameters"), row.get("difference", {})
    return (network, weights(count) if count else None, *rest, row["torch_setting"],
            differ.get("float32"), differ.get("float64"))


def printed(rows: Sequence[Row], head: bool = True) -> str:
    """Return the table as text; without its head the lines alone."""
    text = text_table(HEAD, [cells(row) for row in rows], gap=" ")
    return text if head else "\n".join(text.splitlines()[2:])


def table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    return markdown_table(FULL_HEAD, [full_cells(row) for row in rows])


def mean_ratio(rows: Sequence[Row]) -> float | None:
    """Return the geometric mean of the ratios, None where there are none.

    >>> mean_ratio([{"ratio": 0.5}, {"ratio": 2.0}, {"ratio": None}])
    1.0
    """
    ratios = [row["ratio"] for row in rows if row["ratio"]]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def verdict(rows: Sequence[Row]) -> str:
    """Return in a line how many rows are level with PyTorch, and the mean."""
    ratios = [row["ratio"] for row in rows if row["ratio"]]
    if not ratios:
        return "nothing compared"
    level = sum(ratio >= 1 for ratio in ratios)
    return (f"{level} of {len(ratios)} at least level with PyTorch; ratios {min(ratios):.2f} to "
            f"{max(ratios):.2f}, geometric mean {mean_ratio(rows):.2f}")


def write_results(machine: Row, rows: Sequence[Row], page: Path = RESULTS) -> None:
    """Write the section on training steps on a GPU, with the date of the measurement and the GPU.

    What was measured on other GPUs has sections of its own.
    """
    if not rows:
        return
    body = "\n\n".join([EXPLAINED, f"{gpu_machine.peaks_line(machine)}. {verdict(rows)}.",
                        table(rows)])
    name = "".join(c if c.isalnum() else "_" for c in machine["gpu"].lower())
    write_section(f"gpu_step_{name}", f"Training steps on {machine['gpu']}", body, page,
                  date=machine["date"], stamp=gpu_machine.line(machine))
