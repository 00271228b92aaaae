"""GPU kernel of dropout; threads draw the words of their elements, nothing is stored."""

from __future__ import annotations

import math

import numpy as np

from ...backend.arrays import address
from ...backend.device import Source, blocks_for, integers
from ...spec import Shape
from ..pointwise.cuda import joined
from ..registry import kernel_for
from .op import threshold

CODE = Source(__file__, "dropout.cu")
THREADS = 256
WORDS = 4  # of a counter


@kernel_for("dropout")
def dropout(x: np.ndarray, key: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
            rate: float, mask_shape: Shape) -> None:
    """Write x with a share of its elements, or of its groups of elements, set to 0."""
    given = (x, key, out, x.size, threshold(rate), 1 / (1 - rate))
    if tuple(mask_shape) == x.shape:
        width = _width(WORDS, x, out)
        CODE.launch("single", x.dtype, blocks_for(-(-x.size // WORDS), THREADS), THREADS, *given,
                    defines={"WIDTH": width})
        return
    shape, (strides,) = joined(x.shape, [_strides(x.shape, mask_shape)])
    width = _width(shape[-1] if shape else 1, x, out)
    CODE.launch("grouped", x.dtype, blocks_for(x.size // int(width), THREADS), THREADS, *given,
                len(shape), integers(shape), integers(strides), defines={
                    "WIDTH": width, "SHARE": str(strides[-1] if strides else 0),
                    "INDEX": "unsigned" if x.size < 1 << 32 else "Int"})


def _width(length: int, *arrays: np.ndarray) -> str:
    """Return how many elements are loaded at once: those of a counter, or one."""
    fits = all(address(a) % (WORDS * a.dtype.itemsize) == 0 for a in arrays)
    return str(WORDS if fits and length % WORDS == 0 else 1)


def _strides(shape: Shape, mask_shape: Shape) -> tuple[int, ...]:
    """Return the strides by which a mask is read, 0 along axes that share a draw."""
    return tuple(0 if m == 1 and n != 1 else math.prod(mask_shape[axis + 1:])
                 for axis, (n, m) in enumerate(zip(shape, mask_shape, strict=True)))
