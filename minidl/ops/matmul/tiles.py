"""How a matrix product is cut for a GPU: the tile of a block, and the parts of k.

Decided by shapes alone, with the numbers of one GPU, so that results do not depend on the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

MULTIPROCESSORS = 132   # of an H100
RATE = 2.2e5            # multiplications of a multiprocessor in a microsecond
LATENCY = 0.35          # microseconds from one step of a tile to the next, at least
SECOND_STAGE = 2.5      # microseconds that adding up takes beside its memory traffic
TRAFFIC = 2e6           # bytes of partial sums that are written and read in a microsecond
PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
MOST_PARTIAL = 1 << 28  # bytes of partial sums
LEAST_STEPS = 4         # of BK in a part


@dataclass(frozen=True)
class Tile:
    """The part of a product that a block computes; see `product.cuh`.

    Attributes:
        share: of the multiplications of a multiprocessor that such tiles can be expected to reach.
    """

    bm: int
    bn: int
    bk: int
    tm: int
    tn: int
    share: float

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.bm // self.tm * (self.bn // self.tn)

    def defines(self) -> dict[str, str]:
        """Return the definitions of the preprocessor."""
        return {n.upper(): str(getattr(self, n)) for n in ("bm", "bn", "bk", "tm", "tn")}

    def count(self, m: int, n: int) -> int:
        """Return how many tiles cover (m, n)."""
        return -(-m // self.bm) * -(-n // self.bn)


TILES = (Tile(128, 128, 8, 8, 8, 0.8), Tile(128, 64, 8, 8, 8, 0.75), Tile(64, 64, 16, 8, 4, 0.6),
         Tile(32, 32, 32, 4, 2, 0.3), Tile(128, 16, 16, 8, 2, 0.35), Tile(8, 128, 16, 8, 1, 0.3))


@dataclass(frozen=True)
class Cut:
    """A tile, and k in `parts` parts of `length`; one part needs no second stage."""

    tile: Tile
    parts: int
    length: int


@lru_cache(1 << 12)
def cut(m: int, n: int, k: int, count: int) -> Cut:
    """Return the cut of `count` products (m, k) (k, n) that should take the least time."""
    return min(_cuts(m, n, k, count), key=lambda c: _time(c, m, n, count))


def _cuts(m: int, n: int, k: int, count: int) -> list[Cut]:
    found = []
    for tile in TILES:
        for wanted in PARTS:
            length = -(-k // (wanted * tile.bk)) * tile.bk
            small = 4 * wanted * m * n * count <= MOST_PARTIAL
            if wanted == 1 or (small and length >= LEAST_STEPS * tile.bk):
                found.append(Cut(tile, -(-k // length) if length else 1, length))
    return found


def _time(c: Cut, m: int, n: int, count: int) -> float:
    """Return about how many microseconds a cut takes."""
    tile, blocks = c.tile, c.tile.count(m, n) * count * c.parts
    each = tile.bm * tile.bn * c.length / (tile.share * RATE)
    lone = c.length / tile.bk * LATENCY
    time = max(-(-blocks // MULTIPROCESSORS) * each, lone)
    if c.parts > 1:
        time += SECOND_STAGE + 8 * c.parts * m * n * count / TRAFFIC
    return time
