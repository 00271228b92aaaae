"""Features and kills, logistic regression, network surgery, frozen layers, runs on features."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import minidl as dl
from minidl import errors
from minidl.cli import main
from minidl.data import HDF5Source
from minidl.data.resumable import ResumableHDF5Writer
from minidl.models.transfer import fine_tuned, joined, train_from, with_head
from minidl.nn import layers as L  # noqa: N812 (as in the other tests)
from minidl.recipes.data import Data
from minidl.recipes.prepare import unit_range
from minidl.recipes.recipe import Features, Recipe, Stage
from minidl.recipes.run import run
from minidl.train.features import extract_features
from minidl.train.linear import LogisticRegression, fit_logistic_regression
from minidl.train.replay import Steps

ROOT = Path(__file__).parents[1]
NAMES = ("red", "green", "blue")


def images(count, seed=0, size=8):
    """Return images (N, 8, 8, 3) whose label is the channel that stands out."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 120, (count, size, size, 3)).astype(np.uint8), np.arange(count) % 3
    for image, label in zip(x, y, strict=True):
        image[:, :, label] += 100
    return x, y.astype(np.int64)


def body(input_shape=(8, 8, 3), include_top=True, weights=None, classes=4, bytes_in=False):
    """Return a small network with batch normalisation; weights is a seed."""
    dl.random.seed(7 if weights is None else int(weights))
    x = dl.Input(input_shape)
    y = L.Rescaling(1 / 255)(x) if bytes_in else x
    y = L.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(y)
    y = L.BatchNormalization(name="bn1")(y)
    y = L.Conv2D(5, 3, padding="same", activation="relu", name="conv2",
                 kernel_regularizer="l2")(y)
    y = L.BatchNormalization(name="bn2")(y)
    y = L.MaxPooling2D(2, name="pool2")(y)
    if include_top:
        y = L.Dense(classes, activation="softmax", name="predictions")(
            L.GlobalAveragePooling2D(name="avg_pool")(y))
    return dl.Model(x, y, name="small")


def arrays(path):
    source = HDF5Source(path)
    return source[:], source.labels, source.label_names


# ---- features ------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "pooling", "width"), [
    ("pool2", None, 4 * 4 * 5), ("pool2", "avg", 5), ("conv1", "max", 4), (None, None, 4),
    (-2, None, 5)])
def test_features_are_the_outputs_of_a_layer(tmp_path, layer, pooling, width):
    model, (x, y) = body(), images(21)
    path = extract_features(model, x, y, tmp_path / "f.hdf5", layer=layer, pooling=pooling,
                            preprocess=unit_range, label_names=NAMES, batch_size=4, seed=3,
                            progress=False)
    rows, labels, names = arrays(path)
    assert rows.shape == (21, width) and rows.dtype == np.float32 and names == list(NAMES)
    outputs = (model if layer is None else model.up_to(layer)).predict(unit_range(x))
    if pooling:
        outputs = outputs.mean(axis=(1, 2)) if pooling == "avg" else outputs.max(axis=(1, 2))
    order = dl.DataLoader(x, shuffle=True, seed=3).order(0)
    np.testing.assert_allclose(rows, outputs.reshape(21, -1)[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(labels, y[order])
    assert [p.name for p in tmp_path.iterdir()] == ["f.hdf5"]


def failing(after):
    """Return a preprocess that fails at its call of this number."""
    calls = []

    def preprocess(images):
        calls.append(len(images))
        if len(calls) > after + 1:  # the first one is for the shape
            raise KeyboardInterrupt
        return unit_range(images)

    return preprocess, calls


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_what_was_stopped_goes_on_and_ends_with_the_same_bits(tmp_path, after, workers):
    (x, y), model = images(23), body()
    take = partial(extract_features, model, x, y, layer="pool2", batch_size=4, seed=5,
                   workers=workers, label_names=NAMES, progress=False)
    whole = arrays(take(tmp_path / "whole.hdf5", preprocess=unit_range))
    path = tmp_path / "parts.hdf5"
    with pytest.raises(KeyboardInterrupt):
        take(path, preprocess=failing(after)[0])
    assert not path.exists()
    preprocess, calls = failing(100)
    parts = arrays(take(path, preprocess=preprocess))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    if not workers:
        assert sum(calls) == 1 + 23 - 4 * after  # each once, and one for the shape
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.hdf5", "whole.hdf5"]


KILLED = """
import sys, time
import numpy as np
from minidl.data.resumable import ResumableHDF5Writer
rows = np.arange(40.).reshape(20, 2)
writer = ResumableHDF5Writer(sys.argv[1], (20, 2), {}, buffer=3)
for first in range(writer.rows, 20, 3):
    writer.add(rows[first:first + 3], np.arange(first, min(first + 3, 20)))
    print(writer.rows, flush=True)
    time.sleep(0.05)
writer.close()
"""


def test_a_kill_leaves_what_was_written(tmp_path):
    path = tmp_path / "f.hdf5"
    seen = []
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], cwd=ROOT,
                                 stdout=subprocess.PIPE, text=True)
        seen.append(int(child.stdout.readline()))
        child.kill()
        child.communicate()
        assert not path.exists()
    assert seen[0] == 3 and seen == sorted(seen) and seen[-1] > 3
    subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    rows, labels, _ = arrays(path)
    np.testing.assert_array_equal(rows, np.arange(40.).reshape(20, 2))
    np.testing.assert_array_equal(labels, np.arange(20))
    assert [p.name for p in tmp_path.iterdir()] == ["f.hdf5"]


def written(path, count, total=12, **options):
    writer = ResumableHDF5Writer(path, (total, 3), {"seed": 1}, buffer=2, **options)
    for first in range(writer.rows, count, 2):
        writer.add(np.full((2, 3), first), [0, 1])
    return writer


DAMAGES = {
    "a line cut off": lambda part, log: log.write_bytes(log.read_bytes()[:-5]),
    "no journal": lambda part, log: log.unlink(),
    "no rows": lambda part, log: part.unlink(),
    "an empty journal": lambda part, log: log.write_bytes(b""),
    "another journal": lambda part, log: log.write_bytes(b'{"settings": 3}\n[1]\n'),
    "lost rows": lambda part, log: part.write_bytes(part.read_bytes()[:-60]),
    "zeros for rows": lambda part, log: _zeros(part, 3 * 4 * 5),
    "a line twice": lambda part, log: log.write_bytes(
        log.read_bytes() + log.read_bytes().splitlines(True)[-1])}


def _zeros(part, count):
    data = bytearray(part.read_bytes())
    at = data.index(np.full(3, 2, np.float32).tobytes())
    data[at:at + count] = bytes(count)
    part.write_bytes(data)


@pytest.mark.parametrize("damage", DAMAGES)
def test_rows_that_are_not_whole_are_written_again(tmp_path, damage):
    path = tmp_path / "f.hdf5"
    written(path, 8).discard()
    DAMAGES[damage](tmp_path / ".f.hdf5.part", tmp_path / ".f.hdf5.journal")
    writer = written(path, 12)
    writer.close()
    expected = np.repeat(np.arange(0, 12, 2), 2)[:, None] * np.ones(3)
    np.testing.assert_array_equal(arrays(path)[0], expected)
    assert [p.name for p in tmp_path.iterdir()] == ["f.hdf5"]


def test_other_settings_are_told_and_replaced_only_on_request(tmp_path):
    (x, y), model, path = images(12), body(), tmp_path / "f.hdf5"
    take = partial(extract_features, model, x, y, path, batch_size=4, progress=False)
    with pytest.raises(KeyboardInterrupt):
        take(layer="pool2", preprocess=failing(1)[0])
    with pytest.raises(errors.ArgumentError,
                       match=r"other settings lies there: layer='pool2', shape=\[12, 80\]"):
        take(layer="conv1", preprocess=unit_range)
    model.get_layer("conv1").kernel.assign(model.get_layer("conv1").kernel.data * 2)
    with pytest.raises(errors.ArgumentError, match="weights="):
        take(layer="pool2", preprocess=unit_range)
    take(layer="conv1", preprocess=unit_range, overwrite=True)
    assert arrays(path)[0].shape == (12, 256)
    with pytest.raises(errors.ArgumentError, match="the file is there already"):
        take(layer="conv1", preprocess=unit_range)


@pytest.mark.parametrize(("changes", "kind", "text"), [
    ({"layer": "pol2"}, errors.GraphError, "no layer 'pol2'.*Did you mean pool2"),
    ({"layer": 40}, errors.GraphError, "got position 40; there are 7 layers"),
    ({"pooling": "average"}, errors.ArgumentError, 'expected None, "avg" or "max"'),
    ({"layer": "avg_pool", "pooling": "avg"}, errors.ShapeError, r"\(N, H, W, C\) for pooling"),
    ({"preprocess": lambda x: x[:, :4]}, errors.ShapeError, r"\(None, 8, 8, 3\)")])
def test_wrong_arguments_of_an_extraction(tmp_path, changes, kind, text):
    with pytest.raises(kind, match=text):
        extract_features(body(), *images(6), tmp_path / "f.hdf5",
                         **{"preprocess": unit_range, "progress": False, **changes})
    assert not list(tmp_path.iterdir())


# ---- logistic regression -------------------------------------------------------------------


def features(count, width, classes, seed=0):
    rng = np.random.default_rng(seed)
    centres, y = rng.normal(size=(classes, width)), np.arange(count) % classes
    return (centres[y] + 2 * rng.normal(size=(count, width))).astype(np.float32) * 5 + 3, y


@pytest.mark.parametrize(("count", "width", "classes", "standardize"), [
    (90, 6, 3, True), (90, 6, 3, False), (90, 6, 2, True), (40, 60, 4, True)])
def test_it_says_what_scikit_learn_says(tmp_path, count, width, classes, standardize):
    from sklearn.linear_model import LogisticRegression as Theirs

    x, y = features(count, width, classes)
    ours = fit_logistic_regression(x, y, grid=[0.01, 0.1], standardize=standardize, tol=1e-7,
                                   max_iter=5000)
    z = x.astype(np.float64)
    z = (z - z.mean(axis=0)) / z.std(axis=0) if standardize else z
    theirs = Theirs(C=ours.c, tol=1e-7, max_iter=5000).fit(z, y)
    ours.save(tmp_path / "c")
    loaded = LogisticRegression.load(tmp_path / "c")
    np.testing.assert_allclose(loaded.predict_proba(x), theirs.predict_proba(z), atol=1e-6)
    np.testing.assert_array_equal(loaded.predict(x), theirs.predict(z))
    assert set(loaded.scores) == {0.01, 0.1} and loaded.converged
    assert loaded.c == max(loaded.scores, key=loaded.scores.get)


def test_a_saved_one_needs_no_scikit_learn(tmp_path):
    x, y = features(30, 4, 3)
    fit_logistic_regression(x, y, ["a", "b", "c"], grid=[1.0]).save(tmp_path / "c")
    code = ("import sys, numpy as np; from minidl.train.linear import LogisticRegression as L;"
            f"print(L.load({str(tmp_path / 'c')!r}).predict_proba(np.ones((2, 4))).shape,"
            "'sklearn' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          check=True)
    assert done.stdout.strip() == "(2, 3) False"
    assert json.loads((tmp_path / "c.json").read_text("utf-8"))["kind"] == "logistic regression"


def test_no_storm_of_warnings_where_it_does_not_converge():
    x, y = features(60, 30, 3)
    found = fit_logistic_regression(x, y, max_iter=2, standardize=False)
    assert not found.converged  # warnings are errors in tests


@pytest.mark.parametrize(("x", "y", "kind", "text"), [
    (np.ones((5, 2)), [0, 0, 0, 1, 1], errors.DataError,
     "got 2 samples of class '1'; expected at least 3"),
    (np.ones((4, 2)), [0, 1, 0], errors.ShapeError, r"got x \(4, 2\) and y \(3,\)"),
    (np.array([[0.0], [np.nan]] * 3), [0, 1] * 3, errors.DataError, "row 1 holds"),
    (np.ones((3, 2)), [0, 0, 0], errors.DataError, "Two classes or more")])
def test_what_cannot_be_fitted(x, y, kind, text):
    with pytest.raises(kind, match=text):
        fit_logistic_regression(x, np.array(y))


def test_features_of_another_width_are_told():
    found = fit_logistic_regression(*features(30, 4, 3), grid=[1.0])
    with pytest.raises(errors.ShapeError, match=r"got features of shape \(2, 5\).*\(N, 4\)"):
        found.predict_proba(np.ones((2, 5)))


# ---- surgery -------------------------------------------------------------------------------


def tuned(classes=3, weights=None):
    return fine_tuned(body, (8, 8, 3), classes, 6, weights=weights)


def state(model, names):
    return {k: v.tobytes() for k, v in model.state_dict().items() if k.split("/")[0] in names}


def test_a_new_head_lies_flat_on_the_body():
    model = tuned(weights=3)
    assert [*model.named_children()] == ["conv1", "bn1", "conv2", "bn2", "pool2", "flatten",
                                         "head_dense", "head_dropout", "head_labels"]
    np.testing.assert_array_equal(model.get_layer("conv1").kernel.numpy(),
                                  body(weights=3).get_layer("conv1").kernel.numpy())
    cut = with_head(body().up_to("conv1"), L.GlobalAveragePooling2D())
    assert cut.output_shape == (None, 4)
    vgg = dl.models.vgg16((32, 32, 3), include_top=False)
    assert train_from(vgg, 14)[:1] == ["block5_conv1"]  # the book counts the input, too
    assert sum(p.size for p in vgg.trainable_parameters()) == 7_079_424


@pytest.mark.parametrize(("first", "frozen"), [
    ("flatten", {"conv1", "bn1", "conv2", "bn2"}), ("conv2", {"conv1", "bn1"}),
    (2, {"conv1", "bn1"}), (0, set()), (-1, {"conv1", "bn1", "conv2", "bn2", "head_dense"})])
def test_frozen_layers_keep_their_bits(first, frozen):
    model, (x, y) = tuned(), images(40)
    weighted = {"conv1", "bn1", "conv2", "bn2", "head_dense", "head_labels"}
    train_from(model, first)
    model.compile(dl.optim.SGD(0.05, momentum=0.9, weight_decay=0.01),
                  "sparse_categorical_crossentropy")
    before, after = state(model, frozen), state(model, weighted - frozen)
    model.fit(unit_range(x), y, batch_size=8, epochs=2, verbose=0)
    assert state(model, frozen) == before
    changed = state(model, weighted - frozen)
    assert all(changed[name] != after[name] for name in after)


def test_a_frozen_normalisation_uses_its_moving_statistics():
    model, (x, _) = tuned(), images(8)
    train_from(model, "flatten")
    cut = model.up_to("pool2")
    np.testing.assert_array_equal(cut.train()(unit_range(x)).numpy(),
                                  cut.eval()(unit_range(x)).numpy())
    train_from(model, 0)
    assert not np.array_equal(cut.train()(unit_range(x)).numpy(),
                              cut.eval()(unit_range(x)).numpy())


def test_backward_ends_at_the_lowest_trained_layer():
    model, (x, y) = tuned(), images(16)
    model.compile("sgd", "sparse_categorical_crossentropy")

    def gradients(first):
        train_from(model, first)
        with dl.profile() as costs:
            model.train_on_batch(unit_range(x), y)
        return {name: row.calls for name, row in costs.ops.items()
                if name.endswith("gradient") and name.startswith(("conv2d", "batch", "max"))}

    assert gradients("flatten") == {}
    assert gradients("conv2") == {"max_pool2d_gradient": 1, "batch_norm_gradient": 1,
                                  "conv2d_weight_gradient": 1}
    assert gradients(0) == {"max_pool2d_gradient": 1, "batch_norm_gradient": 2,
                            "conv2d_weight_gradient": 2, "conv2d_input_gradient": 1}
    for parameter in model.parameters():
        assert parameter.grad is None


def test_fit_replays_with_a_frozen_body(monkeypatch):
    seen = []
    replay = Steps._replay
    monkeypatch.setattr(Steps, "_replay", lambda self, *a: (seen.append(1), replay(self, *a)))
    model, (x, y) = tuned(), images(40)
    train_from(model, "flatten")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(unit_range(x), y, batch_size=8, epochs=2, verbose=0)
    assert len(seen) == 10 - 3  # the first by the tape, two recorded


def test_a_saved_model_knows_what_is_frozen(tmp_path):
    model = tuned()
    train_from(model, "conv2")
    model.save(tmp_path / "m")
    loaded = dl.load_model(tmp_path / "m")
    assert [layer.trainable for layer in loaded.layers] == [layer.trainable
                                                           for layer in model.layers]
    assert {n for n, p in loaded.named_parameters().items() if p.trainable} == {
        n for n, p in model.named_parameters().items() if p.trainable}
    nested = joined(body(include_top=False), _head(80), None)
    nested.save(tmp_path / "n")
    assert {n for n, p in dl.load_model(tmp_path / "n").named_parameters().items()
            if p.trainable} == {n for n, p in nested.named_parameters().items() if p.trainable}


def _head(width, classes=3):
    return dl.Sequential([dl.Input((width,)), L.Dense(classes, activation="softmax")],
                         name="head")


@pytest.mark.parametrize(("first", "text"), [
    ("conv9", "no layer 'conv9'.*Did you mean conv2 or conv1"), (12, "got position 12")])
def test_layers_to_train_that_are_not_there(first, text):
    with pytest.raises(errors.GraphError, match=text):
        train_from(tuned(), first)


# ---- recipes -------------------------------------------------------------------------------


def data(**changes):
    return Data(**{"name": "colours", "load": lambda folder: (images(60), images(30, 1)),
                   "image": unit_range, "names": NAMES, "shape": (8, 8, 3), **changes})


def recipe(**changes):
    return Recipe(**{"name": "tuned", "source": "here", "printed": "none", "data": data(),
                     "model": tuned, "pretrained": "small", "optimizer": dl.optim.RMSprop,
                     "epochs": 4, "batch_size": 8, "loss": "sparse_categorical_crossentropy",
                     "stages": (Stage(2, dl.optim.RMSprop, "flatten"),
                                Stage(2, partial(dl.optim.SGD, 0.01, momentum=0.9), "conv2")),
                     **changes})


def test_stages_train_other_layers_by_other_optimizers(tmp_path):
    begun, whole = tuned(weights=3), {"conv1", "bn1", "conv2", "bn2"}
    warm = run(recipe(stages=recipe().stages[:1]), tmp_path / "a", epochs=2, weights=3).model
    assert state(warm, whole) == state(begun, whole)
    result = run(recipe(), tmp_path / "b", weights=3)
    assert state(result.model, {"conv1", "bn1"}) == state(begun, {"conv1", "bn1"})
    assert state(result.model, {"conv2"}) != state(begun, {"conv2"})
    assert type(result.model.optimizer).__name__ == "SGD"
    assert result.history.history["learning_rate"] == pytest.approx([1e-3, 1e-3, 0.01, 0.01])
    assert json.loads((tmp_path / "b" / "run.json").read_text("utf-8"))["weights"] == 3


@pytest.mark.parametrize("step", [3, 8, 16, 19, 24])
def test_stages_resume_to_the_same_bits(tmp_path, step):
    mine = recipe()
    whole = run(mine, tmp_path / "whole", weights=3).model.state_dict()

    class Stop(dl.callbacks.Callback):
        def on_batch_end(self, number, logs):
            if self.run.epoch * 8 + number + 1 == step:
                self.run.interruption.asked = True

    run(replace(mine, callbacks=lambda: [Stop()]), tmp_path / "parts", weights=3)
    parts = run(mine, tmp_path / "parts", resume=True)
    for name, value in parts.model.state_dict().items():
        np.testing.assert_array_equal(value, whole[name])
    assert not parts.model.get_layer("conv1").trainable
    with pytest.raises(errors.ArgumentError, match="got epochs=9; the run to resume has epochs=4"):
        run(mine, tmp_path / "parts", resume=True, epochs=9)


FEATURES = Features(body, "pool2", "avg", batch_size=8)


def on_features(**changes):
    return recipe(**{"name": "rows", "stages": (), "features": FEATURES, "model": partial(
        _head, 5), "epochs": 6, "optimizer": partial(dl.optim.Adam, 0.05), **changes})


@pytest.mark.parametrize("grid", [(), (1.0, 100.0)])
def test_a_run_on_features_gives_a_model_of_images(tmp_path, grid):
    result = run(on_features(grid=grid), tmp_path, weights=3)
    assert result.report["test"]["accuracy"] > 0.5
    model, (x, y) = dl.load_model(tmp_path / "model"), images(30, 1)
    said = model.predict(unit_range(x))
    assert np.mean(said.argmax(axis=1) == y) == pytest.approx(result.report["test"]["accuracy"])
    loss = -np.log(said[np.arange(30), y]).mean()
    assert loss == pytest.approx(result.report["test"]["loss"], rel=1e-3)
    assert [n for n, p in model.named_parameters().items() if p.trainable] == [
        n for n in model.named_parameters() if n.startswith("head/")]
    assert sorted(p.name for p in (tmp_path / "features").iterdir()) == ["test.hdf5", "train.hdf5"]
    if grid:
        found = LogisticRegression.load(tmp_path / "classifier")
        assert found.c == result.report["c"] and found.class_names == NAMES


@pytest.mark.parametrize("grid", [(), (1.0, 100.0)])
def test_a_run_on_features_resumes(tmp_path, monkeypatch, grid):
    whole = run(on_features(grid=grid), tmp_path / "whole", weights=3).model.state_dict()
    preprocess, _ = failing(4)
    with pytest.raises(KeyboardInterrupt):
        run(on_features(grid=grid, data=data(image=preprocess)), tmp_path / "parts", weights=3)
    parts = run(on_features(grid=grid), tmp_path / "parts", resume=True).model.state_dict()
    for name, value in parts.items():
        np.testing.assert_array_equal(value, whole[name])


@pytest.mark.parametrize(("changes", "options", "text"), [
    ({"pretrained": None}, {"weights": 3}, "tuned begins with random ones"),
    ({}, {"weights": 3, "learning_rate": 0.1}, "tuned has its own in stages")])
def test_options_that_a_recipe_does_not_take(tmp_path, changes, options, text):
    with pytest.raises(errors.ArgumentError, match=text):
        run(recipe(**changes), tmp_path, **options)


# ---- command line --------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """A folder with pictures of three kinds, and a saved network for them."""
    from PIL import Image

    for number, (image, label) in enumerate(zip(*images(48), strict=True)):
        place = tmp_path / "photos" / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    body(bytes_in=True).save(tmp_path / "net")
    return tmp_path


def test_extract_and_classify(photos, capsys):
    file, out = str(photos / "f.hdf5"), photos / "out"
    extract = ["extract", str(photos / "net"), "--data", str(photos / "photos"), "--out", file,
               "--layer", "pool2", "--pooling", "avg"]
    assert main(extract) == 0
    rows, labels, names = arrays(file)
    assert rows.shape == (48, 5) and names == sorted(NAMES)
    assert "48 samples of 5 features" in capsys.readouterr().out
    assert main(extract) == 1 and "the file is there already" in capsys.readouterr().err
    classify = ["classify", file, "--out", str(out), "--c", "1,100"]
    assert main(classify) == 0
    said = capsys.readouterr().out
    found = LogisticRegression.load(out / "classifier")
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert found.class_names == tuple(names) and set(found.scores) == {1.0, 100.0}
    assert f"Accuracy {report['test']['accuracy']:.4f} on 12 test rows" in said
    assert "precision" in said and "rank-1" in (out / "classification.txt").read_text("utf-8")
    assert (out / "confusion.png").stat().st_size > 1000
    assert main(classify) == 1 and "holds a classifier already" in capsys.readouterr().err
    assert main([*classify, "--overwrite", "--in-order", "--c", "1"]) == 0
    last = LogisticRegression.load(out / "classifier").predict(rows[36:])
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["test"]["accuracy"] == pytest.approx(np.mean(last == labels[36:]))


@pytest.mark.parametrize(("words", "text"), [
    ("extract net --data photos --out f.hdf5 --layer pol2", "Did you mean pool2"),
    ("extract squeezenet --data photos --out f.hdf5", "squeezenet without weights"),
    ("extract lenet --data photos --out f.hdf5", "a network that has published weights"),
    ("extract sqeezenet --data photos --out f.hdf5", "Did you mean squeezenet"),
    ("classify photos.hdf5 --out out", "photos.hdf5"),
    ("inspect vgg61", "Did you mean vgg16"),
    ("train lecture_mnist --weights FILE --out out", "lecture_mnist begins with random ones")])
def test_errors_of_the_commands(photos, monkeypatch, capsys, words, text):
    monkeypatch.chdir(photos)
    assert main(words.split()) == 1
    assert text in capsys.readouterr().err


def test_inspect_shows_numbers_shapes_and_what_is_trained(tmp_path, capsys):
    model = tuned()
    train_from(model, "conv2")
    model.save(tmp_path / "m")
    assert main(["inspect", str(tmp_path / "m")]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[0] == ["number", "layer", "type", "output", "parameters", "trained"]
    assert cells[1] == ["0", "conv1", "Conv2D", "8 x 8 x 4", "112", "no"]
    assert cells[3] == ["2", "conv2", "Conv2D", "8 x 8 x 5", "185", "yes"]
    assert cells[-1] == ["8", "head_labels", "Dense", "3", "21", "yes"]


SMALL = "squeezenet"
OURS = [pytest.param(name, marks=[] if dl.recipes.get(name).pretrained == SMALL
                     else pytest.mark.slow) for name in dl.recipes.names()
        if dl.recipes.get(name).stages or dl.recipes.get(name).features]


@pytest.mark.parametrize("name", OURS)
def test_recipes_of_transfer_learning_fit_together(name):
    mine = dl.recipes.get(name)
    if mine.stages:
        assert sum(stage.epochs for stage in mine.stages) == mine.epochs
        model = mine.model()
        for stage in mine.stages:
            assert train_from(model, stage.train_from)
    if mine.features:
        network = mine.features.network()
        cut = network.up_to(mine.features.layer) if mine.features.layer else network
        shape = cut.compute_output_shape((None, *mine.data.shape))
        width = shape[-1] if mine.features.pooling else np.prod(shape[1:])
        assert mine.model().input_shape == (None, width)
