"""Register tiles: the inner loop of every matrix product and convolution on the CPU.

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

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .simd import BYTES, I64, Code, lanes, vector_of

MANY_REGISTERS = BYTES == 64 or platform.machine().lower() in ("arm64", "aarch64")
TILES = ((6, 4), (14, 2)) if MANY_REGISTERS else ((6, 2),)
"""(rows, vectors) of tiles that keep the multipliers busy; 32 registers hold more sums than 16."""


def tile_for(columns: int, itemsize: int) -> tuple[int, int]:
    """Return (rows, vectors) of the tile that wastes least on a product with so many columns."""
    def padded(tile: tuple[int, int]) -> int:
        width = tile[1] * lanes(itemsize)
        return -(-columns // width) * width

    return min(TILES, key=padded)


# ---- tiles ---------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def take(typing: Any, table: Any, at: Any, count: Any) -> Any:
    """Return the integers table[at:at + count] as a tuple; `count` is a constant."""
    result = types.UniTuple(table.dtype, count.literal_value)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = cgutils.create_struct_proxy(table)(context, builder, args[0]).data
        first = builder.gep(data, [args[1]])
        return context.make_tuple(builder, result, [
            builder.load(builder.gep(first, [I64(i)])) for i in range(result.count)])

    return result(table, types.intp, count), code


@intrinsic(prefer_literal=True)
def zeros(typing: Any, array: Any, count: Any) -> Any:
    """Return a tile of `count` vectors of zeros; `count` is a constant."""
    tile = types.UniTuple(vector_of(array), count.literal_value)

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
        c, (sums, left, offsets, move, right, start, _) = Code(context, builder, tile.dtype), args
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
        c, (sums, array, offsets, move, _) = Code(context, builder, tile.dtype), args
        for i in range(tile.count):
            offset = builder.add(builder.extract_value(offsets, i // wide), move)
            c.store(builder.extract_value(sums, i), c.place(out, array, offset, i % wide))
        return context.get_dummy_value()

    return types.void(tile, out, rows, types.intp, vectors), code


@intrinsic(prefer_literal=True)
def add_row(typing: Any, tile: Any, b: Any, at: Any, floor: Any, ceiling: Any, vectors: Any
            ) -> Any:
    """Return a tile with b[at:] added to each row, then limited to [floor, ceiling]."""
    wide = vectors.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, (sums, array, start, *limits, _) = Code(context, builder, tile.dtype), args
        row = [c.load(c.place(b, array, start, v)) for v in range(wide)]
        least, most = map(c.spread, limits)
        for i in range(tile.count):
            total = builder.fadd(builder.extract_value(sums, i), row[i % wide])
            sums = builder.insert_value(sums, c.bounded(">", c.bounded("<", total, least), most), i)
        return sums

    return tile(tile, b, types.intp, b.dtype, b.dtype, vectors), code


@intrinsic(prefer_literal=True)
def add_tile(typing: Any, tile: Any, array: Any, rows: Any, shift: Any, vectors: Any) -> Any:
    """Return a tile plus what lies at array[rows[r] + shift:]; `vectors` is a constant."""
    wide = vectors.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, (sums, data, offsets, move, _) = Code(context, builder, tile.dtype), args
        for i in range(tile.count):
            offset = builder.add(builder.extract_value(offsets, i // wide), move)
            more = c.load(c.place(array, data, offset, i % wide))
            sums = builder.insert_value(
                sums, builder.fadd(builder.extract_value(sums, i), more), i)
        return sums

    return tile(tile, array, rows, types.intp, vectors), code
