"""The data layer: IDX files, data sets, downloads over the loopback address, the loader."""

from __future__ import annotations

import _thread
import functools
import gzip
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from minidl import config
from minidl.data import DataLoader, read_idx, train_val_split, write_idx
from minidl.data.datasets import build_digits, digits, download, fashion_mnist, mnist
from minidl.data.datasets.idx_set import FILES
from minidl.errors import ArgumentError, DataError, DTypeError, ShapeError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
LABELS = np.arange(7, dtype=np.uint8)
REAL = os.environ.get("MINIDL_DATA", "")
needs_mnist = pytest.mark.skipif(not (Path(REAL) / "mnist").is_dir() or not REAL,
                                 reason="MINIDL_DATA names no folder with mnist/ in it")


def plain(array: np.ndarray) -> bytes:
    return struct.pack(f">2x2B{array.ndim}I", 8, array.ndim, *array.shape) + array.tobytes()


# ---- IDX files ----

@pytest.mark.parametrize("name", ["a.idx", "a.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_round_trip(tmp_path: Path, dtype: str, name: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    write_idx(tmp_path / name, array)
    back = read_idx(str(tmp_path / name))
    assert back.dtype == array.dtype and back.dtype.isnative and back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_idx_reads_the_published_form(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes([0, 0, 0x0B, 1, 0, 0, 0, 2, 1, 0, 255, 255]))
    assert read_idx(tmp_path / "x").tolist() == [256, -1]


def test_idx_writes_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.asfortranarray(IMAGES))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").read_bytes()[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize("array", [np.zeros(3, np.int64), np.zeros(3, bool), np.zeros((), "u1")])
def test_idx_writes_no_other_type(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(DTypeError, match="expected uint8, int8"):
        write_idx(tmp_path / "a", array)


GOOD = plain(IMAGES)
DAMAGED = {
    "empty": ("a", b"", "is empty"),
    "empty gzip": ("a.gz", b"", "is empty"),
    "gzip of nothing": ("a.gz", gzip.compress(b""), "unknown start, nothing"),
    "cut": ("a", GOOD[:-1], r"got 5,487 bytes of elements; .*\(7, 28, 28\).*expects 5,488"),
    "cut header": ("a", GOOD[:9], "got 9 bytes; the header alone, with 3 axes, takes 16"),
    "cut magic": ("a", b"\0\0", "unknown start, 00 00"),
    "too long": ("a", GOOD + b"1", "got 5,489 bytes"),
    "text": ("a", b"<html>", "unknown start, 3c 68 74 6d"),
    "type": ("a", b"\0\0\x0a\1" + GOOD[4:], "unknown start, 00 00 0a 01"),
    "no axes": ("a", b"\0\0\x08\0", "unknown start, 00 00 08 00"),
    "huge": ("a", b"\0\0\x0e\3" + b"\xff" * 12, "got 0 bytes of elements"),
    "gzip by another name": ("a", gzip.compress(GOOD), "1f 8b needs a name ending in .gz"),
    "not gzip": ("a.gz", GOOD, "not gzip, it starts with 00 00 08 03"),
    "gzip cut": ("a.gz", gzip.compress(GOOD)[:-20], "damaged or cut short"),
    "gzip flipped": ("a.gz", gzip.compress(GOOD, 0).replace(GOOD[99:120], b"*" * 21), "damaged"),
    "gzip, bad block": ("a.gz", gzip.compress(GOOD)[:10] + b"\xff" * 50, "damaged"),
    "gzip, trailing": ("a.gz", gzip.compress(GOOD) + b"xx", "damaged"),
    "gzip of cut": ("a.gz", gzip.compress(GOOD[:-1]), "got 5,487 bytes of elements"),
}


@pytest.mark.parametrize("name,content,text", DAMAGED.values(), ids=DAMAGED)
def test_idx_damage(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=text) as caught:
        read_idx(tmp_path / name)
    error = caught.value
    assert error.where == str(tmp_path / name) and error.got and error.expected and error.remedy


def test_idx_missing_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "none.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


# ---- data sets in a folder ----

def arrays() -> list[np.ndarray]:
    return [IMAGES, LABELS, IMAGES[:5], LABELS[:5]]


def lay_out(folder: Path, end: str = ".gz", dotted: bool = False,
            parts: list[np.ndarray] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(FILES, parts or arrays(), strict=True):
        write_idx(folder / ((name.replace("-idx", ".idx") if dotted else name) + end), array)
    return folder


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("module,inner", [(mnist, ""), (mnist, "mnist"),
                                          (fashion_mnist, "fashion_mnist")])
def test_load_from_folder(tmp_path: Path, module: ModuleType, inner: str, end: str,
                          dotted: bool) -> None:
    lay_out(tmp_path / inner, end, dotted)
    (x_train, y_train), (x_test, y_test) = module.load_data(str(tmp_path))
    assert x_train.dtype == np.uint8 and y_train.dtype == y_test.dtype == np.int64
    np.testing.assert_array_equal(x_train, IMAGES[..., None])
    np.testing.assert_array_equal(x_test, IMAGES[:5, ..., None])
    assert y_train.tolist() == list(range(7)) and y_test.tolist() == list(range(5))
    assert x_train.flags.c_contiguous and x_train.flags.writeable


def test_own_subfolder_goes_first(tmp_path: Path) -> None:
    lay_out(tmp_path)
    lay_out(tmp_path / "fashion_mnist", parts=[255 - IMAGES, LABELS, IMAGES, LABELS])
    assert mnist.load_data(tmp_path)[0][0][0, 0, 0, 0] == IMAGES[0, 0, 0]
    assert fashion_mnist.load_data(tmp_path)[0][0][0, 0, 0, 0] == 255 - IMAGES[0, 0, 0]


def test_folder_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mnist: got .*none, which is not a folder"):
        mnist.load_data(tmp_path / "none")
    with pytest.raises(DataError, match="lacks train-images-idx3-ubyte, train-labels"):
        mnist.load_data(tmp_path)
    (lay_out(tmp_path / "mnist") / f"{FILES[3]}.gz").unlink()
    (tmp_path / "mnist" / FILES[3]).mkdir()
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte; .* or in mnist/"):
        mnist.load_data(tmp_path)


@pytest.mark.parametrize("place,array,text", [
    (0, IMAGES[:, :27], r"train-images.*\(7, 27, 28\) of uint8; expected images"),
    (0, LABELS, r"train-images.*got \(7,\) of uint8"),
    (1, LABELS[:6], r"train-labels.*shape \(6,\); .*7 images, so \(7,\)"),
    (2, IMAGES.astype("f4"), "t10k-images.*of float32"),
    (3, LABELS[:5] + np.uint8(9), "t10k-labels.*labels of uint8 up to 13"),
    (3, LABELS[:5].astype("i4"), "t10k-labels.*labels of int32"),
])
def test_files_of_another_kind(tmp_path: Path, place: int, array: np.ndarray, text: str) -> None:
    parts = arrays()
    parts[place] = array
    with pytest.raises(DataError, match=text):
        mnist.load_data(lay_out(tmp_path, parts=parts))


# ---- downloads ----

class Handler(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture()
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve tmp_path/www and keep the cache in tmp_path/cache."""
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Handler.asked.clear()
    handler = functools.partial(Handler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


@pytest.fixture()
def published(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Publish small sets under good/, one with a wrong file under bad/."""
    good, bad = lay_out(tmp_path / "www" / "good"), lay_out(tmp_path / "www" / "bad")
    write_idx(bad / f"{FILES[0]}.gz", IMAGES + np.uint8(1))
    (bad / f"{FILES[1]}.gz").write_bytes(b"<html>log in first</html>")
    packed = [(good / f"{name}.gz").read_bytes() for name in FILES]
    for module, contents in ((mnist, map(gzip.decompress, packed)), (fashion_mnist, packed)):
        sums = [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in contents]
        monkeypatch.setattr(module, "MD5", sums)
        monkeypatch.setattr(module, "MIRRORS", [f"{server}good/"])
    return server


def kept(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_download_once(tmp_path: Path, published: str, module: ModuleType) -> None:
    for _ in range(2):
        (x_train, _), (_, y_test) = module.load_data()
        np.testing.assert_array_equal(x_train, IMAGES[..., None])
        assert y_test.tolist() == list(range(5)) and len(Handler.asked) == 4
    folder = tmp_path / "cache" / module.__name__.rsplit(".", 1)[1]
    assert sorted(os.listdir(folder)) == sorted(f"{name}.gz" for name in FILES)


def test_next_mirror_and_damaged_cache(tmp_path: Path, published: str,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", [f"{published}{at}/" for at in ("none", "bad", "good")])
    mnist.load_data()
    assert len(Handler.asked) == 4 + 4 + 2  # bad/ has two right files
    (tmp_path / "cache" / "mnist" / f"{FILES[1]}.gz").write_bytes(b"")
    assert mnist.load_data()[0][1].tolist() == list(range(7))
    assert len(kept(tmp_path)) == 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("at,text", [
    ("bad/", r"train-images-idx3-ubyte.gz: came with md5 \w{32} instead of \w{32}"),
    ("none/", "train-images-idx3-ubyte.gz: answered 404"),
    ("offline", "train-images-idx3-ubyte.gz: ConnectionError"),
])
@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_no_download(tmp_path: Path, published: str, monkeypatch: pytest.MonkeyPatch,
                     module: ModuleType, at: str, text: str) -> None:
    base = f"http://127.0.0.1:{free_port()}/" if at == "offline" else published + at
    monkeypatch.setattr(module, "MIRRORS", [base])
    with pytest.raises(DataError, match=text) as caught:
        module.load_data()
    assert 'load_data(data="DIR")' in str(caught.value) and "--data DIR" in str(caught.value)
    assert list((tmp_path / "cache").rglob("part-*")) == kept(tmp_path) == []


def test_broken_and_not_gzip_download(tmp_path: Path, published: str) -> None:
    target = tmp_path / "cache" / f"{FILES[1]}.gz"
    with pytest.raises(DataError, match="BadGzipFile"):
        download.download("mnist", [f"{published}bad/"], target, "0" * 32, unpacked=True)
    assert os.listdir(tmp_path / "cache") == []


def test_cache_place(tmp_path: Path, published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot make the cache folder .* MINIDL_CACHE"):
        mnist.load_data()
    monkeypatch.delenv("MINIDL_CACHE")
    assert "minidl" in str(download.cache_folder("mnist").parent)


def test_import_is_light() -> None:
    code = ("import sys, minidl.data; "
            "print([m for m in ('pooch', 'requests', 'h5py', 'PIL') if m in sys.modules])")
    root = Path(sys.modules["minidl.data"].__path__[0]).parents[1]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert out.stdout.strip() == b"[]"


# ---- the digits that come with the package, and real MNIST ----

def test_digits() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert x_train.shape == (10000, 28, 28, 1) and x_test.shape == (2000, 28, 28, 1)
    assert x_train.dtype == np.uint8 and y_train.dtype == np.int64
    assert np.bincount(y_train).tolist() == [1000] * 10
    assert np.bincount(y_test).tolist() == [200] * 10
    assert 0.12 < x_train.mean() / 255 < 0.14 and len(np.unique(x_train, axis=0)) == 10000
    assert len(np.unique(y_train[:50])) == 10, "classes are mixed, not one after the other"
    assert "CC BY-SA 3.0" in (digits.FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in digits.FOLDER.iterdir()) < 2_500_000


def test_build_digits_errors(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="got 1 samples of class 0; expected at least 1000"):
        build_digits.main([str(lay_out(tmp_path / "in")), "--out", str(tmp_path / "out")])
    assert build_digits.draw(np.array([1, 0, 1, 0, 0]), 2, 0).size == 4


@needs_mnist
def test_build_digits_gives_what_is_shipped(tmp_path: Path) -> None:
    build_digits.main([REAL, "--out", str(tmp_path)])
    for name in FILES:
        np.testing.assert_array_equal(read_idx(tmp_path / f"{name}.gz"),
                                      read_idx(digits.FOLDER / f"{name}.gz"))


@needs_mnist
def test_real_mnist() -> None:
    (x_train, y_train), (x_test, y_test) = mnist.load_data(REAL)
    assert x_train.shape == (60000, 28, 28, 1) and x_test.shape == (10000, 28, 28, 1)
    parts = (x_train[..., 0], y_train, x_test[..., 0], y_test)
    sums = [hashlib.md5(plain(part.astype(np.uint8))).hexdigest() for part in parts]
    assert sums == mnist.MD5
    assert len(mnist.CLASS_NAMES) == len(fashion_mnist.CLASS_NAMES) == y_train.max() + 1


# ---- the loader ----

X = np.arange(23 * 4, dtype=np.float32).reshape(23, 2, 2)
Y = np.arange(23)


def noisy(batch: tuple[np.ndarray, ...], epoch: int,
          indices: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sleep longer for earlier batches, and add a number that depends on epoch and rows."""
    time.sleep(0.002 * float(indices[0] % 3))
    return batch[0] * 10 + epoch, indices


def rows(batches: Iterator[tuple[np.ndarray, ...]]) -> list[list[int]]:
    return [batch[-1].tolist() for batch in batches]


def loader_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("minidl-loader")]


def test_batches_in_order() -> None:
    loader = DataLoader(X, Y, batch_size=5)
    assert len(loader) == 5 and loader.samples == 23
    batches = list(loader)
    assert [len(y) for _, y in batches] == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), X)
    assert len(DataLoader(X, batch_size=5, drop_last=True)) == 4
    assert rows(DataLoader(X, Y, batch_size=6, limit=8).epoch(0)) == [[0, 1, 2, 3, 4, 5], [6, 7]]
    assert DataLoader(X, limit=99).samples == 23
    assert len(list(DataLoader(X, Y, batch_size=5, drop_last=True, workers=2))) == 4


def test_order_is_a_function_of_seed_and_epoch() -> None:
    loader = DataLoader(X, Y, shuffle=True, seed=3, limit=20)
    orders = [loader.order(epoch).tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert loader.order(1).tolist() == orders[1]
    assert DataLoader(X, shuffle=True, seed=4, limit=20).order(0).tolist() != orders[0]
    assert DataLoader(np.arange(5), shuffle=True, seed=7).order(0).tolist() == [2, 1, 3, 4, 0]


@pytest.mark.parametrize("workers,prefetch", [(0, 1), (1, 1), (2, 2), (5, 3)])
def test_same_batches_with_any_workers_and_resume(workers: int, prefetch: int) -> None:
    loader = DataLoader(X, Y, batch_size=4, shuffle=True, transform=noisy, workers=workers,
                        prefetch=prefetch)
    order = loader.order(2)
    expected = [(X[i] * 10 + 2, i) for i in (order[at:at + 4] for at in range(0, 23, 4))]
    for start in (0, 1, 5, 6):
        batches = list(loader.epoch(2, start))
        assert len(batches) == 6 - start
        for got, want in zip(batches, expected[start:], strict=True):
            np.testing.assert_array_equal(got[0], want[0])
            np.testing.assert_array_equal(got[1], want[1])
    assert loader_threads() == []


def test_iter_goes_through_the_epochs() -> None:
    loader = DataLoader(Y, batch_size=8, shuffle=True, workers=1)
    seen = [np.concatenate([y for y, in loader]).tolist() for _ in range(3)]
    assert seen == [loader.order(epoch).tolist() for epoch in range(3)]
    loader.next_epoch = 1
    assert np.concatenate([y for y, in loader]).tolist() == seen[1]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("transform", [None, lambda batch, *_: (batch[0].swapaxes(1, 2),)])
def test_batches_belong_to_the_caller(shuffle: bool, transform: Any) -> None:
    source = np.zeros((6, 2, 3), np.float32).transpose(0, 2, 1)
    source.flags.writeable = False
    for x, in DataLoader(source, batch_size=6, shuffle=shuffle, transform=transform):
        assert type(x) is np.ndarray and x.flags.c_contiguous and x.flags.writeable
        x += 1
    assert not source.any()


class LikeHDF5:
    """Takes slices and strictly rising rows only, as h5py does."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape = array, array.shape

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, at: Any) -> np.ndarray:
        if not isinstance(at, slice) and np.any(np.diff(at) <= 0):
            raise TypeError("rows must rise")
        return self.array[at]


@pytest.mark.parametrize("shuffle", [False, True])
def test_other_sources(tmp_path: Path, shuffle: bool) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for source in (mapped, LikeHDF5(X)):
        for x, y in DataLoader(source, Y, batch_size=5, shuffle=shuffle, workers=1):
            assert type(x) is np.ndarray and x.flags.c_contiguous and x.flags.writeable
            np.testing.assert_array_equal(x, X[y])


BAD: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "none": ((), {}, ArgumentError, "got no arrays"),
    "lengths": ((X, Y, Y[:9]), {}, ShapeError, "array 0 of length 23 and array 2 of length 9"),
    "empty": ((X[:0],), {}, DataError, "got arrays of length 0"),
    "tuple": (((X, Y),), {}, ArgumentError, "got a tuple as array 0"),
    "iterator": ((iter(Y),), {}, ArgumentError, "as array 0; expected arrays"),
    "no axis": ((Y, np.array(3)), {}, ShapeError, r"got array 1 of shape \(\)"),
    "batch 0": ((X,), {"batch_size": 0}, ArgumentError, "got batch_size=0; .* at least 1"),
    "batch 1.5": ((X,), {"batch_size": 1.5}, ArgumentError, "got batch_size=1.5"),
    "workers": ((X,), {"workers": -1}, ArgumentError, "got workers=-1"),
    "prefetch": ((X,), {"prefetch": 0}, ArgumentError, "got prefetch=0"),
    "limit": ((X,), {"limit": 0}, ArgumentError, "got limit=0"),
    "seed": ((X,), {"seed": -1}, ArgumentError, "got seed=-1"),
    "no batch": ((X,), {"drop_last": True}, DataError, "got 23 samples; .* batch_size=32"),
}


@pytest.mark.parametrize("given,options,kind,text", BAD.values(), ids=BAD)
def test_bad_loaders(given: tuple[Any, ...], options: dict[str, Any], kind: type[Exception],
                     text: str) -> None:
    with pytest.raises(kind, match=text):
        DataLoader(*given, **options)


def test_bad_epochs() -> None:
    loader = DataLoader(X, batch_size=5)
    with pytest.raises(ArgumentError, match="got epoch=-1"):
        loader.epoch(-1)
    with pytest.raises(ArgumentError, match="got start=6; expected 0 to 5, the number of batches"):
        loader.epoch(0, 6)


def failing(batch: tuple[np.ndarray, ...], epoch: int,
            indices: np.ndarray) -> tuple[np.ndarray, ...]:
    if 10 in indices:
        raise OSError("the disk is gone")
    return batch


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_errors_surface_where_the_batch_is_asked_for(workers: int) -> None:
    got = []
    with pytest.raises(OSError, match="the disk is gone") as caught:
        for y, in DataLoader(Y, batch_size=5, transform=failing, workers=workers):
            got += y.tolist()
    assert got == list(range(10))
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "failing"
    assert loader_threads() == []
    loader = DataLoader(Y, transform=lambda batch, *_: list(batch), workers=workers)  # type: ignore
    with pytest.raises(ArgumentError, match="transform: returned a list; expected a tuple"):
        next(iter(loader))


def test_abandoned_iterators_leave_no_threads() -> None:
    loader = DataLoader(X, Y, batch_size=2, workers=3, transform=noisy)
    for _ in loader:
        break
    assert loader_threads() == []
    iterator = loader.epoch(1)
    next(iterator)
    assert loader_threads()
    del iterator
    assert loader_threads() == []
    loader.epoch(2)  # never begun
    assert loader_threads() == []


def test_interrupt() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    try:
        _interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt() -> None:
    def interrupting(batch: Any, epoch: int, indices: np.ndarray) -> Any:
        if 8 in indices:
            _thread.interrupt_main()
        return batch

    iterator = DataLoader(Y, batch_size=4, workers=2, transform=interrupting).epoch(0)
    with pytest.raises(KeyboardInterrupt):
        for _ in iterator:
            time.sleep(0.01)
    del iterator
    deadline = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loader_threads() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_see_the_callers_switches(workers: int) -> None:
    seen = []

    def look(batch: Any, epoch: int, indices: np.ndarray) -> Any:
        seen.append(config.grad_enabled())
        return batch

    with config.no_grad():
        list(DataLoader(Y, batch_size=5, workers=workers, transform=look))
    assert seen == [False] * 5


# ---- the split ----

def test_split() -> None:
    (x_train, y_train), (x_val, y_val) = train_val_split(X, Y, fraction=0.25, seed=1)
    assert len(y_train) == 17 and len(y_val) == 6
    assert sorted([*y_train, *y_val]) == list(range(23))
    np.testing.assert_array_equal(x_train, X[y_train])
    np.testing.assert_array_equal(x_val, X[y_val])
    again = train_val_split(LikeHDF5(Y), fraction=0.25, seed=1)
    np.testing.assert_array_equal(again[0][0], y_train)
    assert train_val_split(Y, fraction=0.25, seed=2)[1][0].tolist() != y_val.tolist()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, 0.01, 0.99, float("nan")])
def test_split_leaves_no_part_empty(fraction: float) -> None:
    with pytest.raises(ArgumentError, match=r"got fraction=.* of 23 samples"):
        train_val_split(Y, fraction=fraction)


def test_bad_splits() -> None:
    with pytest.raises(ShapeError, match="train_val_split: got array 0 of length 23 and array 1"):
        train_val_split(Y, Y[:3])
    with pytest.raises(ArgumentError, match="train_val_split: got seed=-3"):
        train_val_split(Y, seed=-3)
