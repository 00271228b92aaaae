"""The summary of a model: one run for shapes alone, watched at the waist and on the tape."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import config, dispatch
from ..autograd import tape
from ..autograd.tensor import Tensor
from ..errors import GraphError
from ..spec import Spec
from ..watch import hooked, multiply_adds
from .graph import LENGTHS
from .holder import shapes_only
from .model import Model
from .module import Module, stand_in
from .peak import Peak, peak_of, size_text
from .shapes import map_shapes
from .tree import leaves, map_tree

COLUMNS = ("Layer", "Type", "Output shape", "Parameters", "Multiply-adds", "Saved")


@dataclass
class Row:
    """One line: a layer, or an operation that a hand-written `forward` calls itself.

    Attributes:
        shape: of the output, without the batch.
        parameters: weights that no earlier row counts.
        multiply_adds: per sample, of convolutions and matrix products.
        saved: bytes kept for backward per sample.
    """

    name: str
    kind: str
    shape: Any = ()
    parameters: int = 0
    multiply_adds: int = 0
    saved: int = 0
    start: int = 0

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns."""
        return (self.name, self.kind, _shape_text(self.shape), f"{self.parameters:,}",
                f"{self.multiply_adds:,}", size_text(self.saved))


def _shape_text(shape: Any) -> str:
    if isinstance(shape, (list, tuple)) and shape and not isinstance(shape[0], int):
        return ", ".join(map(_shape_text, shape))
    return " x ".join(map(str, shape)) or "1"


@dataclass
class Summary:
    """The rows and totals; `str` gives the text.

    Attributes:
        peak: memory of a training step, None where the model cannot be trained by `fit`.
    """

    title: str
    rows: list[Row] = field(default_factory=list)
    trainable: int = 0
    frozen: int = 0
    peak: Peak | None = None

    @property
    def totals(self) -> list[tuple[str, str]]:
        """Labels and texts of the lines below the table."""
        return [("Parameters", f"{self.trainable + self.frozen:,}"),
                ("  trainable", f"{self.trainable:,}"), ("  not trainable", f"{self.frozen:,}"),
                ("Multiply-adds per sample", f"{sum(r.multiply_adds for r in self.rows):,}"),
                ("Saved for backward per sample", size_text(sum(r.saved for r in self.rows))),
                *(self.peak.lines() if self.peak else ())]

    def __str__(self) -> str:
        cells = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(_aligned(*part) for part in zip(row, widths, range(6), strict=True))
                 for row in cells]
        rule = "-" * max(map(len, lines))
        totals = [f"{label}: {text}" for label, text in self.totals]
        return "\n".join([self.title, rule, lines[0], rule, *lines[1:], rule, *totals])

    def show(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print a table with rules on a terminal, plain text elsewhere or to `print_fn`."""
        if print_fn is not None or not sys.stdout.isatty():
            (print_fn or print)(str(self))
            return
        from rich.console import Console
        from rich.table import Table
        table = Table(title=self.title, title_justify="left")
        for i, column in enumerate(COLUMNS):
            table.add_column(column, justify="left" if i < 3 else "right")
        for row in self.rows:
            table.add_row(*row.cells())
        console = Console()
        console.print(table)
        console.print("\n".join(f"{label}: {text}" for label, text in self.totals))


def _aligned(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < 3 else text.rjust(width)


# ---- the run -------------------------------------------------------------------------------


class _Watch:
    """Collects rows while the model runs: module hooks open and close them, ops fill them."""

    def __init__(self, model: Module, expand_nested: bool) -> None:
        self.rows: list[Row] = []
        self.open: Row | None = None
        self.counted: set[int] = set()
        found = _row_modules(model, expand_nested)
        self.names = {id(module): name for name, module in found.items()}
        self.modules = list(found.values())

    def hooks(self) -> AbstractContextManager[None]:
        """Watch inside the block."""
        return hooked(self.modules, self._before, self._after, self._op)

    def _before(self, module: Module, inputs: Any) -> None:
        self.open = self._row(self.names[id(module)], type(module).__name__)

    def _after(self, module: Module, inputs: Any, y: Any) -> None:
        row = self.open or self.rows[-1]
        row.shape = map_tree(lambda t: t.shape[1:], y)
        tensors = [*module.parameters(), *module.named_buffers().values()]
        row.parameters = sum(t.size for t in tensors if id(t) not in self.counted)
        self.counted.update(map(id, tensors))
        self.open = None
        self._row("", "")  # what the model computes itself after the layer is not the layer's

    def _op(self, call: dispatch.Call, compute: Callable[[], None]) -> None:
        compute()
        row = self.open
        if row is None:
            row = self._row(call.plan.op.name, "(operation)")
            row.shape = call.out[0].shape[1:]
        row.multiply_adds += multiply_adds(call)

    def _row(self, name: str, kind: str) -> Row:
        row = Row(name, kind, start=next(tape._numbers))  # a mark between the nodes of the tape
        self.rows.append(row)
        return row


def _row_modules(model: Module, expand_nested: bool) -> dict[str, Module]:
    if not model.named_children():
        return {model.name or model.default_name(): model}
    if expand_nested:
        return {path: m for path, m in model.named_modules().items() if not m.named_children()}
    return model.named_children()


def summarize(model: Module, input_shape: Any = None, expand_nested: bool = False,
              batch_size: int = 32) -> Summary:
    """Return the rows and totals of a model; see `Module.summary`."""
    inputs = _stand_ins(model, input_shape)
    if not model.built:
        with shapes_only(model, False), config.no_grad():
            model(*inputs)
    watch = _Watch(model, expand_nested)
    with shapes_only(model, True), config.enable_grad(), watch.hooks():
        y = model(*inputs)
    _add_saved(watch.rows, y, model)
    trainable = sum(p.size for p in model.trainable_parameters())
    rows = [row for row in watch.rows if row.kind]
    title = f"{type(model).__name__}: {model.name}" if model.name else type(model).__name__
    peak = peak_of(model, inputs[0], batch_size) if len(inputs) == 1 else None
    return Summary(title, rows, trainable, model.count_parameters() - trainable, peak)


def _stand_ins(model: Module, input_shape: Any) -> list[Any]:
    """Return inputs of batch 1, of the given shape, the graph's, or that of the first call."""
    def of_shape(shape: tuple[int | None, ...], dtype: Any = "float32") -> Tensor:
        lengths = (LENGTHS[0] if n is None else n for n in shape)
        return stand_in(Spec((1, *lengths), np.dtype(dtype)))

    if input_shape is not None:
        return [map_shapes(of_shape, input_shape)]
    if model._seen is not None:
        return list(map_tree(lambda s: of_shape(s.shape[1:], s.dtype) if isinstance(s, Spec) else s,
                             model._seen))
    symbols = model.inputs if isinstance(model, Model) else getattr(model, "_symbols", [])[:1]
    if not symbols:
        raise GraphError("summary", "the input's shape is not known yet", "expected input_shape, "
                         "without the batch", "Give summary(input_shape=(28, 28, 1)).")
    given = [of_shape(s.shape[1:], s.dtype) for s in symbols]
    return [given] if isinstance(model, Model) and not model._single else given


def _add_saved(rows: list[Row], y: Any, model: Module) -> None:
    """Add to each row the bytes of what the nodes made since its start saved first."""
    weights = [*model.parameters(), *model.named_buffers().values()]
    seen = {id(_owner(t.array)) for t in weights}
    starts = [row.start for row in rows]
    for node in _nodes(y):
        row = rows[bisect_right(starts, node.number) - 1]
        for kept in node.saved.values():
            if kept is not None and id(_owner(kept.array)) not in seen:
                seen.add(id(_owner(kept.array)))
                row.saved += kept.array.nbytes


def _owner(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _nodes(y: Any) -> list[tape.Node]:
    """Return the nodes behind tensors, in the order they were made."""
    found: set[tape.Node] = set()
    pending = [t.node for t in leaves(y) if t.node is not None]
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += [p for p in node.parents.values() if isinstance(p, tape.Node)]
    return sorted(found, key=lambda node: node.number)
