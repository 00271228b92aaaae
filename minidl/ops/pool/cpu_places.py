"""Vectors of places: which element of a window is the largest, as small whole numbers.

In a register a place is a number of the type of x, so that comparisons of x choose among places
too; in memory it is a byte, or an int32 where the window is large.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...backend.simd import lanes_of


@intrinsic
def where_larger(typing: Any, value: Any, best: Any, a: Any, b: Any) -> Any:
    """Return the lanes of a where value is larger than best, or NaN, and those of b elsewhere."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        larger = builder.fcmp_ordered(">", args[0], args[1])
        undefined = builder.fcmp_unordered("uno", args[0], args[0])
        return builder.select(builder.or_(larger, undefined), args[2], args[3])

    return a(value, best, a, b), code


@intrinsic
def where_equal(typing: Any, a: Any, b: Any, value: Any) -> Any:
    """Return the lanes of value where a equals b, and 0 elsewhere."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        equal = builder.fcmp_ordered("==", args[0], args[1])
        return builder.select(equal, args[2], args[2].type(None))

    return value(a, b, value), code


@intrinsic
def without_first(typing: Any, value: Any, count: Any) -> Any:
    """Return a vector whose first `count` lanes are 0."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, number = args[0].type, args[1].type
        lanes = type(vector)(number, vector.count)(list(range(vector.count)))
        zeros = type(vector)(context.get_value_type(types.int32), vector.count)(None)
        some = builder.insert_element(lanes.type(None), args[1], zeros.type.element(0))
        kept = builder.icmp_signed(">=", lanes, builder.shuffle_vector(some, some, zeros))
        return builder.select(kept, args[0], vector(None))

    return value(value, types.intp), code


# ---- memory --------------------------------------------------------------------------------


def _pointer(builder: Any, context: Any, array: Any, values: Any, offset: Any) -> Any:
    data = cgutils.create_struct_proxy(array)(context, builder, values).data
    return builder.gep(data, [offset])


def _integers(context: Any, places: Any, vector: Any) -> Any:
    """Return LLVM's type of as many integers as a vector has lanes."""
    return type(vector)(context.get_value_type(places.dtype), vector.count)


@intrinsic
def _load(typing: Any, places: Any, offset: Any, like: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _integers(context, places, args[2].type)
        pointer = _pointer(builder, context, places, args[0], args[1])
        raw = builder.load(builder.bitcast(pointer, kind.as_pointer()),
                           align=places.dtype.bitwidth // 8)
        return builder.uitofp(raw, args[2].type)

    return like(places, types.intp, like), code


@intrinsic
def _load_first(typing: Any, places: Any, offset: Any, like: Any, count: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        raw = _integers(context, places, args[2].type)(None)
        first, zero = _pointer(builder, context, places, args[0], args[1]), args[3].type(0)
        for lane in range(args[2].type.count):
            there = builder.icmp_signed("<", args[3].type(lane), args[3])
            at = builder.select(there, args[3].type(lane), zero)
            raw = builder.insert_element(raw, builder.load(builder.gep(first, [at])),
                                         context.get_constant(types.int32, lane))
        return builder.uitofp(raw, args[2].type)

    return like(places, types.intp, like, types.intp), code


@intrinsic
def _store(typing: Any, places: Any, offset: Any, value: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _integers(context, places, args[2].type)
        pointer = _pointer(builder, context, places, args[0], args[1])
        builder.store(builder.fptoui(args[2], kind), builder.bitcast(pointer, kind.as_pointer()),
                      align=places.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(places, types.intp, value), code


@intrinsic
def _store_first(typing: Any, places: Any, offset: Any, value: Any, count: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        raw = builder.fptoui(args[2], _integers(context, places, args[2].type))
        first = _pointer(builder, context, places, args[0], args[1])
        for lane in range(args[2].type.count):
            with builder.if_then(builder.icmp_signed("<", args[3].type(lane), args[3])):
                number = builder.extract_element(raw, context.get_constant(types.int32, lane))
                builder.store(number, builder.gep(first, [args[3].type(lane)]))
        return context.get_dummy_value()

    return types.void(places, types.intp, value, types.intp), code


@njit(forceinline=True)
def load_places(places, array, offset, like, count):
    """Return places[offset:] as a vector like those of `array`; lanes from `count` on are idle."""
    if count >= lanes_of(array):
        return _load(places, offset, like)
    return _load_first(places, offset, like, count)


@njit(forceinline=True)
def store_places(places, array, offset, value, count):
    """Write the first `count` lanes of a vector of places."""
    if count >= lanes_of(array):
        _store(places, offset, value)
    else:
        _store_first(places, offset, value, count)
