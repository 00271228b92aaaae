"""CPU kernels of the ops that rearrange: mostly NumPy's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...backend.rows import copy
from ...spec import Shape
from .op import Index, inside


def take(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, index: Index) -> None:
    """Write x[index]."""
    copy(x[index.parts], out)


def getitem_gradient(gy: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, index: Index,
                     shape: Shape) -> None:
    """Write gx: 0 but for gx[index], which adds up gy."""
    out.fill(0)
    if index.basic:
        out[index.parts] = gy
    else:
        np.add.at(out, index.parts, gy)  # an element that was taken twice gets both gradients


def concat(*xs: np.ndarray, out: np.ndarray, saved: dict, work: dict, axis: int) -> None:
    """Write the arrays one after another."""
    first = 0
    for x in xs:
        last = first + x.shape[axis]
        copy(x, out[(slice(None),) * axis + (slice(first, last),)])
        first = last


def pad(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
        pads: Sequence[tuple[int, int]], value: float) -> None:
    """Write x with a border of one value."""
    out.fill(value)
    out[inside(pads, x.shape)] = x
