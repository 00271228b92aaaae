"""How a GPU's threads share the rows of x (rows, length); `rows.cuh` has the loops."""

from __future__ import annotations

from typing import Any

from .packs import pack_width

THREADS = 128     # of a block whose warps have rows of their own
WHOLE = 256       # of a block that has one row
MOST_HELD = 8     # packs that a thread keeps in registers
WARP = 32


def launch_rows(rows: int, length: int, *arrays: Any) -> tuple[int, int, dict[str, str]]:
    """Return blocks, threads and definitions for rows of these arrays (None: left out)."""
    width = pack_width(length, *arrays)
    packs = length // width
    lanes = min(WARP, 1 << (packs - 1).bit_length())
    if -(-packs // lanes) > MOST_HELD:
        lanes = WHOLE
    hold = -(-packs // lanes)
    threads = max(THREADS, lanes)
    return -(-rows * lanes // threads), threads, {
        "WIDTH": str(width), "LANES": str(lanes), "HOLD": str(hold if hold <= MOST_HELD else 0)}
