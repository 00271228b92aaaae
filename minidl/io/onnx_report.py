"""What a file in the ONNX format holds, against what minidl made of it or wrote into it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class OnnxReport:
    """A table of layers and nodes with a few sentences; `str` gives the text.

    Attributes:
        title: what was done with which file.
        columns: the heads of the table.
        rows: the lines of the table.
        notes: sentences below it: the layout, what was not used, the self-check.

    >>> print(OnnxReport("net.onnx", ("Layer", "Nodes"), [("conv1", "Conv")], ["Input: (N, 3)."]))
    net.onnx
    Layer  Nodes
    conv1  Conv
    Input: (N, 3).
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [_line(row, widths) for row in lines]
        return "\n".join([self.title, *table, *self.notes])

    def show(self) -> None:
        """Print a table with rules on a terminal, plain text elsewhere."""
        if not sys.stdout.isatty():
            print(self)
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
        table = Table(*self.columns, title=escape(self.title), title_justify="left")
        for row in self.rows:
            table.add_row(*map(escape, row))
        console = Console()
        console.print(table)
        console.print("\n".join(map(escape, self.notes)))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip()


def shape_text(shape: Sequence[int | str | None]) -> str:
    """Return a shape with the batch as N and other unknown lengths as "?".

    >>> shape_text((None, 3, None, 32))
    '(N, 3, ?, 32)'
    """
    parts = ["?" if n is None else str(n) for n in shape[1:]]
    return f"({', '.join(['N', *parts])}{',' if not parts else ''})"
