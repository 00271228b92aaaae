"""How a Winograd convolution is cut into tiles, and tiles into blocks."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ...backend.simd import lanes
from ...backend.tiles import tile_for
from ...spec import Shape

SIDE = 4                 # of an output tile, in pixels: longer ones save products, but not time
DEEPEST = {3: 2048, 5: 1024}
"""Input channels by window up to which the error stays below 1e-5; it grows with their root."""
BLOCK_BYTES = 640 << 10  # of V in a block
MOST_TILES = 72
GAP = 64                 # bytes between the matrices, so that they do not share cache sets


class Tiling(NamedTuple):
    """Numbers of one convolution by tiles.

    Attributes:
        r: length of the window.
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
    def n(self) -> int:
        """Points of a row or column of a tile."""
        return points(self.r)

    @property
    def panels(self) -> int:
        """Panels of filters."""
        return -(-self.filters // self.width)

    @property
    def total(self) -> int:
        """Tiles of all images."""
        return self.images * -(-self.out_height // SIDE) * -(-self.out_length // SIDE)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.total // self.tiles)

    @property
    def data_size(self) -> int:
        """Elements of V."""
        return self.n ** 2 * (self.tiles * self.depth + self.gap)

    @property
    def product_size(self) -> int:
        """Elements of M for one panel."""
        return self.n ** 2 * (self.tiles * self.width + self.gap)


def points(r: int) -> int:
    """Return how many products a row of SIDE outputs takes."""
    return SIDE + r - 1


@cache
def tiling(x: Shape, y: Shape, r: int, top: int, left: int, itemsize: int) -> Tiling:
    """Return the numbers for a convolution of x (N, H, W, C) to y (N, P, Q, K)."""
    (images, height, length, channels), (_, out_height, out_length, filters) = x, y
    rows, vectors = tile_for(filters, itemsize)
    depth = -(-channels // lanes(itemsize)) * lanes(itemsize)
    products = points(r) ** 2
    wanted = min(MOST_TILES, max(2 * rows, BLOCK_BYTES // (products * depth * itemsize)))
    return Tiling(images, height, length, channels, out_height, out_length, filters, r, top, left,
                  rows, vectors, vectors * lanes(itemsize), depth, -(-wanted // rows) * rows,
                  GAP // itemsize)
