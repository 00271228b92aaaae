"""How a reduction is laid out: as (outer, rows, columns), in two stages where it is long.

The first stage sums the rows of each of `parts` parts, the second what the first has made.
All numbers follow from the shape alone, and with them the order of every addition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ... import config
from ...spec import Shape, Spec

BLOCK = 1 << 14     # elements of a part, at least
MOST_PARTS = 64     # of one sum: the second stage is short
CHUNK = 256         # columns that are summed together: their totals stay in the L1 cache
FLOAT64 = np.dtype("float64")


class Layout(NamedTuple):
    """A reduction over the middle axis of (outer, rows, columns).

    Attributes:
        order: the axes of x, those that stay first, where those that go are not neighbours;
            x is copied in this order then.
        fold: neighbouring rows that are laid side by side, so that few columns become many.
    """

    outer: int
    rows: int
    columns: int
    order: tuple[int, ...] | None = None
    fold: int = 1

    @property
    def summed(self) -> int:
        """Number of elements that make one result."""
        return self.rows * self.fold

    @property
    def inner(self) -> int:
        """Number of columns before folding."""
        return self.columns // self.fold

    @property
    def parts(self) -> int:
        """Number of parts of the rows."""
        return max(1, -(-self.rows // self.length))

    @property
    def length(self) -> int:
        """Number of rows of a part; the last one may have fewer."""
        return rows_of_part(self.rows, self.columns)

    @property
    def staged(self) -> bool:
        """Whether there is a second stage."""
        return self.parts * self.fold > 1

    def folded(self) -> Layout:
        """Return the same reduction with rows side by side until they are wide enough."""
        fold = fold_of(self.rows, self.columns) if self.columns > 1 else 1
        return self._replace(rows=self.rows // fold, columns=self.columns * fold, fold=fold)

    def workspace(self, x: Spec) -> dict[str, Spec]:
        """Return the work arrays of the sums."""
        work = {"totals": Spec((config.num_threads(), CHUNK), FLOAT64)}
        if self.staged:
            work["partial"] = Spec((self.outer, self.parts, self.columns), FLOAT64)
            work["whole"] = Spec((self.outer, 1, self.inner), FLOAT64)
        return work | self.moved(x)

    def moved(self, x: Spec) -> dict[str, Spec]:
        """Return the work array for x in another order of its axes."""
        return {} if self.order is None else {
            "moved": Spec(tuple(x.shape[a] for a in self.order), x.dtype)}


@lru_cache(1 << 12)
def fold_of(rows: int, columns: int) -> int:
    """Return how many rows to lay side by side: a divisor of `rows`, `CHUNK` columns at most.

    >>> fold_of(1 << 15, 10), fold_of(1 << 15, 256), fold_of(20, 10)
    (16, 1, 1)
    """
    most = min(CHUNK // max(columns, 1), rows // 16)
    return next((f for f in range(most, 1, -1) if rows % f == 0), 1)


def rows_of_part(rows: int, columns: int) -> int:
    """Return how many rows make a part; the last part may have fewer.

    >>> rows_of_part(1 << 15, 256), rows_of_part(20, 256), rows_of_part(1 << 15, 1)
    (512, 64, 16384)
    """
    return max(1, BLOCK // min(max(columns, 1), CHUNK), -(-rows // MOST_PARTS))


def layout(shape: Shape, axis: Sequence[int]) -> Layout:
    """Return the layout of a reduction over axes in ascending order, not folded."""
    gone = [a for a in axis if shape[a] != 1]
    stays = [a for a in range(len(shape)) if a not in axis]
    if not gone:
        return Layout(1, 1, math.prod(shape))
    first, last = gone[0], gone[-1]
    if any(first < a < last and shape[a] != 1 for a in stays):
        return Layout(math.prod(shape[a] for a in stays), math.prod(shape[a] for a in axis), 1,
                      (*stays, *axis))
    return Layout(math.prod(shape[:first]), math.prod(shape[first:last + 1]),
                  math.prod(shape[last + 1:]))


# ---- workspaces ----------------------------------------------------------------------------


def sum_workspace(x: Spec, axis: Sequence[int], keepdims: bool) -> Mapping[str, Spec]:
    """Return the work arrays of sum and mean."""
    return layout(x.shape, axis).folded().workspace(x) if x.dtype.kind == "f" else {}


def var_workspace(x: Spec, axis: Sequence[int], keepdims: bool) -> Mapping[str, Spec]:
    """Return the work arrays of var, among them the means."""
    plan = layout(x.shape, axis)
    return plan.workspace(x) | {"middle": Spec((plan.outer, 1, plan.columns), FLOAT64)}


def extreme_workspace(x: Spec, axis: Sequence[int], keepdims: bool) -> Mapping[str, Spec]:
    """Return the work arrays of max and min."""
    plan = layout(x.shape, axis).folded()
    work = plan.moved(x)
    if plan.staged:
        work["partial"] = Spec((plan.outer, plan.parts, plan.columns), x.dtype)
    return work
