"""Data sets of images in their published form, synthetic and real, and any classes of them."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minidl.data import datasets, read_image
from minidl.data.datasets import cifar10, cifar100, tiny_imagenet
from minidl.errors import ArgumentError, DataError

RNG = np.random.default_rng(2)
REAL = Path(os.environ.get("MINIDL_DATA") or "none")


def needs(name: str) -> Any:
    return pytest.mark.skipif(not (REAL / name).is_dir(), reason=f"MINIDL_DATA lacks {name}/")


def write(path: Path, size: int = 8, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size, size, 3) if mode == "RGB" else (size, size)
    Image.fromarray(RNG.integers(0, 256, shape, np.uint8)).save(path)
    return path


def batch(path: Path, **labels: list[int]) -> np.ndarray:
    """Write a batch with a row of colour planes for each label; return the images."""
    images = RNG.integers(0, 256, (len(next(iter(labels.values()))), 32, 32, 3), np.uint8)
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    entries = {key.encode(): value for key, value in labels.items()} | {b"data": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(entries, 2))
    return images


def make_cifar10(root: Path) -> tuple[np.ndarray, np.ndarray]:
    images = [batch(root / name, labels=[i, 3, 9 - i]) for i, name in enumerate(cifar10.FILES)]
    return np.concatenate(images), np.concatenate([[i, 3, 9 - i] for i in range(6)])


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-py", "cifar10/cifar-10-batches-py"])
def test_cifar10(tmp_path: Path, inner: str) -> None:
    images, labels = make_cifar10(tmp_path / inner)
    (x, y), (x_test, y_test) = cifar10.load_data(tmp_path)
    np.testing.assert_array_equal(np.concatenate([x, x_test]), images)
    assert [*y, *y_test] == labels.tolist() and len(y_test) == 3
    assert x.dtype == np.uint8 and y.dtype == np.int64 and x.flags.c_contiguous
    (x, y), _ = cifar10.load_data(tmp_path, classes=["automobile", 3])
    np.testing.assert_array_equal(x, images[:15][np.isin(labels[:15], [1, 3])])
    assert y.tolist() == [1, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("label_mode,names", [("fine", 100), ("coarse", 20)])
def test_cifar100(tmp_path: Path, label_mode: str, names: int) -> None:
    for part in ("train", "test"):
        images = batch(tmp_path / part, fine_labels=[99, 4, 50], coarse_labels=[19, 4, 10])
    _, (x, y) = cifar100.load_data(tmp_path, label_mode=label_mode)
    np.testing.assert_array_equal(x, images)
    assert y.tolist() == [names - 1, 4, names // 2]
    assert len(set(cifar100.CLASS_NAMES)) == 100 and len(set(cifar100.COARSE_NAMES)) == 20
    assert sorted(cifar100.CLASS_NAMES) == list(cifar100.CLASS_NAMES)
    with pytest.raises(ArgumentError, match="got label_mode='both'"):
        cifar100.load_data(tmp_path, label_mode="both")


BATCHES: dict[str, tuple[Any, str]] = {
    "no dict": ([1], "has no entry 'data'"),
    "no labels": ({b"data": np.zeros((1, 3072), np.uint8)}, "has no entry 'labels'"),
    "form": ({b"data": np.zeros((1, 3071), np.uint8), b"labels": [0]}, r"images as \(1, 3071\)"),
    "type": ({b"data": np.zeros((1, 3072)), b"labels": [0]}, "of float64; expected"),
    "list": ({b"data": [1], b"labels": [0]}, "got images as list"),
    "count": ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "got 1 labels for 2"),
    "label": ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]},
              "got the label 10 for sample 1; expected 0 to 9"),
    "foreign": (Path("x"), "asks for pathlib"),
}


@pytest.mark.parametrize("content,text", BATCHES.values(), ids=BATCHES)
def test_bad_batches(tmp_path: Path, content: Any, text: str) -> None:
    make_cifar10(tmp_path)
    (tmp_path / "data_batch_4").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DataError, match=text) as caught:
        cifar10.load_data(tmp_path)
    assert caught.value.where == str(tmp_path / "data_batch_4")


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*none; expected data_batch_1"):
        cifar10.load_data(tmp_path / "none")
    with pytest.raises(DataError, match=r"lacks train, test; .* in cifar-100-python/, or the arch"):
        cifar100.load_data(tmp_path)
    with pytest.raises(DataError, match="there is no download for it"):
        datasets.caltech101.load_data()


# ---- downloads ----

class Quiet(SimpleHTTPRequestHandler):
    """A server that says nothing."""

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The folder tmp_path/www on the loopback address; the cache is tmp_path/cache."""
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "www").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def publish(folder: Path, inner: str, archive: Path) -> str:
    """Pack a folder as published, under the name `inner`; return the archive's md5 sum."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, inner)
    return hashlib.md5(archive.read_bytes()).hexdigest()


def published(monkeypatch: pytest.MonkeyPatch, address: str, md5: str) -> None:
    set_ = cifar10.PUBLISHED
    monkeypatch.setattr(cifar10, "PUBLISHED", type(set_)(
        set_.name, set_.inner, set_.needs, (address,), set_.file, md5))


def test_archive_is_fetched_once(tmp_path: Path, address: str,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = make_cifar10(tmp_path / "made")
    archive = tmp_path / "www" / cifar10.PUBLISHED.file
    published(monkeypatch, address, publish(tmp_path / "made", "cifar-10-batches-py", archive))
    for _ in range(2):
        (x, _), (x_test, _) = cifar10.load_data()
        np.testing.assert_array_equal(np.concatenate([x, x_test]), images)
        archive.unlink(missing_ok=True)
    assert os.listdir(tmp_path / "cache/cifar10") == ["published"]


def test_archive_in_the_folder(tmp_path: Path, address: str) -> None:
    images, _ = make_cifar10(tmp_path / "made")
    archive = tmp_path / "www" / cifar10.PUBLISHED.file
    publish(tmp_path / "made", "cifar-10-batches-py", archive)
    for data in (archive, archive.parent):
        np.testing.assert_array_equal(cifar10.load_data(data)[1][0], images[-3:])


def test_wrong_sum_and_unsafe_archive(tmp_path: Path, address: str,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    make_cifar10(tmp_path / "made")
    archive = tmp_path / "www" / cifar10.PUBLISHED.file
    md5 = publish(tmp_path / "made", "../cifar-10-batches-py", archive)
    published(monkeypatch, address, "0" * 32)
    with pytest.raises(DataError, match=f"came with md5 {md5} instead of 0000"):
        cifar10.load_data()
    published(monkeypatch, address, md5)
    with pytest.raises(DataError, match="leads out of the folder"):
        cifar10.load_data()
    assert not list(tmp_path.rglob("cache/**/data_batch_*"))


# ---- Tiny ImageNet ----

IDS = ("n03", "n01", "n02")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A tree of three classes: 10 training and 2 validation images each."""
    root = tmp_path / "tiny-imagenet-200"
    for wnid in IDS:
        for number in range(10):
            write(root / f"train/{wnid}/images/{wnid}_{number}.JPEG", 64, "RGB" if number else "L")
    lines = []
    for number in range(6):
        write(root / f"val/images/val_{number}.JPEG", 64)
        lines.append(f"val_{number}.JPEG\t{IDS[number % 3]}\t0\t0\t9\t9\n")
    (root / "val/val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(IDS) + "\n")
    (root / "words.txt").write_text("n01\tcat, house cat\nn02\tdog\nn03\temu\nn99\tfox\n")
    return root


def test_tiny_imagenet(tiny: Path) -> None:
    train, val, test = tiny_imagenet.load_data(tiny.parent, test_per_class=3)
    assert [len(x) for x, _ in (train, val, test)] == [21, 6, 9]
    assert val[1].tolist() == [2, 0, 1, 2, 0, 1] and np.bincount(test[1]).tolist() == [3] * 3
    assert sorted(train[0].paths + test[0].paths) == sorted(
        str(path) for path in tiny.rglob("train/*/images/*"))
    for x, y in (train, test):
        assert [Path(path).parts[-3] for path in x.paths] == [f"n0{label + 1}" for label in y]
    assert train[0][:].shape == (21, 64, 64, 3)  # grey ones too
    again = tiny_imagenet.load_data(tiny, test_per_class=3, seed=43)[2][0].paths
    assert again != test[0].paths and tiny_imagenet.class_names(tiny) == ("cat", "dog", "emu")


@pytest.mark.parametrize("classes,names", [(2, ("cat", "dog")), (["emu", "n01"], ("emu", "cat")),
                                           ([2, "dog"], ("emu", "dog"))])
def test_classes_of_tiny_imagenet(tiny: Path, classes: Any, names: tuple[str, ...]) -> None:
    (x, y), (_, y_val), _ = tiny_imagenet.load_data(tiny, classes, test_per_class=1)
    assert tiny_imagenet.class_names(tiny, classes) == names and sorted(y_val) == [0, 0, 1, 1]
    ids = [f"n0{('cat', 'dog', 'emu').index(name) + 1}" for name in names]
    assert [Path(path).parts[-3] for path in x.paths] == [ids[label] for label in y]


TINY = {
    "words": ("words.txt", "n01\tcat\n", "has no line for n02"),
    "annotations": ("val/val_annotations.txt", "a.JPEG\tn77\n", "got the class n77"),
    "columns": ("val/val_annotations.txt", "a.JPEG n01\n", "has 1 column in line 1"),
    "empty": ("wnids.txt", "", "is empty"),
}


@pytest.mark.parametrize("file,content,text", TINY.values(), ids=TINY)
def test_bad_tiny_imagenet(tiny: Path, file: str, content: str, text: str) -> None:
    (tiny / file).write_text(content)
    with pytest.raises(DataError, match=text) as caught:
        tiny_imagenet.load_data(tiny, test_per_class=1)
    assert caught.value.where == str(tiny / file)


# ---- trees of the laboratory ----

@pytest.mark.parametrize("module,inner,ignored", [
    (datasets.caltech101, "101_ObjectCategories", "BACKGROUND_Google"),
    (datasets.caltech256, "256_ObjectCategories", "257.clutter")])
def test_caltech(tmp_path: Path, module: Any, inner: str, ignored: str) -> None:
    for name in ("002.b", "001.a", ignored):
        for number in range(8):
            write(tmp_path / inner / name / f"image_{number:04}.jpg")
    (x, _), (x_test, y_test) = module.load_data(tmp_path, (4, 6))
    assert x.shape == (12, 4, 6, 3) and np.bincount(y_test).tolist() == [2, 2]
    assert not set(x.paths) & set(x_test.paths)
    assert module.class_names(tmp_path) == ("001.a", "002.b")
    assert module.load_data(tmp_path, (4, 6), ["002.b"])[0][1].tolist() == [0] * 6


def test_linnaeus5(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 2)):
        for name in datasets.linnaeus5.CLASS_NAMES:
            for number in range(count):
                write(tmp_path / "Linnaeus 5 256X256" / part / name / f"{number}_256.jpg")
    (x, y), (_, y_test) = datasets.linnaeus5.load_data(tmp_path, (4, 4), classes=["other", "dog"])
    assert x.shape == (6, 4, 4, 3) and y_test.tolist() == [1, 1, 0, 0]
    assert [Path(path).parent.name for path in x.paths] == [("other", "dog")[label] for label in y]


def test_core50(tmp_path: Path) -> None:
    for session in (1, 2, 3, 10):
        for number in (1, 2, 6, 10):
            write(tmp_path / f"s{session}/o{number}/C_{session:02}_{number:02}_000.png")
    (x, y), (x_test, _) = datasets.core50.load_data(tmp_path, (4, 4))
    assert y.tolist() == [0, 1, 5, 9] * 2 and "s10" in x_test.paths[-1] and len(x) == 8
    _, (_, kinds) = datasets.core50.load_data(tmp_path, (4, 4), label_mode="category")
    assert kinds.tolist() == [0, 0, 1, 1] * 2
    (_, y), _ = datasets.core50.load_data(tmp_path, (4, 4), ["o6", "o2"], test_sessions=[2])
    assert y.tolist() == [1, 0] * 3
    write(tmp_path / "s1/o51/a.png")
    with pytest.raises(DataError, match="got the label -1"):
        datasets.core50.load_data(tmp_path, (4, 4))


def test_hasyv2(tmp_path: Path) -> None:
    rows = "path,symbol_id,latex,user_id\n"
    for number, latex in enumerate(["A", "\\pi", "A", "B"]):
        path = write(tmp_path / f"hasy-data/v2-{number:05}.png", 32)
        rows += f"../../hasy-data/{path.name},{number},{latex},7\n"
    fold = tmp_path / "classification-task/fold-2"
    fold.mkdir(parents=True)
    (fold / "train.csv").write_text(rows)
    (fold / "test.csv").write_text(rows.replace(",A,", ",B,"))
    (x, y), (_, y_test) = datasets.hasyv2.load_data(tmp_path, fold=2)
    assert x.shape == (4, 32, 32, 1) and y.tolist() == [0, 2, 0, 1]
    assert y_test.tolist() == [1, 2, 1, 1]
    grey = read_image(tmp_path / "hasy-data/v2-00003.png", mode="L")
    np.testing.assert_array_equal(x[3], grey)
    assert datasets.hasyv2.load_data(tmp_path, ["\\pi", "B"], fold=2)[0][1].tolist() == [0, 1]
    (fold / "test.csv").write_text(rows.replace(",A,", ",C,"))
    with pytest.raises(DataError, match=r"test\.csv: got the label 'C' in row 2"):
        datasets.hasyv2.load_data(tmp_path, fold=2)


def test_classes_of_idx_sets() -> None:
    (x, y), (_, y_test) = datasets.digits.load_data()
    (x_some, y_some), (_, test_some) = datasets.digits.load_data(classes=[7, "1"])
    np.testing.assert_array_equal(x_some, x[np.isin(y, [1, 7])])
    np.testing.assert_array_equal(np.array([7, 1])[y_some], y[np.isin(y, [1, 7])])
    assert np.bincount(test_some).tolist() == [(y_test == 7).sum(), (y_test == 1).sum()]


# ---- real data ----

@needs("cifar10")
def test_real_cifar10() -> None:
    (x, _), (_, y_test) = cifar10.load_data(REAL, classes=["cat", "dog"])
    assert x.shape == (10000, 32, 32, 3) and np.bincount(y_test).tolist() == [1000, 1000]
    some = x[:500].astype(int)  # neighbours are alike along both axes: planes are in place
    steps = [np.abs(np.diff(some, axis=axis)).mean() for axis in (1, 2)]
    assert max(steps) < np.abs(some - some[:, :, ::-1]).mean() / 2


@needs("tiny_imagenet")
def test_real_tiny_imagenet() -> None:
    (x, y), (x_val, y_val), (x_test, y_test) = tiny_imagenet.load_data(REAL, classes=10)
    assert x.shape == (4500, 64, 64, 3) and len(x_val) == len(x_test) == 500
    for labels, each in ((y, 450), (y_val, 50), (y_test, 50)):
        assert np.bincount(labels).tolist() == [each] * 10
    assert x[::90].shape == (50, 64, 64, 3)


@needs("tiny_imagenet")
def test_real_tree_out_of_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    root = REAL / "tiny_imagenet/tiny-imagenet-200"
    wnid = sorted(os.listdir(root / "train"))[0]
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as opened:
        names = ["words.txt", "val/val_annotations.txt", *sorted(
            str(path.relative_to(root)) for path in (root / f"train/{wnid}/images").iterdir())]
        for name in names:
            opened.write(root / name, f"tiny-imagenet-200/{name}")
        ids = "\n".join(os.listdir(root / "train"))
        opened.writestr("tiny-imagenet-200/wnids.txt", ids)
    (x, y), (_, y_val), _ = tiny_imagenet.load_data(tmp_path, classes=[wnid])
    assert len(x) == 450 and x[:3].shape == (3, 64, 64, 3) and len(y_val) == 50 and not y.any()
