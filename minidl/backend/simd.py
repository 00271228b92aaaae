"""Vectors for CPU kernels; tiles of them are in `tiles.py`.

A `Vector` is a value of numba's compiler that fills one register of the host: 16 float32 numbers
with AVX-512, 8 with AVX2, 4 with NEON. Kernels load, store, add, subtract and multiply it like a
number, so that vector code does not depend on the compiler's guess that a loop may become one.

All arrays are flat and C-contiguous; offsets count elements, and nothing checks them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

# ---- what the host has ---------------------------------------------------------------------


def _register_bytes() -> int:
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


BYTES = _register_bytes()
"""Bytes of a vector register."""

FAR = 12 << 20
"""Bytes of a result whose start has left the caches when its end is written."""


def lanes(itemsize: int) -> int:
    """Return how many numbers of so many bytes a vector has."""
    return BYTES // itemsize


# ---- the vector type -----------------------------------------------------------------------


class Vector(types.Type):
    """Numba's type of a register full of numbers."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(f"Vector({dtype}, {count})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = manager.lookup(vector.dtype).get_data_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.count))


def vector_of(array: Any) -> Vector:
    """Return the type of the array's vectors."""
    return Vector(array.dtype, BYTES * 8 // array.dtype.bitwidth)


I64, I32 = ir.IntType(64), ir.IntType(32)
_FLAGS = ("contract", "nsz")  # a product and a sum may become one instruction


class Code:
    """What an intrinsic's code generator works with, in LLVM's terms."""

    def __init__(self, context: Any, builder: Any, vector: Vector) -> None:
        self.context, self.builder, self.vector = context, builder, vector
        self.type = context.get_value_type(vector)
        self.align = vector.dtype.bitwidth // 8

    def place(self, array_type: Any, array: Any, offset: Any, more: int = 0) -> Any:
        """Return a pointer to an element; `more` counts vectors from there."""
        data = cgutils.create_struct_proxy(array_type)(self.context, self.builder, array).data
        pointer = self.builder.gep(data, [offset])
        return self.builder.gep(pointer, [I64(more * self.vector.count)]) if more else pointer

    def places(self, array_type: Any, array: Any, offset: Any, step: Any, count: int) -> list[Any]:
        """Return pointers to `count` elements, `step` elements apart."""
        found = [self.place(array_type, array, offset)]
        while len(found) < count:
            found.append(self.builder.gep(found[-1], [step]))
        return found

    def as_vector(self, pointer: Any) -> Any:
        """Return a pointer to a vector."""
        return self.builder.bitcast(pointer, self.type.as_pointer())

    def load(self, pointer: Any) -> Any:
        """Return the vector at a pointer to its first number."""
        return self.builder.load(self.as_vector(pointer), align=self.align)

    def load_first(self, pointer: Any, count: Any) -> Any:
        """Return the vector at a pointer whose lanes from `count` on are 0 and not read."""
        return self.masked("load", self.type, [self.as_vector(pointer), I32(self.align),
                                               self.mask(count), ir.Constant(self.type, None)])

    def store(self, value: Any, pointer: Any, far: bool = False) -> None:
        """Write a vector; `far` says that it passes the caches."""
        store = self.builder.store(value, self.as_vector(pointer), align=self.align)
        if far:
            store.align = BYTES
            store.set_metadata("nontemporal", self.builder.module.add_metadata([I32(1)]))

    def spread(self, scalar: Any) -> Any:
        """Return a vector of equal numbers."""
        empty = ir.Constant(ir.VectorType(scalar.type, self.type.count), ir.Undefined)
        first = self.builder.insert_element(empty, scalar, I32(0))
        return self.builder.shuffle_vector(
            first, empty, ir.Constant(ir.VectorType(I32, self.type.count), None))

    def constant(self, number: float) -> Any:
        """Return a vector of equal constants."""
        return ir.Constant(self.type, [number] * self.type.count)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a b + c, rounded once."""
        name = f"llvm.fma.v{self.type.count}f{self.vector.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(self.type, [self.type] * 3), name)
        return self.builder.call(function, [a, b, c])

    def bounded(self, sign: str, value: Any, bound: Any) -> Any:
        """Return numbers with the bound for those "<" or ">" it; NaN stays NaN."""
        beyond = self.builder.fcmp_ordered(sign, value, bound)
        return self.builder.select(beyond, bound, value)

    def mask(self, count: Any) -> Any:
        """Return which lanes are among the first `count`."""
        numbers = ir.Constant(ir.VectorType(I64, self.type.count), list(range(self.type.count)))
        return self.builder.icmp_signed("<", numbers, self.spread(count))

    def masked(self, what: str, result: Any, arguments: Sequence[Any]) -> Any:
        """Call LLVM's masked load or store."""
        name = f"llvm.masked.{what}.v{self.type.count}f{self.vector.dtype.bitwidth}.p0"
        kind = ir.FunctionType(result, [a.type for a in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)


# ---- vectors -------------------------------------------------------------------------------


@intrinsic
def lanes_of(typing: Any, array: Any) -> Any:
    """Return how many elements of the array a vector has, a constant."""
    count = vector_of(array).count

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return I64(count)

    return types.intp(array), code


@intrinsic
def load(typing: Any, array: Any, offset: Any) -> Any:
    """Return the vector at array[offset:]."""
    vector = vector_of(array)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = Code(context, builder, vector)
        return c.load(c.place(array, args[0], args[1]))

    return vector(array, types.intp), code


@intrinsic
def load_first(typing: Any, array: Any, offset: Any, count: Any) -> Any:
    """Return the vector at array[offset:] whose lanes from `count` on are 0 and not read."""
    vector = vector_of(array)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = Code(context, builder, vector)
        return c.load_first(c.place(array, args[0], args[1]), args[2])

    return vector(array, types.intp, types.intp), code


@intrinsic(prefer_literal=True)
def load_every(typing: Any, array: Any, offset: Any, step: Any, number: Any) -> Any:
    """Return a tuple of `number` vectors, `step` elements apart; `number` is a constant."""
    result = types.UniTuple(vector_of(array), number.literal_value)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = Code(context, builder, result.dtype)
        return context.make_tuple(builder, result, [
            c.load(p) for p in c.places(array, args[0], args[1], args[2], result.count)])

    return result(array, types.intp, types.intp, number), code


@intrinsic(prefer_literal=True)
def load_inside(typing: Any, array: Any, offset: Any, step: Any, number: Any, first: Any,
                last: Any, count: Any) -> Any:
    """Return what `load_every` returns, with zeros for what lies outside and is not read.

    Inside are the vectors from `first` up to `last`, and of each the first `count` lanes.
    """
    result = types.UniTuple(vector_of(array), number.literal_value)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, (data, start, between, _, low, high, there) = Code(context, builder, result.dtype), args
        places = c.places(array, data, start, between, result.count)
        whole = builder.and_(
            builder.icmp_signed(">=", there, I64(c.type.count)),
            builder.and_(builder.icmp_signed("<=", low, I64(0)),
                         builder.icmp_signed(">=", high, I64(result.count))))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                plain, plain_end = [c.load(p) for p in places], builder.block
            with otherwise:
                parts = []
                for i, p in enumerate(places):
                    inside = builder.and_(builder.icmp_signed("<=", low, I64(i)),
                                          builder.icmp_signed("<", I64(i), high))
                    parts.append(c.load_first(p, builder.select(inside, there, I64(0))))
                parts_end = builder.block
        vectors = []
        for a, b in zip(plain, parts, strict=True):
            vector = builder.phi(c.type)
            vector.add_incoming(a, plain_end)
            vector.add_incoming(b, parts_end)
            vectors.append(vector)
        return context.make_tuple(builder, result, vectors)

    return result(array, types.intp, types.intp, number, types.intp, types.intp, types.intp), code


@intrinsic
def store_every(typing: Any, array: Any, offset: Any, step: Any, vectors: Any) -> Any:
    """Write a tuple of vectors, `step` elements apart."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = Code(context, builder, vectors.dtype)
        for i, p in enumerate(c.places(array, args[0], args[1], args[2], vectors.count)):
            c.store(builder.extract_value(args[3], i), p)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vectors), code


@intrinsic
def prefetch(typing: Any, array: Any, offset: Any) -> Any:
    """Ask for the cache line of array[offset], which may lie outside, to be brought in."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = Code(context, builder, vector_of(array))
        pointer = builder.bitcast(c.place(array, *args), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, I32(0), I32(3), I32(1)])  # to read, keep, data
        return context.get_dummy_value()

    return types.void(array, types.intp), code


@intrinsic
def store(typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write a vector to array[offset:]."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = Code(context, builder, value)
        c.store(args[2], c.place(array, args[0], args[1]))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), code


@intrinsic
def store_first(typing: Any, array: Any, offset: Any, value: Any, count: Any) -> Any:
    """Write the first `count` lanes of a vector to array[offset:]."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = Code(context, builder, value)
        pointer = c.as_vector(c.place(array, args[0], args[1]))
        c.masked("store", ir.VoidType(), [args[2], pointer, I32(c.align), c.mask(args[3])])
        return context.get_dummy_value()

    return types.void(array, types.intp, value, types.intp), code


@intrinsic
def stream(typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write a vector to array[offset:], a multiple of its length in memory, past the caches.

    An ordinary store into memory that no cache holds reads it first, and pushes out something
    else. For a large result that is in vain: this takes little more than half the time.
    """
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = Code(context, builder, value)
        c.store(args[2], c.place(array, args[0], args[1]), far=True)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), code


def is_far(out: np.ndarray, width: int = 0) -> bool:
    """Say whether `stream` is to write an array, and can.

    Args:
        width: elements from one place where vectors begin to the next.
    """
    return (out.nbytes >= FAR and out.ctypes.data % BYTES == 0
            and width * out.itemsize % BYTES == 0)


@njit(forceinline=True)
def load_up_to(array, offset, count):
    """Return the vector at array[offset:], or its first `count` lanes and zeros."""
    if count >= lanes_of(array):
        return load(array, offset)
    return load_first(array, offset, count)


@njit(forceinline=True)
def store_up_to(array, offset, value, count):
    """Write a vector to array[offset:], or its first `count` lanes; none if count < 1."""
    if count >= lanes_of(array):
        store(array, offset, value)
    elif count > 0:
        store_first(array, offset, value, count)


@intrinsic
def spread(typing: Any, array: Any, number: Any) -> Any:
    """Return a vector of equal numbers, of the array's element type."""
    vector = vector_of(array)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return Code(context, builder, vector).spread(args[1])

    return vector(array, array.dtype), code


def _bounded(sign: str) -> Any:
    @intrinsic
    def bounded(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return Code(context, builder, a).bounded(sign, *args)

        return a(a, b), code

    return bounded


maximum, minimum = map(_bounded, "<>")
"""Return the larger, or smaller, lanes of two vectors; where the first is NaN, NaN."""


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c for vectors, rounded once."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return Code(context, builder, a).multiply_add(*args)

    return a(a, b, c), code


@intrinsic
def where_positive(typing: Any, condition: Any, value: Any) -> Any:
    """Return the lanes of value where those of condition are above 0, and 0 elsewhere."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = args[0].type(None)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[1], zero)

    return value(condition, value), code


def _define_operator(symbol: Callable, instruction: str) -> None:
    @intrinsic
    def of_vectors(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args, flags=_FLAGS)

        return a(a, b), code

    @intrinsic
    def with_number(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            both = (args[0], Code(context, builder, a).spread(args[1]))
            return getattr(builder, instruction)(*both, flags=_FLAGS)

        return a(a, a.dtype), code

    @overload(symbol, inline="always")
    def _operator(a, b):  # untyped: numba compares the argument lists
        if isinstance(a, Vector) and isinstance(b, Vector):
            return lambda a, b: of_vectors(a, b)
        if isinstance(a, Vector) and isinstance(b, types.Number):
            return lambda a, b: with_number(a, b)
        return None


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"),
                              (operator.mul, "fmul")):
    _define_operator(_symbol, _instruction)
