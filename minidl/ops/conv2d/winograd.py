"""The matrices of Winograd convolution.

A row of m outputs of a window of r numbers needs only n = m + r - 1 products instead of m r: with
polynomials taken at n - 1 points p and at infinity,

    y = A ((G g) * (B d)),  d n inputs, g the r numbers of the window, y the m outputs,

and in two dimensions every transform is applied to columns and rows: n^2 products for m^2 outputs.
With M(x) the product of all x - p, the matrices are (Toom and Cook's method, transposed)

    A   column of p: 1, p, p^2, ...; of infinity: 0, ..., 0, 1
    G   row of p: 1, p, p^2, ..., divided by M'(p); of infinity: 0, ..., 0, 1
    B   row of p: the coefficients of M(x) / (x - p); of infinity: those of M(x)

The weight gradient has the same form: a tile of gy is the window and gw the outputs.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016. More points save
products and lose digits; these, small and with small inverses, lose least (Barabasz et al., "Error
analysis and improving the accuracy of Winograd convolution for deep neural networks", 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

POINTS = (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2))
"""Points in the order in which they are used; after the first, each is followed by its opposite."""

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]


@cache
def matrices(m: int, r: int) -> dict[str, Matrix]:
    """Return A (m, n), G (n, r) and B (n, n) for m outputs of a window of r.

    >>> [[int(number) for number in row] for row in matrices(2, 3)["A"]]
    [[1, 1, 1, 0], [0, 1, -1, 1]]
    """
    points = tuple(map(Fraction, POINTS[:m + r - 2]))
    others = {p: tuple(q for q in points if q != p) for p in points}
    powers = [_powers(p, m) for p in points] + [_last(m)]
    scales = [_value(others[p], p) for p in points]
    g = [tuple(number / scale for number in _powers(p, r))
         for p, scale in zip(points, scales, strict=True)]
    b = [(*_coefficients(others[p]), Fraction(0)) for p in points]
    return {"A": tuple(zip(*powers, strict=True)), "G": (*g, _last(r)),
            "B": (*b, _coefficients(points))}


def _powers(p: Fraction, count: int) -> Row:
    return tuple(p ** i for i in range(count))


def _last(count: int) -> Row:
    return (*[Fraction(0)] * (count - 1), Fraction(1))


def _value(roots: Sequence[Fraction], x: Fraction) -> Fraction:
    """Return the product of all x - root."""
    result = Fraction(1)
    for root in roots:
        result *= x - root
    return result


def _coefficients(roots: Sequence[Fraction]) -> Row:
    """Return the coefficients of the product of all x - root, the constant first."""
    result = [Fraction(1)]
    for root in roots:
        result = [a - root * b for a, b in zip([Fraction(0), *result], [*result, Fraction(0)],
                                               strict=True)]
    return tuple(result)
