"""Which tiles a product on tensor cores is cut into, and in how many parts its sum (`mma.cuh`).

The choice follows from shapes and types alone, by a model of the time that a GPU with as many
multiprocessors as an H100 takes: so the order of every sum is the same on all GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

DEPTH_BYTES = 128       # of the sum, that a stage holds
PROCESSORS = 132        # of an H100
RATES = {4: 640, 2: 1280}  # multiply-adds that a processor does in a clock, by bytes of an element
START = 1500            # clocks from the start of a block to its first product, and at its end
STAGE = 60              # clocks of a stage beside its products: a barrier, addresses
SECOND_STAGE = 5000     # clocks that another launch takes
BYTES_PER_CLOCK = 1400  # that memory brings
ALONE = 0.6             # share of the rate that a processor reaches with a single block
MOST_PARTS = 128
LONGEST = 1 << 15       # elements that one float32 sum adds up


@dataclass(frozen=True)
class Tile:
    """A tile (m, n) of a result, and the parts of it that warps take.

    Attributes:
        speed: share of the multipliers' rate that it reaches.
    """

    m: int
    n: int
    warp_m: int
    warp_n: int
    stages: int
    speed: float

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return (self.m // self.warp_m) * (self.n // self.warp_n) * 32

    def shared(self, itemsize: int, along: tuple[bool, bool]) -> int:
        """Return the bytes of shared memory; `along` says how tiles of the factors lie."""
        depth, unit = DEPTH_BYTES // itemsize, 16 // itemsize
        pad = unit if itemsize == 2 else 2 * unit
        stage = sum(length * (depth + unit) if a else depth * (length + pad)
                    for length, a in zip((self.m, self.n), along, strict=True))
        return max(self.stages * stage * itemsize, self.m * (self.n + 8) * 4)

    def defines(self) -> dict[str, str]:
        """Return the definitions for the preprocessor."""
        values = {"TILE_M": self.m, "TILE_N": self.n, "WARP_M": self.warp_m,
                  "WARP_N": self.warp_n, "STAGES": self.stages}
        return {name: str(value) for name, value in values.items()}


TILES = (Tile(128, 128, 64, 64, 3, 1.0), Tile(128, 64, 64, 32, 3, 0.85),
         Tile(64, 128, 32, 64, 3, 0.85), Tile(64, 64, 32, 32, 4, 0.7),
         Tile(128, 32, 32, 32, 4, 0.6), Tile(32, 128, 32, 32, 4, 0.6),
         Tile(64, 32, 32, 16, 4, 0.45), Tile(32, 64, 16, 32, 4, 0.45),
         Tile(128, 16, 32, 16, 4, 0.4), Tile(32, 32, 16, 16, 4, 0.3))
EXACT_TILES = (Tile(128, 128, 64, 32, 3, 1.0), *TILES[1:])
"""With EXACT, fragments take twice as many registers."""


class Cut(NamedTuple):
    """How a product is computed.

    Attributes:
        parts: of the sum; share: stages of the sum that each takes.
        blocks: tiles of one product.
    """

    tile: Tile
    parts: int
    share: int
    blocks: int


@lru_cache(maxsize=4096)
def cut(m: int, n: int, k: int, count: int, itemsize: int, exact: bool = False) -> Cut:
    """Return the best cut of `count` products (m, k) (k, n)."""
    stages = -(-k // (DEPTH_BYTES // itemsize))
    least = max(1, -(-k // LONGEST))
    parts = sorted({min(p, max(stages, 1)) for p in (1, *range(2, 17), 20, 24, 32, 48, 64, 96, 128)
                    if p >= min(least, MOST_PARTS)})
    found = [(_clocks(tile, p, m, n, stages, count, itemsize, exact), i, p)
             for i, tile in enumerate(EXACT_TILES if exact else TILES) for p in parts]
    _, best, wanted = min(found)
    tile = (EXACT_TILES if exact else TILES)[best]
    share = max(1, -(-stages // wanted))
    return Cut(tile, max(1, -(-stages // share)), share, -(-m // tile.m) * -(-n // tile.n))


def _clocks(tile: Tile, parts: int, m: int, n: int, stages: int, count: int, itemsize: int,
            exact: bool) -> float:
    """Return the clocks that a cut takes, in the model."""
    depth = DEPTH_BYTES // itemsize
    blocks = -(-m // tile.m) * -(-n // tile.n) * count * parts
    rate = RATES.get(itemsize, RATES[4]) * tile.speed / (3 if exact else 1)
    products = tile.m * tile.n * depth / rate + STAGE
    rounds = -(-blocks // PROCESSORS)
    busy = rounds / ALONE if rounds == 1 else rounds
    latency = START * max(1.0, rounds / 3)  # blocks beside each other hide most of it
    more = 0.0
    if parts > 1:
        more = SECOND_STAGE + (2 * parts + 1) * m * n * count * 4 / BYTES_PER_CLOCK
    return busy * -(-stages // parts) * products + latency + more
