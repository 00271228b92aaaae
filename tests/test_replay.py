"""Replaying a recorded training step gives the bits that the tape gives, or is not done."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import minidl as dl
from minidl import config, losses, metrics, optim, random
from minidl.backend.memory import SMALLEST, HostPool, pool
from minidl.models.zoo import ENTRIES
from minidl.nn import layers as L  # noqa: N812 (as in the other tests)
from minidl.nn import regularizers
from minidl.ops import registry
from minidl.train.feed import Batch
from minidl.train.replay import Steps
from minidl.train.step import Compiled, Tracker, train_step

BEFORE = 3  # steps by the tape before the first replay


class Scale(dl.Module):
    """A user's layer."""

    def __init__(self, factor=1.5):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class Declared(Scale):
    repeatable = True


class Absolute:
    """A regularizer whose gradient autograd takes."""

    def __call__(self, weight):
        return 0.01 * dl.functional.sum(dl.functional.abs(weight))


def convnet(*more, **options):
    return dl.Sequential([
        dl.Input((8, 8, 3)), L.Conv2D(4, 3, activation="relu", **options), *more,
        L.MaxPooling2D(), L.Flatten(), L.Dense(10, activation="softmax", **options)])


def two_inputs():
    a, b = dl.Input((8, 8, 3)), dl.Input((8, 8, 3))
    joined = L.Concatenate()([L.Conv2D(4, 3)(a), L.Conv2D(4, 3)(b)])
    return dl.Model([a, b], L.Dense(10, activation="softmax")(L.Flatten()(joined)))


MODELS = {
    "plain": convnet, "two inputs": two_inputs,
    "dropout": lambda: convnet(L.Dropout(0.3), L.SpatialDropout2D(0.2)),
    "batchnorm": lambda: convnet(L.BatchNormalization(), L.ReLU()),
    "penalties": lambda: convnet(kernel_regularizer="l2", bias_regularizer="l1"),
    "constraint": lambda: convnet(kernel_constraint="max_norm"),
    "declared": lambda: convnet(Declared()),
}
OPTIMIZERS = {
    "sgd": lambda: optim.SGD(0.05, momentum=0.9), "adam": lambda: optim.Adam(0.01),
    "rmsprop": lambda: optim.RMSprop(), "ema": lambda: optim.SGD(0.05, ema=0.9),
    "clipped": lambda: optim.Adam(0.01, clip_norm=0.5, weight_decay=0.01),
    "schedule": lambda: optim.SGD(optim.schedules.PolynomialDecay(0.1, 10)),
}


def batches(count, samples=6, inputs=1, weighted=False, one_hot=False, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x = [rng.standard_normal((samples, 8, 8, 3), np.float32) for _ in range(inputs)]
        y = rng.integers(0, 10, samples)
        yield Batch(x if inputs > 1 else x[0], np.eye(10, dtype=np.float32)[y] if one_hot else y,
                    rng.random(samples).astype(np.float32) if weighted else None)


def train(make, given, optimizer=OPTIMIZERS["sgd"], loss="sparse_categorical_crossentropy",
          replay=True, between=None, measures=()):
    """Return weights and optimizer state after steps on the given batches, and the replays."""
    random.seed(5)
    model, how = make(), Compiled(optimizer(), losses.get(loss), list(measures))
    model.compile(how.optimizer, how.loss)
    model.train()
    tracker, parameters = Tracker(how.metrics), model.parameters()
    step = Steps(model, how, tracker, parameters) if replay else (
        lambda batch: train_step(model, how, batch, tracker, parameters))
    for number, batch in enumerate(given):
        if between is not None:
            between(number, model, how)
        step(batch)
    state = {**model.state_dict(), **how.optimizer.state_dict(), **tracker.logs(),
             "random": random.default.state}
    return state, step.replayed if replay else 0


def assert_same(make, given, replays, **options):
    given = list(given)
    expected, _ = train(make, given, replay=False, **options)
    state, replayed = train(make, given, **options)
    assert replayed == replays
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


# ---- what is replayed ----------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    assert_same(MODELS[name], batches(6, inputs=2 if name == "two inputs" else 1), 3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    assert_same(MODELS["dropout"], batches(6), 3, optimizer=OPTIMIZERS[name])


@pytest.mark.parametrize("loss, one_hot", [
    ("categorical_crossentropy", True), ("sparse_categorical_crossentropy", False),
    ("binary_crossentropy", True), ("mse", True), ("mae", True)])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_and_weights(loss, one_hot, weighted):
    given = batches(6, weighted=weighted, one_hot=one_hot)
    assert_same(convnet, given, 3, loss=loss, measures=[metrics.Accuracy()])


@pytest.mark.parametrize("name", ["lecture_mnist", "telemetry_conv1d"])
def test_networks(name):
    entry = ENTRIES[name]
    rng = np.random.default_rng(1)
    given = [Batch(rng.standard_normal((8, *entry.input_shape), np.float32),
                   rng.integers(0, 2, 8)) for _ in range(5)]
    assert_same(entry.build, given, 2, optimizer=entry.new_optimizer, loss=entry.loss)


def test_labels_of_other_types():
    given = [b._replace(y=b.y.astype(np.float64)) for b in batches(6)]
    assert_same(convnet, given, 3)


def test_inputs_that_are_read_through_views():
    def make():
        return dl.Sequential([dl.Input((8, 8, 3)), L.Permute((2, 1, 3)), L.Flatten(),
                              L.Dense(10, activation="softmax")])
    given = [b._replace(x=b.x.astype(np.float64)[:, ::-1]) for b in batches(6)]
    assert_same(make, given, 3)


# ---- what is not ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda: convnet(Scale()), lambda: convnet(L.Lambda(lambda x: x * 2)),
    lambda: convnet(L.Activation(lambda x: x * 2)),
    lambda: convnet(kernel_regularizer=Absolute()),
    lambda: dl.Sequential([dl.Input((8, 8, 3)), L.RandomFlip(), *convnet().layers])],
    ids=["layer", "lambda", "function", "penalty", "augmentation"])
def test_what_may_differ_is_run_in_every_step(make):
    assert_same(make, batches(6), 0)


def test_foreign_loss():
    def loss(y_true, y_pred):
        return losses.get("sparse_categorical_crossentropy").values(y_true, y_pred)
    assert_same(convnet, batches(6), 0, loss=loss)


def test_accumulated_gradients():
    assert_same(convnet, batches(8), 0, optimizer=lambda: optim.SGD(0.05, accumulate=2))


def test_a_layer_that_breaks_its_word_is_found_out():
    class Counting(dl.Module):
        repeatable = True
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            return x * dl.Tensor(np.full(4, Counting.calls, np.float32))

    def make():
        Counting.calls = 0
        return convnet(Counting())
    assert_same(make, batches(6), 0)


def test_a_rule_that_computes_in_numpy_is_not_replayed():
    """The array of signs has equal contents in two recordings, as a constant has."""
    class Signs(dl.Module):
        repeatable = True

        def forward(self, x):
            return dl.apply("signs", x)

    def rule(run, gy):
        return run("multiply", gy, np.sign(gy.sum()).reshape(1))

    dl.define_op("signs", inputs=("x",), infer=lambda x: x, reference=lambda x: x, doc="",
                 kernel=lambda x, *, out, saved, work: np.copyto(out, x), gradients={"x": rule})
    try:
        assert_same(lambda: convnet(Signs()), batches(8), 0)
    finally:
        registry.forget("signs")


def test_hooks_see_every_call():
    seen = []
    random.seed(0)
    model, how = convnet(), Compiled(optim.SGD(0.1), losses.get("mse"), [])
    steps = Steps(model.train(), how, Tracker([]), model.parameters())
    for number, batch in enumerate(batches(7, one_hot=True)):
        if number == 5:
            with dl.dispatch.hook(lambda call, compute: seen.append(call) or compute()):
                steps(batch)
        else:
            steps(batch)
    assert steps.replayed == 7 - BEFORE - 1 and len(seen) > 5


# ---- what ends it --------------------------------------------------------------------------


def set_rate(model, how):
    model.layers[1].rate = 0.5


def set_learning_rate(model, how):
    how.optimizer.learning_rate = 0.5


def freeze(model, how):
    model.layers[0].trainable = False


def load(model, how):
    how.optimizer.load_state_dict(how.optimizer.state_dict())


def change_settings(model, how):
    how.optimizer.settings["momentum"] = 0.5


def watch(model, how):
    model.layers[0].register_forward_hook(lambda *_: None)


def watch_gradient(model, how):
    model.parameters()[0].register_hook(lambda g: g * 2)


def penalize(model, how):
    model.parameters()[0].regularizer = regularizers.L2(0.1)


@pytest.mark.parametrize("change, replays", [
    (set_rate, 4), (set_learning_rate, 7), (freeze, 4), (load, 4), (change_settings, 4),
    (watch, 2), (watch_gradient, 2), (penalize, 4)])
def test_changes_during_training(change, replays):
    def between(number, model, how):
        if number == 5:
            change(model, how)
    assert_same(MODELS["dropout"], batches(10), replays, between=between)


def test_other_threads():
    given, counts = list(batches(10)), [config.num_threads() + 1] * 5 + [1] * 5
    random.seed(5)
    model, how = convnet().train(), Compiled(optim.SGD(0.05, momentum=0.9), losses.get(
        "sparse_categorical_crossentropy"), [])
    steps = Steps(model, how, Tracker([]), model.parameters())
    for batch, count in zip(given, counts, strict=True):
        with config.threads(count):
            steps(batch)
    expected, _ = train(convnet, given, replay=False)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, expected[name])
    assert steps.replayed == 4  # two of each number


def test_short_batches_between():
    long, short = list(batches(8)), list(batches(2, samples=3, seed=1))
    assert_same(MODELS["batchnorm"], [*long[:5], short[0], *long[5:], short[1]], 5)


@pytest.mark.parametrize("labels, text", [
    (np.array([0, 1, 2, 3, 4, 10]), "got labels from 0 to 10; expected 0 to 9"),
    (np.zeros(5, np.int64), "got labels of shape")])
def test_bad_labels_are_found_in_a_replay(labels, text):
    good = list(batches(6))
    with pytest.raises(dl.errors.MinidlError, match=text):
        train(convnet, [*good, good[0]._replace(y=labels)])


# ---- memory --------------------------------------------------------------------------------


def test_a_metric_may_keep_what_it_gets():
    class Keeping(metrics.Accuracy):
        def values(self, y_true, y_pred):
            kept.append(y_pred)
            return super().values(y_true, y_pred)

    kept = []
    train(convnet, batches(7), measures=[Keeping()])
    tape, kept[:] = [k.copy() for k in kept], []
    train(convnet, batches(7), measures=[Keeping()], replay=False)
    for one, other in zip(tape, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_replaying_takes_the_memory_of_one_step():
    random.seed(0)
    model = convnet(L.BatchNormalization(), L.Conv2D(16, 3, padding="same", activation="relu"))
    how = Compiled(optim.Adam(), losses.get("sparse_categorical_crossentropy"), [])
    gc.collect()
    before = pool.taken
    steps = Steps(model.train(), how, Tracker([]), model.parameters())
    given = list(batches(8, samples=64))
    steps(given[0])
    arena = steps._arena
    first = arena.taken + arena.held
    for batch in given[1:]:
        steps(batch)
    assert steps.replayed and arena.taken + arena.held <= 1.1 * first
    assert pool.taken == before  # `fit` leaves the common pool to others


def test_the_history_keeps_no_memory_of_the_steps():
    model, x = convnet(), np.zeros((40, 8, 8, 3), np.float32)
    model.compile("sgd", "sparse_categorical_crossentropy")
    gc.collect()
    pools = {id(p) for p in gc.get_objects() if type(p) is HostPool}
    history = model.fit(x, np.zeros(40, int), batch_size=8, verbose=0)
    gc.collect()
    left = [p for p in gc.get_objects() if type(p) is HostPool and id(p) not in pools]
    assert history.epoch == [0] and left == []


def test_fit_replays_and_resumes_to_the_same_bits(tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 8, 8, 3)).astype(np.float32)
    y = np.arange(40) % 10

    def fit(epochs, folder, resume=False):
        random.seed(1)
        model = MODELS["dropout"]()
        model.compile(optim.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=8, epochs=epochs, seed=3, verbose=0, resume=resume,
                  callbacks=[dl.callbacks.Checkpoint(folder, every_steps=7, overwrite=True)])
        return model.state_dict()

    whole = fit(3, tmp_path / "whole")
    fit(1, tmp_path / "parts")
    parts = fit(3, tmp_path / "parts", resume=True)
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value)


class Keeping(metrics.Metric):
    """Keeps a tensor of every batch, and what was in it then."""

    def __init__(self):
        super().__init__("keeping")
        self.kept = []

    def values(self, y_true, y_pred):
        tensor = dl.functional.exp(dl.Tensor(y_pred))
        self.kept.append((tensor, tensor.numpy().copy()))
        return y_true


def test_what_a_metric_keeps_is_not_written_over():
    keeping = Keeping()
    samples = 600
    assert samples * 10 * 4 > SMALLEST  # so that the tensors come from a pool
    train(convnet, batches(8, samples=samples), measures=[keeping])
    assert len(keeping.kept) == 8
    for tensor, then in keeping.kept:
        np.testing.assert_array_equal(tensor.numpy(), then)
