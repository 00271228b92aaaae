"""Losses, metrics, the training loop, callbacks, profiler and NaN tracer."""

from __future__ import annotations

import csv
import json
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rich

from minidl import dispatch, nn, optim, random
from minidl.autograd import functional
from minidl.autograd.tensor import Tensor
from minidl.data import DataLoader
from minidl.errors import ArgumentError, MinidlError, NotFiniteError, ShapeError
from minidl.nn import layers
from minidl.optim import schedules
from minidl.train import losses, metrics
from minidl.train.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from minidl.train.inspect import profile, trace_nan

RNG = np.random.default_rng(5)
X = RNG.standard_normal((70, 6)).astype("float32")
Y = RNG.integers(0, 3, 70)
HOT = np.eye(3, dtype="float32")[Y]


def network(optimizer: Any = "adam", loss: Any = "sparse_categorical_crossentropy",
            metrics: Sequence[Any] = ("accuracy",), outputs: int = 3, activation: Any = "softmax",
            **options: Any) -> Any:
    random.seed(3)
    model = nn.Sequential([nn.Input((6,)), layers.Dense(5, activation="relu", name="hidden",
                                                        **options),
                           layers.Dense(outputs, activation=activation, name="out")])
    model.compile(optimizer, loss, metrics)
    return model


def still(**options: Any) -> Any:
    """Return a network that does not learn, so that fit must give the figures of evaluate."""
    return network(optim.SGD(0.0), **options)


# ---- losses --------------------------------------------------------------------------------

P = RNG.random((8, 4)) + 0.05
P /= P.sum(axis=1, keepdims=True)
Z = RNG.standard_normal((8, 4))
T = RNG.integers(0, 4, 8)
ONE = np.eye(4)[T]
BITS = RNG.integers(0, 2, (8, 4)).astype(float)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross(p: np.ndarray, t: np.ndarray, s: float = 0.0) -> np.ndarray:
    return -np.sum((t * (1 - s) + s / t.shape[-1]) * np.log(p), axis=-1)


def binary(p: np.ndarray, t: np.ndarray, s: float = 0.0) -> np.ndarray:
    t = t * (1 - s) + s / 2
    return np.mean(-t * np.log(p) - (1 - t) * np.log(1 - p), axis=-1)


LOSSES: list[tuple[losses.Loss, np.ndarray, np.ndarray, np.ndarray]] = [
    (losses.CategoricalCrossentropy(), ONE, P, cross(P, ONE)),
    (losses.CategoricalCrossentropy(), ONE.astype(int), P, cross(P, ONE)),
    (losses.CategoricalCrossentropy(label_smoothing=0.2), ONE, P, cross(P, ONE, 0.2)),
    (losses.CategoricalCrossentropy(True), ONE, Z, cross(softmax(Z), ONE)),
    (losses.CategoricalCrossentropy(True, 0.1), ONE, Z, cross(softmax(Z), ONE, 0.1)),
    (losses.CategoricalCrossentropy(), ONE, 3 * P, cross(P, ONE)),
    (losses.SparseCategoricalCrossentropy(), T, P, cross(P, ONE)),
    (losses.SparseCategoricalCrossentropy(), T[:, None], P, cross(P, ONE)),
    (losses.SparseCategoricalCrossentropy(), T.astype(float), P, cross(P, ONE)),
    (losses.SparseCategoricalCrossentropy(label_smoothing=0.2), T, P, cross(P, ONE, 0.2)),
    (losses.SparseCategoricalCrossentropy(True, 0.2), T, Z, cross(softmax(Z), ONE, 0.2)),
    (losses.SparseCategoricalCrossentropy(True), T.reshape(2, 4), Z.reshape(2, 4, 4),
     cross(softmax(Z), ONE).reshape(2, 4).mean(axis=1)),
    (losses.NLL(), T, np.log(P), cross(P, ONE)),
    (losses.BinaryCrossentropy(), BITS, P, binary(P, BITS)),
    (losses.BinaryCrossentropy(label_smoothing=0.2), BITS, P, binary(P, BITS, 0.2)),
    (losses.BinaryCrossentropy(True), BITS, Z, binary(1 / (1 + np.exp(-Z)), BITS)),
    (losses.BinaryCrossentropy(), BITS[:, 0], P[:, :1], binary(P[:, :1], BITS[:, :1])),
    (losses.MeanSquaredError(), Z, P, np.mean((Z - P) ** 2, axis=1)),
    (losses.MeanSquaredError(), Z[:, :1], P[:, 0], (Z[:, 0] - P[:, 0]) ** 2),
    (losses.MeanAbsoluteError(), Z, P, np.mean(np.abs(Z - P), axis=1)),
]


@pytest.mark.parametrize("loss, y_true, y_pred, expected", LOSSES,
                         ids=lambda v: v.name if isinstance(v, losses.Loss) else "")
def test_losses_give_the_formula_per_sample(loss: losses.Loss, y_true: np.ndarray,
                                            y_pred: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(loss(y_true, y_pred).data, expected, rtol=1e-9)
    assert losses.get(loss.get_config()) == loss
    single = loss(y_true, y_pred.astype("float32")).data
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=2e-5)


@pytest.mark.parametrize("activation, loss, y_true", [
    ("softmax", losses.CategoricalCrossentropy, ONE),
    ("softmax", losses.SparseCategoricalCrossentropy, T),
    ("sigmoid", losses.BinaryCrossentropy, BITS)])
def test_probabilities_just_made_are_as_good_as_logits(activation: str, loss: Any,
                                                       y_true: np.ndarray) -> None:
    grads = []
    for from_logits in (False, True):
        z = Tensor(200 * Z, requires_grad=True)  # log(p) of the float32 result would be infinite
        y = z if from_logits else getattr(functional, activation)(z)
        value = loss(from_logits)(y_true, y).sum()
        value.backward()
        grads.append((value.item(), z.grad.data))  # type: ignore[union-attr]
    assert grads[0][0] == pytest.approx(grads[1][0]) and np.abs(grads[0][1]).max() > 0.2
    np.testing.assert_allclose(grads[0][1], grads[1][1])


BAD_LABELS: list[tuple[str, np.ndarray, str]] = [
    ("categorical_crossentropy", T, "use sparse_categorical_crossentropy"),
    ("sparse_categorical_crossentropy", ONE, "use categorical_crossentropy"),
    ("sparse_categorical_crossentropy", T + 1, "from 1 to 4; expected 0 to 3 for 4 classes"),
    ("sparse_categorical_crossentropy", T - 1, "expected 0 to 3"),
    ("sparse_categorical_crossentropy", T + 0.5, "expected integers"),
    ("nll", T[:7], r"expects integer labels \(8,\)"),
    ("binary_crossentropy", BITS[:, :3], r"labels of shape \(8, 3\); the model gives \(8, 4\)"),
    ("binary_crossentropy", BITS * 2, "from 0 to 2; expected 0 to 1"),
    ("mse", Z[0], "Change the labels"),
]


@pytest.mark.parametrize("name, y_true, text", BAD_LABELS)
def test_losses_say_which_labels_they_expect(name: str, y_true: np.ndarray, text: str) -> None:
    with pytest.raises(MinidlError, match=text):
        losses.get(name)(np.where(y_true == 3, 4, y_true) if "1 to 4" in text else y_true, P)


def test_a_function_is_a_loss_if_it_has_a_value_per_sample() -> None:
    loss = losses.get(lambda t, y: (t - y) * (t - y))
    np.testing.assert_allclose(loss(Z, P).data, np.mean((Z - P) ** 2, axis=1))
    with pytest.raises(ShapeError, match="one value for each of 8 samples"):
        losses.get(lambda t, y: functional.mean(y))(Z, P)
    with pytest.raises(ShapeError, match=r"labels \(8,\) and predictions \(8, 1\) were broadcast"):
        losses.get(lambda t, y: (t - y) * (t - y))(Z[:, 0], P[:, :1])


@pytest.mark.torch
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_agree_with_torch(smoothing: float) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    nnf = torch.nn.functional
    z, t, bits = torch.tensor(Z), torch.tensor(T), torch.tensor(BITS)
    pairs = [
        (losses.SparseCategoricalCrossentropy(True, smoothing)(T, Z),
         nnf.cross_entropy(z, t, reduction="none", label_smoothing=smoothing)),
        (losses.CategoricalCrossentropy(True, smoothing)(ONE, Z), nnf.cross_entropy(
            z, torch.tensor(ONE), reduction="none", label_smoothing=smoothing)),
        (losses.BinaryCrossentropy(True)(BITS, Z),
         nnf.binary_cross_entropy_with_logits(z, bits, reduction="none").mean(1)),
        (losses.NLL()(T, np.log(P)), nnf.nll_loss(torch.tensor(np.log(P)), t, reduction="none")),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.data, theirs.numpy(), rtol=1e-9)


# ---- metrics -------------------------------------------------------------------------------

RANKS = np.argsort(-P, axis=1)
TRUE = np.array([0, 1, 1, 0, 1, 0, 0, 1])
GUESS = np.array([0.1, 0.7, 0.2, 0.6, 0.9, 0.4, 0.8, 0.51])

METRICS: list[tuple[Callable[[], metrics.Metric], np.ndarray, np.ndarray, float]] = [
    (metrics.Accuracy, T, P, np.mean(P.argmax(1) == T)),
    (metrics.Accuracy, T[:, None], P, np.mean(P.argmax(1) == T)),
    (metrics.Accuracy, ONE, P, np.mean(P.argmax(1) == T)),
    (metrics.Accuracy, TRUE, GUESS[:, None], 5 / 8),
    (metrics.BinaryAccuracy, TRUE[:, None], GUESS[:, None], 5 / 8),
    (lambda: metrics.BinaryAccuracy(0.65), TRUE, GUESS[:, None], 5 / 8),
    (lambda: metrics.BinaryAccuracy(0.0), BITS, Z, np.mean((Z > 0) == (BITS > 0))),
    *((lambda k=k: metrics.TopK(k), y, P, np.mean(np.any(RANKS[:, :k] == T[:, None], axis=1)))
      for k in (1, 2, 3, 4) for y in (T, ONE)),
    (lambda: metrics.MeanLoss("mse"), Z, P, np.mean((Z - P) ** 2)),
]


@pytest.mark.parametrize("make, y_true, y_pred, expected", METRICS)
def test_metrics_add_up_over_batches_of_any_size(make: Callable[[], metrics.Metric],
                                                 y_true: np.ndarray, y_pred: np.ndarray,
                                                 expected: float) -> None:
    metric = make()
    for cut in (slice(0, 3), slice(3, 7)):
        metric.update(y_true[cut], y_pred[cut])
    resumed = metrics.get(metric.get_config())
    resumed.set_state(metric.get_state())
    resumed.update(y_true[7:], y_pred[7:])
    assert resumed.result() == pytest.approx(expected, rel=1e-12)
    assert resumed.name == metric.name
    resumed.reset()
    assert np.isnan(resumed.result())


def test_confusion_counts_are_those_of_a_loop() -> None:
    counts = metrics.ConfusionCounts()
    for cut in (slice(0, 5), slice(5, 8)):
        counts.update(T[cut], P[cut])
    expected = np.zeros((4, 4), int)
    for t, p in zip(T, P.argmax(1), strict=True):
        expected[t, p] += 1
    np.testing.assert_array_equal(counts.matrix, expected)
    hits, rows, columns = np.diag(expected), expected.sum(axis=1), expected.sum(axis=0)
    recall = [h / r if r else 0 for h, r in zip(hits, rows, strict=True)]
    precision = [h / c if c else 0 for h, c in zip(hits, columns, strict=True)]
    f1 = [2 * p * r / (p + r) if p + r else 0 for p, r in zip(precision, recall, strict=True)]
    for figures, wanted in ((counts.precision(), precision), (counts.recall(), recall),
                            (counts.f1(), f1)):
        np.testing.assert_allclose(figures, wanted)
    assert counts.result()["f1"] == pytest.approx(np.mean(f1))
    other = metrics.get(counts.get_config())
    other.set_state(counts.get_state())
    np.testing.assert_array_equal(other.matrix, expected)  # type: ignore[attr-defined]


def test_confusion_counts_of_one_output() -> None:
    counts = metrics.ConfusionCounts(threshold=0.5)
    counts.update(TRUE, GUESS[:, None])
    assert counts.matrix.tolist() == [[2, 2], [1, 3]]
    assert counts.result() == pytest.approx({"precision": 3 / 5, "recall": 3 / 4, "f1": 2 / 3})


@pytest.mark.parametrize("loss, kind, threshold", [
    ("binary_crossentropy", metrics.BinaryAccuracy, 0.5),
    (losses.BinaryCrossentropy(from_logits=True), metrics.BinaryAccuracy, 0.0),
    ("mse", metrics.Accuracy, 0.5), ("categorical_crossentropy", metrics.Accuracy, 0.5)])
def test_accuracy_goes_by_the_loss(loss: Any, kind: type, threshold: float) -> None:
    metric = metrics.get("accuracy", losses.get(loss))
    assert type(metric) is kind and metric.name == "accuracy"
    assert metric.threshold == threshold  # type: ignore[attr-defined]


def test_a_prediction_that_is_not_a_number_is_wrong() -> None:
    metric = metrics.TopK(4)
    metric.update(T, np.full_like(P, np.nan))
    assert metric.result() == 0


# ---- the loop ------------------------------------------------------------------------------


def test_fit_is_the_loop_one_would_write() -> None:
    fitted, written = network(), network()
    fitted.fit(X, Y, batch_size=16, epochs=3, seed=4, verbose=0)
    loader = DataLoader(X, Y, batch_size=16, shuffle=True, seed=4)
    optimizer = optim.Adam()
    for epoch in range(3):
        for x, y in loader.epoch(epoch):
            loss = functional.mean(losses.SparseCategoricalCrossentropy()(y, written(x)))
            loss.backward()
            optimizer.step(written.parameters())
            optimizer.zero_grad(written.parameters())
    for name, values in fitted.state_dict().items():
        np.testing.assert_array_equal(values, written.state_dict()[name], err_msg=name)


def test_fit_learns_and_tells_the_figures() -> None:
    model = network(optim.Adam(0.02))
    labels = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    history = model.fit(X, labels, epochs=40, verbose=0, validation_data=(X, labels)).history
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    assert all(len(values) == 40 for values in history.values())
    assert history["loss"][-1] < 0.5 * history["loss"][0] and history["val_accuracy"][-1] > 0.9
    assert set(history["learning_rate"]) == {0.02}
    assert model.evaluate(X, labels) == [history["val_loss"][-1], history["val_accuracy"][-1]]


@pytest.mark.parametrize("batch_size", [1, 16, 70, 100])
def test_every_sample_counts_once_and_alike(batch_size: int) -> None:
    model = still(metrics=["accuracy", metrics.ConfusionCounts()])
    p = model.predict(X, batch_size=batch_size)
    expected = [np.mean(-np.log(p[np.arange(70), Y])), np.mean(p.argmax(1) == Y)]
    figures = model.evaluate(X, Y, batch_size=batch_size, return_dict=True)
    assert [figures["loss"], figures["accuracy"]] == pytest.approx(expected, rel=1e-6)
    assert list(figures) == ["loss", "accuracy", "precision", "recall", "f1"]
    history = model.fit(X, Y, batch_size=batch_size, verbose=0).history
    assert {n: history[n][0] for n in figures} == pytest.approx(figures, rel=1e-6)


def test_a_users_metric_object_holds_the_last_evaluation() -> None:
    counts = metrics.ConfusionCounts()
    model = still(metrics=[counts])
    model.fit(X, Y, verbose=0, validation_data=(X[:20], Y[:20]))
    assert counts.matrix.sum() == 20
    model.evaluate(X, Y)
    assert counts.matrix.sum() == 70


CLASS_WEIGHT = {0: 2.0, 2: 0.5}
SAMPLE_WEIGHT = RNG.random(70).astype("float32")
FACTORS = np.array([2.0, 1.0, 0.5])[Y]


@pytest.mark.parametrize("labels, loss, arguments, factors", [
    (Y, "sparse_categorical_crossentropy", {"class_weight": CLASS_WEIGHT}, FACTORS),
    (Y[:, None], "sparse_categorical_crossentropy", {"class_weight": CLASS_WEIGHT}, FACTORS),
    (HOT, "categorical_crossentropy", {"class_weight": CLASS_WEIGHT}, FACTORS),
    (Y, "sparse_categorical_crossentropy", {"sample_weight": SAMPLE_WEIGHT}, SAMPLE_WEIGHT),
    (HOT, "categorical_crossentropy",
     {"sample_weight": SAMPLE_WEIGHT, "class_weight": CLASS_WEIGHT}, SAMPLE_WEIGHT * FACTORS),
])
def test_weights_multiply_the_loss(labels: np.ndarray, loss: str, arguments: dict[str, Any],
                                   factors: np.ndarray) -> None:
    model = still(loss=loss)
    own = -np.log(model.predict(X)[np.arange(70), Y])
    history = model.fit(X, labels, verbose=0, **arguments).history
    assert history["loss"] == [pytest.approx(np.mean(own * factors), rel=1e-5)]
    assert history["accuracy"] == [pytest.approx(model.evaluate(X, labels)[1])]
    if "class_weight" not in arguments:
        assert model.evaluate(X, labels, **arguments)[0] == pytest.approx(history["loss"][0], 1e-6)


def test_weights_scale_the_gradients() -> None:
    doubled, plain = (network(optim.SGD(rate)) for rate in (0.1, 0.2))
    doubled.fit(X, Y, verbose=0, sample_weight=np.full(70, 2.0), shuffle=False)
    plain.fit(X, Y, verbose=0, shuffle=False)
    np.testing.assert_allclose(doubled.predict(X), plain.predict(X), rtol=1e-5)


def test_validation_split_takes_the_last_share() -> None:
    model = still()
    history = model.fit(X, Y, verbose=0, validation_split=0.3).history
    train, val = model.evaluate(X[:49], Y[:49]), model.evaluate(X[49:], Y[49:])
    assert [history["loss"][0], history["accuracy"][0]] == pytest.approx(train, rel=1e-6)
    assert [history["val_loss"][0], history["val_accuracy"][0]] == pytest.approx(val, rel=1e-6)


def test_regularizers_add_to_the_loss() -> None:
    plain, model = still(), still(kernel_regularizer=nn.regularizers.L2(0.3))
    cost = 0.3 * float(np.sum(model.get_layer("hidden").kernel.data.astype(float) ** 2))
    for figures in (model.evaluate(X, Y), model.test_on_batch(X, Y),
                    [v[0] for v in model.fit(X, Y, verbose=0).history.values()]):
        assert figures[0] == pytest.approx(plain.evaluate(X, Y)[0] + cost, rel=1e-5)


def test_one_batch_is_what_fit_does_to_it() -> None:
    one, many = network(), network()
    before = one.test_on_batch(X, Y)
    assert one.train_on_batch(X, Y) == pytest.approx(before)
    many.fit(X, Y, batch_size=70, shuffle=False, verbose=0)
    for name, values in one.state_dict().items():
        np.testing.assert_array_equal(values, many.state_dict()[name])
    assert list(one.test_on_batch(X, Y, return_dict=True)) == ["loss", "accuracy"]
    assert network(metrics=()).test_on_batch(X, Y) == pytest.approx(before[0])


def test_loaders_give_batches_and_weights() -> None:
    model, weights = still(), SAMPLE_WEIGHT
    loader = DataLoader(X, Y, weights, batch_size=16, shuffle=True, seed=1, workers=2)
    expected = model.evaluate(X, Y, sample_weight=weights)
    assert model.evaluate(loader) == pytest.approx(expected, rel=1e-6)
    history = model.fit(loader, verbose=0, validation_data=DataLoader(X, Y)).history
    assert history["loss"][0] == pytest.approx(expected[0], rel=1e-6)
    assert history["val_loss"][0] == pytest.approx(model.evaluate(X, Y)[0], rel=1e-6)
    in_order = DataLoader(X, Y, batch_size=9)
    np.testing.assert_allclose(model.predict(in_order), model.predict(X), rtol=1e-6)


def test_several_inputs_and_outputs() -> None:
    random.seed(0)
    a, b = nn.Input((6,)), nn.Input((2,))
    joined = layers.Concatenate()([layers.Dense(4, activation="relu")(a), b])
    y = layers.Dense(3, activation="softmax")(joined)
    model = nn.Model([a, b], y)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    inputs = [X, X[:, :2]]
    history = model.fit(inputs, Y, epochs=2, verbose=0, validation_split=0.2)
    assert history.history["val_loss"][1] > 0
    both = nn.Model([a, b], [y, joined]).predict(inputs, batch_size=16)
    np.testing.assert_array_equal(both[0], model.predict(inputs, batch_size=16))
    assert [part.shape for part in both] == [(70, 3), (70, 6)]


def test_weights_made_on_the_first_call_are_trained_too() -> None:
    random.seed(3)
    model = nn.Sequential([layers.Dense(5, activation="relu"), layers.Dropout(0.5),
                           layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    assert model.predict(X).shape == (70, 3)
    fresh = nn.Sequential([layers.Dense(3)])
    fresh.compile("sgd", "mse")
    assert isinstance(fresh.train_on_batch(X, HOT), float)


def test_double_precision_and_lists_and_tensors() -> None:
    model = network(activation=None, loss="mse", outputs=1, metrics=()).astype("float64")
    target = X.astype("float64").sum(axis=1)
    model.fit(Tensor(X), target.tolist(), verbose=0)
    assert model.predict(X).dtype == np.float64
    assert model.evaluate(X, target) == pytest.approx(
        np.mean((model.predict(X)[:, 0] - target) ** 2), rel=1e-12)


def test_modes_are_as_the_loop_needs_them_and_come_back() -> None:
    seen: list[tuple[bool, bool]] = []

    class Watch(layers.Dense):
        def forward(self, x: Any) -> Any:
            y = super().forward(x)
            seen.append((self.training, y.requires_grad))
            return y

    model = nn.Sequential([nn.Input((6,)), Watch(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.predict(X)
    for mode in (True, False):
        model.train(mode)
        seen.clear()
        model.fit(X, Y, batch_size=70, verbose=0, validation_data=(X[:8], Y[:8]))
        model.predict(X[:8])
        assert seen == [(True, True), (False, False), (False, False)] and model.training is mode


def test_inputs_stay_as_they_are() -> None:
    x, y = X.copy(), Y.copy()
    network().fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_the_seed_of_minidl_decides_the_order() -> None:
    figures = []
    for seed in (1, 1, 2):
        model = network()
        random.seed(seed)
        figures.append(model.fit(X, Y, verbose=0).history["loss"])
    assert figures[0] == figures[1] != figures[2]


def fits(**arguments: Any) -> Callable[[Any], Any]:
    return lambda model: model.fit(**{"x": X, "y": Y, "verbose": 0, **arguments})


LOADER = DataLoader(X, Y)
ERRORS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda m: m.compile("adagrod", "mse"), "got 'adagrod'; there are .*adagrad"),
    (lambda m: m.compile("sgd", "crossentropy"), "got 'crossentropy'; there are .*binary_cross"),
    (lambda m: m.compile("sgd"), "got no loss; there are .*mse"),
    (lambda m: m.compile("sgd", "mse", ["acuracy"]), "got 'acuracy'; there are .*accuracy"),
    (lambda m: m.compile("sgd", "mse", ["accuracy", "accuracy"]), "got accuracy twice"),
    (lambda m: m.compile("sgd", "mse", [metrics.TopK(0)]), "got k=0"),
    (lambda m: nn.Sequential([layers.Dense(1)]).fit(X, Y), "not compiled.*Call model.compile"),
    (lambda m: nn.Sequential([layers.Dense(1)]).evaluate(X, Y), "evaluate: the model is not comp"),
    (fits(y=Y[:-1]), "fit: got x of length 70, y of length 69; expected equal lengths"),
    (fits(x=[X, X[:9]]), r"got x\[0\] of length 70, x\[1\] of length 9"),
    (fits(x=list(X)), r"got a list of 70 arrays as x; .* np\.stack\(x\)"),
    (lambda m: m.predict(X[0]), r"got \(6,\) for the input .* one sample alone is x\[None\]"),
    (fits(y=None), "got no y"),
    (fits(y=Y + 1), "expected 0 to 2 for 3 classes"),
    (fits(y=HOT), "use categorical_crossentropy"),
    (fits(x=X[:, :5]), r"got \(32, 5\) for the input .* expected \(None, 6\)"),
    (fits(validation_split=1e-18), "got validation_split=1e-18 of 70 samples.*neither part empty"),
    (fits(validation_split=1.0), "neither part empty"),
    (fits(validation_split=-0.1), "neither part empty"),
    (fits(x=LOADER, y=None, validation_split=0.1), "validation_split with a DataLoader"),
    (fits(x=LOADER), "y or sample_weight beside a DataLoader"),
    (fits(x=DataLoader(X), y=None), "batch without labels"),
    (fits(validation_data=(X, Y[:5])), "validation_data: got x of length 70, y of length 5"),
    (fits(validation_data=(X, Y, Y, Y)), "validation_data of 4 parts"),
    (fits(sample_weight=SAMPLE_WEIGHT[:5]), "sample_weight of length 5"),
    (fits(sample_weight=HOT), r"sample_weight of shape \(70, 3\)"),
    (fits(class_weight=3.0), "expected a dict {class number: weight}"),
    (fits(callbacks=[print]), "among callbacks; expected Callback objects"),
    (fits(verbose="yes"), "got verbose='yes'"),
    (fits(epochs=1.5), "fit: got epochs=1.5; expected an integer of at least 0"),
    (fits(epochs=-1), "got epochs=-1"),
    (fits(callbacks=[type("Told", (Callback,), {"on_train_batch_end": print})()]),
     "Told: has a method on_train_batch_end, which is never called; .* on_batch_end"),
    (lambda m: m.compile("sgd", "mse", [metrics.TopK]), r"metrics: got the class TopK; .* TopK\("),
    (lambda m: m.compile("sgd", losses.NLL), r"got the class NLL; .* Write NLL\(\)"),
    (lambda m: EarlyStopping(patience=-1), "EarlyStopping: got patience=-1"),
    (fits(resume=True), "resume=True without a Checkpoint callback"),
    (fits(callbacks=[EarlyStopping("val_los")]), "got monitor='val_los'; .* loss, accuracy, lea"),
    (fits(callbacks=[ModelCheckpoint("a{val_loss}")]), "fields are epoch, loss, accuracy, lear"),
    (fits(callbacks=[LearningRateScheduler(lambda e, r: "x")]), r"schedule\(0, ...\) gave 'x'"),
    (lambda m: EarlyStopping(mode="most"), "got mode='most'"),
    (lambda m: ReduceLROnPlateau(factor=1.5), "got factor=1.5"),
]


@pytest.mark.parametrize("call, text", ERRORS, ids=lambda v: v if isinstance(v, str) else "")
def test_errors_say_what_to_do(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(MinidlError, match=text):
        call(network())


def test_a_frozen_model_is_not_trained_in_vain() -> None:
    model = network()
    model.trainable = False
    with pytest.raises(ArgumentError, match="without trainable weights"):
        model.fit(X, Y, verbose=0)


# ---- callbacks -----------------------------------------------------------------------------


def test_the_moments_come_in_order() -> None:
    told: list[str] = []
    moments = [name for name in vars(Callback) if name.startswith("on_") or name == "close"]

    class Tell(Callback):
        def __getattribute__(self, name: str) -> Any:
            if name not in moments:
                return super().__getattribute__(name)
            return lambda *a: told.append(" ".join([name, *(str(v) for v in a[:1])]))

    network().fit(X, Y, batch_size=40, epochs=2, verbose=0, callbacks=[Tell()])
    epochs = [f"on_epoch_begin {e}|on_batch_begin 0|on_batch_end 0|on_batch_begin 1|on_batch_end 1|"
              f"on_epoch_end {e}" for e in (0, 1)]
    assert "|".join(told) == "|".join(["on_train_begin", *epochs, "on_train_end", "close"])


def play(callback: Callback, figures: Sequence[float], name: str = "val_loss",
         start: int = 0) -> Any:
    """Call a callback with the figures of epochs; return the stand-in for the model."""
    model = SimpleNamespace(stop_training=False, optimizer=SimpleNamespace(learning_rate=1.0),
                            weights=[], rates=[], stopped=None,
                            load_state_dict=lambda w: model.weights.append(w["w"].item()))
    callback.run = SimpleNamespace(model=model, epoch=0)  # type: ignore[assignment]
    if not start:
        callback.on_train_begin()
    for epoch, value in enumerate(figures[start:], start):
        model.state_dict = lambda epoch=epoch: {"w": np.array(epoch)}
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {name: value})
        model.rates.append(model.optimizer.learning_rate)
        if model.stop_training:
            model.stopped = epoch
            break
    callback.on_train_end()
    return model


@pytest.mark.parametrize("options, figures, stopped, best", [
    ({"patience": 2}, [5, 4, 3, 3, 3, 1], 4, 2),
    ({"patience": 2}, [5, 4, 5, 3, 4, 4], 5, 3),
    ({"patience": 0}, [5, 4, 4], 2, 1),
    ({"patience": 2, "min_delta": 0.5}, [5, 4.8, 4.6, 1], 2, 0),
    ({"patience": 1, "mode": "max"}, [1, 2, 1], 2, 1),
    ({"patience": 1, "monitor": "val_accuracy"}, [0.1, 0.3, 0.2], 2, 1),
    ({"patience": 2}, [2, np.nan, np.nan, 1], 2, 0),
    ({"patience": 9}, [3, 1, 2], None, 1),
])
def test_early_stopping(options: dict[str, Any], figures: list[float], stopped: int | None,
                        best: int) -> None:
    callback = EarlyStopping(restore_best_weights=True, **options)
    model = play(callback, figures, callback.monitor)
    assert model.stopped == callback.stopped_epoch == stopped
    assert model.weights == [best]
    assert play(EarlyStopping(**options), figures, callback.monitor).weights == []


PLATEAU = {"factor": 0.5, "patience": 2}


@pytest.mark.parametrize("options, figures, rates", [
    ({}, [3, 3, 3, 3, 3], [1, 1, 0.5, 0.5, 0.25]),
    ({}, [3, 3, 2, 2, 2], [1, 1, 1, 1, 0.5]),
    ({"cooldown": 2}, [3, 3, 3, 3, 3, 3, 3], [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]),
    ({"min_lr": 0.4}, [3] * 6, [1, 1, 0.5, 0.5, 0.4, 0.4]),
    ({"min_delta": 1.5}, [3, 2, 1, 1], [1, 1, 1, 1]),
    ({"min_delta": 2.5}, [3, 2, 1, 1], [1, 1, 0.5, 0.5]),
])
def test_reduce_learning_rate_on_plateau(options: dict[str, Any], figures: list[float],
                                         rates: list[float]) -> None:
    assert play(ReduceLROnPlateau(**PLATEAU, **options), figures).rates == rates  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [
    lambda: EarlyStopping(patience=2, restore_best_weights=True),
    lambda: ReduceLROnPlateau(**PLATEAU, cooldown=1)])
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_callbacks_go_on_from_their_state(make: Callable[[], Callback], cut: int) -> None:
    figures = [5.0, 4.0, 4.5, 3.0, 3.5, 3.5, 3.5, 3.5]
    whole = play(make(), figures)
    first, second = make(), make()
    halfway = play(first, figures[:cut])
    second.on_train_begin()
    second.load_state_dict(first.state_dict())
    rest = play(second, figures, start=cut)
    rate = halfway.optimizer.learning_rate
    assert halfway.rates + [rate * r for r in rest.rates] == whole.rates
    assert (rest.stopped, rest.weights) == (whole.stopped, whole.weights)


def test_learning_rate_scheduler() -> None:
    history = network().fit(X, Y, epochs=3, verbose=0, callbacks=[
        LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else 0.5)]).history
    assert history["learning_rate"] == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("schedule", [lambda epoch: 0.5**epoch, schedules.StepDecay(1.0, 1, 0.5)])
def test_a_schedule_may_take_the_epoch_alone(schedule: Callable[[int], float]) -> None:
    model = network()
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=LearningRateScheduler(schedule))
    assert history.history["learning_rate"] == [1.0, 0.5, 0.25]
    assert re.fullmatch(r"History\(3 epochs; the last: loss .*, learning_rate 0.25\)", str(history))


def test_model_checkpoint_keeps_every_epoch_or_the_best(tmp_path: Path) -> None:
    saved: list[tuple[str, str]] = []
    for options in ({}, {"save_best_only": True}, {"save_weights_only": True}):
        callback = ModelCheckpoint("m{epoch:02d}-{val_loss:.1f}", **options)  # type: ignore[arg-type]
        callback.run = SimpleNamespace(model=SimpleNamespace(  # type: ignore[assignment]
            save=lambda p: saved.append(("model", p)),
            save_weights=lambda p: saved.append(("weights", p))))
        for epoch, value in enumerate([3.0, 2.0, 2.5, 1.0]):
            callback.on_epoch_end(epoch, {"val_loss": value})
    every = ["m01-3.0", "m02-2.0", "m03-2.5", "m04-1.0"]
    assert saved == [("model", p) for p in [*every, "m01-3.0", "m02-2.0", "m04-1.0"]] + [
        ("weights", p) for p in every]


def test_figures_go_into_files(tmp_path: Path) -> None:
    table, lines = tmp_path / "sub" / "log.csv", tmp_path / "log.jsonl"
    table.parent.mkdir()
    table.write_text("old\n")
    model = network()
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[CSVLogger(table), JSONLogger(lines)])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    for name, values in history.history.items():
        assert [float(row[name]) for row in rows] == values == [e[name] for e in entries]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[CSVLogger(table, append=True)])
    assert len(table.read_text().splitlines()) == 5
    assert table.read_text().count("epoch") == 1


def test_terminate_on_nan(capsys: pytest.CaptureFixture[str]) -> None:
    bad = X.copy()
    bad[40] = np.nan
    history = network().fit(bad, Y, batch_size=10, shuffle=False, epochs=5, verbose=0,
                            callbacks=[TerminateOnNaN()])
    assert np.isnan(history.history["loss"]).tolist() == [True]
    assert "Loss is nan after batch 4 of epoch 1" in capsys.readouterr().out


def test_without_a_terminal_there_is_a_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    model = network()
    model.fit(X, Y, epochs=2, validation_data=(X, Y))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("epoch 2/2  3 steps  ")
    for part in ("/step", "samples/s", "  loss ", "  accuracy ", "  val_loss ", "rate 0.001"):
        assert part in lines[0]
    model.fit(X, Y, verbose=0)
    model.evaluate(X, Y)
    model.predict(X)
    assert capsys.readouterr().out == ""
    model.evaluate(X, Y, verbose=1)
    model.predict(X, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("evaluate  3 steps") and "accuracy" in lines[0]
    assert lines[1].startswith("predict  3 steps")


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    rich.get_console()  # made before, where there was no terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "xterm-256color")
    network().fit(X, Y, epochs=2, batch_size=10, verbose=0, callbacks=[ProgressBar(live=True)])
    out = capsys.readouterr().out
    hide, show = "\x1b[?25l", "\x1b[?25h"
    for part in ("epoch 1/2", "7/7", "ETA 0:00", "samples/s", "accuracy 0.", hide, show):
        assert part in out
    with pytest.raises(MinidlError):
        network().fit(X, Y + 9, verbose=0, callbacks=[ProgressBar(live=True)])
    out = capsys.readouterr().out
    assert 0 <= out.rfind(hide) < out.rfind(show)


def test_the_handler_of_ctrl_c_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    class Look(Callback):
        def on_batch_end(self, step: int, logs: dict[str, float]) -> None:
            seen.append(signal.getsignal(signal.SIGINT))

    network().fit(X, Y, verbose=0, callbacks=[Look()])
    with pytest.raises(MinidlError):
        network().fit(X, Y + 9, verbose=0)
    assert signal.getsignal(signal.SIGINT) is before and before not in seen


# ---- profiler and NaN tracer ---------------------------------------------------------------


def test_profile_counts_calls_and_operations() -> None:
    model = network()
    model.fit(X, Y, verbose=0)
    with profile() as costs:
        model.predict(X, batch_size=35)
        dispatch.run("matmul", np.ones((10, 20)), np.ones((20, 30)))
    row = costs.ops["matmul"]
    assert (row.calls, row.flops) == (1, 2 * 10 * 20 * 30)
    assert costs.ops["softmax"].calls == 2 and costs.seconds > 0
    assert row.gflops == pytest.approx(row.flops / row.seconds / 1e9)
    lines = str(costs).splitlines()
    assert lines[0].split() == ["op", "calls", "ms", "share", "GFLOP/s"]
    times = [row.seconds for _, row in costs.rows()]
    assert times == sorted(times, reverse=True) and len(lines) == len(times) + 1


def test_trace_nan_names_layer_and_op() -> None:
    model = network()
    with trace_nan():
        model.fit(X, Y, verbose=0)
        bad = X.copy()
        bad[3, 2] = np.inf
        with pytest.raises(NotFiniteError, match=r'"hidden".*its input x holds 0 NaN and 1 inf'):
            model.predict(bad)
    model.get_layer("out").kernel.assign(np.nan)
    with trace_nan(), pytest.raises(NotFiniteError, match=r'layer "out" .*Dense.*kernel|w holds'):
        model.predict(X)


def test_trace_nan_looks_at_backward_too() -> None:
    root = layers.Lambda(functional.sqrt, name="root")
    model = nn.Sequential([nn.Input((6,)), layers.Dense(2, kernel_initializer="zeros"), root])
    y = model(X)
    with trace_nan(), pytest.raises(NotFiniteError, match=r'layer "root".*backward of sqrt'):
        y.sum().backward()
