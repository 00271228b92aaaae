"""The six-point Winograd transforms, on vectors of channels.

A row of m outputs of a window of r = 7 - m numbers needs only 6 products instead of m r: with
polynomials taken at the points 0, 1, -1, 2, -2 and infinity,

    y = A ((G g) * (B d)),  d six inputs, g the r numbers of the window, y the m outputs,

and in two dimensions every transform is applied to columns and rows: 36 products for m^2 outputs.
B is the same for all pairs (m, r): (4, 3) for 3x3 windows, (2, 5) for 5x5, and for their weight
gradients (3, 4) and (5, 2), where a tile of gy is the window and gw the outputs.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016, section 4.
Even and odd parts are computed once for the points of both signs.
"""

from __future__ import annotations

from ...backend.cpu import inline
from ...backend.simd import load, load_up_to, store
from ...backend.tiles import zeros
from .tiling import POINTS

# ---- one row or column ---------------------------------------------------------------------


@inline
def of_data(a, b, c, d, e, f):
    """Return B d for six vectors."""
    even, odd = e - c * 4, d - b * 4
    far_even, far_odd = e - c, (d - b) * 2
    return (a * 4 - c * 5 + e, even + odd, even - odd, far_even + far_odd, far_even - far_odd,
            b * 4 - d * 5 + f)


@inline
def of_window(a, b, c, d, e, r):
    """Return G g for the first r of five vectors; the others are zeros."""
    even, odd = (a + c + e) * (-1 / 6), (b + d) * (-1 / 6)
    far_even, far_odd = (a + c * 4 + e * 16) * (1 / 24), (b + d * 4) * (1 / 12)
    last = b if r == 2 else c if r == 3 else d if r == 4 else e
    return (a * 0.25, even + odd, even - odd, far_even + far_odd, far_even - far_odd, last)


@inline
def of_products(a, b, c, d, e, f, m):
    """Return A p for six vectors; only the first m of the five results mean anything."""
    even, odd, far_even, far_odd = b + c, b - c, d + e, d - e
    second, third = odd + far_odd * 2, even + far_even * 4
    fourth, fifth = odd + far_odd * 8, even + far_even * 16
    if m == 2:
        second = second + f
    if m == 3:
        third = third + f
    if m == 4:
        fourth = fourth + f
    if m == 5:
        fifth = fifth + f
    return (a + even + far_even, second, third, fourth, fifth)


# ---- whole tiles ---------------------------------------------------------------------------


@inline
def put_column(out, at, step, six):
    """Write six vectors, `step` elements apart."""
    store(out, at, six[0])
    store(out, at + step, six[1])
    store(out, at + 2 * step, six[2])
    store(out, at + 3 * step, six[3])
    store(out, at + 4 * step, six[4])
    store(out, at + 5 * step, six[5])


@inline
def pick(x, offset, there, count):
    """Return a vector of x, or of its first `count` numbers; zeros where it is not there."""
    return load_up_to(x, offset, count) if there else zeros(x, 1)[0]


@inline
def transform_data(x, spare, v, tile, place, numbers, lane_count):
    """Write B d B' of one tile of the input, for all channels.

    Args:
        spare: holds 36 vectors.
        place: row of the tile in V.
    """
    height, length, channels = numbers[1], numbers[2], numbers[3]
    r, depth, step = numbers[7], numbers[13], numbers[14] * numbers[13] + numbers[15]
    m = POINTS + 1 - r
    down, across = -(-numbers[4] // m), -(-numbers[5] // m)
    h = tile // across % down * m - numbers[8]
    w = tile % across * m - numbers[9]
    line = length * channels
    corner = ((tile // (down * across)) * height + h) * line + w * channels
    for c in range(0, depth, lane_count):
        count = channels - c
        for j in range(POINTS):
            inside = 0 <= w + j < length
            at = corner + j * channels + c
            put_column(spare, j * lane_count, POINTS * lane_count, of_data(
                pick(x, at, inside and 0 <= h < height, count),
                pick(x, at + line, inside and 0 <= h + 1 < height, count),
                pick(x, at + 2 * line, inside and 0 <= h + 2 < height, count),
                pick(x, at + 3 * line, inside and 0 <= h + 3 < height, count),
                pick(x, at + 4 * line, inside and 0 <= h + 4 < height, count),
                pick(x, at + 5 * line, inside and 0 <= h + 5 < height, count)))
        for i in range(POINTS):
            at = i * POINTS * lane_count
            put_column(v, i * POINTS * step + place * depth + c, step, of_data(
                load(spare, at), load(spare, at + lane_count), load(spare, at + 2 * lane_count),
                load(spare, at + 3 * lane_count), load(spare, at + 4 * lane_count),
                load(spare, at + 5 * lane_count)))


@inline
def transform_products(products, at, step, spare, m, lane_count):
    """Write the columns of A p, m x 6 vectors, into `spare`."""
    for j in range(POINTS):
        p = at + j * step
        down = POINTS * step
        five = of_products(
            load(products, p), load(products, p + down), load(products, p + 2 * down),
            load(products, p + 3 * down), load(products, p + 4 * down),
            load(products, p + 5 * down), m)
        row = POINTS * lane_count
        store(spare, j * lane_count, five[0])
        store(spare, row + j * lane_count, five[1])
        if m > 2:
            store(spare, 2 * row + j * lane_count, five[2])
        if m > 3:
            store(spare, 3 * row + j * lane_count, five[3])
        if m > 4:
            store(spare, 4 * row + j * lane_count, five[4])


@inline
def row_of_outputs(spare, i, m, lane_count):
    """Return row i of the outputs, of which the first m mean anything."""
    at = i * POINTS * lane_count
    return of_products(
        load(spare, at), load(spare, at + lane_count), load(spare, at + 2 * lane_count),
        load(spare, at + 3 * lane_count), load(spare, at + 4 * lane_count),
        load(spare, at + 5 * lane_count), m)
