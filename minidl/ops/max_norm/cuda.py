"""GPU kernel of max_norm: squared norms by the reductions, then every element is scaled."""

from __future__ import annotations

import math

import numpy as np

from ...backend.arrays import address
from ...backend.device import Source, blocks_for
from ...spec import Spec
from ..reduce.cuda import reduce, workspace_of
from ..registry import kernel_for
from .op import EPSILON

CODE = Source(__file__, "max_norm.cu")
THREADS = 256
VECTOR = 16  # bytes that a thread loads at once


def _workspace(w: Spec, max_value: float, axis: tuple[int, ...]) -> dict[str, Spec]:
    left = w.shape[:axis[0]] + w.shape[axis[-1] + 1:]
    return {"squares": Spec(left, np.dtype("float64")), **workspace_of("Squares", w, axis)}


@kernel_for("max_norm", workspace=_workspace)
def max_norm(w: np.ndarray, *, out: np.ndarray, saved: dict[str, np.ndarray],
             work: dict[str, np.ndarray], max_value: float, axis: tuple[int, ...]) -> None:
    """Write w with its vectors along `axis` scaled down into out."""
    if not w.size:
        return
    reduce("Squares", w, work["squares"], work, axis)
    rows, after = (math.prod(w.shape[axis[0]:axis[-1] + 1]), math.prod(w.shape[axis[-1] + 1:]))
    row, width = (after if after > 1 else rows), VECTOR // w.dtype.itemsize
    while row % width or any(address(a) % (width * w.dtype.itemsize) for a in (w, out)):
        width //= 2
    units = w.size // width
    CODE.launch("scaled", w.dtype, blocks_for(units, THREADS), THREADS, w, work["squares"], out,
                units, rows if after > 1 else 1, row // width, float(max_value), EPSILON,
                defines={"WIDTH": str(width), "SPREAD": str(int(after > 1))})
