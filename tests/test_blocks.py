"""Shuffling by blocks, rows of sources, and stratified splits."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from minidl.data import Blocks, DataLoader, Rows, blocks, stratified_split, train_val_split
from minidl.data.sources import runs
from minidl.errors import ArgumentError, DataError, ShapeError


class OnDisk:
    """Counts what is read from it; rows only come as slices, as a disk likes it."""

    def __init__(self, array: np.ndarray, delay: float = 0) -> None:
        self.array, self.shape, self.dtype, self.delay = array, array.shape, array.dtype, delay
        self.read: list[slice] = []

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, at: Any) -> np.ndarray:
        assert isinstance(at, slice)
        time.sleep(self.delay)
        self.read.append(at)
        return self.array[at]


def seen(loader: DataLoader, epoch: int = 0, start: int = 0) -> list[list[int]]:
    return [batch[-1].tolist() for batch in loader.epoch(epoch, start)]


# ---- the order ----

@pytest.mark.parametrize("count", [1, 6, 64, 101, 1000])
@pytest.mark.parametrize("rows,at_once", [(1, 1), (7, 3), (32, 32), (5, 1), (1, 40)])
def test_every_row_comes_once(count: int, rows: int, at_once: int) -> None:
    chosen = Blocks(rows, at_once)
    orders = [chosen.order(count, seed=3, epoch=epoch) for epoch in range(3)]
    for order, ends in orders:
        assert sorted(order.tolist()) == list(range(count))
        assert ends[-1] == count and np.all(np.diff(ends, prepend=0) > 0)
        for first, stop in zip([0, *ends[:-1]], ends, strict=True):
            assert len(set(order[first:stop] // rows)) <= at_once
    again = chosen.order(count, seed=3, epoch=1)[0]
    assert again.tolist() == orders[1][0].tolist()
    if count >= 64 and (rows, at_once) != (64, 1):
        assert len({tuple(order.tolist()) for order, _ in orders}) == 3
        assert chosen.order(count, seed=4, epoch=0)[0].tolist() != orders[0][0].tolist()


def test_windows_mix_rows_of_distant_blocks() -> None:
    order = Blocks(32, 32).order(50_000, 0, 0)[0]
    batches = order[:49_920].reshape(-1, 64)
    assert np.mean([len(set(batch // 32)) for batch in batches]) > 25
    spread = batches.std(axis=1).mean() / 50_000
    assert 0.27 < spread < 0.30  # 0.2887 where rows are drawn evenly from the whole file


# ---- batches ----

@pytest.mark.parametrize("batch_size", [1, 4, 7, 64, 200])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_are_those_of_the_order(batch_size: int, workers: int) -> None:
    x, y = np.random.default_rng(5).random((101, 3), np.float32), np.arange(101)
    loader = DataLoader(OnDisk(x), y, batch_size=batch_size, shuffle=Blocks(8, 3), seed=2,
                        workers=workers)
    for epoch in range(2):
        order = loader.order(epoch)
        batches = list(loader.epoch(epoch))
        assert np.concatenate([b for _, b in batches]).tolist() == order.tolist()
        for got, rows in batches:
            np.testing.assert_array_equal(got, x[rows])
            assert got.flags.c_contiguous and got.flags.owndata
    whole = seen(loader, 1)
    for start in {0, 1, len(loader) // 2, len(loader) - 1, len(loader)}:
        assert seen(loader, 1, start) == whole[start:]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("drop_last,limit,batch_size", [
    (False, None, 16), (True, None, 16), (True, 77, 50), (False, 90, 40)])
def test_each_row_is_read_once_and_in_runs(workers: int, drop_last: bool, limit: int | None,
                                           batch_size: int) -> None:
    source = OnDisk(np.arange(101), delay=0.001)
    loader = DataLoader(source, np.arange(101), batch_size=batch_size, shuffle=Blocks(8, 3),
                        drop_last=drop_last, limit=limit, workers=workers)
    batches = seen(loader)
    read = [row for part in source.read for row in range(part.start, part.stop)]
    assert len(read) == len(set(read)) and {row for batch in batches for row in batch} <= set(read)
    assert len(source.read) <= -(-loader.samples // 8)
    source.read.clear()
    seen(loader, start=len(loader) - 1)
    assert len(source.read) <= 3 * (1 + -(-batch_size // 24))  # what lies before is not read


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_memory_of_windows_is_used_again(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    made = []
    plain = blocks._room
    monkeypatch.setattr(blocks, "_room", lambda *given: (made.append(given), plain(*given))[1])
    loader = DataLoader(OnDisk(np.arange(1000)), batch_size=10, shuffle=Blocks(20, 2),
                        workers=workers)
    assert sum(len(batch[0]) for batch in loader) == 1000
    assert len(made) <= (1 if workers == 0 else 4)


def test_what_follows_is_read_ahead() -> None:
    source = OnDisk(np.arange(96), delay=0.001)
    loader = DataLoader(source, batch_size=8, shuffle=Blocks(8, 4), workers=1, prefetch=1)
    iterator = loader.epoch(0)
    next(iterator)
    deadline = time.monotonic() + 5
    while sum(s.stop - s.start for s in source.read) < 64 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sum(s.stop - s.start for s in source.read) == 64  # this window and the next
    del iterator
    assert not [t for t in threading.enumerate() if t.name.startswith("minidl-loader")]


def test_errors_of_a_source_surface_once_they_are_met() -> None:
    class Broken(OnDisk):
        def __getitem__(self, at: Any) -> np.ndarray:
            if at.start <= 50 < at.stop:
                raise OSError("the disk is gone")
            return self.array[at]

    for workers in (0, 2):
        loader = DataLoader(Broken(np.arange(101)), batch_size=8, shuffle=Blocks(8, 2),
                            workers=workers)
        with pytest.raises(OSError, match="the disk is gone"):
            list(loader)


def test_words() -> None:
    x = np.arange(10)
    assert DataLoader(x, shuffle="blocks").shuffle == "blocks of 32 rows, 32 at once"
    assert DataLoader(x, shuffle=True).shuffle is True
    with pytest.raises(ArgumentError, match=r"got shuffle='block'; expected True, False, \"blocks"):
        DataLoader(x, shuffle="block")
    for name in ("rows", "at_once"):
        with pytest.raises(ArgumentError, match=f"Blocks: got {name}=0; expected a whole number"):
            Blocks(**{name: 0})


# ---- rows of a source ----

def test_rows() -> None:
    x = np.random.default_rng(1).random((20, 2))
    rows = np.random.default_rng(2).permutation(20)[:9]
    part = Rows(x, rows)
    assert part.shape == (9, 2) and part.dtype == x.dtype and len(part) == 9
    np.testing.assert_array_equal(part[2:5], x[rows[2:5]])
    np.testing.assert_array_equal(part[np.array([0, 3, 8])], x[rows[[0, 3, 8]]])
    assert part[3:3].shape == (0, 2)
    got = np.concatenate([b for b, in DataLoader(part, batch_size=4, shuffle=True)])
    assert sorted(got[:, 0]) == sorted(x[rows, 0])
    for bad in ([3, 20], [-1], [[1]]):
        with pytest.raises(ShapeError, match=r"Rows: got rows .* of a source of 20 rows"):
            Rows(x, bad)


def test_runs() -> None:
    rows = np.flatnonzero(np.random.default_rng(3).random(200) < 0.7)
    pieces = list(runs(rows))
    assert np.concatenate([np.arange(200)[s] for _, s in pieces]).tolist() == rows.tolist()
    assert [rows[at] for at, _ in pieces] == [s.start for _, s in pieces]
    assert all(b.start > a.stop for (_, a), (_, b) in pairwise(pieces))
    assert list(runs(np.array([], int))) == []


# ---- splits ----

@pytest.mark.parametrize("parts", [(0.25,), (100,), (0.16, 0.2), (50, 60, 70), (30, 0.5)])
def test_stratified(parts: tuple[float, ...]) -> None:
    labels = np.random.default_rng(7).choice(5, 1000, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    split = stratified_split(labels, *parts, seed=1)
    assert sorted(np.concatenate(split).tolist()) == list(range(1000))
    sizes = [round(1000 * p) if isinstance(p, float) else p for p in parts]
    assert [len(part) for part in split] == [1000 - sum(sizes), *sizes]
    for part in split:
        exact = np.bincount(labels) * len(part) / 1000
        assert np.all(np.abs(np.bincount(labels[part], minlength=5) - exact) < len(parts) + 1)
        assert np.any(np.diff(part) < 0)
    again = stratified_split([f"class {i}" for i in labels], *parts, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(split, again, strict=True))
    assert not np.array_equal(stratified_split(labels, *parts, seed=2)[0], split[0])


def test_stratified_is_exact_where_it_can_be() -> None:
    train, val, test = stratified_split(np.repeat([0, 1], 1000), 200, 0.1, seed=42)
    assert [np.count_nonzero(p < 1000) for p in (train, val, test)] == [800, 100, 100]


@pytest.mark.parametrize("labels,parts,kind,text", [
    ([0] * 5 + [1], (2,), DataError, "got 1 samples of class 1; .* each of the 2 parts"),
    (["a"] * 90 + ["b"] * 3, (2,), DataError, "got 3 samples of class b"),
    ([0, 1] * 5, (), ArgumentError, r"got the parts \(\) of 10 samples"),
    ([0, 1] * 5, (10,), ArgumentError, r"got the parts \(10,\)"),
    ([0, 1] * 5, (1.5,), ArgumentError, r"got the parts \(1.5,\)"),
    ([0, 1] * 5, (0.5, 0.5), ArgumentError, "with a rest"),
    ([0, 1] * 5, (-2,), ArgumentError, "got the parts"),
    ([], (2,), ShapeError, r"got labels of shape \(0,\)"),
    (np.eye(4), (2,), ShapeError, r"argmax\(axis=1\)"),
])
def test_bad_stratified(labels: Any, parts: tuple[float, ...], kind: type[Exception],
                        text: str) -> None:
    with pytest.raises(kind, match=f"stratified_split: .*{text}"):
        stratified_split(labels, *parts)


def test_train_val_split_stratified() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    (_, y_train), (x_val, y_val) = train_val_split(np.arange(100), labels, stratify=labels)
    assert np.bincount(y_val).tolist() == [12, 6, 2] and len(y_train) == 80
    np.testing.assert_array_equal(labels[x_val], y_val)
    with pytest.raises(ShapeError, match="train_val_split: got array 0 of length 100 and array 1"):
        train_val_split(np.arange(100), stratify=labels[:9])
