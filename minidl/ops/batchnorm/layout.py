"""How x is laid out for normalising groups of channels: (samples, rows, width).

Statistics are taken per sample and group over all its rows; for batch normalisation the whole batch
is one sample, and every channel a group. Rows are cut into parts whose sums are added in order, and
neighbouring rows are laid side by side (`fold`) where channels are few; width = fold * channels.
All numbers follow from the shape alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ... import config
from ...spec import Shape, Spec
from ..reduce.layout import fold_of, rows_of_part

FLOAT64 = np.dtype("float64")
SPAN = 32  # rows that are summed in the type of x; such sums are added up in float64


class Layout(NamedTuple):
    """Numbers of one normalisation; `rows` are those after folding."""

    samples: int
    rows: int
    channels: int
    groups: int
    fold: int

    @property
    def width(self) -> int:
        """Length of a row after folding."""
        return self.fold * self.channels

    @property
    def length(self) -> int:
        """Number of rows of a part; the last part of a sample may have fewer."""
        return rows_of_part(self.rows, self.width)

    @property
    def parts(self) -> int:
        """Number of parts of a sample's rows."""
        return max(1, -(-self.rows // self.length))

    def tasks(self, grain: int) -> tuple[int, int]:
        """Return the number of parts of all samples, and how many make a range of `grain`."""
        size = min(self.length, self.rows) * self.width
        return self.samples * self.parts, max(1, grain // max(size, 1))

    def sums(self, count: int = 2) -> Spec:
        """Return the spec of `count` sums per part and column."""
        return Spec((self.samples, self.parts, count, self.width), FLOAT64)

    def terms(self, count: int, dtype: np.dtype) -> Spec:
        """Return the spec of `count` numbers per sample and column."""
        return Spec((self.samples, count, self.width), dtype)

    def lanes(self, count: int, dtype: np.dtype) -> Spec:
        """Return the spec of `count` short sums per thread and column."""
        return Spec((config.num_threads(), count, self.width), dtype)

    def added(self) -> dict[str, Spec]:
        """Return the specs of two sums per part, per column and per channel."""
        return {"sums": self.sums(), "total": Spec((self.samples, 2, self.width), FLOAT64),
                "moments": Spec((self.samples, 2, self.channels), FLOAT64)}


def layout(shape: Shape, groups: int | None = None) -> Layout:
    """Return the layout for x (N, ..., C); without groups the batch is one sample."""
    channels = shape[-1]
    samples = 1 if groups is None else shape[0]
    rows = math.prod(shape[:-1]) // max(samples, 1)
    fold = fold_of(rows, channels)
    return Layout(samples, rows // fold, channels, groups or channels, fold)


# ---- workspaces ----------------------------------------------------------------------------


def _forward(x: Spec, plan: Layout) -> dict[str, Spec]:
    return {**plan.added(), "lanes": plan.lanes(2, x.dtype), "terms": plan.terms(3, x.dtype),
            "near": Spec((plan.samples, plan.width), x.dtype),
            "large": Spec((plan.samples, plan.channels), x.dtype)}


def batch_norm_workspace(x: Spec, gamma: Spec | None, beta: Spec | None, epsilon: float
                         ) -> dict[str, Spec]:
    """Return the work arrays of batch_norm."""
    return _forward(x, layout(x.shape))


def group_norm_workspace(x: Spec, gamma: Spec | None, beta: Spec | None, groups: int,
                         epsilon: float) -> dict[str, Spec]:
    """Return the work arrays of group_norm; the variances of the groups are not kept."""
    return _forward(x, layout(x.shape, groups)) | {"var": Spec((x.shape[0], groups), x.dtype)}


def inference_workspace(x: Spec, mean: Spec, var: Spec, gamma: Spec | None, beta: Spec | None,
                        epsilon: float) -> dict[str, Spec]:
    """Return the work arrays of batch_norm_inference."""
    return {"terms": layout(x.shape).terms(3, x.dtype)}


def _backward(gy: Spec, plan: Layout) -> dict[str, Spec]:
    return {**plan.added(), "lanes": plan.lanes(2, gy.dtype), "terms": plan.terms(5, gy.dtype),
            "totals": Spec((2, plan.channels), FLOAT64)}


def batch_gradient_workspace(gy: Spec, *_: Spec | None, input_gradient: bool) -> dict[str, Spec]:
    """Return the work arrays of batch_norm_gradient."""
    return _backward(gy, layout(gy.shape))


def group_gradient_workspace(gy: Spec, *_: Spec | None, groups: int, input_gradient: bool
                             ) -> dict[str, Spec]:
    """Return the work arrays of group_norm_gradient."""
    return _backward(gy, layout(gy.shape, groups))
