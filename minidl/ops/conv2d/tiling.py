"""How a Winograd convolution is cut into tiles, and tiles into blocks."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ...backend.simd import lanes
from ...backend.tiles import tile_for
from ...spec import Shape

POINTS = 6
PRODUCTS = POINTS * POINTS
BLOCK_BYTES = 640 << 10  # of V in a block
MOST_TILES = 72
GAP = 64                 # bytes between the 36 matrices, so that they do not share cache sets


class Tiling(NamedTuple):
    """Numbers of one convolution by tiles.

    Attributes:
        m: length of an output tile; r: of the window.
        tiles: tiles of a block; rows, vectors, width: the register tile and its columns.
        depth: input channels rounded up to whole vectors.
    """

    images: int
    height: int
    length: int
    channels: int
    out_height: int
    out_length: int
    filters: int
    r: int
    top: int
    left: int
    rows: int
    vectors: int
    width: int
    depth: int
    tiles: int
    gap: int

    @property
    def m(self) -> int:
        """Length of an output tile."""
        return POINTS + 1 - self.r

    @property
    def panels(self) -> int:
        """Panels of filters."""
        return -(-self.filters // self.width)

    @property
    def total(self) -> int:
        """Tiles of all images."""
        return self.images * -(-self.out_height // self.m) * -(-self.out_length // self.m)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.total // self.tiles)

    @property
    def data_size(self) -> int:
        """Elements of V."""
        return PRODUCTS * (self.tiles * self.depth + self.gap)

    @property
    def product_size(self) -> int:
        """Elements of M for one panel."""
        return PRODUCTS * (self.tiles * self.width + self.gap)


@cache
def tiling(x: Shape, y: Shape, r: int, top: int, left: int, itemsize: int) -> Tiling:
    """Return the numbers for a convolution of x (N, H, W, C) to y (N, P, Q, K)."""
    rows, vectors = tile_for(y[3], itemsize)
    depth = -(-x[3] // lanes(itemsize)) * lanes(itemsize)
    wanted = min(MOST_TILES, max(2 * rows, BLOCK_BYTES // (PRODUCTS * depth * itemsize)))
    (images, height, length, channels), (_, out_height, out_length, filters) = x, y
    return Tiling(images, height, length, channels, out_height, out_length, filters, r, top, left,
                  rows, vectors, vectors * lanes(itemsize), depth, -(-wanted // rows) * rows,
                  GAP // itemsize)
