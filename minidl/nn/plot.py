"""Pictures of a layer graph: SVG or PNG through matplotlib, and Mermaid text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import replacing

if TYPE_CHECKING:
    from .model import Model

BOX = (2.3, 0.62)    # inches: width and height of a box
GAP = (0.35, 0.42)   # inches between boxes, between rows
MOST_PIXELS = 30000  # of the longer side of a PNG


class Box:
    """A box or, without text, a place where a long edge passes a row.

    Attributes:
        lines: name, type and output shape.
        parents: the boxes whose outputs go in.
        row: distance from the inputs, along the longest way.
        x: horizontal place of the middle, in boxes.
        at: place of the middle in inches, from the left and from above.
        first: whether it is in the topmost row of its column.
    """

    def __init__(self, lines: list[str], parents: list[Box]) -> None:
        self.lines, self.parents = lines, parents
        self.children: list[Box] = []
        self.row: int = max((p.row + 1 for p in parents), default=0)
        self.x = 0.0
        self.at = 0.0, 0.0
        self.first = False


def boxes_of(model: Model) -> list[Box]:
    """Return the boxes of a model's inputs and layer calls, parents first."""
    boxes: list[Box] = []
    of_symbol: dict[Any, Box] = {}
    for symbol in model.inputs:
        lines = [symbol.node.name, "Input", str(symbol.shape)]
        of_symbol[symbol] = Box(lines, [])
        boxes.append(of_symbol[symbol])
    for node in model.nodes:
        parents = list({id(of_symbol[s]): of_symbol[s] for s in node.inputs}.values())
        shapes = ", ".join(str(s.shape) for s in node.symbols)
        box = Box([node.name, type(node.layer).__name__, shapes], parents)
        of_symbol.update(dict.fromkeys(node.symbols, box))
        boxes.append(box)
    return boxes


def mermaid(model: Model) -> str:
    """Return the graph as a Mermaid flowchart."""
    boxes = boxes_of(model)
    number = {id(box): f"n{i}" for i, box in enumerate(boxes)}
    lines = ["flowchart TD"]
    lines += [f'    {number[id(b)]}["{"<br/>".join(b.lines)}"]' for b in boxes]
    lines += [f"    {number[id(p)]} --> {number[id(b)]}" for b in boxes for p in b.parents]
    return "\n".join(lines)


# ---- layout --------------------------------------------------------------------------------


def layout(boxes: list[Box]) -> list[list[Box]]:
    """Place boxes in rows from the inputs down, with few crossings; long edges get bends."""
    placed = boxes + _bends(boxes)
    rows: list[list[Box]] = [[] for _ in range(max(box.row for box in placed) + 1)]
    for box in placed:
        rows[box.row].append(box)
        for parent in box.parents:
            parent.children.append(box)
    for row in rows:
        _spread(row, [float(i) for i in range(len(row))])
    for sweep in range(12):
        downward = sweep % 2 == 0
        for row in rows if downward else rows[::-1]:
            wanted = [_middle(box.parents if downward else box.children, box.x) for box in row]
            order = sorted(range(len(row)), key=wanted.__getitem__)
            row[:] = [row[i] for i in order]
            _spread(row, [wanted[i] for i in order])
    left = min(box.x for box in placed)
    for box in placed:
        box.x -= left
    return rows


def _bends(boxes: list[Box]) -> list[Box]:
    """Put a bend into every row that an edge passes; return the bends."""
    bends: list[Box] = []
    for box in boxes:
        for i, parent in enumerate(box.parents):
            while parent.row < box.row - 1:
                bend = Box([], [parent])
                bends.append(bend)
                parent = bend
            box.parents[i] = parent
    return bends


def _middle(others: list[Box], default: float) -> float:
    """Return the median place of the neighbours."""
    places = sorted(box.x for box in others)
    if not places:
        return default
    return (places[(len(places) - 1) // 2] + places[len(places) // 2]) / 2


def _spread(row: list[Box], wanted: list[float]) -> None:
    """Put boxes as near to their wanted places as their order and widths allow.

    Boxes that would overlap form a block, which sits at the mean of what its boxes want.
    """
    blocks: list[tuple[float, list[int]]] = []
    offsets = _offsets(row)
    for i in range(len(row)):
        block = [i]
        at = wanted[i] - offsets[i]
        while blocks and blocks[-1][0] > at:
            block = blocks.pop()[1] + block
            at = sum(wanted[j] - offsets[j] for j in block) / len(block)
        blocks.append((at, block))
    for at, block in blocks:
        for j in block:
            row[j].x = at + offsets[j]


def _offsets(row: list[Box]) -> list[float]:
    """Return the least distances of boxes from the first; bends are narrow."""
    offsets = [0.0]
    for a, b in pairwise(row):
        offsets.append(offsets[-1] + (0.5 if a.lines else 0.1) + (0.5 if b.lines else 0.1))
    return offsets


# ---- drawing -------------------------------------------------------------------------------


def plot(model: Model, path: str, columns: int = 1, dpi: float = 150.0) -> None:
    """Draw a model's graph into a file, SVG or PNG by its ending.

    Args:
        columns: a long graph is folded into at most so many, after layers that all go through.
        dpi: dots per inch of a PNG, fewer where it would be too large.

    Raises:
        CheckpointError: the file cannot be written, or pictures with that ending cannot.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    rows = layout(boxes_of(model))
    parts = fold(rows, columns)
    across, down = BOX[0] + GAP[0], BOX[1] + GAP[1]
    wide = (max(box.x for row in rows for box in row) + 1) * across
    width, height = wide * len(parts), max(map(len, parts)) * down
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for number, part in enumerate(parts):
        _place(part, number * wide, across, down)
    for row in rows:
        for box in row:
            _draw(axes, box)
    target = Path(path)
    with replacing(target) as aside:
        figure.savefig(aside, format=target.suffix[1:] or "png",
                       dpi=min(dpi, MOST_PIXELS / max(width, height)))


def fold(rows: list[list[Box]], columns: int) -> list[list[list[Box]]]:
    """Cut rows into at most so many parts of about one length, each after a row of one box.

    >>> [len(part) for part in fold([[Box(["a"], [])] for _ in range(7)], 2)]
    [4, 3]
    """
    cuts = [i for i in range(1, len(rows)) if len(rows[i - 1]) == 1]
    wanted = [round(len(rows) * n / columns + 0.01) for n in range(1, columns)]
    nearest = {min((abs(cut - n), cut) for cut in cuts)[1] for n in wanted if cuts}
    ends = [0, *sorted(nearest), len(rows)]
    return [rows[first:last] for first, last in pairwise(ends)]


def _place(part: list[list[Box]], left: float, across: float, down: float) -> None:
    """Give the boxes of a column their places in inches; arrows from elsewhere start above it."""
    for at, row in enumerate(part):
        for box in row:
            box.at = left + (box.x + 0.5) * across, (at + 0.5) * down
            box.first = not at


def _draw(axes: Any, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch
    (x, y), half = box.at, BOX[1] / 2
    for parent in box.parents:
        above = (x, y - half - GAP[1] / 2) if box.first else (parent.at[0], parent.at[1] + half)
        if box.first:  # of a further column: half an arrow here, half at the foot of the last
            end = parent.at[0], parent.at[1] + half
            axes.plot([end[0]] * 2, [end[1], end[1] + GAP[1] / 2], color="0.35", linewidth=1)
        style = "-|>" if box.lines else "-"
        axes.annotate("", (x, y - half), above, arrowprops={
            "arrowstyle": style, "color": "0.35", "linewidth": 1, "shrinkA": 0, "shrinkB": 0})
    if not box.lines:
        axes.plot([x, x], [y - half, y + half], color="0.35", linewidth=1)
        return
    axes.add_patch(FancyBboxPatch(
        (x - BOX[0] / 2, y - half), *BOX, boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=_colour(box.lines[1]), edgecolor="0.3", linewidth=0.8))
    for i, (line, weight) in enumerate(zip(box.lines, ("bold", "normal", "normal"), strict=True)):
        axes.text(x, y + (i - 1) * 0.18, line, ha="center", va="center", fontweight=weight,
                  fontsize=min(8.0, 8.0 * 34 / max(len(line), 1)))


_COLOURS = (("Input", "#e8e8e8"), ("Conv", "#cfe2f7"), ("Dense", "#f7dcc4"), ("Pool", "#d3efd2"),
            ("Normal", "#efe0f5"), ("Dropout", "#fbf3c7"), ("Concatenate", "#f6cfd4"),
            ("Add", "#f6cfd4"))


def _colour(kind: str) -> str:
    return next((colour for part, colour in _COLOURS if part in kind), "#f7f7f7")
