"""Vectors and register tiles for CPU kernels.

A `Vector` is a value of numba's compiler that fills one register of the host: 16 float32 numbers
with AVX-512, 8 with AVX2, 4 with NEON. Kernels load, store, add, subtract and multiply it like a
number, so that vector code does not depend on the compiler's guess that a loop may become one.

A tile is a tuple of rows x vectors sums that stay in registers during a matrix product:

    tile = zeros(a, ROWS * VECTORS)
    for k in range(depth):
        tile = add_products(tile, a, rows, k, b, at + k * width, VECTORS)

adds a[rows[r] + k] * b[at + k * width + column] to row r of the tile. Each step loads VECTORS
vectors of b, spreads ROWS numbers of a over vectors, and does ROWS x VECTORS fused multiply-adds:
with enough of them the multipliers never wait (Goto and van de Geijn, "Anatomy of high-performance
matrix multiplication", 2008). `rows` are offsets, so a product needs no copy of its left factor.

All arrays are flat and C-contiguous; offsets count elements, and nothing checks them.
"""

from __future__ import annotations

import operator
import platform
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
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

MANY_REGISTERS = BYTES == 64 or platform.machine().lower() in ("arm64", "aarch64")
TILES = ((6, 4), (14, 2)) if MANY_REGISTERS else ((6, 2),)
"""(rows, vectors) of tiles that keep the multipliers busy; 32 registers hold more sums than 16."""


def lanes(itemsize: int) -> int:
    """Return how many numbers of so many bytes a vector has."""
    return BYTES // itemsize


def tile_for(columns: int, itemsize: int) -> tuple[int, int]:
    """Return (rows, vectors) of the tile that wastes least on a product with so many columns."""
    def padded(tile: tuple[int, int]) -> int:
        width = tile[1] * lanes(itemsize)
        return -(-columns // width) * width

    return min(TILES, key=padded)


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


def _vector_of(array: Any) -> Vector:
    return Vector(array.dtype, BYTES * 8 // array.dtype.bitwidth)


_I64, _I32 = ir.IntType(64), ir.IntType(32)
_FLAGS = ("contract", "nsz")  # a product and a sum may become one instruction


class _Code:
    """What an intrinsic's code generator works with, in LLVM's terms."""

    def __init__(self, context: Any, builder: Any, vector: Vector) -> None:
        self.context, self.builder, self.vector = context, builder, vector
        self.type = context.get_value_type(vector)
        self.align = vector.dtype.bitwidth // 8

    def place(self, array_type: Any, array: Any, offset: Any, more: int = 0) -> Any:
        """Return a pointer to an element; `more` counts vectors from there."""
        data = cgutils.create_struct_proxy(array_type)(self.context, self.builder, array).data
        pointer = self.builder.gep(data, [offset])
        return self.builder.gep(pointer, [_I64(more * self.vector.count)]) if more else pointer

    def as_vector(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self.type.as_pointer())

    def load(self, pointer: Any) -> Any:
        return self.builder.load(self.as_vector(pointer), align=self.align)

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.as_vector(pointer), align=self.align)

    def spread(self, scalar: Any) -> Any:
        """Return a vector of equal numbers."""
        empty = ir.Constant(ir.VectorType(scalar.type, self.type.count), ir.Undefined)
        first = self.builder.insert_element(empty, scalar, _I32(0))
        return self.builder.shuffle_vector(
            first, empty, ir.Constant(ir.VectorType(_I32, self.type.count), None))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a b + c, rounded once."""
        name = f"llvm.fma.v{self.type.count}f{self.vector.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(self.type, [self.type] * 3), name)
        return self.builder.call(function, [a, b, c])

    def at_least(self, value: Any, floor: Any) -> Any:
        """Return the larger numbers; NaN stays NaN."""
        less = self.builder.fcmp_ordered("<", value, floor)
        return self.builder.select(less, floor, value)

    def mask(self, count: Any) -> Any:
        """Return which lanes are among the first `count`."""
        numbers = ir.Constant(ir.VectorType(_I64, self.type.count), list(range(self.type.count)))
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
    count = _vector_of(array).count

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _I64(count)

    return types.intp(array), code


@intrinsic
def load(typing: Any, array: Any, offset: Any) -> Any:
    """Return the vector at array[offset:]."""
    vector = _vector_of(array)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = _Code(context, builder, vector)
        return c.load(c.place(array, args[0], args[1]))

    return vector(array, types.intp), code


@intrinsic
def load_first(typing: Any, array: Any, offset: Any, count: Any) -> Any:
    """Return the vector at array[offset:] whose lanes from `count` on are 0 and not read."""
    vector = _vector_of(array)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = _Code(context, builder, vector)
        pointer = c.as_vector(c.place(array, args[0], args[1]))
        zero = ir.Constant(c.type, None)
        return c.masked("load", c.type, [pointer, _I32(c.align), c.mask(args[2]), zero])

    return vector(array, types.intp, types.intp), code


@intrinsic
def prefetch(typing: Any, array: Any, offset: Any) -> Any:
    """Ask for the cache line of array[offset], which may lie outside, to be brought in."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = _Code(context, builder, _vector_of(array))
        pointer = builder.bitcast(c.place(array, *args), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, _I32(0), _I32(3), _I32(1)])  # to read, keep, data
        return context.get_dummy_value()

    return types.void(array, types.intp), code


@intrinsic
def store(typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write a vector to array[offset:]."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = _Code(context, builder, value)
        c.store(args[2], c.place(array, args[0], args[1]))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), code


@intrinsic
def store_first(typing: Any, array: Any, offset: Any, value: Any, count: Any) -> Any:
    """Write the first `count` lanes of a vector to array[offset:]."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = _Code(context, builder, value)
        pointer = c.as_vector(c.place(array, args[0], args[1]))
        c.masked("store", ir.VoidType(), [args[2], pointer, _I32(c.align), c.mask(args[3])])
        return context.get_dummy_value()

    return types.void(array, types.intp, value, types.intp), code


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
    vector = _vector_of(array)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _Code(context, builder, vector).spread(args[1])

    return vector(array, array.dtype), code


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger lanes of two vectors; where a is NaN, NaN."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _Code(context, builder, a).at_least(*args)

    return a(a, b), code


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c for vectors, rounded once."""
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _Code(context, builder, a).multiply_add(*args)

    return a(a, b, c), code


def _define_operator(symbol: Callable, instruction: str) -> None:
    @intrinsic
    def of_vectors(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args, flags=_FLAGS)

        return a(a, b), code

    @intrinsic
    def with_number(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            both = (args[0], _Code(context, builder, a).spread(args[1]))
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


# ---- tiles ---------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def take(typing: Any, table: Any, at: Any, count: Any) -> Any:
    """Return the integers table[at:at + count] as a tuple; `count` is a constant."""
    result = types.UniTuple(table.dtype, count.literal_value)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = cgutils.create_struct_proxy(table)(context, builder, args[0]).data
        first = builder.gep(data, [args[1]])
        return context.make_tuple(builder, result, [
            builder.load(builder.gep(first, [_I64(i)])) for i in range(result.count)])

    return result(table, types.intp, count), code


@intrinsic(prefer_literal=True)
def zeros(typing: Any, array: Any, count: Any) -> Any:
    """Return a tile of `count` vectors of zeros; `count` is a constant."""
    tile = types.UniTuple(_vector_of(array), count.literal_value)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(tile), None)

    return tile(array, count), code


@intrinsic(prefer_literal=True)
def add_products(typing: Any, tile: Any, a: Any, rows: Any, shift: Any, b: Any, at: Any,
                 vectors: Any) -> Any:
    """Return a tile plus the products of a[rows[r] + shift] and b[at:at + vectors * lanes].

    `rows` is a tuple of offsets and `vectors` a constant; row r of the tile is at r * vectors.
    """
    wide = vectors.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, (sums, left, offsets, move, right, start, _) = _Code(context, builder, tile.dtype), args
        columns = [c.load(c.place(b, right, start, v)) for v in range(wide)]
        for r in range(rows.count):
            offset = builder.add(builder.extract_value(offsets, r), move)
            number = c.spread(builder.load(c.place(a, left, offset)))
            for v in range(wide):
                i = r * wide + v
                total = c.multiply_add(number, columns[v], builder.extract_value(sums, i))
                sums = builder.insert_value(sums, total, i)
        return sums

    return tile(tile, a, rows, types.intp, b, types.intp, vectors), code


@intrinsic(prefer_literal=True)
def store_tile(typing: Any, tile: Any, out: Any, rows: Any, shift: Any, vectors: Any) -> Any:
    """Write row r of a tile to out[rows[r] + shift:]; `vectors` is a constant."""
    wide = vectors.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, (sums, array, offsets, move, _) = _Code(context, builder, tile.dtype), args
        for i in range(tile.count):
            offset = builder.add(builder.extract_value(offsets, i // wide), move)
            c.store(builder.extract_value(sums, i), c.place(out, array, offset, i % wide))
        return context.get_dummy_value()

    return types.void(tile, out, rows, types.intp, vectors), code


@intrinsic(prefer_literal=True)
def add_row(typing: Any, tile: Any, b: Any, at: Any, floor: Any, vectors: Any) -> Any:
    """Return a tile with b[at:] added to each row and numbers below `floor` raised to it."""
    wide = vectors.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, (sums, array, start, least, _) = _Code(context, builder, tile.dtype), args
        row, least = [c.load(c.place(b, array, start, v)) for v in range(wide)], c.spread(least)
        for i in range(tile.count):
            total = builder.fadd(builder.extract_value(sums, i), row[i % wide])
            sums = builder.insert_value(sums, c.at_least(total, least), i)
        return sums

    return tile(tile, b, types.intp, b.dtype, vectors), code


@intrinsic(prefer_literal=True)
def add_tile(typing: Any, tile: Any, array: Any, rows: Any, shift: Any, vectors: Any) -> Any:
    """Return a tile plus what lies at array[rows[r] + shift:]; `vectors` is a constant."""
    wide = vectors.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, (sums, data, offsets, move, _) = _Code(context, builder, tile.dtype), args
        for i in range(tile.count):
            offset = builder.add(builder.extract_value(offsets, i // wide), move)
            more = c.load(c.place(array, data, offset, i % wide))
            sums = builder.insert_value(
                sums, builder.fadd(builder.extract_value(sums, i), more), i)
        return sums

    return tile(tile, array, rows, types.intp, vectors), code
