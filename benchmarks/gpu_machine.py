"""What the machine with the GPU is, and the peaks that the tables compare with.

    python benchmarks/gpu_machine.py [FILE]

Prints the facts, and writes them as JSON. The peaks are measured through PyTorch: products of
matrices of random numbers in bf16 and in TF32, and a copy (bytes read plus bytes written).
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from typing import Any

from gpu_time import TorchClock, per_step
from measure import machine, versions
from results import write_json

PACKAGES = ("numpy", "numba", "cupy-cuda13x", "cupy-cuda12x", "torch", "triton")
FIELDS = ("name", "driver_version", "memory.total", "clocks.max.sm", "power.limit")
SIZE = 8192          # of the matrices
COPIED = 1 << 30     # bytes
NOTHING = {"bf16_tflops": None, "tf32_tflops": None, "copy_gbs": None}


def facts(peaks: bool = True) -> dict[str, Any]:
    """Return what is known of the machine; without PyTorch or a GPU there are no peaks."""
    found = smi()
    return {"gpu": found.get("name", "no GPU"), "smi": found, "machine": machine(),
            "versions": versions(*PACKAGES), "date": datetime.date.today().isoformat(),
            **(measured() if peaks else NOTHING)}


def smi() -> dict[str, str]:
    """Return what nvidia-smi says of the first GPU; nothing where there is none."""
    try:
        done = subprocess.run(["nvidia-smi", f"--query-gpu={','.join(FIELDS)}",
                               "--format=csv,noheader"], capture_output=True, text=True,
                              timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {}
    return dict(zip(FIELDS, (part.strip() for part in lines[0].split(",")), strict=False))


def measured() -> dict[str, float | None]:
    """Return the peaks of the GPU."""
    try:
        import torch
    except ImportError:
        return dict(NOTHING)
    if not torch.cuda.is_available():
        return dict(NOTHING)
    torch.backends.cuda.matmul.allow_tf32 = True
    return {"bf16_tflops": product(torch.bfloat16), "tf32_tflops": product(torch.float32),
            "copy_gbs": copy()}


def product(dtype: Any) -> float:
    """Return the speed of a product of matrices in TFLOP/s."""
    import torch
    a, b = (torch.randn(SIZE, SIZE, device="cuda", dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    ms = per_step(lambda: torch.matmul(a, b, out=out), TorchClock(), 0.5, warm=10).ms
    return 2 * SIZE**3 / ms / 1e9


def copy() -> float:
    """Return the speed of a copy in GB/s."""
    import torch
    a = torch.randn(COPIED // 4, device="cuda")
    b = torch.empty_like(a)
    return 2 * COPIED / per_step(lambda: b.copy_(a), TorchClock(), 0.5, warm=10).ms / 1e6


def known(file: str | None) -> dict[str, Any]:
    """Return the facts that a file holds; without one those of this machine."""
    if file is None:
        return facts()
    if not os.path.exists(file):  # whoever should have written it failed
        return facts(peaks=False)
    with open(file, encoding="utf-8") as opened:
        return dict(json.load(opened))


def line(found: dict[str, Any]) -> str:
    """Return the facts in a line."""
    smi_facts = found.get("smi", {})
    parts = [found["gpu"], *(f"{label} {smi_facts[name]}" for label, name in (
        ("driver", "driver_version"), ("memory", "memory.total")) if name in smi_facts)]
    return f"{', '.join(parts)}; {found['machine']}; {found['versions']}"


def peaks_line(found: dict[str, Any]) -> str:
    """Return the peaks in a line."""
    if found.get("bf16_tflops") is None:
        return "peaks not measured"
    return (f"peaks (PyTorch): {found['bf16_tflops']:.0f} TFLOP/s in bf16, "
            f"{found['tf32_tflops']:.0f} in TF32, copies {found['copy_gbs']:.0f} GB/s")


def main() -> int:
    """Print the facts, and write them where a file is named."""
    found = facts()
    print(f"{line(found)}\n{peaks_line(found)}")
    if len(sys.argv) > 1:
        write_json(sys.argv[1], found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
