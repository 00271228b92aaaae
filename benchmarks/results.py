"""Tables as text and as Markdown, and the sections of RESULTS.md that the benchmarks write."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import machine, versions

RESULTS = Path(__file__).parent / "RESULTS.md"
PACKAGES = ("numpy", "numba", "torch")

Row = Sequence[Any]


def cell(value: Any) -> str:
    """Return a value as a table shows it: three significant figures, thousands apart.

    >>> cell(0.01234), cell(12.345), cell(1234.5), cell(21840), cell(None)
    ('0.0123', '12.3', '1,234', '21,840', '-')
    """
    if value is None or value != value:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    digits = next((d for limit, d in ((100, 0), (10, 1), (1, 2)) if abs(value) >= limit), 3)
    return f"{value:,.{digits}f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def weights(count: int) -> str:
    """Return a number of parameters in thousands or millions.

    >>> weights(21840), weights(58327810)
    ('21.8k', '58.3M')
    """
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.1f}k"


def text_table(head: Row, rows: Sequence[Row], gap: str = "  ") -> str:
    """Return columns of text, numbers to the right."""
    cells = [[cell(v) for v in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [all(isinstance(row[i], (int, float, type(None))) for row in rows)
             for i in range(len(head))]
    lines = [gap.join(c.rjust(w) if r else c.ljust(w)
                      for c, w, r in zip(row, widths, right, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in (lines[0], "-" * len(lines[0]), *lines[1:]))


def markdown_table(head: Row, rows: Sequence[Row]) -> str:
    """Return a table in Markdown."""
    body = [[cell(v) for v in row] for row in rows]
    lines = [[cell(v) for v in head], ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replace_section(text: str, name: str, body: str) -> str:
    """Return the text with the section of a benchmark replaced, or added at the end.

    A section lies between `<!-- NAME -->` and `<!-- /NAME -->`; all else stays as it is.
    """
    section = f"<!-- {name} -->\n{body.strip()}\n<!-- /{name} -->"
    pattern = rf"<!-- {re.escape(name)} -->.*?<!-- /{re.escape(name)} -->"
    if re.search(pattern, text, re.DOTALL):
        return re.sub(pattern, lambda _: section, text, flags=re.DOTALL)
    return f"{text.rstrip()}\n\n{section}\n".lstrip()


def write_section(name: str, title: str, body: str, path: Path = RESULTS,
                  date: str | None = None, stamp: str | None = None) -> None:
    """Write a benchmark's section of the results page, with date, machine and versions.

    Args:
        date: of the measurement; today by default.
        stamp: machine and versions, those of this machine by default.
    """
    date = date or datetime.date.today().isoformat()
    stamp = stamp or f"{machine()}; {versions(*PACKAGES)}"
    whole = f"## {title} ({date})\n\n{stamp}.\n\n{body}"
    before = path.read_text(encoding="utf-8") if path.exists() else "# Measured results\n"
    path.write_text(replace_section(before, name, whole), encoding="utf-8")


def write_json(path: str, rows: Any) -> None:
    """Write rows as JSON."""
    Path(path).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
