"""The Winograd transforms on vectors of channels, of rows and of whole tiles.

A transform multiplies a tuple of vectors, a row or column of a tile, by one of the matrices of
`winograd.py`, whose numbers are written into the code: zeros cost nothing, ones no product, and
what the points p and -p share is computed once (Lavin and Gray 2016). A tile is transformed column
by column into `spare`, then row by row from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ...backend.cpu import inline
from ...backend.simd import Code, load_every, load_inside, store_every
from .winograd import Matrix, Row, matrices

# ---- one row or column ---------------------------------------------------------------------


def _dot(c: Code, numbers: Sequence[Fraction], vectors: Sequence[Any]) -> Any:
    """Return the sum of number times vector."""
    terms = [(n, v) for n, v in zip(numbers, vectors, strict=True) if n]
    terms.sort(key=lambda term: term[0] != 1)  # a first term of factor 1 needs no product
    if not terms:
        return c.constant(0.0)
    (number, total), *rest = terms
    if number != 1:
        total = c.builder.fmul(total, c.constant(float(number)))
    for number, vector in rest:
        if abs(number) == 1:
            total = (c.builder.fadd if number == 1 else c.builder.fsub)(total, vector)
        else:
            total = c.multiply_add(vector, c.constant(float(number)), total)
    return total


def _opposite(a: Row, b: Row) -> bool:
    """Say whether two rows, or columns, differ in signs only, as those of p and -p do."""
    return a != b and tuple(map(abs, a)) == tuple(map(abs, b))


def _product(c: Code, matrix: Matrix, vectors: Sequence[Any]) -> list[Any]:
    """Return matrix times vectors; what the rows of p and -p share is computed once."""
    results: list[Any] = []
    while len(results) < len(matrix):
        row, *after = matrix[len(results):len(results) + 2]
        if not after or not _opposite(row, after[0]):
            results.append(_dot(c, row, vectors))
            continue
        same = [a if a == b else Fraction(0) for a, b in zip(row, after[0], strict=True)]
        total = _dot(c, same, vectors)
        rest = _dot(c, [a - b for a, b in zip(row, same, strict=True)], vectors)
        results += [c.builder.fadd(total, rest), c.builder.fsub(total, rest)]
    return results


def _folded(c: Code, matrix: Matrix, vectors: Sequence[Any]) -> tuple[Matrix, list[Any]]:
    """Return an equal product in which sums and differences stand for what p and -p give."""
    columns, values = list(zip(*matrix, strict=True)), list(vectors)
    for i in range(len(columns) - 1):
        a, b = columns[i], columns[i + 1]
        if _opposite(a, b):
            columns[i:i + 2] = [tuple((x + y) / 2 for x, y in zip(a, b, strict=True)),
                                tuple((x - y) / 2 for x, y in zip(a, b, strict=True))]
            values[i:i + 2] = [c.builder.fadd(values[i], values[i + 1]),
                               c.builder.fsub(values[i], values[i + 1])]
    return tuple(zip(*columns, strict=True)), values


def _transform(name: str) -> Any:
    """Return the intrinsic that multiplies a tuple of vectors by a matrix."""
    @intrinsic(prefer_literal=True)
    def transform(typing: Any, vectors: Any, m: Any, r: Any) -> Any:
        matrix = matrices(m.literal_value, r.literal_value)[name]
        result = types.UniTuple(vectors.dtype, len(matrix))

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            c = Code(context, builder, vectors.dtype)
            given: Any = [builder.extract_value(args[0], i) for i in range(vectors.count)]
            product = _product(c, *(_folded(c, matrix, given) if name == "A" else (matrix, given)))
            return context.make_tuple(builder, result, product)

        return result(vectors, m, r), code

    return transform


of_data, of_window, of_products = map(_transform, "BGA")
"""Return B d for n vectors, G g for r, A p for n; m and r are constants."""

# ---- whole tiles ---------------------------------------------------------------------------


@inline
def transform_data(x, spare, v, tile, place, numbers, lane_count, m, r, n):
    """Write B d B' of one tile of the input, for all channels.

    Args:
        spare: holds n n vectors.
        place: row of the tile in V.
    """
    height, length, channels = numbers[1], numbers[2], numbers[3]
    depth, step = numbers[13], numbers[14] * numbers[13] + numbers[15]
    down, across = -(-numbers[4] // m), -(-numbers[5] // m)
    h = tile // across % down * m - numbers[8]
    w = tile % across * m - numbers[9]
    line = length * channels
    corner = ((tile // (down * across)) * height + h) * line + w * channels
    for c in range(0, depth, lane_count):
        for j in range(n):
            last = height - h if 0 <= w + j < length else 0
            column = load_inside(x, corner + j * channels + c, line, n, -h, last, channels - c)
            store_every(spare, j * lane_count, n * lane_count, of_data(column, m, r))
        for i in range(n):
            row = load_every(spare, i * n * lane_count, lane_count, n)
            store_every(v, i * n * step + place * depth + c, step, of_data(row, m, r))


@inline
def transform_products(products, at, step, spare, lane_count, m, r, n):
    """Write A p A', the m m outputs of n n products `step` apart; row i begins at vector i n."""
    for j in range(n):
        column = load_every(products, at + j * step, n * step, n)
        store_every(spare, j * lane_count, n * lane_count, of_products(column, m, r))
    for i in range(m):
        row = load_every(spare, i * n * lane_count, lane_count, n)
        store_every(spare, i * n * lane_count, lane_count, of_products(row, m, r))
