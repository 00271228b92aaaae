"""Training methods: restarts with another rate, monitors, rate finder, crops, ensembles."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn, optim, random, viz
from minidl.data import DataLoader, TenCrop
from minidl.errors import ArgumentError, CheckpointError, DataError, MinidlError, ShapeError
from minidl.nn import layers
from minidl.train import losses, metrics, probabilities
from minidl.train.callbacks import (
    Callback,
    Checkpoint,
    EpochCheckpoint,
    LearningRateScheduler,
    TrainingMonitor,
)
from minidl.train.crops import ten_crop_predict
from minidl.train.ensemble import Ensemble, train_ensemble
from minidl.train.finder import find_learning_rate
from minidl.train.resume import files

RNG = np.random.default_rng(5)
X = RNG.standard_normal((75, 6)).astype("float32")
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)


def network(optimizer: Any = None, loss: Any = "sparse_categorical_crossentropy",
            seed: int = 3, activation: str = "softmax") -> Any:
    random.seed(seed)
    model = nn.Sequential([layers.Dense(8, activation="relu"), layers.BatchNormalization(),
                           layers.Dropout(0.3), layers.Dense(3, activation=activation)])
    model.compile(optimizer or optim.SGD(0.1, momentum=0.9), loss, ["accuracy"])
    return model


def bits(model: Any) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in model.state_dict().items()}


def fit(model: Any, callbacks: Sequence[Callback] = (), **arguments: Any) -> Any:
    return model.fit(X, Y, **{"epochs": 6, "batch_size": 16, "verbose": 0, "seed": 1,
                              "validation_split": 0.2, "callbacks": list(callbacks),
                              **arguments})


class Stop(Callback):
    """Ends a run after an epoch, as a user who does not like what he sees."""

    def __init__(self, epoch: int) -> None:
        self.at = epoch

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        if epoch == self.at:
            raise RuntimeError("stopped")


# ---- stop, look, change the rate, restart --------------------------------------------------


def test_a_restart_takes_another_rate_and_continues_the_history(tmp_path: Path) -> None:
    fit(network(), [EpochCheckpoint(tmp_path, every=2)])
    assert [f.stem for f in files(tmp_path).values()] == ["epoch_2", "epoch_4", "epoch_6"]
    again = network()
    history = fit(again, resume=tmp_path / "epoch_4", learning_rate=0.01)
    assert history.epoch == list(range(6))
    assert np.allclose(history.history["learning_rate"], [0.1] * 4 + [0.01] * 2)
    plain = network()
    fit(plain, epochs=4)
    plain.optimizer.learning_rate = 0.01
    fit(plain, epochs=6, initial_epoch=4)  # the state of dropout's numbers goes on by itself
    assert bits(plain) == bits(again)


def test_a_schedule_may_follow_and_be_followed(tmp_path: Path) -> None:
    first = network(optim.SGD(optim.schedules.PolynomialDecay(0.1, 60)))
    fit(first, [Checkpoint(tmp_path, keep=9)], epochs=2)
    second = network(optim.SGD(optim.schedules.PolynomialDecay(0.1, 60)))
    history = fit(second, epochs=3, resume=tmp_path, learning_rate=0.5)
    assert history.history["learning_rate"][2] == 0.5
    third = network()
    history = fit(third, epochs=1, learning_rate=optim.schedules.StepDecay(0.2, 2))
    assert history.history["learning_rate"] == [0.05]


def test_epoch_checkpoints_are_all_kept_beside_the_newest(tmp_path: Path) -> None:
    fit(network(), [Checkpoint(tmp_path, keep=2), EpochCheckpoint(tmp_path, every=2)], epochs=5)
    names = sorted(p.stem for p in tmp_path.glob("*.safetensors"))
    assert names == ["epoch-00004-step-0000000", "epoch-00005-step-0000000", "epoch_2", "epoch_4",
                     "epoch_5"]
    model = network()
    model(X[:1])
    model.load_weights(tmp_path / "epoch_4")
    with pytest.raises(CheckpointError, match=r"holds epoch_5.* the run starts at epoch 4"):
        fit(network(), [EpochCheckpoint(tmp_path, every=2)], resume=tmp_path / "epoch_4")
    fit(network(), [EpochCheckpoint(tmp_path, every=3, overwrite=True)], epochs=6,
        resume=tmp_path / "epoch_4")
    assert "epoch_5" not in {p.stem for p in tmp_path.iterdir()}
    assert {"epoch_2", "epoch_4", "epoch_6"} <= {p.stem for p in tmp_path.iterdir()}


def test_ctrl_c_in_an_epoch_is_saved_and_gone_on_from_with_another_rate(tmp_path: Path,
                                                                        capsys: Any) -> None:
    class Press(Callback):
        def on_batch_end(self, step: int, logs: Any) -> None:
            if (self.run.epoch, step) == (2, 1):
                signal.raise_signal(signal.SIGINT)

    def monitor() -> TrainingMonitor:
        return TrainingMonitor(None, tmp_path / "figures.json")

    saves = EpochCheckpoint(tmp_path, every=2)
    assert fit(network(), [saves, monitor(), Press()]).interrupted
    assert [f.stem for f in files(tmp_path).values()] == ["epoch_2", "epoch_2_step_2"]
    assert f"All is saved in {tmp_path}" in capsys.readouterr().err
    results = []
    for k in range(2):
        model = network()
        history = fit(model, [EpochCheckpoint(tmp_path, every=2, overwrite=k > 0), monitor()],
                      resume=tmp_path / "epoch_2_step_2", learning_rate=0.02)
        results.append((bits(model), history.history))
        assert read(tmp_path / "figures.json")["loss"] == history.history["loss"]
    assert results[0] == results[1]
    assert np.allclose(history.history["learning_rate"], [0.1, 0.1, *[0.02] * 4])


def test_start_at_counts_epochs_of_weights_that_were_loaded(tmp_path: Path) -> None:
    model = network()
    fit(model, [EpochCheckpoint(tmp_path, every=5, start_at=25)], epochs=10)
    assert [f.stem for f in files(tmp_path).values()] == ["epoch_30", "epoch_35"]
    again = network()
    fit(again, [EpochCheckpoint(tmp_path, every=5, start_at=25, overwrite=True)], epochs=10,
        resume=tmp_path / "epoch_30")
    assert bits(again) == bits(model)
    assert [f.stem for f in files(tmp_path).values()] == ["epoch_30", "epoch_35"]


@pytest.mark.parametrize("call, text", [
    (lambda p: EpochCheckpoint(p, every=0), "every_epochs=0"),
    (lambda p: EpochCheckpoint(p, start_at=-1), "start_at"),
    (lambda p: TrainingMonitor(p, start_at=-1), "start_at"),
    (lambda p: network().fit(X, Y, learning_rate=-1.0, verbose=0), "learning_rate=-1.0"),
])
def test_wrong_arguments_are_told(call: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(MinidlError, match=text):
        call(tmp_path)


# ---- monitor -------------------------------------------------------------------------------


def read(path: Path) -> dict[str, list[Any]]:
    return json.loads(path.read_text("utf-8"))


def test_the_monitor_writes_at_each_epoch_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    def monitor() -> TrainingMonitor:
        return TrainingMonitor(tmp_path / "curves.svg", tmp_path / "figures.json", title="try")

    saves = EpochCheckpoint(tmp_path / "saved", every=1, overwrite=True)
    with pytest.raises(RuntimeError):
        fit(network(), [saves, monitor(), Stop(4)])
    stopped = read(tmp_path / "figures.json")
    assert stopped["epoch"] == [0, 1, 2, 3, 4] and (tmp_path / "curves.svg").exists()
    history = fit(network(), [saves, monitor()], resume=tmp_path / "saved/epoch_3",
                  learning_rate=0.01)
    table = read(tmp_path / "figures.json")
    assert table["epoch"] == list(range(6))
    assert table["loss"] == history.history["loss"]
    assert table["loss"][:3] == stopped["loss"][:3] and table["loss"][3] != stopped["loss"][3]
    assert not list(tmp_path.glob(".*"))


def test_the_monitor_goes_on_from_its_file_where_weights_were_loaded(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    fit(network(), [TrainingMonitor(None, path)], epochs=4)
    before = read(path)
    fit(network(), [TrainingMonitor(None, path, start_at=2)], epochs=2, validation_split=0.0)
    table = read(path)
    assert table["epoch"] == [0, 1, 2, 3] and table["loss"][:2] == before["loss"][:2]
    assert table["loss"][2:] != before["loss"][2:]
    assert table["val_loss"] == [*before["val_loss"][:2], None, None]
    fit(network(), [TrainingMonitor(None, path)], epochs=1)
    assert read(path)["epoch"] == [0]


def test_a_damaged_file_is_told_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    for text in ("{", "[1]", '{"epoch": [0, 1], "loss": [1.0]}', '{"loss": [1.0]}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"figures.json: is damaged .*Move it away"):
            fit(network(), [TrainingMonitor(None, path, start_at=1)], epochs=1)
        assert path.read_text() == text


def test_not_a_number_is_null_and_is_drawn(tmp_path: Path) -> None:
    class Nan(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            logs["loss"] = math.nan

    fit(network(), [Nan(), TrainingMonitor(tmp_path / "c.png", tmp_path / "f.json")], epochs=2)
    assert read(tmp_path / "f.json")["loss"] == [None, None]
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_the_interval_spares_drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(viz, "save", lambda figure, path: drawn.append(path))
    fit(network(), [TrainingMonitor(tmp_path / "c.png", interval=1000.0)], epochs=3)
    assert len(drawn) == 1
    fit(network(), [TrainingMonitor(tmp_path / "c.png")], epochs=3)
    assert len(drawn) == 4


# ---- decay ---------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_polynomial_decay_by_epoch_is_the_books(power: float) -> None:
    decay = optim.schedules.PolynomialDecay(5e-3, 70, power=power)
    for epoch in range(71):
        assert decay(epoch) == pytest.approx(5e-3 * (1 - epoch / 70)**power, rel=1e-12)
    history = fit(network(), [LearningRateScheduler(decay)], epochs=3)
    assert history.history["learning_rate"] == [decay(0), decay(1), decay(2)]
    if power == 1.0:
        assert [decay(0), decay(35)] == [5e-3, 2.5e-3]
        assert decay(69) == pytest.approx(7.14e-5, rel=1e-3)


def test_stages_are_piecewise_constant() -> None:
    stages = optim.schedules.PiecewiseConstantDecay([25, 35], [1e-2, 1e-3, 1e-4])
    assert [stages(e) for e in (0, 24, 25, 34, 35, 64)] == [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4]
    again = optim.schedules.get(json.loads(json.dumps(optim.schedules.describe(stages))))
    assert [again(e) for e in range(40)] == [stages(e) for e in range(40)]  # type: ignore[operator]
    for boundaries, values in (([3], [0.1]), ([5, 5], [1, 2, 3]), ([5, 4], [1, 2, 3])):
        with pytest.raises(ArgumentError, match="expected rising boundaries and one value more"):
            optim.schedules.PiecewiseConstantDecay(boundaries, values)


# ---- learning-rate finder ------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [
    lambda: optim.SGD(optim.schedules.CosineDecay(0.1, 50), momentum=0.9),
    lambda: optim.Adam(0.003, accumulate=2, ema=0.9)])
def test_the_finder_leaves_everything_as_it_was(optimizer: Any) -> None:
    model, twin = network(optimizer()), network(optimizer())
    for each in (model, twin):
        random.seed(3)
        fit(each, epochs=1)
    state = random.default.state
    before = {k: v.tobytes() for k, v in model.optimizer.state_dict().items()}
    found = find_learning_rate(model, X, Y, lowest=1e-5, highest=50.0, steps=80, batch_size=16)
    assert random.default.state == state and bits(model) == bits(twin)
    assert {k: v.tobytes() for k, v in model.optimizer.state_dict().items()} == before
    for each in (model, twin):
        random.default.state = state
        fit(each, epochs=3, initial_epoch=1)
    assert bits(model) == bits(twin)
    assert 1e-5 < found.suggestion < 50


def test_the_finder_finds_the_range_of_a_known_problem() -> None:
    random.seed(0)
    x = RNG.standard_normal((256, 10)).astype("float32")
    model = nn.Sequential([layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    found = find_learning_rate(model, x, x @ np.ones((10, 1), "float32"), lowest=1e-5,
                               highest=100.0, steps=140)
    assert found.diverged and found.rates[-1] < 100  # too large from 2 / (2 lambda_max) on
    assert 1e-3 < found.suggestion < 0.5
    assert len(found.rates) == len(found.losses) == len(found.raw)
    assert np.allclose(np.diff(np.log(found.rates)), np.log(1e7) / 139)
    assert "where the loss ran away" in repr(found)
    axes = found.figure().axes[0]
    assert axes.get_xscale() == "log" and "suggested" in axes.get_title()


@pytest.mark.parametrize("arguments, text", [
    ({"lowest": 1.0, "highest": 0.1}, "expected 0 < lowest < highest"),
    ({"steps": 3}, "steps"),
    ({"x": X * np.nan}, "the loss is nan after 0 steps"),
])
def test_the_finder_tells_what_is_wrong(arguments: dict[str, Any], text: str) -> None:
    model = network()
    with pytest.raises(ArgumentError, match=text):
        find_learning_rate(model, **{"x": X, "y": Y, **arguments})


# ---- ranks and reports ---------------------------------------------------------------------

FROG = [0.0, 0.0, 2.1, 0.03, 0.01, 0.56, 97.3, 0.0, 0.0, 0.0]
CAR = [1.1, 38.7, 0.0, 0.5, 0.0, 0.4, 0.11, 1.4, 2.39, 55.4]


def test_ranks_are_those_of_the_book() -> None:
    assert metrics.rank_accuracy([6], [FROG]) == (1.0, 1.0)
    assert metrics.rank_accuracy([1], [CAR]) == (0.0, 1.0)
    assert metrics.rank_accuracy([6, 1], [FROG, CAR]) == (0.5, 1.0)
    assert metrics.rank_accuracy(np.eye(10)[[6, 1]], [FROG, CAR], k=(1, 2)) == (0.5, 1.0)


def test_ranks_agree_with_a_sorted_list_and_with_the_accuracy() -> None:
    scores = RNG.integers(0, 6, (200, 8)).astype("float32")  # with many ties
    labels = RNG.integers(0, 8, 200)
    order = np.argsort(-scores, axis=1, kind="stable")
    for k in range(1, 9):
        expected = np.mean([label in row[:k] for label, row in zip(labels, order, strict=True)])
        assert metrics.rank_accuracy(labels, scores, k=(k,)) == (expected,)
    accuracy = metrics.Accuracy()
    accuracy.update(labels, scores)
    assert metrics.rank_accuracy(labels, scores)[0] == accuracy.result()
    scores[:50, 3] = np.nan
    assert metrics.rank_accuracy(labels, scores, k=(8,)) == (0.75,)


@pytest.mark.parametrize("y_true, y_prob, text", [
    ([3], [[0.5, 0.5]], "got labels from 3 to 3; expected 0 to 1, as there are 2 classes"),
    ([-1], [[0.5, 0.5]], "got labels from -1"),
    ([0, 1], [[0.5, 0.5]], "got labels of shape"),
    ([0], [0.5, 0.5], "got y_prob of shape"),
])
def test_labels_that_do_not_fit_are_told(y_true: Any, y_prob: Any, text: str) -> None:
    with pytest.raises((ArgumentError, ShapeError), match=text):
        metrics.rank_accuracy(y_true, y_prob)


def test_the_report_holds_the_figures_of_the_counts() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'ml'")
    labels, scores = RNG.integers(0, 3, 80), RNG.random((80, 4))
    text = metrics.classification_report(labels, scores, ["cat", "dog", "hen", "a long name"], 4)
    counts = metrics.ConfusionCounts()
    counts.update(labels, scores)
    assert np.array_equal(metrics.confusion_counts(labels, scores.argmax(axis=1), 4),
                          counts.matrix)
    rows = {line[:11].strip(): line[11:].split() for line in text.splitlines() if line.strip()}
    for i, name in enumerate(["cat", "dog", "hen", "a long name"]):
        shown = [counts.precision()[i], counts.recall()[i], counts.f1()[i]]
        assert rows[name] == [*(f"{v:.4f}" for v in shown), str((labels == i).sum())]
    accuracy = np.mean(scores.argmax(axis=1) == labels)
    assert rows["avg / total"][1] == f"{accuracy:.4f}" and rows["avg / total"][3] == "80"
    assert len({len(line) for line in text.splitlines() if line}) == 1  # columns stand in line


def test_reports_of_one_output_and_wrong_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = metrics.confusion_counts([0, 1, 1], np.array([[0.2], [0.4], [0.9]]), 2)
    assert counts.tolist() == [[1, 0], [1, 1]]
    with pytest.raises(ShapeError, match="got 3 labels and predictions of shape"):
        metrics.classification_report([0, 1, 1], [0, 1], 2)
    with pytest.raises(ArgumentError, match="expected 0 to 1, as there are 2 classes"):
        metrics.confusion_counts([0, 2], [0, 1], 2)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MinidlError, match=r'not installed.*pip install "minidl\[ml\]"'):
        metrics.classification_report([0], [0], 2)


# ---- every sample once ---------------------------------------------------------------------


@pytest.mark.parametrize("count, batch", [(75, 16), (75, 75), (75, 74), (75, 1), (5, 32)])
def test_every_sample_counts_once(count: int, batch: int) -> None:
    seen: list[float] = []

    def watch(y_true: Any, y_pred: Any) -> Any:
        seen.extend(np.asarray(y_true).ravel().tolist())
        return losses.get("mse")(y_true, y_pred)

    random.seed(1)
    model = nn.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse", [watch])
    x, names = X[:count], np.arange(count, dtype="float32")[:, None]
    loader = DataLoader(x, names, batch_size=batch)
    for evaluate in (lambda: model.evaluate(x, names, batch_size=batch),
                     lambda: model.evaluate(loader),
                     lambda: Ensemble([model, model]).evaluate(x, names, batch_size=batch)):
        seen.clear()
        evaluate()
        assert sorted(seen) == list(range(count))
    seen.clear()
    model.fit(x, names, epochs=1, verbose=0, validation_data=(x, names),
              validation_batch_size=batch)
    assert sorted(seen[count:]) == list(range(count))
    assert len(model.predict(x, batch_size=batch)) == count


def test_a_loader_that_drops_samples_is_no_test_set() -> None:
    model, loader = network(), DataLoader(X, Y, batch_size=16, drop_last=True)
    for call in (lambda: model.evaluate(loader), lambda: model.predict(loader),
                 lambda: Ensemble([model]).predict(loader),
                 lambda: fit(model, validation_data=loader, validation_split=0.0)):
        with pytest.raises(ArgumentError, match="drop_last=True; expected one that gives every"):
            call()
    model.fit(loader, verbose=0)  # for training it may


# ---- ten crops -----------------------------------------------------------------------------


def pictures(size: int = 9, classes: int = 3, **options: Any) -> Any:
    random.seed(4)
    model = nn.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.Flatten(),
                           layers.Dense(classes, **options)])
    model.build((None, size, size, 2))
    return model


@pytest.mark.parametrize("loss, activation", [
    ("sparse_categorical_crossentropy", "softmax"), ("nll", "log_softmax"),
    (losses.SparseCategoricalCrossentropy(from_logits=True), None)])
def test_ten_crop_predict_is_the_mean_over_the_crops(loss: Any, activation: Any) -> None:
    images = RNG.random((13, 12, 12, 2)).astype("float32")
    plain = pictures(activation="softmax")
    expected = np.stack([plain.predict(TenCrop(9, 9)(images)[i]).mean(axis=0) for i in range(13)])
    model = pictures(activation=activation)
    model.compile("sgd", loss)
    for source in (images, DataLoader(images, batch_size=4)):
        for batch_size in (1, 5, 13):
            found = ten_crop_predict(model, source, 9, batch_size=batch_size)
            assert found.shape == (13, 3)
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


# ---- statistics of batch normalisations ------------------------------------------------------


def statistics(layer: Any) -> np.ndarray:
    return np.stack([layer.moving_mean.numpy(), layer.moving_variance.numpy()])


def normalised() -> tuple[Any, Any]:
    """Return a trained network with dropout before its batch normalisation, and that layer."""
    random.seed(5)
    model = nn.Sequential([layers.Dense(8, activation="relu"), layers.Dropout(0.5),
                           layers.BatchNormalization(), layers.Dense(3, activation="softmax")])
    model.compile(optim.SGD(0.1), "sparse_categorical_crossentropy", ["accuracy"])
    fit(model, epochs=1)
    return model, model.layers[2]


def test_batch_norm_is_updated_to_the_mean_over_batches_by_samples() -> None:
    model, layer = normalised()
    layer.moving_mean.assign(np.nan)  # whatever was there before
    others = {name: value for name, value in bits(model).items() if "moving" not in name}
    rest = [(module.training, getattr(module, "momentum", None)) for module in model.modules()]
    state, x = random.default.state, X[:40]
    assert dl.update_batch_norm(model, x, batch_size=16, seed=2) == 3
    hidden = model.layers[0](dl.Tensor(x)).numpy().astype(np.float64)  # nothing is dropped
    order = DataLoader(x, batch_size=16, shuffle=True, seed=2).order(0)
    parts = [hidden[order[a:a + 16]] for a in (0, 16, 32)]  # 16, 16 and 8 samples
    wanted = np.average([[part.mean(0), part.var(0)] for part in parts], axis=0,
                        weights=[16, 16, 8])
    np.testing.assert_allclose(statistics(layer), wanted, rtol=1e-5, atol=1e-6)
    assert {name: value for name, value in bits(model).items() if "moving" not in name} == others
    assert random.default.state == state
    assert rest == [(m.training, getattr(m, "momentum", None)) for m in model.modules()]


def test_batch_norm_is_updated_from_as_many_batches_as_are_asked_for() -> None:
    model, layer = normalised()
    loader = DataLoader(X, Y, batch_size=16)
    assert dl.update_batch_norm(model, loader, batches=2) == 2
    two = statistics(layer)
    assert dl.update_batch_norm(model, X[:32], batches=9, batch_size=32) == 1
    assert np.allclose(two[0], statistics(layer)[0], atol=1e-6)
    assert not np.allclose(two[1], statistics(layer)[1], atol=1e-6)  # of 16 and of 32 samples


def test_an_update_of_batch_norm_that_fails_changes_nothing() -> None:
    model, layer = normalised()
    before = bits(model)
    with pytest.raises(ShapeError):
        dl.update_batch_norm(model, [X[:32, :-1]])
    with pytest.raises(ShapeError):
        dl.update_batch_norm(model, X[:32, :-1])
    assert bits(model) == before and layer.momentum == 0.99


def test_frozen_batch_norm_is_not_updated() -> None:
    model, layer = normalised()
    layer.trainable = False
    with pytest.raises(ArgumentError, match="without batch normalisations that are trained"):
        dl.update_batch_norm(model, X)


# ---- ensembles -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss, activation", [
    ("sparse_categorical_crossentropy", "softmax"), ("nll", "log_softmax"),
    (losses.SparseCategoricalCrossentropy(from_logits=True), None)])
def test_an_ensemble_averages_probabilities(loss: Any, activation: Any) -> None:
    models = [network(loss=loss, activation=activation or "linear", seed=s) for s in range(3)]
    for model in models:
        fit(model, epochs=1)
    said = [probabilities.probabilities(m, m.predict(X)) for m in models]
    for p in said:
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    mean = np.mean(said, axis=0)
    together = Ensemble(models)
    np.testing.assert_allclose(together.predict(X, batch_size=16), mean, rtol=1e-5)
    figures = together.evaluate(X, Y, batch_size=16, return_dict=True)
    assert figures["accuracy"] == np.mean(mean.argmax(axis=1) == Y)
    assert figures["loss"] == pytest.approx(-np.log(mean[np.arange(75), Y]).mean(), rel=1e-5)
    with pytest.raises(ArgumentError, match="got no models"):
        Ensemble([])


@pytest.mark.parametrize("from_logits", [False, True])
def test_ensembles_of_one_output(from_logits: bool) -> None:
    models, y = [], (Y > 0).astype("float32")
    for seed in range(2):
        random.seed(seed)
        activation = None if from_logits else "sigmoid"
        model = nn.Sequential([layers.Dense(1, activation=activation)])
        model.compile("adam", losses.BinaryCrossentropy(from_logits=from_logits), ["accuracy"])
        model.fit(X, y, verbose=0)
        models.append(model)
    mean = Ensemble(models).predict(X)[:, 0]
    raw = np.mean([m.predict(X)[:, 0] for m in models], axis=0)
    assert ((mean >= 0) & (mean <= 1)).all() and from_logits == (not np.allclose(mean, raw))
    loss, accuracy = Ensemble(models).evaluate(X, y)
    assert accuracy == np.mean((mean > 0.5) == y)
    expected = -np.mean(y * np.log(mean) + (1 - y) * np.log(1 - mean))
    assert loss == pytest.approx(expected, rel=1e-4)


def test_train_ensemble_goes_on_where_it_was(tmp_path: Path, capsys: Any) -> None:
    def run(folder: str, more: Any = None) -> Ensemble:
        return train_ensemble(lambda: network(seed=random.default.state[0]), X, Y,
                              folder=tmp_path / folder, members=3, epochs=3, verbose=0,
                              test=(X, Y), callbacks=more)

    whole = run("whole")
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out] == [
        "member 1 of 3 (seed 1)", "member 2 of 3 (seed 2)", "member 3 of 3 (seed 3)",
        "the mean of 3 members"]
    accuracy = whole.evaluate(X, Y, return_dict=True)["accuracy"]
    assert f"accuracy {accuracy:.4f}" in out[-1]
    assert len({tuple(bits(m).values()) for m in whole.models}) == 3

    def stops(place: Path) -> list[Callback]:
        return [Stop(1)] if place.name == "member-2" else []

    with pytest.raises(RuntimeError):
        run("broken", stops)
    kept = (tmp_path / "broken/member-1/model.safetensors").stat().st_mtime_ns
    again = run("broken")
    assert [bits(m) for m in again.models] == [bits(m) for m in whole.models]
    assert (tmp_path / "broken/member-1/model.safetensors").stat().st_mtime_ns == kept


# ---- killed anywhere -----------------------------------------------------------------------

KILLED = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    import test_methods as t

    class Kill(t.Callback):
        left = int(sys.argv[3])

        def on_batch_end(self, step, logs):
            self.left -= 1
            if self.left < 0:
                os._exit(9)

    t.augmented(Path(sys.argv[1]), int(sys.argv[2]), [Kill()])
""")


def jitter(batch: Any, epoch: int, indices: np.ndarray) -> Any:
    """Add noise that is a function of seed, epoch and sample."""
    def noise(index: int) -> np.ndarray:
        key = np.array([7, (epoch << 32) + index], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).standard_normal(6)

    return (batch[0] + np.stack([noise(int(i)) for i in indices]).astype("float32"), batch[1])


def augmented(folder: Path, workers: int, more: Sequence[Callback] = ()) -> Any:
    loader = DataLoader(X, Y, batch_size=16, shuffle=True, seed=5, workers=workers,
                        transform=jitter)
    model = network()
    model.fit(loader, epochs=4, verbose=0, resume=True,
              callbacks=[Checkpoint(folder, every_steps=2), *more])
    return model


def test_a_killed_run_with_augmentation_ends_with_the_same_bits_for_any_workers(
        tmp_path: Path) -> None:
    whole = bits(augmented(tmp_path / "whole", 0))
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")])
    kills = np.random.default_rng(int.from_bytes(os.urandom(4))).integers(1, 19, 3).tolist()
    started = [subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / str(workers)),
                                 str(workers), str(after)], stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "PYTHONPATH": path})
               for workers, after in enumerate(kills)]
    for workers, process in enumerate(started):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 9, (kills, errors)
        assert bits(augmented(tmp_path / str(workers), workers)) == whole, kills


def test_public_names() -> None:
    assert dl.find_learning_rate is find_learning_rate and dl.Ensemble is Ensemble
    assert dl.train_ensemble is train_ensemble and dl.ten_crop_predict is ten_crop_predict
