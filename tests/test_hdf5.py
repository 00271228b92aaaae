"""HDF5 files of samples: written whole or not at all, read from threads and processes."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from minidl.data import Blocks, DataLoader, HDF5Source, HDF5Writer
from minidl.errors import ArgumentError, DataError, DTypeError, MinidlError, ShapeError

RNG = np.random.default_rng(11)
IMAGES = RNG.integers(0, 256, (53, 6, 5, 3), np.uint8)
LABELS = RNG.integers(0, 4, 53)
NAMES = ["ant", "bee", "çat", "dög"]


def written(path: Path, images: Any = IMAGES, labels: Any = LABELS, step: int = 7,
            **options: Any) -> Path:
    with HDF5Writer(path, images.shape, **{"buffer": 10, "label_names": NAMES, **options}) as out:
        for at in range(0, len(images), step):
            out.add(images[at:at + step], labels[at:at + step])
    return path


# ---- writing ----

@pytest.mark.parametrize("step", [1, 7, 10, 53])
@pytest.mark.parametrize("buffer", [1, 10, 1000])
def test_round_trip(tmp_path: Path, step: int, buffer: int) -> None:
    path = written(tmp_path / "new" / "a.hdf5", step=step, buffer=buffer)
    source = HDF5Source(path, shape=(6, 5, 3))
    assert source.shape == IMAGES.shape and source.dtype == np.uint8 and len(source) == 53
    assert source.label_names == NAMES and source.labels.dtype == np.int64
    np.testing.assert_array_equal(source.labels, LABELS)
    np.testing.assert_array_equal(source[:], IMAGES)
    assert os.listdir(path.parent) == ["a.hdf5"]
    with h5py.File(path) as file:  # as any other program sees it
        assert sorted(file) == ["images", "label_names", "labels"]
        assert file["label_names"].asstr()[:].tolist() == NAMES
    assert path.stat().st_size < IMAGES.nbytes + 53 * 8 + 8192


@pytest.mark.parametrize("shape,dtype,options,key,kept", [
    ((9, 5), "f8", {}, "features", "f4"), ((9, 5), "i8", {}, "features", "f4"),
    ((9, 5), "f8", {"dtype": "f8"}, "features", "f8"),
    ((9, 4, 4, 1), "i8", {}, "images", "u1"), ((9, 7, 2), "f4", {"key": "rows"}, "rows", "f4")])
def test_types(tmp_path: Path, shape: tuple[int, ...], dtype: str, options: dict[str, Any],
               key: str, kept: str) -> None:
    rows = RNG.integers(0, 256, shape).astype(dtype)
    path = written(tmp_path / "a", rows, LABELS[:9], **options)
    source = HDF5Source(path, None if key != "rows" else "rows")
    assert source.key == key and source.dtype == kept
    np.testing.assert_array_equal(source[:], rows.astype(kept))


def test_single_values_and_lists(tmp_path: Path) -> None:
    with HDF5Writer(tmp_path / "a", (2, 3)) as out:
        out.add([[1, 2, 3]], [0])
        out.add([[4, 5, 6.5]], [1])
        out.add(np.empty((0, 3)), [])
    source = HDF5Source(tmp_path / "a")
    assert source[:].tolist() == [[1, 2, 3], [4, 5, 6.5]] and source.label_names is None


BAD_ROWS: dict[str, tuple[Any, Any, type[MinidlError], str]] = {
    "unit range": (IMAGES[:2] / 255, LABELS[:2], DTypeError, "got rows of float64 .* into uint8"),
    "large": (IMAGES[:2].astype(int) + 99, LABELS[:2], DTypeError, "int64 from .* into uint8"),
    "negative": (-IMAGES[:2].astype(int), LABELS[:2], DTypeError, "into uint8"),
    "text": (np.full((1, 6, 5, 3), "a"), [0], MinidlError, "into uint8"),
    "one image": (IMAGES[0], LABELS[:6], ShapeError, r"got rows \(6, 5, 3\) .*\(n, 6, 5, 3\)"),
    "size": (IMAGES[:2, :5], LABELS[:2], ShapeError, r"got rows \(2, 5, 5, 3\)"),
    "labels": (IMAGES[:2], LABELS[:3], ShapeError, r"labels \(3,\)"),
    "one-hot": (IMAGES[:2], np.eye(4)[:2], ShapeError, r"labels \(2, 4\)"),
    "no name": (IMAGES[:2], [1, 4], DataError, "labels from 1 to 4; .* 0 to 3, as there are 4"),
    "label -1": (IMAGES[:2], [1, -1], DataError, "labels from -1 to 1"),
    "label 1.5": (IMAGES[:2], [1, 1.5], DataError, "labels of float64"),
    "too many": (np.repeat(IMAGES, 2, 0), np.repeat(LABELS, 2), DataError, "got 106 rows; .* 53"),
}


@pytest.mark.parametrize("rows,labels,kind,text", BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_rows(tmp_path: Path, rows: Any, labels: Any, kind: type[MinidlError],
                  text: str) -> None:
    if text == "into uint8" and kind is MinidlError:
        kind, rows = DTypeError, np.full((1, 6, 5, 3), True)
    with pytest.raises(kind, match=text) as caught, \
            HDF5Writer(tmp_path / "a.hdf5", IMAGES.shape, label_names=NAMES) as out:
        out.add(rows, labels)
    assert str(tmp_path / "a.hdf5") in caught.value.where
    assert os.listdir(tmp_path) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path / "a.hdf5")
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match=r"a.hdf5: the file is there already; .*overwrite=True"):
        HDF5Writer(path, (3, 2))
    with pytest.raises(ZeroDivisionError), HDF5Writer(path, (3, 2), overwrite=True) as out:
        out.add(np.zeros((2, 2)), [0, 0])
        raise ZeroDivisionError
    out = HDF5Writer(path, (3, 2), overwrite=True)
    out.add(np.zeros((2, 2)), [0, 0])
    with pytest.raises(DataError, match=r"got 2 rows; its shape \(3, 2\) expects 3"):
        out.close()
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.hdf5"]
    out.close()
    with pytest.raises(ArgumentError, match="after the file was closed"):
        out.add(np.zeros((1, 2)), [0])
    written(path, IMAGES[:5], LABELS[:5], overwrite=True)
    assert len(HDF5Source(path)) == 5


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (3, 0)])
def test_bad_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="HDF5Writer: got shape="):
        HDF5Writer(tmp_path / "a", shape)


def test_a_killed_build_leaves_no_file(tmp_path: Path) -> None:
    code = ("import numpy as np, os, sys, signal; from minidl.data import HDF5Writer\n"
            "out = HDF5Writer('a.hdf5', (9, 1000), buffer=1)\n"
            "out.add(np.zeros((8, 1000)), np.zeros(8, int)); os._exit(9)")
    root = str(Path(sys.modules["minidl"].__path__[0]).parent)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == 9 and not (tmp_path / "a.hdf5").exists()
    assert written(tmp_path / "a.hdf5").exists()  # what it left does not stand in the way
    assert os.listdir(tmp_path) == ["a.hdf5"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"a.hdf5: cannot be written: "):
        HDF5Writer(tmp_path / "file" / "a.hdf5", (3, 2))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.hdf5: cannot be written: .*No space.*disk is full"), \
            HDF5Writer(tmp_path / "a.hdf5", (100, 1000), buffer=10) as out:
        out.add(np.zeros((25, 1000)), np.zeros(25, int))
        out._file.close()
        out._file = io.FileIO("/dev/full", "r+")
        out.add(np.zeros((25, 1000)), np.zeros(25, int))
    assert os.listdir(tmp_path) == []


# ---- reading ----

def test_rows(tmp_path: Path) -> None:
    source = HDF5Source(written(tmp_path / "a"))
    for rows in (slice(None), slice(5, 20), slice(50, 99), slice(9, 3), slice(None, None, 7),
                 slice(None, None, -1), RNG.permutation(53), np.array([3, 4, 5, 20, 50, 51]),
                 np.array([7, 7, 2]), np.array([], int), [1, 4]):
        got = source[rows]
        np.testing.assert_array_equal(got, IMAGES[rows])
        assert got.flags.c_contiguous and got.flags.writeable
    np.testing.assert_array_equal(source[17], IMAGES[17])
    for bad in ([53], [-1], [0.5], [[1]]):
        with pytest.raises(IndexError):
            source[np.array(bad)]
    assert "(53, 6, 5, 3) of uint8" in repr(source)


@pytest.mark.parametrize("shuffle", [False, True, "blocks", Blocks(4, 3)])
@pytest.mark.parametrize("workers", [0, 3])
def test_in_a_loader(tmp_path: Path, shuffle: Any, workers: int) -> None:
    source = HDF5Source(written(tmp_path / "a"))
    memory, disk = (DataLoader(x, source.labels, batch_size=8, shuffle=shuffle, workers=workers,
                               seed=5) for x in (IMAGES, source))
    for start in (0, 3, 6):
        for a, b in zip(memory.epoch(2, start), disk.epoch(2, start), strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(a[1], b[1])


def test_neighbours_are_read_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = HDF5Source(written(tmp_path / "a"))
    calls: list[Any] = []
    plain = h5py.Dataset.read_direct
    monkeypatch.setattr(h5py.Dataset, "read_direct",
                        lambda *given: (calls.append(given[2]), plain(*given)))
    source[:]
    source[np.array([2, 3, 4, 9, 10])]
    assert calls == [np.s_[0:53], np.s_[2:5], np.s_[9:11]]


def test_threads(tmp_path: Path) -> None:
    source = HDF5Source(written(tmp_path / "a"))
    picks = [RNG.integers(0, 53, 9) for _ in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for rows, got in zip(picks, pool.map(source.__getitem__, picks), strict=True):
            np.testing.assert_array_equal(got, IMAGES[rows])


def total(source: HDF5Source, rows: np.ndarray) -> int:
    with ThreadPoolExecutor(2) as pool:
        return sum(int(part.sum()) for part in pool.map(source.__getitem__, np.split(rows, 3)))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a")
    source = HDF5Source("a")  # a relative path, which other processes must still find
    source[3]
    picks = [RNG.integers(0, 53, 9) for _ in range(8)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        got = pool.starmap(total, [(source, rows) for rows in picks])
    assert got == [int(IMAGES[rows].sum()) for rows in picks]
    np.testing.assert_array_equal(source[:9], IMAGES[:9])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_inherits_the_file(tmp_path: Path) -> None:
    code = ("import numpy as np, os, sys; from minidl.data import HDF5Source\n"
            "s = HDF5Source('a'); a = s[:]; child = os.fork()\n"
            "if not child: os._exit(0 if np.array_equal(s[5:9], a[5:9]) and s._pid == os.getpid()"
            " else 1)\n"
            "good = all(np.array_equal(s[i], a[i]) for i in range(50))\n"
            "sys.exit(os.waitpid(child, 0)[1] or not good)")
    written(tmp_path / "a")
    root = str(Path(sys.modules["minidl"].__path__[0]).parent)
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60,
                          env={**os.environ, "PYTHONPATH": root}, check=False).returncode == 0


def test_close_and_pickle(tmp_path: Path) -> None:
    with HDF5Source(written(tmp_path / "a")) as source:
        copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(source[4:6], IMAGES[4:6])
    np.testing.assert_array_equal(copy[[1, 0]], IMAGES[[1, 0]])
    source.close()
    written(tmp_path / "a", IMAGES[:9], LABELS[:9], overwrite=True)
    with pytest.raises(DataError, match=r"not the one that was opened before; .*\(53, 6, 5, 3\)"):
        source[0]
    source.close()
    (tmp_path / "a").unlink()
    with pytest.raises(DataError, match="there is no such file"):
        source[0]


# ---- files of another kind ----

def raw(path: Path, **contents: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in contents.items():
            file[name] = value
    return path


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], type[MinidlError], str]] = {
    "no data set": ({"pixels": IMAGES, "labels": LABELS}, {}, DataError,
                    'it holds labels, pixels; expected a data set images or features.*key="NAME"'),
    "empty": ({}, {}, DataError, "it holds nothing"),
    "group": ({"images/a": IMAGES}, {}, DataError, "it holds images; expected a data set"),
    "key": ({"images": IMAGES}, {"key": "features"}, DataError, "it holds images; .* features"),
    "shape": ({"images": IMAGES}, {"shape": (32, 32, 3)}, ShapeError,
              r"images holds samples of shape \(6, 5, 3\); expected \(32, 32, 3\)"),
    "scalar": ({"images": 3}, {}, DataError, r"images is of shape \(\)"),
    "none": ({"images": IMAGES[:0]}, {}, DataError, r"images is of shape \(0, 6, 5, 3\)"),
    "text": ({"images": ["a", "b"]}, {}, DataError, "images is of shape .* and object"),
    "labels": ({"images": IMAGES, "labels": LABELS[:9]}, {}, DataError,
               r"got labels of shape \(9,\); images holds 53 samples"),
    "one-hot": ({"images": IMAGES, "labels": np.eye(53)}, {}, DataError, r"shape \(53, 53\)"),
    "float": ({"images": IMAGES, "labels": LABELS / 2}, {}, DataError, "labels of float64"),
    "outside": ({"images": IMAGES, "labels": LABELS + 1, "label_names": NAMES}, {}, DataError,
                "got labels from 1 to 4; .*0 to 3, as there are 4 names"),
}


@pytest.mark.parametrize("contents,options,kind,text", OTHERS.values(), ids=OTHERS)
def test_other_files(tmp_path: Path, contents: dict[str, Any], options: dict[str, Any],
                     kind: type[MinidlError], text: str) -> None:
    path = raw(tmp_path / "a.hdf5", **contents)
    with pytest.raises(kind, match=rf"a\.hdf5: .*{text}"):
        HDF5Source(path, **options)
    path.unlink()  # nothing holds it open, not even where that matters


def test_the_books_files_are_read(tmp_path: Path) -> None:
    """The book's writer makes everything float64, and class names of variable length."""
    with h5py.File(tmp_path / "a", "w", libver="earliest") as file:
        file.create_dataset("images", IMAGES.shape, "float")[:] = IMAGES
        file.create_dataset("labels", (53,), "int")[:] = LABELS
        file.create_dataset("label_names", (4,), h5py.special_dtype(vlen=str))[:] = NAMES
    source = HDF5Source(tmp_path / "a")
    assert source.dtype == np.float64 and source.label_names == NAMES
    np.testing.assert_array_equal(source[10:12], IMAGES[10:12])


def test_chunked_and_packed_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a", "w") as file:
        file.create_dataset("images", data=IMAGES, chunks=(8, 6, 5, 3), compression="gzip")
    np.testing.assert_array_equal(HDF5Source(tmp_path / "a")[5:30], IMAGES[5:30])
    content = (tmp_path / "a").read_bytes()
    with h5py.File(tmp_path / "a") as file:
        at = file["images"].id.get_chunk_info(3).byte_offset
    (tmp_path / "a").write_bytes(content[:at] + b"*" * 50 + content[at + 50:])
    source = HDF5Source(tmp_path / "a")
    np.testing.assert_array_equal(source[:8], IMAGES[:8])
    with pytest.raises(DataError, match="a: rows of images cannot be read"):
        source[24:30]


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99])
def test_truncated(tmp_path: Path, share: float) -> None:
    content = written(tmp_path / "a.hdf5").read_bytes()
    (tmp_path / "a.hdf5").write_bytes(content[:int(len(content) * share)])
    with pytest.raises(DataError, match=r"a\.hdf5: the file cannot be read"):
        HDF5Source(tmp_path / "a.hdf5")


def test_not_hdf5(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("<html>")
    with pytest.raises(DataError, match=r"a: the file cannot be read .*signature"):
        HDF5Source(tmp_path / "a")
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match="there is no such file"):
            HDF5Source(place)


def test_damage_is_an_error_or_harmless(tmp_path: Path) -> None:
    """A changed byte of the file's structure is never a crash or a foreign exception."""
    content = written(tmp_path / "whole", IMAGES[:4], LABELS[:4]).read_bytes()
    samples = content.find(IMAGES[:4].tobytes())
    found = 0
    for at in RNG.permutation([i for i in range(len(content))
                               if not samples <= i < samples + 360])[:300]:
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(RNG.integers(8))
        (tmp_path / "a").write_bytes(damaged)
        try:
            with HDF5Source(tmp_path / "a") as source:
                np.testing.assert_array_equal(source[:], IMAGES[:4])
        except DataError:
            found += 1
    assert found > 20


def test_threads_open_it_once_after_a_close(tmp_path: Path) -> None:
    source = HDF5Source(written(tmp_path / "a"))
    source.close()
    opened = []
    plain = source._open
    source._open = lambda: (opened.append(1), time.sleep(0.01), plain())[2]  # type: ignore
    threads = [threading.Thread(target=source.__getitem__, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
