"""Image files: decoding, fitting, folders and lists of them, and what is said of bad ones."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minidl.data import (
    DataLoader,
    ImageFiles,
    image_dataset_from_directory,
    load_csv,
    load_folder,
    make_small,
    read_image,
)
from minidl.data.classes import choose, draw_per_class
from minidl.data.listing import list_folder, list_images
from minidl.errors import ArgumentError, DataError

RNG = np.random.default_rng(11)
REAL = Path(os.environ.get("MINIDL_DATA") or "none")


def needs(name: str) -> Any:
    return pytest.mark.skipif(not (REAL / name).is_dir(), reason=f"MINIDL_DATA lacks {name}/")


def pixels(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), np.uint8)


def write(path: Path, image: np.ndarray | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels(6, 8) if image is None else image
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(path, **options)
    return path


def tree(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            write(root / name / f"{number}.png")
    return root


# ---- decoding ----

@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "gif", "ppm", "webp"])
def test_lossless_formats(tmp_path: Path, ending: str) -> None:
    grey = np.repeat(pixels(5, 7, 1), 3, axis=2)  # GIF holds 256 colours
    options = {"lossless": True} if ending == "webp" else {}
    image = read_image(write(tmp_path / f"a.{ending}", grey, **options))
    np.testing.assert_array_equal(image, grey)


@pytest.mark.parametrize("mode,channels", [("L", 1), ("RGB", 3), ("RGBA", 4)])
@pytest.mark.parametrize("stored", [1, 3, 4])
def test_modes(tmp_path: Path, stored: int, mode: str, channels: int) -> None:
    array = pixels(4, 4, stored)
    image = read_image(write(tmp_path / "a.png", array), mode=mode)
    assert image.shape == (4, 4, channels)
    if channels == stored or (channels, stored) == (3, 4):
        np.testing.assert_array_equal(image, array[..., :channels])
    if channels == 3 and stored == 1:
        np.testing.assert_array_equal(image, np.repeat(array, 3, axis=2))


def test_unusual_modes(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (4, 4)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", mode="L")[..., 0], deep >> 8)
    palette = Image.fromarray(pixels(4, 4)).quantize(8)
    palette.save(tmp_path / "p.png", transparency=bytes(range(8)))
    wanted = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), wanted)
    Image.fromarray(pixels(4, 4)).convert("CMYK").save(tmp_path / "c.jpg")
    assert read_image(tmp_path / "c.jpg", (2, 2)).shape == (2, 2, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    turns = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1],
             4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
             7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a)}
    array, exif = pixels(4, 6), Image.Exif()
    exif[0x0112] = orientation
    image = read_image(write(tmp_path / "a.png", array, exif=exif))
    np.testing.assert_array_equal(image, turns[orientation](array))


# ---- fitting ----

@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "area", "lanczos3"])
def test_a_fitting_image_is_left_alone(tmp_path: Path, fit: str, interpolation: str) -> None:
    array = pixels(9, 7)
    image = read_image(write(tmp_path / "a.png", array), (9, 7), fit, "RGB", interpolation)
    np.testing.assert_array_equal(image, array)


@pytest.mark.parametrize("height,width,size", [(40, 60, (20, 20)), (60, 40, (20, 20)),
                                               (40, 80, (10, 20)), (64, 32, (8, 16))])
def test_crop_is_the_mean_over_cells_of_the_middle(tmp_path: Path, height: int, width: int,
                                                   size: tuple[int, int]) -> None:
    array = pixels(height, width)
    factor = min(height // size[0], width // size[1])
    top, left = (height - factor * size[0]) // 2, (width - factor * size[1]) // 2
    middle = array[top:top + factor * size[0], left:left + factor * size[1]]
    cells = middle.reshape(size[0], factor, size[1], factor, 3)
    image = read_image(write(tmp_path / "a.png", array), size, "crop")
    np.testing.assert_allclose(image, cells.mean((1, 3)), atol=1.01)  # both passes round


def test_pad_keeps_all_and_fills_with_black(tmp_path: Path) -> None:
    array = pixels(20, 40) | 1
    image = read_image(write(tmp_path / "a.png", array), (20, 20), "pad")
    assert not image[:5].any() and not image[15:].any()
    wanted = array.reshape(10, 2, 20, 2, 3).mean((1, 3))
    np.testing.assert_allclose(image[5:15], wanted, atol=1)


def test_stretch_and_enlarging(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.repeat(np.repeat(pixels(2, 2), 8, 0), 16, 1))
    small = read_image(path, (2, 2))
    np.testing.assert_array_equal(small, read_image(path)[::8, ::16])
    large = read_image(path, (32, 64)).astype(int)
    steps = np.abs(np.diff(large, axis=0)).max()
    assert steps < np.abs(np.diff(read_image(path).astype(int), axis=0)).max()  # smooth edges


def test_a_draft_of_a_jpeg_changes_little(tmp_path: Path) -> None:
    across, down = np.meshgrid(np.linspace(0, 6, 640), np.linspace(0, 9, 480))
    waves = np.stack([np.sin(across), np.cos(down), np.sin(across + down)], axis=-1)
    path = write(tmp_path / "a.jpg", ((waves + 1) * 127).astype(np.uint8), quality=95)
    whole = Image.open(path).resize((40, 30), Image.Resampling.BOX)
    image = read_image(path, (30, 40))
    assert np.abs(image.astype(int) - np.asarray(whole)).max() <= 3


# ---- the source ----

def test_source(tmp_path: Path) -> None:
    arrays = [pixels(6, 8) for _ in range(7)]
    paths = [write(tmp_path / f"{i}.png", array) for i, array in enumerate(arrays)]
    files, whole = ImageFiles(paths, (6, 8)), np.stack(arrays)
    assert files.shape == whole.shape and files.dtype == whole.dtype and len(files) == 7
    rows: Any
    for rows in (slice(2, 5), slice(None), np.array([0, 3, 6]), [1], np.array([], int), 3, -1):
        got = files[rows]
        np.testing.assert_array_equal(got, whole[rows])
        assert got.flags.writeable and got.flags.c_contiguous
    np.testing.assert_array_equal(files.subset(np.array([5, 2]))[:], whole[[5, 2]])


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_reads_files(tmp_path: Path, workers: int) -> None:
    arrays = np.stack([pixels(6, 8) for _ in range(10)])
    paths = [write(tmp_path / f"{i}.png", array) for i, array in enumerate(arrays)]
    loader = DataLoader(ImageFiles(paths, (6, 8)), np.arange(10), batch_size=4, shuffle=True,
                        workers=workers, seed=4)
    for x, y in loader:
        np.testing.assert_array_equal(x, arrays[y])


BAD = {"size": ({"size": 64}, "got size=64"), "side": ({"size": (0, 4)}, r"got size=\(0, 4\)"),
       "fit": ({"fit": "cut"}, "got fit='cut'; expected one of stretch, crop, pad"),
       "mode": ({"mode": "BGR"}, "got mode='BGR'; expected one of L, RGB, RGBA"),
       "filter": ({"interpolation": "cubic"}, "expected one of nearest, bilinear, bicubic")}


@pytest.mark.parametrize("options,text", BAD.values(), ids=BAD)
def test_bad_arguments(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        ImageFiles(["a.png"], **{"size": (4, 4), **options})


def jpeg(folder: Path) -> bytes:
    return write(folder / "whole.jpg", pixels(64, 64)).read_bytes()


DAMAGED = {
    "jpeg cut": ("a.jpg", lambda folder: jpeg(folder)[:2000], "truncated"),
    "jpeg cut early": ("a.jpg", lambda folder: jpeg(folder)[:30], "is not an image|runcated"),
    "png cut": ("a.png", lambda f: write(f / "w.png").read_bytes()[:-40], "decoded"),
    "png changed": ("a.png", lambda f: write(f / "w.png").read_bytes().replace(b"IDAT", b"JDAT"),
                    "decoded|is not an image"),
    "text": ("a.jpg", lambda _: b"<html>404</html>", "is not an image; expected JPEG"),
    "empty": ("a.jpg", lambda _: b"", "is not an image"),
    "program": ("a.eps", lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
                "is not an image"),
}


@pytest.mark.parametrize("name,content,text", DAMAGED.values(), ids=DAMAGED)
def test_damaged_files(tmp_path: Path, name: str, content: Any, text: str) -> None:
    raw = content(tmp_path)
    (tmp_path / name).write_bytes(raw)
    files = ImageFiles([write(tmp_path / "good.png"), tmp_path / name], (4, 4))
    with pytest.raises(DataError, match=text) as caught:
        files[:]
    assert caught.value.where == str(tmp_path / name) and caught.value.remedy


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jpg: there is no such file"):
        read_image(tmp_path / "none.jpg")


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.png", pixels(40, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert read_image(path).shape == (40, 50, 3)
    for limit in (1999, 900):  # above the limit Pillow warns, above twice that it refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings(), pytest.raises(DataError, match=r"a\.png: cannot .* pixels"):
            warnings.simplefilter("ignore")
            read_image(path)


# ---- folders ----

def test_folder_of_classes(tmp_path: Path) -> None:
    tree(tmp_path, {"cat": 2, "dog": 3, "emu10": 1, "emu9": 1})
    for name in ("cat/.hidden.png", ".git/a.png", "__MACOSX/cat/1.png"):
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
