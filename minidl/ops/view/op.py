"""Ops that rearrange: views where NumPy can make one, copies where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Shape, Spec, normal_axis
from ..broadcast import unbroadcast
from ..registry import BadCall, Inferred, Sample, define

# ---- reshape, transpose, broadcast ---------------------------------------------------------


def _infer_reshape(x: Spec, shape: Shape) -> Inferred:
    wanted = tuple(int(n) for n in shape)
    known = int(np.prod([n for n in wanted if n != -1], dtype=np.int64))
    if wanted.count(-1) == 1 and known and x.size % known == 0:
        wanted = tuple(x.size // known if n == -1 else n for n in wanted)
    if min(wanted, default=0) < 0 or int(np.prod(wanted, dtype=np.int64)) != x.size:
        raise ShapeError("reshape", f"got {x.size} elements of shape {x.shape}",
                         f"the shape {tuple(shape)} does not hold as many",
                         "Change the shape; one length may be -1.")
    return Inferred((Spec(wanted, x.dtype),), attrs={"shape": wanted})


define("reshape", inputs=("x",), infer=_infer_reshape, view=lambda x, shape: x.reshape(shape),
       reference=lambda x, shape: np.reshape(x, shape), doc="y = x in another shape, C order",
       gradients={"x": lambda run, gy, x_spec: run("reshape", gy, shape=x_spec.shape)},
       samples=(Sample(((3, 4),), {"shape": (2, 6)}), Sample(((3, 4),), {"shape": (-1,)})),
       bad_calls=(BadCall(((3, 4),), {"shape": (5, 2)}, "does not hold as many"),))


def _infer_transpose(x: Spec, axes: tuple[int, ...]) -> Spec:
    if sorted(axes) != list(range(x.ndim)):
        raise ArgumentError("transpose", f"got axes {axes} for shape {x.shape}",
                            f"expected each of 0 to {x.ndim - 1} once", "Change axes.")
    return Spec(tuple(x.shape[a] for a in axes), x.dtype)


define("transpose", inputs=("x",), infer=_infer_transpose, strided=True,
       view=lambda x, axes: np.transpose(x, axes),
       reference=lambda x, axes: np.transpose(x, axes), doc="y = x with its axes reordered",
       gradients={"x": lambda run, gy, axes: np.transpose(gy, np.argsort(axes))},
       samples=(Sample(((2, 3, 4),), {"axes": (2, 0, 1)}),),
       bad_calls=(BadCall(((2, 3),), {"axes": (0, 0)}, "each of 0 to 1 once"),))


def _infer_broadcast(x: Spec, shape: Shape) -> Spec:
    try:
        if np.broadcast_shapes(x.shape, shape) == tuple(shape):
            return Spec(tuple(shape), x.dtype)
    except ValueError:
        pass
    raise ShapeError("broadcast_to", f"got x of shape {x.shape}",
                     f"it cannot be repeated to {tuple(shape)}", "Its lengths must be equal or 1.")


define("broadcast_to", inputs=("x",), infer=_infer_broadcast, strided=True,
       view=lambda x, shape: np.broadcast_to(x, shape),
       reference=lambda x, shape: np.broadcast_to(x, shape), doc="y = x repeated to a shape",
       gradients={"x": lambda run, gy, x_spec: unbroadcast(run, gy, x_spec)},
       samples=(Sample(((3, 1),), {"shape": (2, 3, 4)}), Sample(((),), {"shape": (3,)})),
       bad_calls=(BadCall(((3,),), {"shape": (4,)}, "cannot be repeated"),))

# ---- getitem -------------------------------------------------------------------------------


class Index:
    """An index: integers, slices, None, Ellipsis, and arrays or lists of integers or booleans.

    Arrays are copied, as backward needs them later. An index that holds some cannot be hashed: a
    plan for each of them would fill the memory.
    """

    def __init__(self, parts: Any) -> None:
        parts = parts if isinstance(parts, tuple) else (parts,)
        self.parts = tuple(_copied(p) if isinstance(p, (list, np.ndarray)) else p for p in parts)
        self.uploaded: dict[Any, Any] = {}  # what kernels of a device have made of the arrays

    def __hash__(self) -> int:
        return hash(tuple(map(_hashable, self.parts)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Index) and (
            [*map(_hashable, self.parts)] == [*map(_hashable, other.parts)])

    @property
    def basic(self) -> bool:
        """Whether the result is a view."""
        return not any(isinstance(p, np.ndarray) for p in self.parts)

    def view(self, x: np.ndarray) -> np.ndarray:
        """Return x[index]; of one element too it is an array, which the Ellipsis sees to."""
        whole = any(p is Ellipsis for p in self.parts)
        return x[self.parts if whole else (*self.parts, Ellipsis)]


def _copied(part: list | np.ndarray) -> np.ndarray:
    array = np.array(part)
    return array if array.size or isinstance(part, np.ndarray) else array.astype(np.intp)


def _hashable(part: Any) -> Any:
    if isinstance(part, slice):
        return "slice", part.start, part.stop, part.step
    if isinstance(part, np.ndarray):
        raise TypeError("an index with arrays cannot be hashed or compared")
    return type(part).__name__, part


def _infer_getitem(x: Spec, index: Index) -> Spec:
    try:
        found = np.broadcast_to(np.zeros((), bool), x.shape)[index.parts]
    except IndexError as error:
        raise ShapeError("getitem", f"index {index.parts} into shape {x.shape}", str(error),
                         "Change the index.") from None
    return Spec(found.shape, x.dtype)


def _infer_getitem_gradient(gy: Spec, index: Index, shape: Shape) -> Spec:
    return Spec(tuple(shape), gy.dtype)


def _getitem_gradient_reference(gy: np.ndarray, index: Index, shape: Shape) -> np.ndarray:
    gx = np.zeros(shape)
    np.add.at(gx, index.parts, gy)
    return gx


def _index_rule(run: Callable, gy: np.ndarray, index: Index, x_spec: Spec) -> np.ndarray:
    return run("getitem_gradient", gy, index=index, shape=x_spec.shape)


_BASIC = (Index((slice(1, 3), 0)), Index((Ellipsis, slice(None, None, -2), None)))
_ADVANCED = (Index((np.array([2, 0, 2]),)),
             Index((np.array([0, 1, 1]), slice(None), np.array([3, 0, 0]))))


def _define_getitem(name: str, doc: str, indices: Sequence[Index], **how: Any) -> None:
    define(name, inputs=("x",), infer=_infer_getitem, reference=lambda x, index: x[index.parts],
           doc=doc, gradients={"x": _index_rule}, strided=True,
           samples=tuple(Sample(((3, 4, 5),), {"index": i}) for i in indices),
           bad_calls=(BadCall(((3,),), {"index": Index(7)}, "out of bounds"),), **how)


_define_getitem("getitem", "y = x[index] for integers and slices: a view", _BASIC,
                view=lambda x, index: index.view(x))
_define_getitem("take", "y = x[index] where the index holds arrays: a copy", _ADVANCED)
define("getitem_gradient", inputs=("gy",), infer=_infer_getitem_gradient, strided=True,
       reference=_getitem_gradient_reference,
       doc="gx = 0 but for gx[index], which adds up gy",
       samples=(Sample(((2, 5),), {"index": _BASIC[0], "shape": (3, 4, 5)}),
                Sample(((3, 4, 5),), {"index": _ADVANCED[0], "shape": (3, 4, 5)})))

# ---- concat, stack, pad --------------------------------------------------------------------


def _infer_concat(*xs: Spec, axis: int = -1) -> Inferred:
    if not xs:
        raise ArgumentError("concat", "got no arrays", "expected at least one", "Give some.")
    at = normal_axis("concat", axis, xs[0].ndim)
    for i, x in enumerate(xs):
        if x.dtype != xs[0].dtype or x.shape[:at] + x.shape[at + 1:] != (
                xs[0].shape[:at] + xs[0].shape[at + 1:]):
            raise ShapeError("concat", f"array {i} is {x}",
                             f"array 0 is {xs[0]}; all lengths but that of axis {at} must agree",
                             "Pad, crop or convert one of them.")
    shape = (*xs[0].shape[:at], sum(x.shape[at] for x in xs), *xs[0].shape[at + 1:])
    return Inferred((Spec(shape, xs[0].dtype),), attrs={"axis": at})


def _concat_gradient(run: Callable, gy: np.ndarray, axis: int, index: int, sizes: Sequence[int]
                     ) -> np.ndarray:
    start = sum(sizes[:index])
    return gy[(slice(None),) * axis + (slice(start, start + sizes[index]),)]


define("concat", inputs=("xs",), variadic=True, infer=_infer_concat, strided=True,
       reference=lambda *xs, axis=-1: np.concatenate(xs, axis), doc="y = the xs one after another",
       gradients={"xs": lambda run, gy, axis, index, all_specs: _concat_gradient(
           run, gy, axis, index, [s.shape[axis] for s in all_specs])},
       samples=(Sample(((2, 3), (2, 1), (2, 4)), {"axis": 1}),
                Sample(((2, 3), (4, 3)), {"axis": 0})),
       bad_calls=(BadCall(((2, 3), (3, 2)), {"axis": 0}, "must agree"),
                  BadCall(((2, 3),), {"axis": 5}, "expected -2 to 1")))


def _infer_pad(x: Spec, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Inferred:
    pairs = tuple((int(a), int(b)) for a, b in pads)
    if len(pairs) != x.ndim or any(n < 0 for p in pairs for n in p):
        raise ArgumentError("pad", f"got pads={pads} for shape {x.shape}",
                            "expected (before, after), not negative, for every axis",
                            "Give (0, 0) for axes that stay.")
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, pairs, strict=True))
    return Inferred((Spec(shape, x.dtype),), attrs={"pads": pairs, "value": value})


def inside(pads: Sequence[tuple[int, int]], shape: Shape) -> tuple[slice, ...]:
    """Return where x lies in an array that has it with a border."""
    return tuple(slice(a, a + n) for (a, _), n in zip(pads, shape, strict=True))


define("pad", inputs=("x",), infer=_infer_pad, strided=True,
       reference=lambda x, pads, value=0.0: np.pad(x, pads, constant_values=value),
       doc="y = x with a constant border",
       gradients={"x": lambda run, gy, pads, x_spec: gy[inside(pads, x_spec.shape)]},
       samples=(Sample(((2, 3),), {"pads": ((1, 0), (2, 3))}),
                Sample(((2, 3),), {"pads": ((0, 1), (0, 0)), "value": 2.5})),
       bad_calls=(BadCall(((2, 3),), {"pads": ((1, 1),)}, "for every axis"),))
