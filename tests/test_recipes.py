"""How recipes turn data sets into batches; schedules, packed data, and runs on small sets."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import tree

import minidl as dl
from minidl import errors, recipes
from minidl.cli import main
from minidl.data import CenterCrop, RandomCrop, RandomFlip
from minidl.models.transfer import joined
from minidl.nn import layers as L  # noqa: N812 (as in the other tests)
from minidl.recipes import sets
from minidl.recipes.data import Data
from minidl.recipes.folder import RunFolder
from minidl.recipes.loaders import loaders
from minidl.recipes.prepare import (
    as_float,
    as_stored,
    mean_colour,
    mean_image,
    one_hot,
    unit_range,
)
from minidl.recipes.pretrained import body_of
from minidl.recipes.recipe import Recipe
from minidl.recipes.run import run
from minidl.recipes.schedule import linear, stages
from minidl.recipes.settings import settings_of

NAMES = ("red", "green", "blue", "grey")


def images(count, seed=0, size=12):
    """Return images whose label can be seen, class by class as files lie."""
    rng = np.random.default_rng(seed)
    y = np.sort(np.arange(count) % 4)
    x = rng.integers(0, 60, (count, size, size, 3)).astype(np.uint8)
    for n, label in enumerate(y):
        if label < 3:
            x[n, :, :, label] += 150
    return x, y.astype(np.int64)


def data(**changes):
    return Data(**{"name": "colours", "load": lambda folder: (images(80), images(40, 1)),
                   "image": unit_range, "names": NAMES, "shape": (12, 12, 3), **changes})


def network(classes=4):
    return dl.Sequential([dl.Input((12, 12, 3)), L.Conv2D(4, 3, activation="relu"), L.Flatten(),
                          L.Dense(classes, activation="softmax")], name="small")


def recipe(**changes):
    return Recipe(**{"name": "small", "source": "here", "printed": "none", "data": data(),
                     "model": network, "optimizer": dl.optim.Adam, "epochs": 2, "batch_size": 8,
                     "loss": "sparse_categorical_crossentropy", "test_batch_size": 15, **changes})


# ---- schedules -----------------------------------------------------------------------------


def test_linear_is_the_books_poly_decay():
    rates = [linear(5e-3)(epoch, 70) for epoch in range(70)]
    assert rates[0] == 5e-3 and rates[35] == pytest.approx(2.5e-3)
    assert rates[69] == pytest.approx(7.142857e-5)


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 10, 85, 170])
def test_stages_stretch_and_never_rise(epochs):
    rate = stages((50, 1e-1), (25, 1e-2), (10, 1e-3))
    rates = [rate(epoch, epochs) for epoch in range(epochs)]
    assert rates == sorted(rates, reverse=True)
    assert abs(rates.count(1e-1) - epochs * 50 / 85) <= 0.5


# ---- data ----------------------------------------------------------------------------------


def test_training_and_test_take_their_own_steps():
    mine = data(crop=RandomCrop(8, 8), test_crop=CenterCrop(8, 8), augment=(RandomFlip(),),
                mean=mean_image, image=as_float, label=one_hot)
    x, y = images(16)
    still = mine.prepared(False, None)
    batch, labels = still((x, y), 3, np.arange(16))
    np.testing.assert_array_equal(batch, x[:, 2:10, 2:10].astype(np.float32))
    np.testing.assert_array_equal(labels, np.eye(4, dtype=np.float32)[y])
    moved = mine.prepared(True, None, seed=1)
    one, other = (moved((x, y), epoch, np.arange(16))[0] for epoch in (0, 1))
    assert one.shape == (16, 8, 8, 3) and not np.array_equal(one, other)
    np.testing.assert_array_equal(one, moved((x, y), 0, np.arange(16))[0])
    whole = mine.prepared(False, None, whole=True)((x, y))[0]
    assert whole.shape == (16, 12, 12, 3)


@pytest.mark.parametrize("mean", [mean_image, mean_colour])
def test_means_are_those_of_the_training_part(mean, tmp_path):
    mine = recipe(data=data(mean=mean, image=as_float))
    got = loaders(mine, settings_of(mine), RunFolder(tmp_path))
    x, _ = images(80)
    expected = x.mean(axis=0, dtype=np.float64)
    expected = expected if mean is mean_image else expected.mean(axis=(0, 1))
    np.testing.assert_allclose(RunFolder(tmp_path).mean(), expected, rtol=1e-6)
    batch, _ = next(iter(got.test))
    np.testing.assert_allclose(batch, images(40, 1)[0][:15] - expected, rtol=1e-5, atol=1e-4)
    again = loaders(replace(mine, data=replace(mine.data, mean=lambda source: 1 / 0)),
                    settings_of(mine), RunFolder(tmp_path))
    np.testing.assert_array_equal(next(iter(again.test))[0], batch)


def test_a_limit_takes_every_class():
    (x, y), (_, y_test) = data().parts(None, 8)
    assert sorted(set(y)) == sorted(set(y_test)) == [0, 1, 2, 3] and len(x) == len(y) == 8


def test_classes_are_cut_in_the_order_asked_for():
    mine = data().at(None, ["grey", "red"])
    assert mine.class_names == ["grey", "red"]
    (x, y), _ = mine.parts(None)
    assert sorted(set(y)) == [0, 1] and len(x) == 40
    assert (x[y == 1][:, :, :, 0] >= 150).all() and (x[y == 0] < 60).all()


def test_classes_that_the_folder_names():
    mine = data(names=lambda folder: (f"{folder} 1", "two", "three"))
    assert mine.at("there").class_names == ["there 1", "two", "three"]
    with pytest.raises(errors.ArgumentError, match="the classes of colours are not known yet"):
        _ = mine.class_names
    assert recipe(data=mine).at("there").model().output_shape == (None, 3)


def test_a_mean_of_another_size_is_told():
    prepared = data(image=as_float).prepared(False, np.zeros((5, 5, 3), np.float32))
    with pytest.raises(errors.ShapeError, match=r"mean: got images of shape \(2, 12, 12, 3\)"):
        prepared((np.zeros((2, 12, 12, 3), np.uint8),))


# ---- runs ----------------------------------------------------------------------------------


def test_validation_is_a_part_of_its_own_where_there_is_one(tmp_path):
    three = data(load=lambda folder: (images(48), images(16, 1), images(24, 2)))
    result = run(recipe(data=three), tmp_path, epochs=1)
    model, (x, y) = result.model, images(24, 2)
    loss, accuracy = model.evaluate(unit_range(x), y)
    assert result.report["test"] == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-5)
    loss, _ = model.evaluate(unit_range(images(16, 1)[0]), images(16, 1)[1])
    assert result.history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("steps", [7, 10, 13])
def test_steps_end_a_run_in_the_middle_of_an_epoch(tmp_path, steps):
    seen = []
    mine = recipe(steps=steps, callbacks=lambda: [
        dl.callbacks.LearningRateScheduler(lambda epoch: 0.01), Count(seen)])
    run(mine, tmp_path)
    assert len(seen) == steps


class Count(dl.callbacks.Callback):
    def __init__(self, seen):
        self.seen = seen

    def on_batch_end(self, step, logs):
        self.seen.append(step)


def test_ten_crops_are_reported_beside_the_plain_test(tmp_path):
    cropped = data(crop=RandomCrop(8, 8), test_crop=CenterCrop(8, 8), shape=(8, 8, 3))

    def small():
        return dl.Sequential([dl.Input((8, 8, 3)), L.Flatten(), L.Dense(4, activation="softmax")])

    result = run(recipe(data=cropped, model=small, ten_crops=(8, 8), epochs=4), tmp_path)
    x, y = images(40, 1)
    said = dl.ten_crop_predict(result.model, unit_range(x), (8, 8))
    expected = np.mean(said.argmax(axis=1) == y)
    assert result.report["test"]["ten_crop_accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_waiting_for_data_is_counted(tmp_path, workers):
    import time

    class Slow(RandomFlip):
        def __call__(self, batch, draws):
            time.sleep(0.01)
            return super().__call__(batch, draws)

    result = run(recipe(data=data(augment=(Slow(),)), workers=workers, epochs=1), tmp_path)
    waited, seconds = result.history.waited[0], result.history.seconds[0]
    assert 0.03 < waited < seconds
    assert result.report["waiting"] == pytest.approx(waited / seconds, abs=1e-3)


def test_augmented_runs_resume_to_the_same_bits(tmp_path):
    mine = recipe(data=data(augment=(RandomFlip(),), crop=RandomCrop(12, 12, padding=2)),
                  workers=2)
    whole = run(mine, tmp_path / "whole", epochs=3).model.state_dict()
    run(mine, tmp_path / "parts", epochs=1)
    parts = run(mine, tmp_path / "parts", epochs=3, resume=True).model.state_dict()
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value)


def test_a_run_is_not_given_up_for_data_that_cannot_be_read(tmp_path):
    run(recipe(), tmp_path, epochs=1)
    before = (tmp_path / "report.json").read_bytes()

    def missing(folder):
        raise errors.DataError("colours", "is not there")

    with pytest.raises(errors.DataError, match="colours: is not there"):
        run(recipe(data=data(load=missing)), tmp_path, epochs=1, overwrite=True)
    assert (tmp_path / "report.json").read_bytes() == before


# ---- packed data ---------------------------------------------------------------------------


@pytest.fixture
def flowers(tmp_path):
    """A folder with photos of two kinds."""
    tree(tmp_path / "flowers", {"rose": 12, "tulip": 16})
    return tmp_path


def test_build_packs_what_train_then_reads(flowers, capsys):
    out = flowers / "packed"
    assert main(["build", "flowers_minivggnet", "--data", str(flowers), "--out", str(out)]) == 0
    assert f"minidl train flowers_minivggnet --data {out}" in capsys.readouterr().out
    mine = recipes.get("flowers_minivggnet")
    packed, files = (mine.at(place).data for place in (out, flowers))
    assert packed.class_names == files.class_names == ["rose", "tulip"]
    for one, other in zip(packed.parts(out), files.parts(flowers), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    means = json.loads((out / "mean.json").read_text("utf-8"))
    np.testing.assert_allclose([means[c] for c in "RGB"], mean_colour(files.parts(flowers)[0][0]),
                               rtol=1e-5)
    assert main(["build", "flowers_minivggnet", "--data", str(flowers), "--out", str(out)]) == 1
    assert "the file is there already" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "text"), [
    ("alexnet_dogs_cats", "this data set cannot be downloaded by minidl"),
    ("flowers_minivggnet", "Name the folder that holds it with --data DIR"),
    ("telemetry_conv1d", "expected shuttle.csv or a folder with it")])
def test_sets_without_an_address_ask_for_their_folder(name, text, tmp_path, capsys):
    assert main(["train", name, "--out", str(tmp_path)]) == 1
    assert text in capsys.readouterr().err


# ---- every recipe --------------------------------------------------------------------------

REAL = {"CIFAR-10": "cifar10", "Tiny ImageNet": "tiny_imagenet", "Dogs vs. Cats": "dogs_vs_cats",
        "flowers": "flowers5", "Statlog Shuttle": "shuttle", "MNIST": "mnist",
        "animals": "animals", "CALTECH-101": "caltech101"}
TAKE_LONG = ("demo", "imdb_conv1d")  # their data is tested elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in recipes.names() if n not in TAKE_LONG])
def test_a_batch_of_real_data_fits_the_network(name, tmp_path):
    mine = recipes.get(name)
    root = os.environ.get("MINIDL_DATA")
    folder = root and Path(root) / REAL[mine.data.name]
    if not folder or not folder.is_dir():
        pytest.skip(f"MINIDL_DATA holds no {REAL[mine.data.name]}")
    mine = mine.at(folder)
    got = loaders(mine, settings_of(mine, data=folder, limit=24, batch_size=4),
                  RunFolder(tmp_path))
    model = mine.model()
    if mine.features:
        model = joined(body_of(mine.features, None), model, mine.features.pooling)
    model.compile(mine.optimizer(), mine.loss, metrics=list(mine.metrics))
    for loader in (got.training, got.test):
        x, y = next(iter(loader))
        assert x.shape[1:] == mine.data.shape
        y_pred = model(x)
        losses = model._compiled.loss(y, y_pred).numpy()
        assert losses.shape == (len(x),) and np.isfinite(losses).all()


def test_no_folder_of_a_set_without_classes():
    with pytest.raises(errors.ArgumentError, match="Name the folder with --data"):
        _ = sets.flowers(64, as_stored).class_names


def test_predict_takes_colour_pictures_for_colour_networks(flowers, capsys):
    out, picture = flowers / "run", flowers / "flowers" / "rose" / "3.png"
    train = ["train", "flowers_minivggnet", "--data", str(flowers), "--out", str(out),
             "--epochs", "1"]
    assert main(train) == 0
    capsys.readouterr()
    shutil.copy(picture, flowers / "3.png")
    picture = flowers / "3.png"
    shutil.rmtree(flowers / "flowers")  # the run knows its classes
    assert main(["predict", str(out), str(picture)]) == 0
    said = capsys.readouterr().out
    model, prepared = dl.load_model(out / "model.safetensors"), recipes.get(
        "flowers_minivggnet").at(None, names=("rose", "tulip")).data.prepared(False, None)
    pixels = dl.data.read_image(picture, (64, 64), fit="crop")[None]
    row = model.predict(prepared((pixels,))[0])[0]
    assert f"{picture}: {('rose', 'tulip')[row.argmax()]}  probability {row.max():.4f}" in said
