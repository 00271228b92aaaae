"""Text, CSV tables, their data sets, and building HDF5 files of a source."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl.data import (
    HDF5Source,
    Rows,
    Vocabulary,
    build_hdf5,
    pad_sequences,
    read_csv,
    read_mean,
    stratified_parts,
    tokenize,
)
from minidl.data.datasets import imdb, published, shuttle
from minidl.errors import ArgumentError, DataError, ShapeError

RNG = np.random.default_rng(3)
REAL = os.environ.get("MINIDL_DATA", "")


def needs(name: str) -> Any:
    return pytest.mark.skipif(not REAL or not (Path(REAL) / name).is_dir(),
                              reason=f"MINIDL_DATA names no folder with {name}/ in it")


# ---- text ----

@pytest.mark.parametrize("text,words", [
    ("It's GREAT!<br /><br>Really", ["it's", "great", "really"]),
    ("'quoted' rock'n'roll 10/10 snake_case", ["quoted", "rock'n'roll", "10", "10", "snake",
                                               "case"]),
    ("café – naïve… №5", ["café", "naïve", "5"]), ("", []), (" ... ", [])])
def test_tokenize(text: str, words: list[str]) -> None:
    if text.endswith("№5"):
        words = [w for w in words if w != "5"] + tokenize("№5")
    assert tokenize(text) == words


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("maxlen", [None, 1, 4, 50])
def test_pad_sequences(padding: str, truncating: str, maxlen: int | None) -> None:
    given = [RNG.integers(1, 9, n).tolist() for n in (0, 1, 3, 4, 5, 12)]
    got = pad_sequences(given, maxlen, padding=padding, truncating=truncating, value=-1)
    assert got.dtype == np.int32 and got.shape == (6, 12 if maxlen is None else maxlen)
    for row, sequence in zip(got.tolist(), given, strict=True):
        n = len(row)
        kept = (sequence[max(0, len(sequence) - n):] if truncating == "pre" else sequence[:n])
        fill = [-1] * (n - len(kept))
        assert row == (fill + kept if padding == "pre" else kept + fill)
    with pytest.raises(ArgumentError, match='got padding=\'left\'; expected "pre" or "post"'):
        pad_sequences(given, padding="left")


def reviews(folder: Path) -> Path:
    """Write two training and one test review of each kind."""
    texts = {"train/neg/0_1": "bad bad film", "train/neg/1_2": "a bad film",
             "train/pos/0_9": "good film<br />GOOD", "train/pos/1_8": "A film",
             "test/neg/0_1": "worse film", "test/pos/0_10": "good " * 9 + "end"}
    for name, text in texts.items():
        path = folder / "aclImdb" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def test_imdb(tmp_path: Path) -> None:
    found = imdb.load(reviews(tmp_path), num_words=6, maxlen=5)
    assert found.vocabulary.words == ("film", "bad", "a") and found.vocabulary.size == 6
    (x, y), (x_test, y_test) = imdb.load_data(tmp_path / "aclImdb", num_words=6, maxlen=5)
    assert x.dtype == np.int32 and y.dtype == np.int64
    by_text = sorted((row, label) for row, label in zip(x.tolist(), y.tolist(), strict=True))
    assert by_text == [([0, 0, 1, 5, 3], 1), ([0, 1, 2, 3, 2], 1), ([0, 1, 4, 4, 3], 0),
                       ([0, 1, 5, 4, 3], 0)]
    tests = dict(zip(y_test.tolist(), x_test.tolist(), strict=True))
    assert tests == {0: [0, 0, 1, 2, 3], 1: [2, 2, 2, 2, 2]}
    assert found.vocabulary.decode([0, 1, 4, 2, 3]) == "bad ? film"
    assert found.vocabulary.encode("Bad <br/> plot, a film.") == [1, 4, 2, 5, 3]
    skipped = imdb.load(tmp_path, num_words=6, maxlen=5, skip_top=1)
    assert 3 not in skipped.train[0] and 4 in skipped.train[0]
    orders = [imdb.load_data(tmp_path, seed=s)[0][1].tolist() for s in range(12)]
    assert len({tuple(order) for order in orders}) > 2


def test_imdb_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path))

    def download(*given: Any) -> None:
        calls.append(given)
        reviews(tmp_path / "source")
        given[2].parent.mkdir(parents=True)
        with tarfile.open(given[2], "w:gz") as tar:
            tar.add(tmp_path / "source" / "aclImdb", "aclImdb")

    monkeypatch.setattr(published, "download", download)
    for _ in range(2):
        assert len(imdb.load_data()[0][1]) == 4
    mirrors, file, md5 = imdb.PUBLISHED.mirrors, imdb.PUBLISHED.file, imdb.PUBLISHED.md5
    assert calls == [("imdb", mirrors, tmp_path / "imdb" / file, md5)]


def test_words_equally_frequent_are_in_alphabetical_order(tmp_path: Path) -> None:
    words = [f"w{i:03}" for i in RNG.permutation(200)]
    reviews(tmp_path)
    (tmp_path / "aclImdb/train/neg/0_1.txt").write_text(" ".join(words))
    got = imdb.load(tmp_path, num_words=1000).vocabulary.words
    assert [w for w in got if w.startswith("w")] == sorted(words)


def test_imdb_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"imdb: .* lacks train, test; expected .* in aclImdb/"):
        imdb.load_data(tmp_path)
    reviews(tmp_path)
    (tmp_path / "aclImdb/test/neg/0_1.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"0_1.txt: the review cannot be read .*UTF-8"):
        imdb.load_data(tmp_path)
    (tmp_path / "aclImdb/test/neg/0_1.txt").unlink()
    with pytest.raises(DataError, match=r"neg: there are no reviews in it"):
        imdb.load_data(tmp_path)
    (tmp_path / "aclImdb/test/neg").rmdir()
    with pytest.raises(DataError, match=r"neg: the folder cannot be read"):
        imdb.load_data(tmp_path)
    with pytest.raises(ArgumentError, match="imdb: got num_words=3"):
        imdb.load_data(tmp_path, num_words=3)


@pytest.mark.slow
@needs("imdb")
def test_real_imdb() -> None:
    x, y = imdb._read(Path(REAL) / "imdb/aclImdb/train", counter := imdb.Counter())
    assert len(x) == 25000 and y.mean() == 0.5
    vocabulary, _ = counter.vocabulary(10000, x)
    assert vocabulary.size == 10000 and vocabulary.words[:4] == ("the", "and", "a", "of")


def test_vocabulary_of_its_own() -> None:
    words = Vocabulary(["x", "y"])
    assert words.size == 5 and words.encode("") == [1]


# ---- tables ----

GOOD = "a,b,state\n1,2.5,ok\n-3e2,4,bad\n0,.5,ok\n"


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeff" + GOOD + "\n", "utf-8")
    for label in (-1, 2, "state"):
        table = read_csv(path, label)
        assert table.x.dtype == np.float32 and table.y.dtype == np.int64
        assert table.x.tolist() == [[1, 2.5], [-300, 4], [0, 0.5]]
        assert table.y.tolist() == [1, 0, 1] and table.class_names == ("bad", "ok")
        assert table.columns == ("a", "b")
    assert read_csv(path, label_mode="categorical").y.tolist() == [[0, 1], [1, 0], [0, 1]]
    binary = read_csv(path, label_mode="binary").y
    assert binary.tolist() == [1, 0, 1] and binary.dtype == np.float32
    path.write_text("9 1 2\n10 3 4\n-1 5 6")
    table = read_csv(path, 0, header=False, delimiter=" ")
    assert table.class_names == ("-1", "9", "10") and table.y.tolist() == [1, 2, 0]


BAD: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "empty": ("", {}, DataError, "t.csv: the file is empty"),
    "blank": ("\n\n", {}, DataError, "t.csv: the file is empty"),
    "header only": ("a,b,c\n", {}, DataError, "there are no rows"),
    "text": ("a,b,s\n1,2,x\n\n3,four,y\n", {}, DataError, 't.csv: line 4, column "b" holds \'four'),
    "cell": ("a,b,s\n1,,x\n", {}, DataError, "line 2, column \"b\" holds ''; expected a finite"),
    "nan": ("a,b,s\n1,2,x\nnan,2,x\n", {}, DataError, 'line 3, column "a" holds \'nan\''),
    "huge": ("a,b,s\n1,1e39,x\n", {}, DataError, 'line 2, column "b" holds \'1e39\''),
    "ragged": ("a,b,s\n1,2,x\n1,2\n", {}, DataError, "line 3 has 2 cells; expected 3"),
    "long": ("a,b,s\n1,2,x,9\n", {}, DataError, "line 2 has 4 cells; expected 3"),
    "label is not last": ("s,a\nok,1\n", {}, DataError, "line 2, column \"s\" .*label=NAME"),
    "no header": ("1,2,3\n4,5,6\n", {}, DataError, "holds numbers only; .*header=False"),
    "name": (GOOD, {"label": "class"}, ArgumentError, "got label='class'; .*a, b, state"),
    "number": (GOOD, {"label": 3}, ArgumentError, "got label=3; .*below 3"),
    "mode": (GOOD, {"label_mode": "one"}, ArgumentError, "got label_mode='one'"),
    "binary": ("a,s\n1,x\n2,y\n3,z\n", {"label_mode": "binary"}, DataError, r"3 classes \(x, y, z"),
    "bytes": ("a\0,b\n\xff1,2\n", {}, DataError, "t.csv: "),
}


@pytest.mark.parametrize("text,options,kind,wanted", BAD.values(), ids=BAD)
def test_bad_csv(tmp_path: Path, text: str, options: dict[str, Any], kind: type[Exception],
                 wanted: str) -> None:
    (tmp_path / "t.csv").write_text(text, "latin-1")
    with pytest.raises(kind, match=wanted):
        read_csv(tmp_path / "t.csv", **options)


def test_no_csv(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t.csv: there is no such file"):
        read_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match="the file cannot be read"):
        read_csv(tmp_path)


def test_shuttle(tmp_path: Path) -> None:
    x = RNG.integers(-50, 99, (400, 9))
    x[:, 4] = 7
    y = np.arange(400) % 7
    rows = [",".join(map(str, [*row, label])) for row, label in zip(x, y, strict=True)]
    path = tmp_path / "shuttle.csv"
    path.write_text("\n".join(["0,1,2,3,4,5,6,7,8,class", *rows]))
    (a, ya), (b, yb) = shuttle.load_data(tmp_path)
    assert a.shape == (300, 9, 1) and b.shape == (100, 9, 1) and a.dtype == np.float32
    np.testing.assert_allclose(a.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(a.std(0)[[0, 8], 0], 1, rtol=1e-5)
    assert not a[:, 4].any() and not np.allclose(b.mean(0), 0, atol=1e-5)
    assert set(ya) == {0, 1} and ya.dtype == np.float32 and abs(yb.mean() - 6 / 7) < 0.02
    three = shuttle.load_data(path, "int", (0.16, 0.2), scale=False)
    assert [len(labels) for _, labels in three] == [256, 64, 80]
    given = {(*row, label) for row, label in zip(map(tuple, x), y, strict=True)}
    got = {(*row[:, 0], label) for part in three for row, label in zip(*part, strict=True)}
    assert got == given
    assert shuttle.load_data(path, "categorical")[1][1].shape == (100, 7)
    path.write_text("a,b,class\n1,2,0\n1,3,1\n")
    with pytest.raises(DataError, match=r"got 2 readings and the states 0, 1; expected 9"):
        shuttle.load_data(path)
    for nothing in (None, tmp_path / "none"):
        with pytest.raises(DataError, match=r"shuttle: got data=.*UCI"):
            shuttle.load_data(nothing)


@needs("shuttle")
def test_real_shuttle() -> None:
    (x, y), (x_test, y_test) = shuttle.load_data(REAL)
    assert len(x) == 43500 and len(x_test) == 14500
    assert round((1 - y_test.mean()) * 100) == round((1 - y.mean()) * 100) == 79


# ---- building ----

@pytest.mark.parametrize("workers", [0, 2])
def test_build(tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int) -> None:
    x, y = RNG.integers(0, 256, (90, 6, 5, 3), np.uint8), np.repeat([0, 1, 2], 30)
    parts = stratified_parts(x, y, val=9, test=0.2)
    paths = build_hdf5(parts, tmp_path / "set", label_names=["a", "b", "c"], batch_size=8,
                       buffer=10, workers=workers)
    for name, count in (("train", 63), ("val", 9), ("test", 18)):
        source = HDF5Source(paths[name], shape=(6, 5, 3))
        assert len(source) == count and np.bincount(source.labels).tolist() == [count // 3] * 3
        np.testing.assert_array_equal(source[:], x[parts[name][0].rows])
        assert source.label_names == ["a", "b", "c"]
    train = x[parts["train"][0].rows]
    np.testing.assert_allclose(read_mean(paths["mean"]), train.mean((0, 1, 2)), rtol=1e-12)
    assert list(json.loads(paths["mean"].read_text())) == ["R", "G", "B"]
    printed = capsys.readouterr().out
    assert "train.hdf5: 63 samples" in printed.replace("\n", "") and "samples/s" in printed
    with pytest.raises(ArgumentError, match=r"train.hdf5: the file is there already"):
        build_hdf5(parts, tmp_path / "set")
    (tmp_path / "set" / "train.hdf5").unlink()
    with pytest.raises(ArgumentError, match=r"val.hdf5: the file is there already"):
        build_hdf5(parts, tmp_path / "set")
    assert not (tmp_path / "set" / "train.hdf5").exists()
    build_hdf5(parts, tmp_path / "set", overwrite=True, progress=False)
    assert capsys.readouterr().out == ""


def test_build_of_features_and_other_parts(tmp_path: Path) -> None:
    x, y = RNG.random((20, 7), np.float32), np.arange(20) % 2
    paths = build_hdf5({"all": (x, y)}, tmp_path, progress=False)
    assert list(paths) == ["all"] and HDF5Source(paths["all"]).key == "features"
    with pytest.raises(ArgumentError, match="got mean_of='all'; expected a part with images of 3"):
        build_hdf5({"all": (x, y)}, tmp_path, mean_of="all", overwrite=True, progress=False)
    with pytest.raises(ShapeError, match="stratified_parts: got array 0 of length 20"):
        stratified_parts(x, y[:9], val=2)


def test_a_build_that_fails_leaves_whole_files_only(tmp_path: Path) -> None:
    class Failing(Rows):
        def __getitem__(self, at: Any, /) -> np.ndarray:
            raise OSError("a picture is broken")

    x, y = np.zeros((20, 2, 2, 3), np.uint8), np.arange(20) % 2
    parts = {"train": (x, y), "val": (Failing(x, np.arange(5)), y[:5])}
    with pytest.raises(OSError, match="a picture is broken"):
        build_hdf5(parts, tmp_path, progress=False)
    assert sorted(os.listdir(tmp_path)) == ["mean.json", "train.hdf5"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"R": 1, "G": 2, "B": "x"}'])
def test_bad_mean(tmp_path: Path, text: str) -> None:
    (tmp_path / "mean.json").write_text(text)
    with pytest.raises(DataError, match=r"mean.json: the mean cannot be read"):
        read_mean(tmp_path / "mean.json")
