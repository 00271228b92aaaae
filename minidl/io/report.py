"""What loading weights did: what went where, what was left over, and the self-check."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

Shape = tuple[int, ...]
COLUMNS = ("Ours", "Shape", "Theirs", "Shape", "Turned")


@dataclass(frozen=True)
class Row:
    """One array: where it came from and where it went.

    Attributes:
        ours: path of the weight in the model.
        shape: ours.
        theirs: name in the file.
        their_shape: as the file has it.
        turned: how the array was brought into our form; "as is" where it was not.
        loaded: False where the shapes differ, so that nothing was taken over.
    """

    ours: str
    shape: Shape
    theirs: str
    their_shape: Shape
    turned: str
    loaded: bool = True

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns."""
        return (self.ours, shape_text(self.shape), self.theirs, shape_text(self.their_shape),
                self.turned)


def shape_text(shape: Shape) -> str:
    """Return a shape as tables have it.

    >>> shape_text((3, 3, 64)), shape_text(())
    ('3 x 3 x 64', '1')
    """
    return " x ".join(map(str, shape)) or "1"


@dataclass
class Report:
    """What went where; `str` gives the text.

    Attributes:
        source: the file and its format.
        rows: one for every array that was matched.
        left_over: arrays of the file that went nowhere, with shapes.
        missing: weights of the model that kept their values, with shapes.
        notes: what was passed over, what a file of this kind does not hold, what looks wrong.
        check: the result of turning the model's weights back and comparing them with the file.
    """

    source: str
    rows: list[Row] = field(default_factory=list)
    left_over: dict[str, Shape] = field(default_factory=dict)
    missing: dict[str, Shape] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    check: str = ""

    @property
    def loaded(self) -> list[Row]:
        """The rows whose arrays are in the model now."""
        return [row for row in self.rows if row.loaded]

    @property
    def names(self) -> dict[str, str]:
        """What the file calls the layers, by their path in the model; `save_torch` takes it."""
        return {row.ours.rpartition("/")[0]: row.theirs.rpartition(".")[0] for row in self.rows}

    @property
    def complete(self) -> bool:
        """Whether every weight of the model and every array of the file has its partner."""
        return not (self.left_over or self.missing) and len(self.loaded) == len(self.rows)

    @property
    def lines(self) -> list[str]:
        """What stands below the table."""
        return [f"Loaded: {len(self.loaded)} arrays, "
                f"{sum(_size(row.shape) for row in self.loaded):,} values",
                *_listed("Left over in the file", self.left_over),
                *_listed("Missing in the file", self.missing),
                *(f"Check: {self.check}" for _ in range(bool(self.check))),
                *(f"Note: {note}" for note in self.notes)]

    def __str__(self) -> str:
        cells = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        rule = "-" * max(map(len, table))
        return "\n".join([self.source, rule, table[0], rule, *table[1:], rule, *self.lines])

    def show(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Print a table with rules on a terminal, plain text elsewhere or to `print_fn`."""
        if print_fn is not None or not sys.stdout.isatty():
            (print_fn or print)(str(self))
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
        table = Table(title=Text(self.source), title_justify="left")
        for column in COLUMNS:
            table.add_column(column)
        for row in self.rows:
            table.add_row(*map(Text, row.cells()))
        console = Console()
        console.print(table)
        console.print(Text("\n".join(self.lines)))


def _size(shape: Shape) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _listed(label: str, arrays: dict[str, Shape]) -> list[str]:
    return [f"{label}: {named_shapes(arrays)}"] if arrays else []


def named_shapes(arrays: dict[str, Shape], most: int = 8) -> str:
    """Return names with shapes as text, the first few of many.

    >>> named_shapes({"fc.weight": (10, 512), "fc.bias": (10,)}, most=1)
    'fc.weight (10, 512) and 1 more'
    """
    shown = ", ".join(f"{name} {shape}" for name, shape in list(arrays.items())[:most])
    return shown if len(arrays) <= most else f"{shown} and {len(arrays) - most} more"
