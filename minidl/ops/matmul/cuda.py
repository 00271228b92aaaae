"""GPU kernels of the matrix products, and `product`, by which other ops multiply matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.arrays import address
from ...backend.device import Source, blocks_for, integers
from ...spec import Shape, Spec
from ..pointwise.cuda import joined, steps
from ..registry import kernel_for
from .op import as_rows
from .tiles import Cut, cut

CODE = Source(__file__, "matmul.cu")
VECTOR = 16  # bytes that a thread loads at once
SUMMING = 32  # elements that a block adds up

Array = np.ndarray


# ---- workspace -----------------------------------------------------------------------------


def partial_spec(dtype: np.dtype, parts: int, m: int, n: int, count: int = 1) -> dict[str, Spec]:
    """Return the work array for the sums of `parts` parts of `count` products (m, n)."""
    wide = np.dtype("float64" if dtype.itemsize == 8 else "float32")
    return {"partial": Spec((parts * count * m * n,), wide)} if parts > 1 else {}


def matmul_workspace(a: Spec, b: Spec) -> dict[str, Spec]:
    """Return the specs of the work arrays; leading axes may become rows, or not."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    count = math.prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
    apart = partial_spec(a.dtype, cut(m, n, k, count).parts, m, n, count)
    joint = partial_spec(a.dtype, cut(count * m, n, k, 1).parts, count * m, n)
    return max(apart, joint, key=lambda specs: sum(s.size for s in specs.values()))


def linear_workspace(x: Spec, w: Spec, b: Spec | None) -> dict[str, Spec]:
    """Return the specs of the work arrays."""
    m, (k, n) = math.prod(x.shape[:-1]), w.shape
    return partial_spec(x.dtype, cut(m, n, k, 1).parts, m, n)


# ---- the ops -------------------------------------------------------------------------------


@kernel_for("matmul", algorithm="tiled", workspace=matmul_workspace)
def matmul(a: Array, b: Array, *, out: Array, saved: dict, work: dict) -> None:
    """Write a b."""
    lead = out.shape[:-2]
    if not out.size:
        return
    if lead and not any(steps(b, (*lead, *b.shape[-2:]))[:-2]) and _are_rows(a, lead):
        a, b, out = as_rows(a), b[(0,) * (b.ndim - 2)], as_rows(out)
    product(a, b, out, work)


def _are_rows(a: Array, lead: Shape) -> bool:
    """Return whether the leading axes of a and its rows are one axis."""
    return a.shape[:-2] == lead and a.size > 0 and len(
        joined(a.shape[:-1], [steps(a, a.shape)[:-1]])[0]) <= 1


@kernel_for("linear", algorithm="tiled", workspace=linear_workspace)
def linear(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict) -> None:
    """Write x w + b."""
    product(as_rows(x), w, as_rows(out), work, bias=b)


@kernel_for("linear_relu", algorithm="tiled", workspace=linear_workspace)
def linear_relu(x: Array, w: Array, b: Array | None, *, out: Array, saved: dict, work: dict
                ) -> None:
    """Write max(x w + b, 0)."""
    product(as_rows(x), w, as_rows(out), work, bias=b, relu=True)


# ---- products ------------------------------------------------------------------------------


def product(a: Array, b: Array, out: Array, work: dict, *, bias: Array | None = None,
            more: Array | None = None, relu: bool = False) -> None:
    """Write a b + bias + more, or 0 where that is less and `relu`.

    Args:
        a, b, out: (..., m, k), (..., k, n), (..., m, n), of any strides, but the rows of out lie
            together; leading axes of a and b are broadcast.
        work: holds "partial" of `partial_spec` where the cut has parts.
        bias: (n), or (..., n) with the leading axes of out; more: as out.
    """
    if not out.size:
        return
    c = cut(*_sizes(a, out), math.prod(out.shape[:-2]))
    if c.parts == 1:
        _whole(c, a, b, out, bias, more, relu)
        return
    product_parts(c, a, b, out.shape, work["partial"])
    add_parts(work["partial"], c.parts, out, bias, more, relu)


def _whole(c: Cut, a: Array, b: Array, out: Array, bias: Array | None, more: Array | None,
           relu: bool) -> None:
    m, n, k = _sizes(a, out)
    count = math.prod(out.shape[:-2])
    strides, *leads = _layout(a, b, out, bias, more)
    CODE.launch("product", out.dtype, c.tile.count(m, n) * count, c.tile.threads, a, b, out, bias,
                more, relu, integers((m, n, k)), strides, *leads,
                defines={**_defines(c, a, b), "C_WIDE": _wide_out(c, out, bias, more)})


def product_parts(c: Cut, a: Array, b: Array, shape: Shape, partial: Array, first: int = 0) -> None:
    """Write the sums of a product (..., m, n) over the parts of k, to `partial` from `first` on."""
    *lead, m, n = shape
    count, k = math.prod(lead), a.shape[-1]
    flat = partial[:count * m * n].reshape(shape)
    strides, *leads = _layout(a, b, flat, None, None)
    CODE.launch("product_parts", a.dtype, (c.tile.count(m, n) * count, -(-k // c.length)),
                c.tile.threads, a, b, partial, first, integers((m, n, k, c.length, flat.size)),
                strides, *leads,
                defines={**_defines(c, a, b), "C_WIDE": _wide_out(c, flat, None, None)})


def add_parts(partial: Array | None, parts: int, out: Array, bias: Array | None = None,
              more: Array | None = None, relu: bool = False) -> None:
    """Write the sum of the first parts, of which there may be none, plus bias and more."""
    m, n = out.shape[-2:]
    strides, *leads = _layout(None, None, out, bias, more)
    CODE.launch("add_parts", out.dtype, blocks_for(out.size, SUMMING, 1 << 20), 256, partial, out,
                bias, more, relu, integers((m, n, parts, out.size)), strides, *leads)


# ---- layout --------------------------------------------------------------------------------


def _sizes(a: Array, out: Array) -> tuple[int, int, int]:
    """Return m, n, k."""
    return (*out.shape[-2:], a.shape[-1])


def _layout(a: Array | None, b: Array | None, c: Array, bias: Array | None, more: Array | None
            ) -> tuple[Any, ...]:
    """Return what kernels get of the strides of these arrays, in elements."""
    arrays, lead = (a, b, c, bias, more), c.shape[:-2]
    own = [(0, 0) if x is None else _ends(x) for x in (a, b, c, more)]
    shape, leads = joined(lead, [_leading(x, lead, 1 if x is bias else 2) for x in arrays])
    strides = integers((*own[0], *own[1], own[2][0], own[3][0]))
    return (strides, len(shape), integers(shape), b"".join(map(integers, leads)))


def _ends(x: Array) -> tuple[int, int]:
    """Return the strides of the last two axes."""
    first, second = steps(x, x.shape)[-2:]
    return first, second


def _leading(x: Array | None, lead: Shape, own: int) -> tuple[int, ...]:
    """Return the strides of the leading axes; an array has `own` others."""
    return (0,) * len(lead) if x is None else steps(x, (*lead, *x.shape[-own:]))[:-own]


def _defines(c: Cut, a: Array, b: Array) -> dict[str, str]:
    """Return the definitions for a tile and for how the factors lie."""
    (a_across, a_k), (b_k, b_across) = _ends(a), _ends(b)
    a_along, b_along = _along(a_across, a_k), _along(b_across, b_k)
    return {**c.tile.defines(), "A_ALONG": str(a_along), "B_ALONG": str(b_along),
            "A_WIDE": _wide(a, -2 if a_along else -1), "B_WIDE": _wide(b, -1 if b_along else -2)}


def _along(across: int, k: int) -> int:
    """Return 1 where neighbours across k lie nearer than those along it."""
    return int(k != 1 and (across == 1 or abs(across) < abs(k)))


def _wide(x: Array, axis: int) -> str:
    """Return how many elements along an axis may be loaded at once: 16 bytes, or one."""
    item = x.dtype.itemsize
    wide = VECTOR // item
    apart = [s for i, (n, s) in enumerate(zip(x.shape, x.strides, strict=True))
             if n > 1 and i != axis % x.ndim]
    together = x.shape[axis] % wide == 0 and x.strides[axis] == item
    return str(wide) if together and _aligned(x, VECTOR, apart) else "1"


def _wide_out(c: Cut, out: Array, *also: Array | None) -> str:
    """Return how many elements of a row may be stored at once."""
    most = VECTOR // (8 if out.dtype.itemsize == 8 else 4)
    wide = min(most, c.tile.tn)
    return str(wide) if all(x is None or _fits(x, wide) for x in (out, *also)) else "1"


def _fits(x: Array, wide: int) -> bool:
    apart = [s for n, s in zip(x.shape[:-1], x.strides[:-1], strict=True) if n > 1]
    return x.shape[-1] % wide == 0 and _aligned(x, wide * x.dtype.itemsize, apart)


def _aligned(x: Array, size: int, strides: Sequence[int]) -> bool:
    return address(x) % size == 0 and not any(s % size for s in strides)
