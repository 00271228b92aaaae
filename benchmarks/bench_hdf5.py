"""Times an epoch of reading an HDF5 file: in order, by blocks, and row by row at random.

    python benchmarks/bench_hdf5.py [--folder DIR] [--megabytes 400] [--rounds 3]

Files of images (256x256x3 to 32x32x3, uint8) and of features (2048, float32) are written, each
plain and one packed (chunks of 16 rows, gzip). Before each epoch the system is asked to forget the
file ("cold"), or it is not ("warm"). Batches of 64, in the calling thread; nothing is computed. The
figures are medians over the rounds, in samples a second. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np

from minidl.data import DataLoader, HDF5Source, HDF5Writer

SETS = (("images 256x256x3", (256, 256, 3), np.uint8, False),
        ("images 128x128x3", (128, 128, 3), np.uint8, False),
        ("images 32x32x3", (32, 32, 3), np.uint8, False),
        ("features 2048", (2048,), np.float32, False),
        ("images 128x128x3, gzip", (128, 128, 3), np.uint8, True))
ORDERS: tuple[tuple[str, bool | str], ...] = (("in order", False), ("blocks", "blocks"),
                                              ("random rows", True))


def write(path: Path, shape: tuple[int, ...], dtype: type, packed: bool, megabytes: int) -> None:
    """Write a file of random samples."""
    import h5py

    rng = np.random.default_rng(0)
    rows = max(2048, megabytes * 1_000_000 // (int(np.prod(shape)) * np.dtype(dtype).itemsize))
    rows = min(rows, 4096) if packed else rows
    pieces = [np.arange(a, min(a + 512, rows)) for a in range(0, rows, 512)]
    if packed:
        with h5py.File(path, "w") as file:
            data = file.create_dataset("images", (rows, *shape), dtype, chunks=(16, *shape),
                                       compression="gzip", compression_opts=1)
            for piece in pieces:
                data[piece[0]:piece[-1] + 1] = rng.integers(0, 16, (len(piece), *shape), np.uint8)
        return
    with HDF5Writer(path, (rows, *shape), dtype=dtype, overwrite=True) as out:
        for piece in pieces:
            out.add(rng.integers(0, 256, (len(piece), *shape), np.uint8).astype(dtype), piece)


def forget(path: Path) -> None:
    """Ask the system to drop the file from its memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def speed(path: Path, shuffle: bool | str, cold: bool, epoch: int) -> float:
    """Return samples a second of one epoch, of at most 15 seconds."""
    if cold:
        forget(path)
    with HDF5Source(path) as source:
        begun, count = time.perf_counter(), 0
        for (x,) in DataLoader(source, batch_size=64, shuffle=shuffle).epoch(epoch):
            count += len(x)
            if time.perf_counter() - begun > 15:
                break
        return count / (time.perf_counter() - begun)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path("."))
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    path = given.folder / "bench.hdf5"
    print("| file | memory | in order | blocks | random rows | blocks / random |")
    print("|---|---|---|---|---|---|")
    try:
        for name, shape, dtype, packed in SETS:
            write(path, shape, dtype, packed, given.megabytes)
            for cold in (True, False):
                found = [statistics.median(speed(path, shuffle, cold, i)
                                           for i in range(given.rounds))
                         for _, shuffle in ORDERS]
                print(f"| {name} | {'cold' if cold else 'warm'} | "
                      + " | ".join(f"{value:,.0f}" for value in found)
                      + f" | {found[1] / found[2]:.1f} |", flush=True)
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
