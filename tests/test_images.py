"""Image files: decoding, fitting, the source of them, and what is said of bad ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import RNG, pixels, write
from PIL import Image

from minidl.data import DataLoader, ImageFiles, read_image
from minidl.errors import ArgumentError, DataError

TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a)}
"""What EXIF's orientations mean."""


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


@pytest.mark.parametrize("factor", [4, 32])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, orientation: int, factor: int) -> None:
    array, exif = pixels(4, 6), Image.Exif()
    exif[0x0112] = orientation
    image = read_image(write(tmp_path / "a.png", array, exif=exif))
    np.testing.assert_array_equal(image, TURNS[orientation](array))
    large = np.kron(array, np.ones((factor, factor, 1), np.uint8))  # a draft of it is decoded
    path = write(tmp_path / "a.jpg", large, exif=exif, quality=95, subsampling=0)
    wanted = TURNS[orientation](array)
    small = read_image(path, wanted.shape[:2]).astype(int)
    assert np.abs(small - wanted).mean() < 4


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
