"""Folders and lists of images, the loader of a folder, small copies, and classes of any set."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import REAL, RNG, needs, pixels, tree, write

from minidl.data import (
    image_dataset_from_directory,
    load_csv,
    load_folder,
    make_small,
    read_image,
)
from minidl.data.classes import choose, draw_per_class
from minidl.data.listing import list_folder, list_images
from minidl.errors import ArgumentError, DataError

# ---- folders ----

def test_folder_of_classes(tmp_path: Path) -> None:
    tree(tmp_path, {"cat": 2, "dog": 3, "emu10": 1, "emu9": 1})
    for name in ("cat/.hidden.png", ".git/a.png", "__MACOSX/cat/1.png", "dog/.thumbs/1.png"):
        write(tmp_path / name)
    (tmp_path / "dog/Thumbs.db").touch()
    (tmp_path / "readme.txt").touch()
    write(tmp_path / "dog/deeper/10.JPG".lower())
    x, y, names = load_folder(tmp_path, (4, 4))
    assert names == ("cat", "dog", "emu9", "emu10") and y.dtype == np.int64
    inner = [str(Path(path).relative_to(tmp_path)) for path in x.paths]
    assert inner == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", "dog/2.png",
                     "dog/deeper/10.jpg", "emu9/0.png", "emu10/0.png"]
    assert y.tolist() == [0, 0, 1, 1, 1, 1, 2, 3]


def test_chosen_classes_of_a_folder(tmp_path: Path) -> None:
    tree(tmp_path, {"cat": 2, "dog": 3, "emu": 0})
    x, y, names = load_folder(tmp_path, (4, 4), classes=["dog", "cat"])
    assert names == ("dog", "cat") and y.tolist() == [1, 1, 0, 0, 0] and len(x) == 5
    assert load_folder(tmp_path, (4, 4), classes=1)[2] == ("cat",)
    with pytest.raises(ArgumentError, match=r"got the class 'dgo'; expected .* such as dog"):
        load_folder(tmp_path, (4, 4), classes=["dgo"])


def test_an_empty_class_folder(tmp_path: Path) -> None:
    tree(tmp_path, {"cat": 2, "dog": 0})
    with pytest.raises(DataError, match=r"holds no images; .*leave it out") as caught:
        load_folder(tmp_path, (4, 4))
    assert caught.value.where == str(tmp_path / "dog")
    with pytest.raises(DataError, match="holds no images"):
        image_dataset_from_directory(tmp_path)


def test_names_sort_by_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1, 100):
        write(tmp_path / f"cat.{number}.png")
    assert [Path(p).name for p in list_images(tmp_path)] == [
        "cat.1.png", "cat.9.png", "cat.10.png", "cat.100.png"]


def test_labels_before_the_dot(tmp_path: Path) -> None:
    for name in ("dog.2.jpg", "cat.10.jpg", "cat.9.jpg", "dog.1.jpg"):
        write(tmp_path / name)
    x, y, names = load_folder(tmp_path, (4, 4), labels="prefix")
    assert names == ("cat", "dog") and y.tolist() == [0, 0, 1, 1]
    assert [Path(path).name for path in x.paths] == ["cat.9.jpg", "cat.10.jpg", "dog.1.jpg",
                                                     "dog.2.jpg"]
    write(tmp_path / "cat.jpg")
    with pytest.raises(DataError, match=r"cat\.jpg: has no label in its name"):
        load_folder(tmp_path, (4, 4), labels="prefix")


def test_deeper_classes(tmp_path: Path) -> None:
    tree(tmp_path, {"s1/o1": 2, "s1/o2": 1, "s2/o1": 1, "s2/o10": 1, "odd/o3": 1})
    write(tmp_path / "s1/o.png")
    listed = list_folder(tmp_path, level=2, ignore=["odd"])
    assert listed.class_names == ("o1", "o2", "o10") and listed.labels.tolist() == [0, 0, 1, 0, 2]
    (tmp_path / "s2/o2").mkdir()
    with pytest.raises(DataError, match="s2/o2: holds no images"):
        list_folder(tmp_path, level=2)
    with pytest.raises(DataError, match="has no class folders; expected folders at depth 5"):
        list_folder(tmp_path, level=5)


@pytest.mark.parametrize("inside,text", [({}, "has no class folders"),
                                         ({"a": 0}, "holds no images")])
def test_folders_without_images(tmp_path: Path, inside: dict[str, int], text: str) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match=text):
        load_folder(tree(tmp_path / "x", inside), (4, 4))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: is not a folder"):
        load_folder(tmp_path / "none", (4, 4))
    with pytest.raises(ArgumentError, match='got \'csv\'; expected "inferred" or "prefix"'):
        load_folder(tree(tmp_path / "a", {"b": 1}), (4, 4), labels="csv")


def test_csv(tmp_path: Path) -> None:
    tree(tmp_path, {"img": 3})
    text = "path,symbol_id,latex,user_id\n../img/1.png,31,A,7\n../img/0.png,32,\\pi,7\n" \
           "../img/2.png,31,A,8\n"
    (tmp_path / "fold").mkdir()
    (tmp_path / "fold/a.csv").write_text(text)
    x, y, names = load_csv(tmp_path / "fold/a.csv", (6, 8), "latex", mode="L")
    assert names == ("A", "\\pi") and y.tolist() == [0, 1, 0] and x.shape == (3, 6, 8, 1)
    np.testing.assert_array_equal(x[1], read_image(tmp_path / "img/0.png", mode="L"))
    assert load_csv(tmp_path / "fold/a.csv", (6, 8), "symbol_id", classes=["32"])[1].tolist() == [0]


CSV = {"no column": ("file,latex\na,b\n", "has no column path; expected the columns path, latex"),
       "short": ("path,latex\na,b\nc\n", "lacks a value in row 3"),
       "no rows": ("path,latex\n", "has no rows"), "empty": ("", "has no column latex, path")}


@pytest.mark.parametrize("text,error", CSV.values(), ids=CSV)
def test_bad_csv(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=f"a.csv: {error}"):
        load_csv(tmp_path / "a.csv", (4, 4), "latex")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DataError, match="cannot be read"):
        load_csv(tmp_path / "a.csv", (4, 4), "latex")


def test_an_archive_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    tree(tmp_path / "pets", {"cat": 2, "dog": 1})
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as opened:
        for path in list_images(tmp_path / "pets"):
            opened.write(path, Path(path).relative_to(tmp_path))
    x, y, names = load_folder(tmp_path / "pets.zip", (6, 8))
    assert names == ("cat", "dog") and y.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(x[:], load_folder(tmp_path / "pets", (6, 8))[0][:])


# ---- image_dataset_from_directory ----

@pytest.mark.parametrize("label_mode,shape,dtype", [
    ("int", (3,), np.int64), ("binary", (3, 1), np.float32), ("categorical", (3, 2), np.float32)])
def test_label_modes(tmp_path: Path, label_mode: str, shape: tuple[int, ...], dtype: Any) -> None:
    tree(tmp_path, {"cat": 2, "dog": 4})
    loader = image_dataset_from_directory(tmp_path, label_mode=label_mode, batch_size=3,
                                          image_size=(5, 9), shuffle=False)
    assert loader.class_names == ("cat", "dog") and len(loader.file_paths) == 6
    x, y = next(iter(loader))
    assert x.shape == (3, 5, 9, 3) and x.dtype == np.uint8
    assert y.shape == shape and y.dtype == dtype
    assert (y.argmax(1) if label_mode == "categorical" else y.ravel()).tolist() == [0, 0, 1]


def test_no_labels_and_given_labels(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 2, "b": 1})
    for options in ({"labels": None}, {"label_mode": None}):
        batch = next(iter(image_dataset_from_directory(tmp_path, **options)))
        assert len(batch) == 1 and batch[0].shape == (3, 256, 256, 3)
    loader = image_dataset_from_directory(tmp_path, labels=[2, 0, 1], shuffle=False,
                                          color_mode="grayscale", class_names=["x", "y", "z"])
    x, y = next(iter(loader))
    assert y.tolist() == [2, 0, 1] and x.shape[3] == 1 and loader.class_names == ("x", "y", "z")


def test_subsets_divide_every_class(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 10, "b": 20})
    options: dict[str, Any] = {"validation_split": 0.3, "image_size": (2, 2)}
    train, val = image_dataset_from_directory(tmp_path, subset="both", seed=5, **options)
    alone = [image_dataset_from_directory(tmp_path, subset=subset, seed=5, **options)
             for subset in ("training", "validation")]
    assert [part.file_paths for part in alone] == [train.file_paths, val.file_paths]
    assert not set(train.file_paths) & set(val.file_paths)
    assert sorted(Path(path).parent.name for path in val.file_paths) == ["a"] * 3 + ["b"] * 6
    other = image_dataset_from_directory(tmp_path, subset="validation", seed=6, **options)
    assert other.file_paths != val.file_paths
    again = [y.tolist() for _, y in train.epoch(3)]
    assert again == [y.tolist() for _, y in alone[0].epoch(3)]


def test_fits_of_the_loader(tmp_path: Path) -> None:
    write(tmp_path / "a/1.png", pixels(10, 20))
    for name, fit in (("crop_to_aspect_ratio", "crop"), ("pad_to_aspect_ratio", "pad")):
        loader = image_dataset_from_directory(tmp_path, image_size=(5, 5), **{name: True})
        wanted = read_image(tmp_path / "a/1.png", (5, 5), fit, "RGB", "bilinear")
        np.testing.assert_array_equal(next(iter(loader))[0][0], wanted)


OPTIONS = {
    "color_mode": ({"color_mode": "bgr"}, "got color_mode='bgr'; expected one of"),
    "label_mode": ({"label_mode": "one"}, "got label_mode='one'"),
    "binary": ({"label_mode": "binary"}, "got 'binary' for 3 classes"),
    "subset alone": ({"subset": "training"}, "got validation_split=None, subset='training'"),
    "split alone": ({"validation_split": 0.5}, "expected both or neither"),
    "split": ({"validation_split": 1.5, "subset": "both"}, "a share between 0 and 1"),
    "both fits": ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "one of them"),
    "class": ({"class_names": ["x"]}, "got the class 'x'"),
}


@pytest.mark.parametrize("options,text", OPTIONS.values(), ids=OPTIONS)
def test_bad_options(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    tree(tmp_path, {"a": 1, "b": 1, "c": 1})
    with pytest.raises(ArgumentError, match=text):
        image_dataset_from_directory(tmp_path, **options)


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 2})
    with pytest.raises(DataError, match="holds 2 images; labels has 3"):
        image_dataset_from_directory(tmp_path, labels=[0, 1, 1])
    with pytest.raises(DataError, match="got the label 5 for sample 1; expected 0 to 1"):
        image_dataset_from_directory(tmp_path, labels=[0, 5], class_names=["x", "y"])


# ---- a small copy ----

@pytest.mark.parametrize("seed", [None, 3])
def test_make_small(tmp_path: Path, seed: int | None) -> None:
    for kind in ("cat", "dog"):
        for number in range(12):
            write(tmp_path / f"big/{kind}.{number}.png")
    parts = {"train": 5, "validation": 2, "test": 3}
    counts = make_small(tmp_path / "big", tmp_path / "small", parts, "prefix", seed=seed)
    assert counts == {part: {"cat": n, "dog": n} for part, n in parts.items()}
    names = [Path(path).name for path in list_images(tmp_path / "small")]
    assert len(names) == len(set(names)) == 20
    first = sorted(path.name for path in (tmp_path / "small/train/cat").iterdir())
    assert (first == [f"cat.{i}.png" for i in range(5)]) == (seed is None)
    for path in list_images(tmp_path / "small"):
        assert Path(path).read_bytes() == (tmp_path / "big" / Path(path).name).read_bytes()
    with pytest.raises(DataError, match="small: exists"):
        make_small(tmp_path / "big", tmp_path / "small", parts, "prefix")


def test_make_small_leaves_nothing_half_made(tmp_path: Path) -> None:
    tree(tmp_path / "big", {"a": 3, "b": 2})
    with pytest.raises(DataError, match="class 'b': has 2 images; expected 3, for all parts"):
        make_small(tmp_path / "big", tmp_path / "small", {"train": 2, "test": 1})
    write(tmp_path / "big/b/deep/0.png")
    with pytest.raises(DataError, match="the name of another image of its class"):
        make_small(tmp_path / "big", tmp_path / "small", {"train": 3})
    assert sorted(os.listdir(tmp_path)) == ["big"]


# ---- classes ----

def test_choose() -> None:
    labels = RNG.integers(0, 5, 200)
    names = [f"n{i}" for i in range(5)]
    rows, new, kept = choose("set", labels, names, ["n3", 0, np.int64(4)])
    assert kept == ("n3", "n0", "n4") and (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(np.array([3, 0, 4])[new], labels[rows])
    assert len(rows) == np.isin(labels, [3, 0, 4]).sum()
    assert choose("set", labels, names)[1].tolist() == labels.tolist()


CHOICES = {"none": ([], "got no classes"), "twice": (["a", 0], "got the class 'a' twice"),
           "zero": (0, "got classes=0; expected 1 to 3"), "many": (4, "got classes=4"),
           "text": ("a", r"Write classes=\['a'\]"), "label": ([3], "a label from 0 to 2"),
           "truth": ([True], "got the class True"), "name": (["bb"], "got the class 'bb'")}


@pytest.mark.parametrize("classes,text", CHOICES.values(), ids=CHOICES)
def test_bad_choices(classes: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        choose("set", np.array([0, 1, 2]), ["a", "b", "c"], classes)


@pytest.mark.parametrize("labels,text", [([0, 3], "got the label 3 for sample 1"),
                                         ([-1], "got the label -1"), ([0.5], "type float64"),
                                         ([[0]], r"shape \(1, 1\)")])
def test_labels_outside_the_classes(labels: Any, text: str) -> None:
    with pytest.raises(DataError, match=f"file: .*{text}"):
        choose("file", labels, ["a", "b", "c"])


@pytest.mark.parametrize("count", [4, 0.25])
def test_draw_per_class(count: float) -> None:
    labels = RNG.permutation(np.repeat(np.arange(5), 16))
    rest, drawn = draw_per_class("set", labels, count, seed=9)
    assert sorted([*rest, *drawn]) == list(range(80))
    assert np.bincount(labels[drawn]).tolist() == [4] * 5
    assert draw_per_class("set", labels, count, seed=9)[1].tolist() == drawn.tolist()
    assert draw_per_class("set", labels, count, seed=10)[1].tolist() != drawn.tolist()
    with pytest.raises(DataError, match="cannot draw 16 of the 16 samples of class 0"):
        draw_per_class("set", labels, 16)


# ---- real data ----

@needs("dogs_vs_cats")
def test_real_dogs_and_cats() -> None:
    x, y, names = load_folder(REAL / "dogs_vs_cats/train", (32, 32), "prefix", fit="crop")
    assert names == ("cat", "dog") and np.bincount(y).tolist() == [1001, 1001]
    assert [Path(path).name[:3] == names[label] for path, label in zip(x.paths, y, strict=True)]
    assert x[::100].std() > 40


@needs("animals")
def test_real_animals() -> None:
    train, val = image_dataset_from_directory(
        REAL / "animals/animals", validation_split=0.25, subset="both", image_size=(16, 16))
    assert len(train.class_names) == 3 and train.samples == 2250 and val.samples == 750
    assert next(iter(val))[0].shape == (32, 16, 16, 3)


@needs("flowers5")
def test_real_flowers() -> None:
    x, y, names = load_folder(REAL / "flowers5/flowers", (64, 64))
    assert len(x) == 4317 and len(names) == 5 and np.bincount(y).min() == 733
    assert x[:20].shape == (20, 64, 64, 3)
