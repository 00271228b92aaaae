"""Packs samples into HDF5 files, one for each part, with the mean colour of the training part."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError
from ..files import replacing
from .hdf5 import HDF5Writer
from .loader import DataLoader
from .sources import Rows, common_length
from .split import stratified_split

Parts = Mapping[str, tuple[Any, Any]]

COLOURS = ("R", "G", "B")
MEAN_FILE = "mean.json"
"""Name of the file with the mean colour."""


def stratified_parts(source: Any, labels: Any, seed: int = 42,
                     **sizes: float) -> dict[str, tuple[Rows, np.ndarray]]:
    """Divide a source into the part `train` and others, each with the classes in proportion.

    Args:
        source: samples (N, ...); nothing is read.
        labels: of the samples (N,), integers from 0.
        seed: which rows are drawn.
        sizes: number (an int) or share (a float) of samples of each part beside `train`.

    Returns:
        Samples and labels by the part's name, in shuffled order, as `build_hdf5` takes them.

    Raises:
        as `stratified_split`.

    >>> parts = stratified_parts(np.zeros((90, 8, 8, 3)), np.arange(90) % 3, val=9, test=0.2)
    >>> {name: len(labels) for name, (_, labels) in parts.items()}
    {'train': 63, 'val': 9, 'test': 18}
    """
    labels = np.asarray(labels)
    common_length("stratified_parts", (source, labels))
    rows = stratified_split(labels, *sizes.values(), seed=seed)
    return {name: (Rows(source, part), labels[part])
            for name, part in zip(("train", *sizes), rows, strict=True)}


def build_hdf5(parts: Parts, folder: str | os.PathLike[str], *,
               label_names: Sequence[str] | None = None, mean_of: str | None = None,
               batch_size: int = 64, buffer: int = 1000, workers: int = 0,
               overwrite: bool = False, progress: bool = True) -> dict[str, Path]:
    """Write `folder/NAME.hdf5` for every part, and the mean colour of one into `mean.json`.

    Samples are read in batches, in the order of the part. Every file is whole or absent.

    Args:
        parts: samples (N, ...) and labels (N,) by the name of the part, such as those of
            `stratified_parts`.
        label_names: names of the classes, by label; they go into each file.
        mean_of: the part whose mean {"R", "G", "B"} is written, 0 to 255, over all pixels and
            summed in float64. None takes `train` where there is one with images of 3 channels.
        workers: threads that read, and decode where the source decodes.
        overwrite: replace files that are there.
        progress: show a bar while it goes on, and the time of each part.

    Returns:
        Paths by the part's name, and by "mean" where there is one.

    Raises:
        ArgumentError: a file is there already, or `mean_of` has no 3 channels.
        DataError: a file cannot be read or written.

    >>> x, y = np.full((20, 4, 4, 3), 7, np.uint8), np.arange(20) % 2
    >>> paths = build_hdf5(stratified_parts(x, y, val=4), "set", progress=False)
    >>> sorted(path.name for path in paths.values())
    ['mean.json', 'train.hdf5', 'val.hdf5']
    """
    target = Path(folder)
    mean_of = _mean_of(parts, mean_of)
    paths = {name: target / f"{name}.hdf5" for name in parts}
    if mean_of is not None:
        paths["mean"] = target / MEAN_FILE
    _check_free(paths, overwrite)
    for name, (source, labels) in parts.items():
        begun = time.perf_counter()
        loader = DataLoader(source, np.asarray(labels), batch_size=batch_size, workers=workers)
        with _bar(name, len(loader), progress) as step:
            total = _write(paths[name], loader, label_names, buffer, overwrite, step)
        if name == mean_of:
            _write_mean(paths["mean"], total / np.prod([len(labels), *source.shape[1:3]]))
        if progress:
            _report(paths[name], len(labels), time.perf_counter() - begun)
    return paths


def read_mean(path: str | os.PathLike[str]) -> tuple[float, float, float]:
    """Return the mean colour (R, G, B) that `build_hdf5` wrote.

    Raises:
        DataError: the file is missing or holds something else.

    >>> read_mean("set/mean.json")  # doctest: +SKIP
    (124.97, 115.98, 106.13)
    """
    try:
        mean = json.loads(Path(path).read_text("utf-8"))
        red, green, blue = (float(mean[colour]) for colour in COLOURS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(str(path), f"the mean cannot be read ({type(error).__name__}: {error})",
                        'expected {"R": number, "G": number, "B": number}',
                        "Build the data set again.") from error
    return red, green, blue


def _mean_of(parts: Parts, wanted: str | None) -> str | None:
    colour = [name for name, (source, _) in parts.items()
              if len(source.shape) == 4 and source.shape[3] == len(COLOURS)]
    if wanted is None:
        return "train" if "train" in colour else None
    if wanted not in colour:
        raise ArgumentError("build_hdf5", f"got mean_of={wanted!r}",
                            f"expected a part with images of 3 channels: {', '.join(colour)}",
                            "Change mean_of, or leave it out.")
    return wanted


def _check_free(paths: Mapping[str, Path], overwrite: bool) -> None:
    """Raise before hours of work rather than after them."""
    there = [str(path) for path in paths.values() if path.exists()]
    if there and not overwrite:
        raise ArgumentError(there[0], "the file is there already", "expected new names",
                            "Delete it, choose another folder, or give overwrite=True.")


def _write(path: Path, loader: DataLoader, names: Sequence[str] | None, buffer: int,
           overwrite: bool, step: Any) -> np.ndarray:
    """Write one part; return the sum of its values by channel, float64 (C,)."""
    source: Any = loader.arrays[0]
    total = np.zeros(source.shape[-1], np.float64)
    with HDF5Writer(path, source.shape, dtype=source.dtype, buffer=buffer, label_names=names,
                    overwrite=overwrite) as writer:
        for x, y in loader:
            writer.add(x, y)
            total += x.sum(axis=tuple(range(x.ndim - 1)), dtype=np.float64)
            step()
    return total


def _write_mean(path: Path, mean: np.ndarray) -> None:
    text = json.dumps(dict(zip(COLOURS, map(float, mean), strict=True)))
    with replacing(path) as aside:
        aside.write_text(text + "\n", "utf-8")


@contextmanager
def _bar(name: str, steps: int, shown: bool) -> Iterator[Any]:
    """Show a bar; give what moves it on by a step."""
    if not shown:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(), transient=True) as bar:
        task = bar.add_task(name, total=steps)
        yield lambda: bar.advance(task)


def _report(path: Path, count: int, seconds: float) -> None:
    size = path.stat().st_size / 1e6
    print(f"{path}: {count:,} samples, {size:,.1f} MB, {seconds:.1f} s "
          f"({count / max(seconds, 1e-9):,.0f} samples/s)")
