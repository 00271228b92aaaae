"""Replaying a recorded forward pass gives the bits that the model gives, or is not done."""

from __future__ import annotations

import copy
import pickle
import threading
from collections import namedtuple
from itertools import pairwise
from weakref import ref

import numpy as np
import pytest
from test_replay import MODELS, Scale, convnet

import minidl as dl
from minidl import config, random
from minidl import functional as F  # noqa: N812 (its usual short name)
from minidl.nn import fuse
from minidl.nn import layers as L  # noqa: N812 (as in the other tests)
from minidl.train import passes
from minidl.train.passes import Passes, passes_of
from minidl.train.probabilities import probabilities_of

BEFORE = 3  # passes by the model before the first replay


def images(count, seed=0, size=8):
    return np.random.default_rng(seed).standard_normal((count, size, size, 3), np.float32)


def directly(model, x):
    """Return what a model gives without any replay."""
    with dl.no_grad():
        training = model.training
        y = model.eval()(x)
        model.train(training)
    return [part.numpy().copy() for part in y] if isinstance(y, (list, tuple)) else y.numpy().copy()


def assert_predicts(model, x):
    expected, y = directly(model, x), model.predict(x, 1 << 10)
    for one, other in zip(*[p if isinstance(p, list) else [p] for p in (y, expected)], strict=True):
        np.testing.assert_array_equal(one, other)


def two_outputs():
    x = dl.Input((8, 8, 3))
    y = L.Conv2D(4, 3, activation="relu")(x)
    return dl.Model(x, [y, L.Dense(3)(L.Flatten()(y))])


# ---- what is replayed ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MODELS, "two outputs"])
def test_one_image_at_a_time(name):
    random.seed(1)
    model = MODELS.get(name, two_outputs)()
    for seed in range(6):
        x = images(1, seed)
        assert_predicts(model, [x, images(1, seed + 10)] if name == "two inputs" else x)
    assert passes_of(model).replayed == 6 - BEFORE


@pytest.mark.parametrize("prepare", [
    lambda x: x.astype(np.float64), lambda x: (x * 9).astype(np.uint8),
    lambda x: np.asfortranarray(x), lambda x: np.concatenate([x, x], axis=2)[:, :, 1::2],
    lambda x: x[:, ::-1]],
    ids=["float64", "bytes", "fortran", "every other", "backwards"])
def test_inputs_of_other_kinds(prepare):
    model = dl.Sequential([dl.Input((8, 8, 3)), L.Rescaling(0.5), L.Conv2D(4, 3)]).eval()
    for seed in range(6):
        x = prepare(images(2, seed))
        with config.no_grad():
            y = passes_of(model)(x, np.dtype("float32"), "cpu").numpy()
        np.testing.assert_array_equal(y, directly(model, x))
        assert_predicts(model, x)
    assert passes_of(model).replayed == 12 - BEFORE


def test_batches_and_the_short_last_one():
    model, x = convnet(L.BatchNormalization()), images(22)
    expected = np.concatenate([directly(model, x[first:first + 4]) for first in range(0, 22, 4)])
    for _ in range(4):
        np.testing.assert_array_equal(model.predict(x, batch_size=4), expected)
    assert passes_of(model).replayed == (20 - BEFORE) + (4 - BEFORE)


def test_evaluate_and_the_validation_of_fit():
    random.seed(0)
    model, x, y = convnet(L.Dropout(0.5)), images(40), np.arange(40) % 10
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(x, y, batch_size=8, epochs=3, validation_data=(x, y), verbose=0).history
    assert passes_of(model).replayed == 15 - BEFORE
    with config.no_grad(), dl.dispatch.hook(lambda call, compute: compute()):
        expected = model.evaluate(x, y, batch_size=8)
    assert passes_of(model).replayed == 15 - BEFORE
    assert [history["val_loss"][-1], history["val_accuracy"][-1]] == expected
    assert model.evaluate(x, y, batch_size=8) == expected
    assert passes_of(model).replayed == 20 - BEFORE


def test_replays_do_not_look_at_every_layer(monkeypatch):
    model, x, walked = convnet(L.BatchNormalization()), images(2), []
    expected = directly(model, x)
    for _ in range(BEFORE):
        model.predict(x)
    whole = type(model).named_modules
    monkeypatch.setattr(type(model), "named_modules", lambda m: walked.append(m) or whole(m))
    for training in (False, True, False):
        model.train(training)
        walked.clear()
        np.testing.assert_array_equal(model.predict(x), expected)
        np.testing.assert_array_equal(probabilities_of(model, x), expected)
        assert bool(walked) == training  # it is brought out of training, and back
        assert [m.training for m in model.modules()] == [training] * len(model.modules())
    assert passes_of(model).replayed == 6


def test_results_are_not_written_over():
    model = convnet()
    kept = [model.predict(images(2, seed)) for seed in range(6)]
    for seed, y in enumerate(kept):
        np.testing.assert_array_equal(y, directly(model, images(2, seed)))


def test_a_layer_that_says_it_is_repeatable():
    class Declared(Scale):
        repeatable = True

    for layer, replays in ((Declared(), 3), (Scale(), 0)):
        model = convnet(layer)
        for seed in range(6):
            assert_predicts(model, images(2, seed))
        assert passes_of(model).replayed == replays


# ---- what is not ---------------------------------------------------------------------------


class AlwaysDropping(dl.Module):
    """Monte Carlo dropout: it draws outside of training, too."""

    repeatable = True

    def forward(self, x):
        return F.dropout(x, 0.5)


class Named(dl.Module):
    repeatable = True

    def forward(self, x):
        return {"y": x * 2}


class Counting(dl.Module):
    repeatable = True  # which is not so
    calls = 0

    def forward(self, x):
        Counting.calls += 1
        return x * dl.Tensor(np.full(3, Counting.calls, np.float32))


def test_random_numbers_are_drawn_in_every_pass():
    model = dl.Sequential([dl.Input((8, 8, 3)), AlwaysDropping()])
    seen = [model.predict(np.ones((2, 8, 8, 3), np.float32)) for _ in range(6)]
    assert passes_of(model).replayed == 0
    assert all((one != other).any() for one, other in pairwise(seen))


def test_a_layer_that_breaks_its_word_is_found_out():
    Counting.calls = 0
    model = dl.Sequential([Counting()])
    x = np.ones((1, 2, 3), np.float32)
    with dl.no_grad():
        model(x)
    seen = []
    for _ in range(6):
        before = Counting.calls
        seen.append(model.predict(x)[0, 0, 0])
        assert Counting.calls > before
    assert seen == sorted(seen) and len(set(seen)) == 6


@pytest.mark.parametrize("layer", [L.Flatten(), L.Permute((2, 1, 3))],
                         ids=["flatten", "permute"])
def test_outputs_that_are_views_of_the_input(layer):
    model = dl.Sequential([dl.Input((8, 8, 3)), layer])
    for seed in range(6):
        assert_predicts(model, images(2, seed))


def test_outputs_by_name():
    model, kind = Named(), (np.dtype("float32"), "cpu")
    with config.no_grad():
        for seed in range(6):
            y = passes_of(model)(images(1, seed), *kind)["y"].numpy()
            np.testing.assert_array_equal(y, images(1, seed) * 2)
    assert passes_of(model).replayed == 0


def test_large_passes_are_not_recorded(monkeypatch):
    monkeypatch.setattr(passes, "MOST_BYTES", 1 << 16)
    model = convnet()
    for seed in range(6):
        assert_predicts(model, images(1, seed))
        assert_predicts(model, images(300, seed))
    assert passes_of(model).replayed == 6 - BEFORE
    assert passes._arenas["cpu"].taken == 0


def test_many_shapes_push_out_the_first(monkeypatch):
    model = dl.Sequential([dl.Input((None, None, 3)), L.Conv2D(4, 3), L.GlobalAveragePooling2D()])
    for size in range(5, 12):
        for seed in range(5):
            assert_predicts(model, images(2, seed, size))
    assert passes_of(model).replayed == 7 * 2
    assert len(passes_of(model)._states) == passes.MOST_KINDS


# ---- what changes the model ----------------------------------------------------------------


def train_on(model):
    model.fit(images(8, 99), np.arange(8), batch_size=4, verbose=0)


def assign(model):
    model.layers[0].kernel.assign(np.ones(model.layers[0].kernel.shape, np.float32))


def other_array(model):
    model.layers[0].kernel.array = np.ones(model.layers[0].kernel.shape, np.float32)


def change_epsilon(model):
    model.layers[1].epsilon = 0.5


def other_type(model):
    model.astype("float64")


def load(model):
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})


def freeze(model):
    model.trainable = False


def add_layer(model):
    model.add(L.ReLU())


@pytest.mark.parametrize("change, replays", [
    (train_on, 8 - BEFORE), (assign, 8 - BEFORE), (load, 8 - BEFORE), (other_array, 3),
    (change_epsilon, 3), (freeze, 3), (add_layer, 3), (other_type, 3)])
def test_changes_between(change, replays):
    random.seed(2)
    model = convnet(L.BatchNormalization())
    model.compile("sgd", "sparse_categorical_crossentropy")
    train_on(model)
    for seed in range(4):
        assert_predicts(model, images(2, seed))
    change(model)
    for seed in range(4, 8):
        assert_predicts(model, images(2, seed))
    assert passes_of(model).replayed == replays


def test_hooks_are_called():
    model, seen = convnet(), []
    for seed in range(5):
        assert_predicts(model, images(2, seed))
    away = model.layers[0].register_forward_hook(lambda layer, x, y: seen.append(y.shape))
    model.predict(images(2))
    away()
    calls = []
    with dl.dispatch.hook(lambda call, compute: calls.append(call) or compute()):
        model.predict(images(2))
    assert seen == [(2, 6, 6, 4)] and len(calls) > 2


def test_threads_and_avoided_kernels():
    model, x = convnet(), images(4)
    for _ in range(4):
        assert_predicts(model, x)
        with config.threads(config.num_threads() + 1):
            assert_predicts(model, x)
        with config.avoid("direct"):
            model.predict(x)
    assert passes_of(model).replayed == 3 and len(passes_of(model)._states) == 3


def test_several_threads_of_the_user():
    model, given = convnet(L.Conv2D(8, 3, activation="relu")), [images(2, s) for s in range(8)]
    expected, wrong = [directly(model, x) for x in given], []

    def ask(number):
        for _ in range(40):
            if not np.array_equal(model.predict(given[number]), expected[number]):
                wrong.append(number)
    model.eval()
    asking = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert not wrong and passes_of(model).replayed > 0


# ---- copies and memory ---------------------------------------------------------------------


@pytest.mark.parametrize("copied", [
    copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "deepcopy", "pickle"])
def test_copies_begin_anew(copied):
    model = convnet()
    for seed in range(5):
        model.predict(images(2, seed))
    other = copied(model)
    assert_predicts(other, images(2))
    assert passes_of(other) is not passes_of(model)
    assert (passes_of(other).replayed, passes_of(model).replayed) == (0, 2)


def test_recordings_go_with_the_model():
    model = convnet()
    for seed in range(5):
        model.predict(images(2, seed))
    gone = ref(model), ref(passes_of(model))
    assert passes_of(model).replayed == 2
    del model
    assert [r() for r in gone] == [None, None]


def test_they_are_no_part_of_the_model():
    model = convnet()
    before = model.snapshot()
    assert isinstance(passes_of(model), Passes) and before.holds()
    assert "_passes" not in vars(model)


# ---- what once went wrong ------------------------------------------------------------------


class Own(dl.Module):
    """A layer of the user's that says it is repeatable."""

    repeatable = True

    def __init__(self, function, **base):
        super().__init__(**base)
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_convolution_and_pooling_in_slices(monkeypatch):
    monkeypatch.setattr(fuse, "SLICE", 1)  # so that a sample at a time is pooled
    model = dl.Sequential([dl.Input((8, 8, 3)), L.Conv2D(4, 3, activation="relu"),
                           L.MaxPooling2D(2), L.GlobalAveragePooling2D()]).eval()
    for seed in range(6):
        assert_predicts(model, images(300, seed))
    assert passes_of(model).replayed == 6 - BEFORE


def test_what_is_written_without_an_op_is_found_out():
    def forward(x):
        y = dl.empty(x.shape, x.dtype)
        y.assign((x * 2).numpy())
        return y + 0
    model = dl.Sequential([dl.Input((64, 64, 3)), Own(forward)]).eval()
    for seed in range(6):
        np.testing.assert_array_equal(model.predict(images(4, seed, 64)), images(4, seed, 64) * 2)
    assert passes_of(model).replayed == 0


def test_random_numbers_of_a_seed_set_before_every_pass():
    model, x = dl.Sequential([dl.Input((8, 8, 3)), AlwaysDropping()]), images(1)
    model.predict(x)
    seen = []
    for seed in (0, 0, 0, 0, 5, 6):
        random.seed(seed)
        seen.append(model.predict(x))
        assert random.default.state == (seed, 1)
    assert (seen[0] == seen[3]).all() and (seen[3] != seen[4]).any()


def test_changes_deep_inside_attributes():
    inside = [[L.Conv2D(3, 1), L.ReLU()], [L.ReLU()]]
    x = dl.Input((8, 8, 3))
    scaled = dl.Model(x, x * np.ones((1, 1, 3), np.float32))
    rescaling = dl.Sequential([dl.Input((8, 8, 3)), L.Rescaling(np.array([1.0, 2.0, 3.0]))])

    class Nested(dl.Module):
        repeatable = True

        def __init__(self):
            super().__init__()
            self.blocks = inside

        def forward(self, x):
            for block in self.blocks:
                for layer in block:
                    x = layer(x)
            return x

    def more():
        inside[1].append(L.Rescaling(-1.0))

    def other():
        inside[0][0] = dl.Sequential([L.Rescaling(3.0)]).eval()

    def constant():
        scaled.layers[-1].constant[0][0][0] = 7.0

    def scale():
        rescaling.layers[-1].scale[:] = 10

    nested = Nested()
    for model, change in ((nested, more), (nested, other), (scaled, constant), (rescaling, scale)):
        for seed in range(5):
            assert_predicts(model.eval(), images(2, seed))
        before = passes_of(model).replayed
        assert before
        change()
        assert_predicts(model.eval(), images(2, 9))
        assert passes_of(model).replayed == before


def test_a_change_in_the_middle_of_a_recording():
    normalise = L.BatchNormalization()

    def forward(x):
        normalise.training = flips[0]
        return x + 0

    flips = [False]
    model = dl.Sequential([dl.Input((8, 8, 3)), Own(forward), normalise]).eval()
    model.predict(images(2))
    flips[0] = True
    for seed in range(2):
        model.predict(images(2, seed))
    flips[0] = False
    for seed in range(8):
        assert_predicts(model, images(2, seed))
        assert not normalise.training


def test_an_index_with_arrays():
    chosen = np.array([0, 2])
    model = dl.Sequential([dl.Input((8, 8, 3)), Own(lambda x: x[:, :, :, chosen] * 2.0)])
    for seed in range(6):
        np.testing.assert_array_equal(model.predict(images(2, seed)),
                                      images(2, seed)[..., chosen] * 2)


Pair = namedtuple("Pair", "one other")


def test_outputs_in_a_named_tuple():
    model = Own(lambda x: Pair(x * 2, x + 1)).eval()
    for seed in range(6):
        with config.no_grad():
            y = passes_of(model)(images(1, seed), np.dtype("float32"), "cpu")
        np.testing.assert_array_equal(y.one.numpy(), images(1, seed) * 2)
        np.testing.assert_array_equal(y.other.numpy(), images(1, seed) + 1)
    assert passes_of(model).replayed == 6 - BEFORE


class Stated(dl.Module):
    def __setstate__(self, state):
        self.__dict__.update(state)

    def forward(self, x):
        return x * 2


class Slotted:
    __slots__ = ("tag",)


class Both(dl.Module, Slotted):
    __hash__ = None

    def __eq__(self, other):
        return True

    def forward(self, x):
        return x * 2


def test_classes_of_other_kinds():
    model = Stated()
    assert_predicts(model, images(1))
    assert_predicts(pickle.loads(pickle.dumps(model)), images(1))
    assert_predicts(Both(), images(1))


def test_inputs_are_let_go_of(monkeypatch):
    model, kind = convnet().eval(), (np.dtype("float32"), "cpu")
    for seed in range(6):
        x = images(2, seed)
        gone = ref(x)
        with config.no_grad():
            passes_of(model)(x, *kind)
        del x
        assert gone() is None
    assert passes_of(model).replayed == 6 - BEFORE


def test_weights_of_another_type_are_let_go_of():
    model = convnet().eval()
    for seed in range(5):
        model.predict(images(2, seed))
    weight = ref(model.layers[0].kernel.array)
    model.astype("float64")
    for seed in range(5):
        assert_predicts(model, images(2, seed))
        assert_predicts(model, images(3, seed))
    assert passes_of(model).replayed == 3 * (5 - BEFORE) + 1  # a kind that was replayed is at once
    assert weight() is None


def test_models_share_memory():
    models = [dl.Sequential([dl.Input((64, 64, 3)), L.Conv2D(8, 3), L.Conv2D(4, 3)]).eval()
              for _ in range(3)]
    for seed in range(6):
        for model in models:
            assert_predicts(model, images(2, seed, 64))
    assert [passes_of(model).replayed for model in models] == [6 - BEFORE] * 3
    assert passes._arenas["cpu"].taken == 0


def test_what_a_layer_keeps_is_not_written_over():
    kept = []
    keeping = Own(lambda x: kept.append(x * 3) or x * 2)
    keeping.forward = lambda x: (setattr(keeping, "last", x * 3), x * 2)[1]
    model = dl.Sequential([dl.Input((64, 64, 3)), keeping]).eval()
    others = dl.Sequential([dl.Input((64, 64, 3)), L.Conv2D(3, 1), L.Conv2D(3, 1)]).eval()
    for seed in range(6):
        x = images(2, seed, 64)
        assert_predicts(others, x)
        model.predict(x)
        expected = keeping.last.numpy().copy()
        assert_predicts(others, images(2, seed + 10, 64))
        np.testing.assert_array_equal(keeping.last.numpy(), expected)


def test_a_hook_for_a_while_and_layers_that_never_hold():
    model = convnet().eval()
    away = model.layers[0].register_forward_hook(lambda layer, x, y: None)
    for seed in range(5):
        assert_predicts(model, images(2, seed))
    assert passes_of(model).replayed == 0
    away()
    for seed in range(12):
        assert_predicts(model, images(2, seed))
    assert passes_of(model).replayed > 0

    recorded = []
    layer = Own(lambda x: recorded.append(dl.dispatch.hooked()) or x * 2)
    layer.forward = lambda x: (setattr(layer, "calls", len(recorded)), layer.function(x))[1]
    never = dl.Sequential([dl.Input((8, 8, 3)), layer]).eval()
    for seed in range(100):
        never.predict(images(1, seed))
    assert passes_of(never).replayed == 0
    assert sum(recorded) <= 7


def test_two_inputs_of_the_same_memory():
    x, y = dl.Input((8, 8, 3)), dl.Input((8, 8, 3))
    model, kind = dl.Model([x, y], x - y).eval(), (np.dtype("float32"), "cpu")
    with config.no_grad():
        for seed in range(8):
            one = images(1, seed)
            other = one if seed < 4 else images(1, seed + 50)
            np.testing.assert_array_equal(passes_of(model)([one, other], *kind).numpy(),
                                          one - other)
