"""GPU kernels of the matrix products on tensor cores (`mma.cu`).

Two variants: "mma" multiplies float32 as TF32, with 10 bits of mantissa and sums in float32;
"mma_exact" takes three such products and comes near float32. `config.avoid` chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from ...backend.arrays import address
from ...backend.device import Source, blocks_for, integers
from ...backend.mma import cut
from ...spec import Shape, Spec
from ..pointwise.cuda import joined, steps
from ..registry import kernel_for
from .op import as_rows

CODE = Source(__file__, "mma.cu")
VECTOR = 16          # bytes that a thread copies at once
LIMIT = 1 << 31      # of lengths
MOST_BLOCKS = 65535  # of a grid's third axis
MOST_AXES = 8
TOLERANCE, EXACT_TOLERANCE = 1000, 4

Array = np.ndarray


# ---- variants ------------------------------------------------------------------------------


def _sizes(a: Spec, b: Spec) -> tuple[Shape, int, int, int]:
    """Return the leading axes of a product, and m, n, k."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2] if b.ndim > 2 else ())
    return lead, a.shape[-2], b.shape[-1], a.shape[-1]


def _accepts(exact: bool, a: Spec, b: Spec, bias: Spec | None = None) -> bool:
    """Say whether numbers fit in 32 bits and the type is one of tensor cores."""
    lead, *lengths = _sizes(a, b)
    return (a.dtype.itemsize in ((4,) if exact else (2, 4)) and len(lead) <= MOST_AXES
            and math.prod(lead) <= MOST_BLOCKS and math.prod(lead) * max(lengths) < LIMIT)


def _workspace(exact: bool, a: Spec, b: Spec, bias: Spec | None = None) -> Mapping[str, Spec]:
    """Return the spec of the parts of sums; leading axes may become rows, or not."""
    lead, m, n, k = _sizes(a, b)
    count, item = math.prod(lead), a.dtype.itemsize
    parts = max(cut(m, n, k, count, item, exact).parts, cut(count * m, n, k, 1, item, exact).parts)
    return {"partial": Spec((parts, count * m * n), np.dtype("float32"))} if parts > 1 else {}


def _variants(name: str) -> Callable[[Callable], Callable]:
    """Decorate the function of an op; it also gets `exact`."""
    def note(function: Callable) -> Callable:
        for algorithm, exact in (("mma", False), ("mma_exact", True)):
            kernel_for(name, algorithm=algorithm, accepts=partial(_accepts, exact),
                       workspace=partial(_workspace, exact),
                       tolerance=EXACT_TOLERANCE if exact else TOLERANCE,
                       )(partial(function, exact=exact))
        return function
    return note


# ---- the ops -------------------------------------------------------------------------------


@_variants("matmul")
def matmul(a: Array, b: Array, *, out: Array, saved: dict, work: dict, exact: bool) -> None:
    """Write a b."""
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous and a.size:
        a, out = as_rows(a), as_rows(out)
    _product(a, b, None, out, work, exact)


@_variants("linear")
def linear(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict,
           exact: bool) -> None:
    """Write x w + b."""
    _product(as_rows(x), w, b, as_rows(out), work, exact)


@_variants("linear_relu")
def linear_relu(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict,
                exact: bool) -> None:
    """Write max(x w + b, 0)."""
    _product(as_rows(x), w, b, as_rows(out), work, exact, "1")


# ---- launches ------------------------------------------------------------------------------


def _product(a: Array, b: Array, bias: Array | None, out: Array, work: dict, exact: bool,
             relu: str = "0") -> None:
    """Write a b (+ bias) into out, which is C-contiguous."""
    if not out.size:
        return
    lead, (m, n), k = out.shape[:-2], out.shape[-2:], a.shape[-1]
    count, item = math.prod(lead), out.dtype.itemsize
    c = cut(m, n, k, count, item, exact)
    part = work["partial"] if c.parts > 1 else None
    (a_row, a_k), (b_k, b_column) = steps(a, a.shape)[-2:], steps(b, b.shape)[-2:]
    shape, leads = joined(lead, [steps(x, (*lead, *x.shape[-2:]))[:-2] for x in (a, b)])
    along = (_along(a_row, a_k), _along(b_column, b_k))
    defines = {**c.tile.defines(), "EXACT": str(int(exact)), "RELU": relu,
               "A_ALONG": str(int(along[0])), "B_ALONG": str(int(along[1])),
               "A_WIDE": _wide(a, -1 if along[0] else -2),
               "B_WIDE": _wide(b, -2 if along[1] else -1), "C_WIDE": _wide(out, -1)}
    numbers = integers((m, n, k, c.share, a_row, a_k, b_k, b_column, len(shape)), 9)
    CODE.launch("product", out.dtype, (c.blocks, c.parts, count), c.tile.threads, a, b, bias, out,
                part, numbers + b"".join(map(integers, (shape, *leads))),
                shared=c.tile.shared(item, along), defines=defines)
    if part is not None:
        CODE.launch("finish", out.dtype, blocks_for(out.size), 256, part, bias, None, out,
                    out.size, n, c.parts, defines={"RELU": relu})


def _along(across: int, k: int) -> bool:
    """Say whether neighbours along k lie nearer than those across it."""
    return k == 1 or (across != 1 and abs(k) <= abs(across))


def _wide(x: Array, axis: int) -> str:
    """Return how many elements along an axis can be copied at once: at most 16 bytes."""
    item, width = x.dtype.itemsize, VECTOR // x.dtype.itemsize
    apart = [s for i, (n, s) in enumerate(zip(x.shape, x.strides, strict=True))
             if n > 1 and i != axis % x.ndim]
    if x.shape[axis] > 1 and x.strides[axis] != item:
        return "1"
    while width > 1 and (x.shape[axis] % width or any(
            place % (width * item) for place in (address(x), *apart))):
        width //= 2
    return str(width)
