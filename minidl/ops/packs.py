"""How many elements a thread of a GPU loads at once."""

from __future__ import annotations

from typing import Any

from ..backend.arrays import address

VECTOR = 16  # bytes


def widest(length: int, itemsize: int) -> int:
    """Return how many elements may be loaded at once from rows of a length.

    >>> widest(64, 4), widest(6, 4), widest(7, 4)
    (4, 2, 1)
    """
    width = VECTOR // itemsize
    while length % width:
        width //= 2
    return width


def pack_width(length: int, *arrays: Any) -> int:
    """Return how many elements may be loaded at once from rows of arrays (None: left out)."""
    given = [a for a in arrays if a is not None]
    width = min(widest(length, a.dtype.itemsize) for a in given)
    while width > 1 and any(address(a) % (width * a.dtype.itemsize) for a in given):
        width //= 2
    return width
