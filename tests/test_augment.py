"""Images on their way into a model: draws, pipelines, preprocessing, augmentation."""

from __future__ import annotations

import colorsys
import json
import math
import pickle

import numpy as np
import pytest
from PIL import Image

from minidl import config, errors
from minidl.data import (
    AspectAwareResize,
    CenterCrop,
    Clip,
    ColorJitter,
    DataLoader,
    Draws,
    MeanSubtraction,
    Pipeline,
    RandomAffine,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomHue,
    RandomSaturation,
    Resize,
    TenCrop,
    ToFloat,
    aspect_aware_resize,
    resize,
)
from minidl.data.affine import FILL_MODES, affine_matrices, warped
from minidl.ops.dropout.op import philox

LAB = ColorJitter(0.05, (0.3, 1.0), 0.2, (0.0, 2.0))
STEPS = [
    RandomAffine(30, 0.1, 0.1, 0.2, 0.2, True, True), RandomAffine(fill_mode="wrap", zoom=(0.5, 2)),
    RandomCrop(9, 7), RandomCrop(9, 7, padding=3, fill_mode="reflect"),
    RandomFlip("horizontal_and_vertical"), LAB, RandomHue(0.1), RandomContrast(0.2, 1.8),
    RandomBrightness(0.3), RandomSaturation(0.5, 1.5)]
KINDS = [np.uint8, np.float32]


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def images(rng, shape=(6, 12, 10, 3), kind=np.uint8):
    pixels = rng.integers(0, 256, shape, np.uint8)
    return pixels if kind == np.uint8 else (pixels / 255).astype(np.float32)


def draws(count, seed=3, epoch=0):
    return Draws(seed, epoch, np.arange(count))


# ---- draws and pipelines -------------------------------------------------------------------


def test_draws_are_philox_of_seed_epoch_index_place_and_stream():
    indices = np.array([5, 2**31, 17])
    got = Draws((7 << 32) + 9, 4, indices, place=6).uniform(11, 6)
    blocks = [[i, b, 4, 1 << 31 | 6 << 16 | 11] for i in indices for b in (0, 1)]
    words = philox(np.array(blocks, np.uint64), (7 << 32) + 9).reshape(3, 8)[:, :6]
    np.testing.assert_array_equal(got, (words >> 8) / np.float32(2**24))
    assert got.dtype == np.float32


def test_draws_are_uniform_and_do_not_repeat():
    each = [Draws(s, e, np.arange(4000), p).uniform(t, 5) for s, e, p, t in
            [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]]
    everything = np.concatenate([u.ravel() for u in each])
    assert len(np.unique(everything)) > 0.99 * everything.size
    assert 0 <= everything.min() < 1e-3 < 0.999 < everything.max() < 1
    counts, _ = np.histogram(everything, 20, (0, 1))
    assert np.abs(counts / everything.size - 0.05).max() < 0.004
    assert np.abs(np.corrcoef(np.concatenate(each, axis=1).T) - np.eye(25)).max() < 0.08


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_an_image_becomes_the_same_in_any_batch(step, kind, rng):
    x = images(rng, kind=kind)
    pipeline = Pipeline(step, seed=5)
    whole = pipeline(x, epoch=2)
    before = x.copy()
    assert whole.dtype == kind
    assert len(whole) == len(x)
    for rows in ([4, 1], [0], [5, 3, 2]):
        np.testing.assert_array_equal(pipeline(x[rows], 2, np.array(rows)), whole[rows])
    np.testing.assert_array_equal(x, before)
    with config.threads(1):
        np.testing.assert_array_equal(pipeline(x, 2), whole)
    elsewhere = Pipeline(Clip(0, 255), step, seed=5)
    for other in (pipeline(x, 3), Pipeline(step, seed=6)(x, 2), elsewhere(x, 2)):
        assert not np.array_equal(other, whole)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_epoch(workers, rng):
    x, y = images(rng, (23, 8, 8, 3)), np.arange(23)
    pipeline = Pipeline(RandomAffine(40, 0.1, zoom=0.2), RandomCrop(6, 6), LAB, ToFloat(), seed=2)
    loader = DataLoader(x, y, batch_size=5, shuffle=True, seed=1, workers=workers,
                        transform=pickle.loads(pickle.dumps(pipeline)))
    for epoch in (0, 3):
        wanted = pipeline(x, epoch)
        for batch, rows in loader.epoch(epoch):
            assert batch.dtype == np.float32
            np.testing.assert_array_equal(batch, wanted[rows])


def test_a_worker_leaves_the_other_threads_to_the_model(rng):
    seen = []
    loader = DataLoader(np.arange(4), workers=2, transform=lambda batch, epoch, indices: (
        seen.append(config.num_threads()), batch)[1])
    list(loader)
    assert seen == [1]


def test_a_pipeline_says_what_it_does():
    pipeline = Pipeline(RandomCrop(24, 24), RandomHue(0.05), seed=3)
    assert repr(pipeline) == ("Pipeline(RandomCrop(height=24, width=24, padding=0, "
                              "fill_mode='constant', cval=0.0), RandomHue(max_delta=0.05), seed=3)")
    assert repr(MeanSubtraction([1, 2.5])) == "MeanSubtraction(1, 2.5)"
    assert repr(MeanSubtraction(np.zeros((4, 4, 3)))) == "MeanSubtraction(shape (4, 4, 3))"


# ---- affine warps --------------------------------------------------------------------------

QUARTER = math.pi / 2
EXACT = {
    "rotation": ({"rotation": QUARTER}, lambda x: np.rot90(x, 1, (1, 2))),
    "rotation the other way": ({"rotation": -QUARTER}, lambda x: np.rot90(x, -1, (1, 2))),
    "half a turn": ({"rotation": 2 * QUARTER}, lambda x: x[:, ::-1, ::-1]),
    "rows flipped": ({"flip": np.array([[True, False]])}, lambda x: x[:, ::-1]),
    "columns flipped": ({"flip": np.array([[False, True]])}, lambda x: x[:, :, ::-1]),
    "shift": ({"shift": np.array([[2.0, -3.0]])}, lambda x: np.pad(
        x, ((0, 0), (2, 0), (0, 3), (0, 0)), "edge")[:, :8, 3:]),
    "nothing": ({}, lambda x: x)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", EXACT)
def test_exact_warps(name, channels, kind, rng):
    how, wanted = EXACT[name]
    x = images(rng, (3, 8, 8, channels), kind)
    got = warped("test", x, affine_matrices(8, 8, 3, **how), "nearest", 0)
    np.testing.assert_array_equal(got, wanted(x))


def test_zoom_shows_more_or_less_about_the_middle(rng):
    x = images(rng, (1, 4, 4, 3), np.float32)
    half = warped("test", x, affine_matrices(4, 4, 1, zoom=2.0), "constant", 0.5)
    np.testing.assert_allclose(half[:, 1:3, 1:3], x.reshape(1, 2, 2, 2, 2, 3).mean((2, 4)),
                               rtol=1e-6)
    assert (half[:, 0, 0] == 0.5).all()
    thirds = warped("test", x[:, :3, :3], affine_matrices(3, 3, 1, zoom=0.5), "nearest", 0)
    np.testing.assert_allclose(thirds[:, 1, 0], x[:, 1, :2].mean(1), rtol=1e-6)


def test_shear_is_that_of_the_generator():
    matrix = affine_matrices(5, 7, 1, shear=0.3).reshape(2, 3)
    np.testing.assert_allclose(matrix[:, :2], [[1, -math.sin(0.3)], [0, math.cos(0.3)]], rtol=1e-6)
    np.testing.assert_allclose(matrix @ [2, 3, 1], [2, 3], rtol=1e-6)  # the middle stays


def test_everything_is_composed_about_the_middle():
    """As the generator composes it: turn, shift, shear, zoom; then the flip of what came out."""
    def eye(**entries):
        matrix = np.eye(3)
        for place, value in entries.items():
            matrix[int(place[1]), int(place[2])] = value
        return matrix

    c, s = math.cos(0.4), math.sin(0.4)
    wanted = (eye(_02=4, _12=2.5) @ eye(_00=c, _01=s, _10=-s, _11=c) @ eye(_02=-1.5, _12=2)
              @ eye(_01=-math.sin(0.3), _11=math.cos(0.3)) @ eye(_00=0.8, _11=1.1)
              @ eye(_11=-1) @ eye(_02=-4, _12=-2.5))
    got = affine_matrices(9, 6, 1, rotation=0.4, shift=np.array([[1.5, -2]]), shear=0.3,
                          zoom=np.array([[0.8, 1.1]]), flip=np.array([[False, True]]))
    np.testing.assert_allclose(got.reshape(2, 3), wanted[:2], rtol=1e-6)


ROW = [10, 20, 30, 40]
FILLED = {"nearest": [10, 10, 10, 10, 10, 10, 20, 30, 40, 40, 40, 40, 40, 40],
          "reflect": [40, 40, 30, 20, 10, 10, 20, 30, 40, 40, 30, 20, 10, 10],
          "wrap": [40, 10, 20, 30, 40, 10, 20, 30, 40, 10, 20, 30, 40, 10],
          "constant": [7, 7, 7, 7, 7, 10, 20, 30, 40, 7, 7, 7, 7, 7]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", FILL_MODES)
def test_what_is_beyond_the_edges(mode, kind):
    x = np.array(ROW, kind).reshape(1, 1, 4, 1)
    for place, wanted in zip(range(-5, 9), FILLED[mode], strict=True):
        for axis, matrix in ((2, [1, 0, 0, 0, 1, place]), (1, [1, 0, place, 0, 1, 0])):
            matrix = np.array([matrix], np.float32)
            turned = np.moveaxis(x, 2, axis)
            assert warped("test", turned, matrix, mode, 7).flat[0] == wanted


def test_a_turned_photo_is_as_pillow_turns_it(rng):
    smooth = np.asarray(Image.fromarray(images(rng, (6, 6, 3))).resize((40, 40), 3))
    got = warped("test", smooth[None], affine_matrices(40, 40, 1, rotation=math.radians(25)),
                 "constant", 0)[0]
    theirs = np.asarray(Image.fromarray(smooth).rotate(25, Image.Resampling.BILINEAR))
    middle = np.s_[8:-8, 8:-8]
    assert np.abs(got[middle].astype(int) - theirs[middle]).max() <= 1


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_nearest_pixels_are_those_of_pillow(kind, rng):
    x = images(rng, (40, 40, 3)).astype(kind)
    got = warped("test", x[None], affine_matrices(40, 40, 1, rotation=math.radians(25)),
                 "constant", 0, "nearest")[0]
    theirs = np.asarray(Image.fromarray(x.astype(np.uint8)).rotate(25))  # the nearest by default
    np.testing.assert_array_equal(got, theirs)


def test_shifts_by_the_nearest_pixel_are_by_whole_pixels(rng):
    x, step = images(rng, (50, 20, 20, 3)), RandomAffine(width_shift=0.2, interpolation="nearest")
    shifts = step.matrices(20, 20, draws(50))[:, 5]
    wide = np.pad(x, ((0, 0), (0, 0), (4, 4), (0, 0)), "edge")
    for image, shift, got in zip(wide, np.floor(shifts + 0.5).astype(int),
                                 step(x, draws(50)), strict=True):
        np.testing.assert_array_equal(got, image[:, 4 + shift:24 + shift])
    assert np.unique(np.floor(shifts + 0.5)).tolist() == list(range(-4, 5))


def test_matrices_are_drawn_within_the_ranges_and_fill_them():
    step = RandomAffine(rotation=20, width_shift=0.2, height_shift=0.1)
    m = step.matrices(101, 51, draws(3000)).reshape(-1, 2, 3)
    angle = np.degrees(np.arctan2(m[:, 0, 1], m[:, 0, 0]))
    middle = np.array([50, 25])
    shift = np.linalg.solve(m[:, :, :2], (middle - m[:, :, 2])[..., None])[..., 0] - middle
    for values, reach in ((angle, 20), (shift[:, 0], 10.1), (shift[:, 1], 10.2)):
        assert -reach - 1e-3 <= values.min() < -0.99 * reach
        assert 0.99 * reach < values.max() <= reach + 1e-3
        assert abs(values.mean()) < 0.05 * reach
    zoom = RandomAffine(zoom=(0.5, 0.9)).matrices(9, 9, draws(2000))[:, [0, 4]]
    assert 0.5 <= zoom.min() < 0.51 and 0.89 < zoom.max() <= 0.9
    assert abs(np.corrcoef(zoom.T)[0, 1]) < 0.1
    shear = np.arcsin(-RandomAffine(shear=0.4).matrices(9, 9, draws(2000))[:, 1])
    assert -0.4001 < shear.min() < -0.39 and 0.39 < shear.max() < 0.4001
    flip = RandomAffine(horizontal_flip=True).matrices(9, 9, draws(2000))
    assert (flip[:, 0] == 1).all()
    assert abs((flip[:, 4] == -1).mean() - 0.5) < 0.05


# ---- crops and flips -----------------------------------------------------------------------


def test_crops_are_patches_and_every_place_is_drawn(rng):
    x = np.repeat(np.arange(30, dtype=np.uint8).reshape(1, 5, 6, 1), 600, axis=0)
    crops = RandomCrop(3, 4)(x, draws(600))
    top, left = np.divmod(crops[:, 0, 0, 0], 6)
    for crop, i, j in zip(crops, top, left, strict=True):
        np.testing.assert_array_equal(crop, x[0, i:i + 3, j:j + 4])
    _, counts = np.unique(top * 3 + left, return_counts=True)
    assert len(counts) == 9 and counts.min() > 35


@pytest.mark.parametrize("mode", FILL_MODES)
def test_padded_crops(mode, rng):
    x = images(rng, (1, 3, 4, 3))
    far = Draws(0, 0, np.arange(200))
    crops = RandomCrop(3, 4, 2, mode, 9)(np.repeat(x, 200, axis=0), far)
    corner = {"nearest": x[0, 0, 0], "reflect": x[0, 1, 1], "wrap": x[0, 1, 2],
              "constant": [9, 9, 9]}[mode]
    assert any((crop[2:, 2:] == x[0, :1, :2]).all() and (crop[0, 0] == corner).all()
               for crop in crops)


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flips(mode, rng):
    x = np.repeat(images(rng, (1, 3, 4, 3)), 400, axis=0)
    kinds = [x[0], x[0, :, ::-1], x[0, ::-1], x[0, ::-1, ::-1]]
    of = {"horizontal": (0, 1), "vertical": (0, 2), "horizontal_and_vertical": (0, 1, 2, 3)}[mode]
    seen = np.array([[np.array_equal(y, k) for k in kinds]
                     for y in RandomFlip(mode)(x, draws(400))]).mean(0)
    assert np.flatnonzero(seen).tolist() == list(of)
    np.testing.assert_allclose(seen[list(of)], 1 / len(of), atol=0.08)


# ---- colours -------------------------------------------------------------------------------


def hsv(x, turn=0.0, factor=1.0):
    """Return pixels with another hue and saturation, by the standard library."""
    new = []
    for pixel in x.reshape(-1, 3):
        h, s, v = colorsys.rgb_to_hsv(*map(float, pixel))
        new.append(colorsys.hsv_to_rgb((h + turn) % 1, min(s * factor, 1), v))
    return np.array(new).reshape(x.shape)


def test_hue_and_saturation_are_those_of_hsv(rng):
    x = images(rng, (5, 6, 7, 3), np.float32)
    x[0, 0, :3] = [[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 0]]
    u = draws(5).uniform(0, 1)[:, 0].astype(float)
    turned, dyed = RandomHue(0.5)(x, draws(5)), RandomSaturation(0.2, 1.9)(x, draws(5))
    for i in range(5):
        np.testing.assert_allclose(turned[i], hsv(x[i], turn=u[i] - 0.5), atol=2e-6)
        np.testing.assert_allclose(dyed[i], hsv(x[i], factor=0.2 + u[i] * 1.7), atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_and_brightness(channels, rng):
    x = images(rng, (4, 6, 7, channels), np.float32)
    u = draws(4).uniform(0, 1)[:, :, None, None]
    mean = x.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(RandomContrast(0.3, 1.0)(x, draws(4)),
                               (x - mean) * (0.3 + 0.7 * u) + mean, atol=1e-6)
    np.testing.assert_allclose(RandomBrightness(0.2)(x, draws(4)), x + 0.4 * u - 0.2, atol=1e-6)


def test_jitter_is_the_four_steps_and_a_clip(rng):
    x = images(rng, (7, 5, 6, 3), np.float32)
    u = draws(7).uniform(0, 4)
    wanted = x
    for k, step in enumerate((RandomHue(0.05), RandomContrast(0.3, 1.0), RandomBrightness(0.2),
                              RandomSaturation(0.0, 2.0))):
        class Fixed(Draws):
            def uniform(self, stream, count, k=k):
                return u[:, k:k + 1]
        wanted = step(wanted, Fixed(0, 0, np.arange(7)))
    assert wanted.min() < 0  # so that cutting off before the end would show
    got = LAB(x, draws(7))
    np.testing.assert_allclose(got, Clip()(wanted), atol=2e-6)
    of_bytes = LAB((x * 255).round().astype(np.uint8), draws(7))
    np.testing.assert_array_less(np.abs(of_bytes - got * 255), 0.51)


@pytest.mark.parametrize("step", [RandomBrightness(0.9), RandomContrast(0, 9), RandomHue(0.5),
                                  RandomSaturation(0, 9)], ids=repr)
def test_bytes_stay_in_their_range(step, rng):
    x = images(rng, (20, 4, 4, 3))
    wanted = 255 * Clip()(step(ToFloat()(x), draws(20)))
    np.testing.assert_array_less(np.abs(step(x, draws(20)) - wanted), 0.501)


# ---- preprocessing -------------------------------------------------------------------------


def area(x, size):
    """Return the image resized by its definition: repeat, then average blocks."""
    tall = np.repeat(np.repeat(x.astype(float), size[0], 0), size[1], 1)
    return tall.reshape(size[0], x.shape[0], size[1], x.shape[1], -1).mean((1, 3))


@pytest.mark.parametrize("size", [(5, 7), (4, 4), (12, 5), (1, 1)])
def test_smaller_images_are_means_of_areas(size, rng):
    x = images(rng, (12, 10, 3))
    np.testing.assert_array_less(np.abs(resize(x, size) - area(x, size)), 0.5001)
    f = (x / 255).astype(np.float32)
    np.testing.assert_allclose(resize(f, size), area(f, size), atol=1e-6)
    np.testing.assert_array_equal(Resize(*size)(x[None])[0], resize(x, size))


def test_larger_images_are_bilinear(rng):
    x = images(rng, (7, 6, 3))
    theirs = np.asarray(Image.fromarray(x).resize((15, 20), Image.Resampling.BILINEAR))
    assert np.abs(resize(x, (20, 15)).astype(int) - theirs).max() <= 1
    assert resize(x[..., 0], (3, 20)).shape == (3, 20)


def test_aspect_aware_resize_is_the_books(rng):
    x = images(rng, (310, 410, 3))
    wide = resize(x, (256, 338))[:, 41:-41]
    np.testing.assert_array_equal(aspect_aware_resize(x, (256, 256)), wide)
    tall = np.ascontiguousarray(x.transpose(1, 0, 2))
    np.testing.assert_array_equal(AspectAwareResize(256, 256)(tall[None])[0],
                                  resize(tall, (338, 256))[41:-41])
    for size in ((31, 20), (8, 64), (500, 100), (301, 302)):  # an odd margin is resized away
        assert aspect_aware_resize(x, size).shape == (*size, 3)


def test_ten_crops_in_the_books_order(rng):
    x = images(rng, (2, 8, 9, 3))
    ten = TenCrop(5, 5)(x)
    five = [x[:, :5, :5], x[:, :5, 4:], x[:, 3:, 4:], x[:, 3:, :5],
            np.stack([resize(i[1:7, 2:7], (5, 5)) for i in x])]
    for k, crop in enumerate(five):
        np.testing.assert_array_equal(ten[:, k], crop)
        np.testing.assert_array_equal(ten[:, k + 5], crop[:, :, ::-1])
    np.testing.assert_array_equal(TenCrop(5, 5, flip=False)(x), ten[:, :5])


def test_means(tmp_path, rng):
    x = images(rng)
    (tmp_path / "means.json").write_text(json.dumps({"B": 3.5, "R": 1.0, "G": 2}))
    wanted = x - np.array([1, 2, 3.5], np.float32)
    for means in (tmp_path / "means.json", str(tmp_path / "means.json"), [1, 2, 3.5]):
        got = MeanSubtraction(means)(x)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(MeanSubtraction(x[0])(x), x.astype(np.float32) - x[0])
    np.testing.assert_array_equal(CenterCrop(4, 3)(x), x[:, 4:8, 3:6])


# ---- errors --------------------------------------------------------------------------------

X = np.zeros((2, 8, 8, 3), np.float32)
BAD = [
    (lambda: RandomAffine(rotation=-5), "rotation=-5"),
    (lambda: RandomAffine(shear=15), "angle in radians"),
    (lambda: RandomAffine(width_shift=3), "share of the width"),
    (lambda: RandomAffine(zoom=1.5), "zoom=1.5"),
    (lambda: RandomAffine(zoom=(0, 2)), "factors above 0"),
    (lambda: RandomAffine(zoom=(2, 1)), "low <= high"),
    (lambda: RandomAffine(fill_mode="mirror"), "nearest, reflect, wrap, constant"),
    (lambda: RandomAffine(interpolation="cubic"), "bilinear, nearest"),
    (lambda: RandomFlip("left"), "horizontal, vertical"),
    (lambda: RandomCrop(0, 4), "(height, width)"),
    (lambda: RandomCrop(4, 4, padding=-1), "padding=-1"),
    (lambda: RandomCrop(9, 4)(X, draws(2)), "at least 9 rows and 4 columns"),
    (lambda: CenterCrop(4, 9)(X), "at least 4 rows and 9 columns"),
    (lambda: TenCrop(9, 9)(X), "take smaller crops"),
    (lambda: RandomHue(0.7), "circle of hues"),
    (lambda: RandomContrast(2, 1), "(lower, upper)"),
    (lambda: ColorJitter(saturation=0.5), "saturation=0.5"),
    (lambda: RandomBrightness(51), "share of the range [0, 1]"),
    (lambda: RandomHue(0.1)(X[..., :1], draws(2)), "C = 3"),
    (lambda: Resize(4, 4)(X[0]), "image[None] for a single one"),
    (lambda: Resize(4, 4)(X.astype(np.float64)), "uint8 or float32"),
    (lambda: resize(X, (4, 4)), "the steps Resize and AspectAwareResize"),
    (lambda: resize(X[0], (0, 4)), "at least 1"),
    (lambda: MeanSubtraction({"R": 1, "G": 2}), "numbers for R, G and B"),
    (lambda: MeanSubtraction([1.0, 2.0])(X), "shapes that end in (2,)"),
    (lambda: MeanSubtraction("nowhere.json"), "nowhere.json: the means cannot be read"),
    (lambda: Pipeline(RandomFlip(), "flip"), "'flip' as step 1"),
    (lambda: Pipeline(seed=-1), "seed=-1"),
    (lambda: Pipeline(lambda x, draws: x[1:])(X), "returned 1 images; expected 2"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_errors(case):
    call, text = BAD[case]
    with pytest.raises(errors.MinidlError) as found:
        call()
    assert text in str(found.value)
    assert all((found.value.where, found.value.got, found.value.remedy))


def test_a_damaged_file_of_means_is_named(tmp_path):
    path = tmp_path / "means.json"
    for text in ("{", '{"R": 1, "G": NaN, "B": 2}', "[1, 2, 3]", '{"R": 1, "G": "x", "B": 2}'):
        path.write_text(text)
        with pytest.raises(errors.DataError, match=r"means\.json"):
            MeanSubtraction(path)
