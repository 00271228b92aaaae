"""Features: what a network makes of samples at one of its layers, written to an HDF5 file."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..data import DataLoader, HDF5Source, ImageFiles, Rows
from ..data.loader import Batch
from ..data.resumable import ResumableHDF5Writer
from ..errors import ArgumentError, ShapeError
from ..watch import inference
from .passes import kind_of, passes_of

POOLINGS: dict[str | None, Callable[[np.ndarray], np.ndarray]] = {
    None: lambda y: y.reshape(len(y), -1),
    "avg": lambda y: y.mean(axis=(1, 2)),
    "max": lambda y: y.max(axis=(1, 2))}
"""How outputs (N, H, W, C) become rows, by name: flattened, or the mean or maximum of positions."""


def extract_features(model: Any, x: Any, y: Any, path: str | os.PathLike[str], *,
                     layer: str | int | None = None, pooling: str | None = None,
                     preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
                     label_names: Sequence[str] | None = None, batch_size: int = 32,
                     seed: int | None = 42, workers: int = 1, overwrite: bool = False,
                     progress: bool = True) -> Path:
    """Write a layer's outputs for all samples, as float32 rows, with their labels; return the path.

    The samples come in an order drawn from the seed, so that the first rows are a random part. A
    run that was stopped, even by a kill, goes on after the last whole batch that it wrote when it
    is called again with the same arguments; the file is then the same to the bit. At `path` there
    is nothing before all is done.

    Args:
        model: a graph `Model` or `Sequential`; weights stay as they are.
        x: source of samples (N, ...), such as `ImageFiles`; read in batches, never whole.
        y: labels (N,), whole numbers from 0.
        path: the HDF5 file: data sets `features` (N, F), `labels` and `label_names`.
        layer: name or position of the layer, "body/conv1" in a nested model; None takes the
            model's output.
        pooling: None flattens each output (H, W, C) to H W C values; "avg" and "max" take the
            mean or the maximum over its positions, C values.
        preprocess: turns stored samples (n, ...) into the network's input, in the workers.
        batch_size: samples in a pass through the network.
        seed: of the order; None keeps that of the source.
        workers: threads that read and decode beside the network.
        overwrite: replace a file that is there, and an unfinished one of other settings.
        progress: show a bar with the rate, and a line at the end.

    Raises:
        GraphError: there is no such layer; the text names those like it.
        ShapeError: the network does not take such samples, or the outputs cannot be pooled.
        ArgumentError: the file is there, or an unfinished one that was made otherwise.
        DataError: a sample cannot be read, or the file cannot be written.

    >>> extract_features(vgg16(weights=FILE), images, labels, "animals.hdf5",
    ...                  layer="block5_pool", preprocess=preprocess_input)  # doctest: +SKIP
    """
    if pooling not in POOLINGS:
        raise ArgumentError("extract_features", f"got pooling={pooling!r}",
                            'expected None, "avg" or "max"', "Change pooling.")
    body = model if layer is None else model.up_to(layer)
    loader = DataLoader(x, np.asarray(y), batch_size=batch_size, shuffle=seed is not None,
                        seed=seed or 0, workers=workers, transform=_before(preprocess))
    width = _width(body, loader, pooling)
    settings = {"layer": layer, "pooling": pooling, "batch_size": batch_size, "seed": seed,
                "weights": _checksum(*body.state_dict().values()), "samples": described(x),
                "labels": _checksum(np.asarray(y)), "names": list(label_names or ())}
    with ResumableHDF5Writer(path, (len(x), width), settings, buffer=batch_size,
                             label_names=label_names, overwrite=overwrite) as writer:
        before, begun = writer.rows, time.perf_counter()
        with _bar(Path(path).name, len(x), before, progress) as advance, \
                inference(model):
            for rows, labels in _features(body, loader, before // batch_size, pooling):
                writer.add(rows, labels)
                advance(len(rows))
    if progress:
        _report(Path(path), len(x), width, before, time.perf_counter() - begun)
    return Path(path)


def _before(preprocess: Callable[[np.ndarray], np.ndarray] | None) -> Any:
    if preprocess is None:
        return None

    def transform(batch: Batch, epoch: int, indices: np.ndarray) -> Batch:
        return preprocess(batch[0]), *batch[1:]

    return transform


def _features(body: Any, loader: DataLoader, start: int, pooling: str | None
              ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows (n, F) and labels (n,) of each batch, from batch number `start` on."""
    kind, run = kind_of(body.parameters()), passes_of(body)
    for samples, labels in loader.epoch(0, start):
        yield POOLINGS[pooling](run(samples, *kind).numpy()), labels


def _width(body: Any, loader: DataLoader, pooling: str | None) -> int:
    """Return how many features a sample has, from the shape of the first one."""
    first = loader.arrays[0][:1]
    if loader.transform is not None:
        first = loader.transform((first,), 0, np.zeros(1, np.int64))[0]
    shape = body.compute_output_shape((None, *first.shape[1:]), str(first.dtype))
    if not isinstance(shape, tuple) or (pooling and len(shape) != 4):
        raise ShapeError("extract_features", f"got a layer with the output {shape}",
                         "expected one array, of (N, H, W, C) for pooling",
                         "Choose another layer, or pooling=None.")
    return int(shape[-1] if pooling else np.prod(shape[1:]))


# ---- what a file depends on ----------------------------------------------------------------


def described(source: Any) -> str:
    """Return what tells a source of samples from others: paths and sizes, rows, or a checksum.

    >>> described(np.zeros((2, 3), np.uint8))
    'ndarray (2, 3) uint8 b1c2a1a3'
    """
    kind = f"{type(source).__name__} {tuple(source.shape)} {source.dtype}"
    if isinstance(source, Rows):
        return f"{kind} {_checksum(source.rows):08x} of {described(source.source)}"
    if isinstance(source, ImageFiles):
        paths = "\n".join(os.path.abspath(path) for path in source.paths)
        how = f"{source.fit} {source.mode} {source.interpolation}"
        return f"{kind} {how} {zlib.crc32(paths.encode()):08x}"
    if isinstance(source, HDF5Source):
        return f"{kind} {source.path}"
    return f"{kind} {_checksum(source):08x}" if isinstance(source, np.ndarray) else kind


def _checksum(*arrays: np.ndarray) -> int:
    checksum = 0
    for array in arrays:
        plain = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        checksum = zlib.crc32(plain.data, checksum)
    return checksum


# ---- what is shown -------------------------------------------------------------------------


@contextmanager
def _bar(name: str, total: int, done: int, shown: bool) -> Iterator[Callable[[int], Any]]:
    """Show a bar with the rate; give what moves it on by some samples."""
    if not shown:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    rate = TextColumn("{task.fields[rate]:,.0f} samples/s")
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate,
                  Left(), console=Console(), transient=True) as bar:
        task, begun = bar.add_task(name, total=total, completed=done, rate=0.0), time.perf_counter()

        def advance(count: int) -> None:
            now = bar.tasks[0].completed + count - done
            bar.update(task, advance=count, rate=now / max(time.perf_counter() - begun, 1e-9))

        yield advance


def _report(path: Path, count: int, width: int, before: int, seconds: float) -> None:
    resumed = f", {before:,} of them from before" if before else ""
    print(f"{path}: {count:,} samples of {width:,} features{resumed}, "
          f"{path.stat().st_size / 1e6:,.1f} MB, {seconds:.1f} s "
          f"({(count - before) / max(seconds, 1e-9):,.0f} samples/s)")
