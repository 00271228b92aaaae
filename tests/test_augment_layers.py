"""The layers that augment: what they draw, when they act, gradients, configs, resuming."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minidl as dl
from minidl import config, errors, random
from minidl.autograd import functional as F  # noqa: N812
from minidl.autograd.tensor import Tensor
from minidl.data import DataLoader, Pipeline, RandomAffine, RandomCrop, RandomHue
from minidl.data.affine import affine_matrices
from minidl.nn import Input, Model, Sequential, deserialize, layers, serialize

LAYERS = {
    "flip": lambda: layers.RandomFlip("horizontal"),
    "rotation": lambda: layers.RandomRotation(0.1),
    "zoom": lambda: layers.RandomZoom(0.2),
    "translation": lambda: layers.RandomTranslation(0.2, 0.1, fill_mode="constant"),
    "contrast": lambda: layers.RandomContrast(0.3)}


@pytest.fixture
def rng():
    return np.random.default_rng(41)


def matrices(layer, count=2000, height=21, width=11):
    """Return the maps (count, 2, 3) that a layer draws."""
    u = np.random.default_rng(1).random((count, 4)).astype(np.float32)
    return layer._matrices(height, width, u).reshape(-1, 2, 3)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_act_in_training_only_and_draw_one_count_a_call(name, rng):
    layer, x = LAYERS[name](), rng.random((4, 9, 8, 3), dtype=np.float32)
    random.seed(5)
    first = layer(x).numpy()
    assert random.default.state == (5, 1)
    second = layer(x).numpy()
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, x)
    random.default.state = (5, 0)
    np.testing.assert_array_equal(layer(x).numpy(), first)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x)
    assert random.default.state == (5, 1)


@pytest.mark.parametrize("name", LAYERS)
def test_bytes_become_floats(name, rng):
    x = rng.integers(0, 256, (3, 6, 6, 3), np.uint8)
    for training in (True, False):
        y = LAYERS[name]().train(training)(x)
        assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), x)


def test_rotation_is_a_share_of_a_turn():
    m = matrices(layers.RandomRotation(0.1))
    angle = np.degrees(np.arctan2(m[:, 0, 1], m[:, 0, 0]))
    assert -36.01 < angle.min() < -35.5 and 35.5 < angle.max() < 36.01
    assert abs(angle.mean()) < 1
    np.testing.assert_allclose(m @ [10, 5, 1], np.tile([10, 5], (2000, 1)), atol=1e-5)
    quarter = layers.RandomRotation((0.25, 0.25))
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(quarter(x).numpy()[0], np.rot90(x[0]))  # counter-clockwise


def test_zoom_keeps_the_ratio_unless_told():
    m = matrices(layers.RandomZoom((-0.2, 0.4)))
    np.testing.assert_array_equal(m[:, 0, 0], m[:, 1, 1])
    assert 0.8 <= m[:, 0, 0].min() < 0.81 and 1.39 < m[:, 0, 0].max() <= 1.4
    m = matrices(layers.RandomZoom(0.0, 0.5))
    assert (m[:, 0, 0] == 1).all()
    assert 0.5 <= m[:, 1, 1].min() < 0.51 and 1.49 < m[:, 1, 1].max() <= 1.5


def test_translation_is_down_and_to_the_right(rng):
    x = rng.random((2, 4, 5, 1), dtype=np.float32)
    y = layers.RandomTranslation((0.25, 0.25), (0.4, 0.4), "constant", 9.0)(x).numpy()
    np.testing.assert_allclose(y[:, 1:, 2:], x[:, :-1, :-2], rtol=1e-6)
    np.testing.assert_allclose(y[:, :1], 9.0, rtol=1e-5)
    m = matrices(layers.RandomTranslation(0.2, (0.0, 0.1)))
    assert -4.21 < -m[:, 0, 2].max() < -4.1 and 4.1 < -m[:, 0, 2].min() < 4.21
    assert 0 <= -m[:, 1, 2].max() < 0.02 and 1.08 < -m[:, 1, 2].min() < 1.11


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flips(mode):
    m = matrices(layers.RandomFlip(mode))
    for axis, word in ((0, "vertical"), (1, "horizontal")):
        share = (m[:, axis, axis] == -1).mean()
        assert abs(share - 0.5) < 0.05 if word in mode.split("_and_") else share == 0


def test_contrast(rng):
    x = rng.random((200, 4, 4, 2), dtype=np.float32)
    y, mean = layers.RandomContrast((0.3, 0.1))(x).numpy(), x.mean((1, 2), keepdims=True)
    factor = ((y - mean) * (x - mean)).sum((1, 2, 3)) / ((x - mean) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(y, (x - mean) * factor[:, None, None, None] + mean, atol=1e-5)
    assert 0.699 < factor.min() < 0.71 and 1.09 < factor.max() < 1.101


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("mode", ["nearest", "reflect", "wrap", "constant"])
def test_the_gradient_is_the_transposed_map(mode, interpolation, rng):
    x = Tensor(rng.standard_normal((2, 5, 6, 3)), requires_grad=True)
    turned = affine_matrices(5, 6, 2, rotation=0.4, zoom=1.3).astype(np.float64)
    gy = rng.standard_normal(x.shape)
    y = F.affine_warp(x, turned, mode, interpolation=interpolation)
    y.backward(gy)
    np.testing.assert_allclose((gy * y.numpy()).sum(), (x.grad.numpy() * x.numpy()).sum())


@pytest.mark.parametrize("layer", [
    lambda **how: layers.RandomRotation(0.1, **how), lambda **how: layers.RandomZoom(0.2, **how),
    lambda **how: layers.RandomTranslation(0.1, 0.1, **how)])
def test_the_nearest_pixel_is_taken_where_it_is_asked_for(layer, rng):
    x = rng.random((4, 9, 9, 1), dtype=np.float32)
    nearest, between = layer(interpolation="nearest"), layer()
    assert nearest.get_config()["interpolation"] == "nearest"
    assert np.isin(nearest(x).numpy(), x).all() and not np.isin(between(x).numpy(), x).all()
    with pytest.raises(errors.ArgumentError, match="expected bilinear, nearest"):
        layer(interpolation="cubic")


def test_images_are_drawn_for_each_sample_apart():
    x = np.repeat(np.random.default_rng(2).random((1, 8, 8, 3), dtype=np.float32), 6, axis=0)
    y = layers.RandomRotation(0.2)(x).numpy()
    assert len({one.tobytes() for one in y}) == 6


# ---- in models -----------------------------------------------------------------------------


def augmentation():
    return [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.2)]


def head():
    return [layers.Rescaling(1 / 255), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)]


def chain():
    return Sequential([Input((8, 8, 3)), *augmentation(), *head()])


def graph():
    x = Input((8, 8, 3))
    y = Sequential([Input((8, 8, 3)), *augmentation()], name="augmentation")(x)
    return Model(x, Sequential([Input((8, 8, 3)), *head()], name="body")(y))


@pytest.mark.parametrize("make", [chain, graph])
def test_models_with_augmentation(make, rng, tmp_path):
    x, y = rng.integers(0, 256, (12, 8, 8, 3), np.uint8), rng.integers(0, 2, 12)
    random.seed(3)
    model = make()
    before = random.default.state
    lines = []
    model.summary(print_fn=lines.append, expand_nested=True)
    assert "RandomRotation" in "\n".join(lines)
    assert random.default.state == before
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    again = deserialize(serialize(model))
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    model.save(tmp_path / "model.minidl")
    np.testing.assert_array_equal(dl.load_model(tmp_path / "model.minidl").predict(x),
                                  model.predict(x))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_resumed_run_is_the_unbroken_one(workers, rng, tmp_path):
    """With layers that augment, and a pipeline in a loader's workers besides."""
    x, y = rng.integers(0, 256, (12, 9, 9, 3), np.uint8), rng.integers(0, 2, 12)
    steps = Pipeline(RandomCrop(8, 8), RandomAffine(20, zoom=0.1), RandomHue(0.1), seed=4)

    def run(epochs, workers, **more):
        random.seed(9)
        model = chain()
        model.compile("adam", "sparse_categorical_crossentropy")
        data = DataLoader(x, y, batch_size=5, shuffle=True, seed=1, workers=workers,
                          transform=steps)
        model.fit(data, epochs=epochs, verbose=0, **more)
        return [p.numpy() for p in model.parameters()]

    saves = dl.callbacks.Checkpoint(tmp_path / "run")
    run(2, workers, callbacks=[saves])
    resumed = run(4, workers, callbacks=[saves], resume=True)
    for a, b in zip(run(4, 0), resumed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_shapes_alone_compute_nothing():
    with config.shapes_only():
        y = layers.RandomZoom(0.1)(np.zeros((500, 300, 300, 3), np.float32))
    assert y.shape == (500, 300, 300, 3)
    assert y.array.strides == (0, 0, 0, 0)


BAD = [
    (lambda: layers.RandomFlip("left"), "RandomFlip: got mode='left'"),
    (lambda: layers.RandomRotation(36), "share of a full turn"),
    (lambda: layers.RandomRotation(0.1, fill_mode="mirror"), "nearest, reflect"),
    (lambda: layers.RandomZoom((0.2, 0.1)), "height_factor=(0.2, 0.1)"),
    (lambda: layers.RandomZoom(1.0), "-0.99 <= lower"),
    (lambda: layers.RandomTranslation(0.1, 2), "width_factor=2"),
    (lambda: layers.RandomContrast(1.5), "factor=1.5"),
    (lambda: layers.RandomZoom(0.1)(np.zeros((4, 4, 3), np.float32)), "(N, H, W, C)"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_errors(case):
    call, text = BAD[case]
    with pytest.raises(errors.MinidlError) as found:
        call()
    assert text in str(found.value)


def test_the_angle_of_a_matrix():
    """Content turns counter-clockwise: what is at the bottom comes from the left."""
    matrix = affine_matrices(3, 3, 1, rotation=math.pi / 2).reshape(2, 3)
    assert (matrix @ [1, 2, 1]).tolist() == [2, 1]  # the right place shows the bottom one
