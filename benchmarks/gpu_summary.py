"""Sums up what `run_gpu.sh` measured.

    python benchmarks/gpu_summary.py FOLDER [--results]

Prints a page in Markdown: the machine, what the tests say, a table of training steps for each group
of jobs, the ops that lose most to PyTorch, profiles, and what failed. `--results` writes the steps
into RESULTS.md as well.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import gpu_machine
import gpu_ops
import gpu_profile
import gpu_tables
from results import markdown_table

GROUPS = {"small": "Small networks, the source's batch", "small_compile": "Small networks against "
          "torch.compile", "big": "Large networks", "small_bf16": "Small networks in bf16",
          "big_bf16": "Large networks in bf16", "large": "Large batches", "fed": "Batches from the "
          "host", "more": "More small networks", "big_compile": "Large networks against "
          "torch.compile"}
MOST_OPS, MOST_LAUNCHES, TAIL = 40, 20, 15

Row = dict[str, Any]


def load(folder: Path) -> dict[str, Row]:
    """Return what the jobs wrote, by their names; a file that was cut off is left out."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        try:
            found[file.stem] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue
    return found


def groups(found: dict[str, Row]) -> dict[str, list[Row]]:
    """Return the rows of training steps by group, those of GROUPS first."""
    rows: dict[str, list[Row]] = {name: [] for name in GROUPS}
    for name, result in found.items():
        rows.setdefault(name.partition(".")[0], []).extend(result.get("rows", []))
    return {name: some for name, some in rows.items() if some}


def tail(folder: Path, name: str, lines: int = TAIL) -> str:
    """Return the end of what a job printed."""
    log = folder / f"{name}.log"
    if not log.exists():
        return ""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])


def failures(folder: Path) -> list[str]:
    """Return the jobs that did not end well, each with its last line."""
    names = [log.stem for log in sorted(folder.glob("*.log"))
             if not (folder / f"{log.stem}.done").exists()]
    return [f"- `{name}`: {(tail(folder, name, 1) or 'printed nothing')[:300]}" for name in names]


def tests(folder: Path) -> str:
    """Return what the tests of the GPU said, in a line."""
    lines = re.findall(r"^.*\d+ (?:passed|failed|error).*$", tail(folder, "tests", 100), re.M)
    return lines[-1].strip("= ") if lines else "not run to their end"


def page(folder: Path) -> str:
    """Return the page."""
    found = load(folder)
    machine = found.get("machine")
    parts = ["# A GPU's benchmarks"]
    if machine:
        parts.append(f"{machine['date']}: {gpu_machine.line(machine)}; "
                     f"{gpu_machine.peaks_line(machine)}.")
    if (folder / "tests.log").exists():
        parts.append(f"Tests of the GPU: {tests(folder)}.")
    for name, rows in groups(found).items():
        parts += [f"## {GROUPS.get(name, name)}", f"{gpu_tables.verdict(rows)}.",
                  gpu_tables.table(rows)]
    parts += ops_part(found) + profile_parts(found)
    if lines := failures(folder):
        parts += ["## Failed, cut off, or running", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def ops_part(found: dict[str, Row]) -> list[str]:
    """Return the ops that lose most."""
    rows = [row for result in found.values() for row in result.get("ops", [])]
    if not rows:
        return []
    return ["## Ops, those that lose most to PyTorch first", markdown_table(
        gpu_ops.HEAD, [gpu_ops.cells(row) for row in gpu_ops.slowest(rows)[:MOST_OPS]])]


def profile_parts(found: dict[str, Row]) -> list[str]:
    """Return the profiles."""
    parts = []
    for profile in (result["profile"] for result in found.values() if "profile" in result):
        parts += [f"## Profile of {profile['network']}, batch {profile['batch']}",
                  f"{profile['step_ms'] * 1e3:.0f} us a step.",
                  markdown_table(gpu_profile.OP_HEAD, gpu_profile.op_cells(profile)),
                  markdown_table(gpu_profile.HEAD,
                                 gpu_profile.launch_cells(profile)[:MOST_LAUNCHES])]
    return parts


def main() -> int:
    """Print the page."""
    folder = Path(sys.argv[1])
    print(page(folder))
    found = load(folder)
    if "--results" in sys.argv[2:] and "machine" in found:
        rows = [row for some in groups(found).values() for row in some]
        gpu_tables.write_results(found["machine"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
