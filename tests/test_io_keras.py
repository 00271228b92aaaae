"""Files of Keras 3 and their networks here: every network of the zoo gives the same outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_twin import K, keras, scaled_difference, stir, twin

import minidl as dl
from minidl import models, nn
from minidl.errors import FormatError
from minidl.io.keras_files import read_keras_archive, read_keras_h5
from minidl.io.keras_model import load_keras
from minidl.io.keras_order import keras_layers
from minidl.io.keras_padding import with_padding_layers
from minidl.io.keras_save import save_keras
from minidl.io.keras_write import save_keras_weights
from minidl.io.match import match
from minidl.models.zoo import ENTRIES
from minidl.nn import layers as L  # noqa: N812

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
CLOSE = 1e-5

SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"input_shape": (67, 67, 3)},
    "vgg16": {"input_shape": (32, 32, 3), "include_top": False},
    "resnet18": {"input_shape": (33, 33, 3), "classes": 7},
    "resnet34": {"input_shape": (33, 33, 3), "classes": 7},
    "resnet50": {"input_shape": (33, 33, 3), "classes": 7}}
"""Smaller inputs, where the network allows them."""
CUSTOM = {"LocalResponseNormalization": L.LocalResponseNormalization}


def network(name: str) -> Any:
    return getattr(models, name)(**SMALL.get(name, {}))


def images(model: Any, rng: np.random.Generator, n: int = 2) -> np.ndarray:
    shape = (n, *model.input_shape[1:])
    if model.leaf_modules() and isinstance(model.leaf_modules()[0], L.Embedding):
        return rng.integers(0, 100, shape).astype("int32")
    return rng.standard_normal(shape).astype("float32")


def outputs(theirs: Any, x: Any) -> np.ndarray:
    return np.asarray(theirs(x, training=False).detach())


@pytest.mark.parametrize("name", ENTRIES)
def test_zoo(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    model = network(name).eval()
    theirs = twin(model)
    stir(theirs, rng)
    x = images(model, rng)
    want = outputs(theirs, x)
    assert np.ptp(want) > 0
    theirs.save(tmp_path / "m.keras")
    loaded = load_keras(tmp_path / "m.keras", custom_objects=CUSTOM, show=False).eval()
    assert scaled_difference(loaded.predict(x), want) < CLOSE
    assert set(loaded.state_dict()) == set(model.state_dict())
    theirs.save_weights(tmp_path / "m.weights.h5")
    assert match(model, read_keras_h5(tmp_path / "m.weights.h5", trust=True)).complete
    assert scaled_difference(model.predict(x), want) < CLOSE


# ---- forms of models -----------------------------------------------------------------------


def nested() -> Any:
    """A graph with a chain and a graph in it, one of them called twice, and arithmetic."""
    chain = keras.Sequential([keras.Input((8, 8, 4)), K.Conv2D(4, 3, padding="same", name="ic"),
                              K.BatchNormalization(name="ib")], name="inner")
    z = keras.Input((8, 8, 4))
    graph = keras.Model(z, K.Conv2D(4, 1, name="fc")(z), name="graph")
    x = keras.Input((8, 8, 3), name="image")
    y = K.Activation("relu")(K.Conv2D(4, 3, padding="same", name="c1")(x))
    y = K.Add()([y, graph(graph(chain(y)))]) * 2.0 - y
    y = 1.0 - K.Dropout(0.3)(K.RandomFlip()(y))
    return keras.Model(x, K.Dense(3, name="out", activation="softmax")(K.Flatten()(y)))


def shared_and_several() -> Any:
    """Two inputs, a layer used by both, two outputs."""
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    body = K.Dense(5, activation="tanh", name="body")
    y = K.Concatenate(axis=1)([body(a), body(b)])
    return keras.Model([a, b], [K.Dense(2, name="left")(y), K.Subtract()([body(a), body(b)])])


def late() -> Any:
    """Outputs that are a call of a model in the model, the second of two."""
    z = keras.Input((5,))
    inner = keras.Model(z, K.Dense(5, name="d")(z), name="inner")
    x = keras.Input((5,))
    return keras.Model(x, inner(K.ReLU()(inner(x))))


def separable() -> Any:
    return keras.Sequential([
        keras.Input((9, 8, 3)), K.SeparableConv2D(5, 3, strides=2, padding="same",
                                                  depth_multiplier=2, activation="relu"),
        K.BatchNormalization(scale=False), K.Conv2DTranspose(4, 3, strides=2, padding="same"),
        K.DepthwiseConv2D(3), K.LayerNormalization(), K.LeakyReLU(negative_slope=0.1),
        K.AveragePooling2D(2, strides=1, padding="same"), K.GlobalMaxPooling2D()])


MODELS: tuple[Callable[[], Any], ...] = (nested, shared_and_several, late, separable)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("make", MODELS)
def test_forms_of_models(make: Callable[[], Any], ending: str, tmp_path: Path) -> None:
    rng, theirs = np.random.default_rng(7), make()
    stir(theirs, rng)
    theirs.compile("adam", "mse")
    shapes = [t.shape[1:] for t in theirs.inputs]
    x = [rng.standard_normal((3, *shape)).astype("float32") for shape in shapes]
    theirs.save(tmp_path / f"m{ending}")
    loaded = load_keras(tmp_path / f"m{ending}", show=False).eval()
    got = loaded(x if len(x) > 1 else x[0])
    want = theirs(x if len(x) > 1 else x[0], training=False)
    pairs = zip(got, want, strict=True) if isinstance(want, list) else [(got, want)]
    for ours, other in pairs:
        assert scaled_difference(ours.numpy(), other.detach()) < CLOSE


def test_training_goes_on_with_penalties_and_frozen_layers(tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((4,)), K.Dense(3, kernel_regularizer="l2", name="a",
                               kernel_constraint=keras.constraints.MaxNorm(3),
                               kernel_initializer="he_normal"),
                               K.Dense(2, trainable=False, name="b")])
    theirs.save(tmp_path / "m.keras")
    loaded = load_keras(tmp_path / "m.keras", show=False)
    assert [p.name for p in loaded.trainable_parameters()] == ["kernel", "bias"]
    kernel = loaded.get_layer("a").kernel
    assert (kernel.regularizer.l2, kernel.constraint.max_value) == (0.01, 3)
    again = nn.deserialize(nn.serialize(loaded))
    assert again.get_layer("a").get_config()["kernel_initializer"]["class"] == "HeNormal"


def test_the_table_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keras.Sequential([keras.Input((4,)), K.Dense(3, name="a")]).save(tmp_path / "m.keras")
    load_keras(tmp_path / "m.keras")
    assert "a/kernel" in capsys.readouterr().out


# ---- what is refused -----------------------------------------------------------------------

REFUSED = {
    "lambda": (lambda: K.Lambda(lambda x: x + 1, name="f"), (4,),
               'layer "f" (Lambda): the class \'Lambda\' is not supported: it holds Python code'),
    "channels": (lambda: K.GlobalAveragePooling2D(data_format="channels_first", name="g"),
                 (4, 4, 3), 'layer "g" (GlobalAveragePooling2D): data_format=\'channels_first\' '
                 "is not supported; expected 'channels_last' or None. Only"),
    "class": (lambda: K.UpSampling2D(2, name="u"), (4, 4, 3),
              "the class 'UpSampling2D' is not supported: minidl has no such layer"),
    "dilation": (lambda: K.SeparableConv1D(2, 3, dilation_rate=2, name="s"), (9, 2),
                 "'SeparableConv1D' is not supported"),
    "axis": (lambda: K.BatchNormalization(axis=1, name="n"), (4, 4, 3),
             'layer "n" (BatchNormalization): axis=1 is not supported; expected the last axis'),
    "activation": (lambda: K.Dense(2, activation="mish", name="d"), (4,),
                   "layer \"d\" (Dense): activation='mish' is not supported; expected one of"),
    "mask": (lambda: K.Embedding(9, 2, mask_zero=True, name="e"), (4,),
             "mask_zero=True is not supported; expected False"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str, tmp_path: Path) -> None:
    make, shape, text = REFUSED[case]
    keras.Sequential([keras.Input(shape), make()]).save(tmp_path / "m.keras")
    with pytest.raises(FormatError) as caught:
        load_keras(tmp_path / "m.keras", trust=True)
    assert text in str(caught.value)


# ---- writing -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet", "resnet_cifar", "googlenet"])
def test_keras_loads_written_weights(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    model = network(name).eval()
    theirs = twin(model)
    stir(theirs, rng)
    save_keras_weights(model, tmp_path / "m.weights.h5")
    theirs.load_weights(tmp_path / "m.weights.h5")
    x = images(model, rng, 1)
    assert scaled_difference(model.predict(x), outputs(theirs, x)) < CLOSE


@pytest.mark.parametrize("by_name", [False, True])
def test_keras_loads_written_weights_of_version_2(by_name: bool, tmp_path: Path) -> None:
    theirs = nested()
    theirs.save(tmp_path / "m.keras")
    model = load_keras(tmp_path / "m.keras", show=False)
    stir(theirs, np.random.default_rng(2))
    save_keras_weights(model, tmp_path / "m.h5")
    theirs.load_weights(tmp_path / "m.h5", by_name=by_name)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype("float32")
    assert scaled_difference(model.eval().predict(x), outputs(theirs, x)) < CLOSE
    assert match(model, read_keras_h5(tmp_path / "m.h5")).complete


def test_written_order_is_keras_order(tmp_path: Path) -> None:
    theirs = nested()
    theirs.save(tmp_path / "m.keras")
    ours = load_keras(tmp_path / "m.keras", show=False)
    assert [layer.name for layer in keras_layers(ours)] == [layer.name for layer in theirs.layers]
    assert set(read_keras_archive(tmp_path / "m.keras").arrays) == set(ours.state_dict())


@pytest.mark.parametrize("name", ["minivggnet", "minigooglenet", "imdb_conv1d", "squeezenet",
                                  "resnet18", "resnet50", "resnet_tiny_imagenet"])
def test_keras_loads_written_models(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    model = network(name).eval()
    save_keras(model, tmp_path / "m.keras")
    theirs = keras.saving.load_model(tmp_path / "m.keras")
    x = images(model, rng, 1)
    assert scaled_difference(model.predict(x), outputs(theirs, x)) < CLOSE
    ours = keras_layers(with_padding_layers(model))
    assert [layer.name for layer in theirs.layers if not isinstance(layer, K.InputLayer)] == [
        layer.name for layer in ours if not isinstance(layer, L.InputLayer)]


@pytest.mark.parametrize("make", [shared_and_several, late])
def test_models_go_there_and_back(make: Callable[[], Any], tmp_path: Path) -> None:
    theirs = make()
    theirs.save(tmp_path / "a.keras")
    save_keras(load_keras(tmp_path / "a.keras", show=False), tmp_path / "b.keras")
    again = keras.saving.load_model(tmp_path / "b.keras")
    x = [np.ones((2, *t.shape[1:]), "float32") for t in theirs.inputs]
    for first, second in zip(*(np.atleast_3d(m(x if len(x) > 1 else x[0])[0].detach())
                               for m in (theirs, again)), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6)


def padded_by_numbers() -> Any:
    """Return a model of layers and models that pad by numbers, one of them called twice."""
    shared = L.Conv2D(3, 3, padding=((2, 1), (0, 1)), use_bias=False)
    inner = dl.Sequential([
        dl.Input((8, 6, 3)), L.Conv2D(4, 3, 2, padding=1, activation="relu"),
        L.MaxPooling2D(3, 2, padding=1, name="pool")], name="inner")
    x = dl.Input((8, 6, 3))
    y = L.Activation("relu")(shared(shared(x)))
    y = L.Concatenate()([y, L.Conv2D(2, 5, dilation_rate=2, padding=4, activation="relu")(y)])
    y = L.DepthwiseConv2D(3, padding=(1, 0))(L.MaxPooling2D(3, 1, padding=1)(y))
    y = L.Conv2D(3, 1, padding=0)(y)
    sequence = L.Conv1D(4, 4, 3, padding=((2, 3),))(L.Reshape((-1, 3))(y))
    return dl.Model(x, [y, inner(x), L.AveragePooling1D(3, 1, padding=1)(sequence)])


def test_padding_by_numbers_becomes_layers(tmp_path: Path) -> None:
    model = padded_by_numbers().eval()
    before = {name: id(layer) for name, layer in model.named_modules().items()}
    save_keras(model, tmp_path / "m.keras")
    assert {name: id(layer) for name, layer in model.named_modules().items()} == before
    x = np.random.default_rng(1).standard_normal((2, 8, 6, 3)).astype("float32")
    theirs = keras.saving.load_model(tmp_path / "m.keras")
    loaded = load_keras(tmp_path / "m.keras", show=False).eval()
    for want, there, back in zip(model.predict(x), theirs(x), loaded.predict(x), strict=True):
        assert scaled_difference(there.detach().numpy(), want) < CLOSE
        assert scaled_difference(back, want) < CLOSE
    assert [layer.name for layer in theirs.get_layer("inner").layers] == [
        "conv2d_pad", "conv2d", "pool_pad", "pool"]


@pytest.mark.parametrize(("make", "text"), [
    (lambda: network("googlenet"), 'layer "norm1" (LocalResponseNormalization): Keras has no such'),
    (lambda: dl.Sequential([dl.Input((8, 8, 3)), L.MaxPooling2D(3, 2, padding=1)]),
     'has no padding=1; expected "valid" or "same", or an input that is never negative'),
    (lambda: dl.Sequential([dl.Input((8, 8, 3)), L.ReLU(), L.AveragePooling2D(3, 2, padding=1)]),
     'layer "average_pooling2d" (AveragePooling2D): Keras has no padding=1; expected "valid" or')])
def test_models_that_keras_cannot_have(make: Callable[[], Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        save_keras(make(), tmp_path / "m.keras")
    assert text in str(caught.value) and "save_keras_weights" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
