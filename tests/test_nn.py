"""Layers: shapes, weights, configs, modes, names and errors; initializers and their like."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

import minidl.nn.layers as L  # noqa: N812
from minidl import config, errors, random
from minidl.autograd import functional as F  # noqa: N812
from minidl.autograd.parameter import Parameter
from minidl.autograd.tensor import Tensor
from minidl.nn import (
    Input,
    Model,
    Module,
    Sequential,
    activations,
    constraints,
    deserialize,
    initializers,
    regularizers,
    serialize,
)

IMAGES, SEQUENCES, ROWS = (2, 9, 8, 4), (2, 11, 4), (3, 6)

# layer, input shape (of several inputs, a list), output shape, parameters
LAYERS = {
    "Dense": (lambda: L.Dense(5, activation="relu"), ROWS, (3, 5), 35),
    "Dense, no bias": (lambda: L.Dense(5, use_bias=False), SEQUENCES, (2, 11, 5), 20),
    "Embedding": (lambda: L.Embedding(7, 5), ROWS, (3, 6, 5), 35),
    "Activation": (lambda: L.Activation("tanh"), ROWS, ROWS, 0),
    "ReLU": (lambda: L.ReLU(6.0, 0.1, 0.2), ROWS, ROWS, 0),
    "LeakyReLU": (lambda: L.LeakyReLU(0.2), ROWS, ROWS, 0),
    "ELU": (lambda: L.ELU(0.5), ROWS, ROWS, 0),
    "Softmax": (lambda: L.Softmax(axis=1), IMAGES, IMAGES, 0),
    "Dropout": (lambda: L.Dropout(0.3), ROWS, ROWS, 0),
    "SpatialDropout1D": (lambda: L.SpatialDropout1D(0.3), SEQUENCES, SEQUENCES, 0),
    "SpatialDropout2D": (lambda: L.SpatialDropout2D(0.3), IMAGES, IMAGES, 0),
    "Flatten": (lambda: L.Flatten(), IMAGES, (2, 288), 0),
    "Reshape": (lambda: L.Reshape((3, -1)), ROWS, (3, 3, 2), 0),
    "Permute": (lambda: L.Permute((3, 1, 2)), IMAGES, (2, 4, 9, 8), 0),
    "Identity": (lambda: L.Identity(), ROWS, ROWS, 0),
    "ZeroPadding1D": (lambda: L.ZeroPadding1D((1, 2)), SEQUENCES, (2, 14, 4), 0),
    "ZeroPadding2D": (lambda: L.ZeroPadding2D(((1, 0), (2, 3))), IMAGES, (2, 10, 13, 4), 0),
    "Rescaling": (lambda: L.Rescaling(1 / 255, -0.5), IMAGES, IMAGES, 0),
    "RandomFlip": (lambda: L.RandomFlip("horizontal"), IMAGES, IMAGES, 0),
    "RandomRotation": (lambda: L.RandomRotation((-0.1, 0.2)), IMAGES, IMAGES, 0),
    "RandomZoom": (lambda: L.RandomZoom(0.2, fill_mode="constant"), IMAGES, IMAGES, 0),
    "RandomTranslation": (lambda: L.RandomTranslation(0.2, (0.0, 0.3)), IMAGES, IMAGES, 0),
    "RandomContrast": (lambda: L.RandomContrast((0.2, 0.4)), IMAGES, IMAGES, 0),
    "Conv1D": (lambda: L.Conv1D(6, 3, strides=2, padding="same"), SEQUENCES, (2, 6, 6), 78),
    "Conv2D": (lambda: L.Conv2D(6, (3, 2), activation="relu"), IMAGES, (2, 7, 7, 6), 150),
    "Conv2D, groups": (lambda: L.Conv2D(6, 3, strides=2, padding="same", groups=2), IMAGES,
                       (2, 5, 4, 6), 114),
    "Conv2D, dilation": (lambda: L.Conv2D(2, 3, dilation_rate=2, use_bias=False), IMAGES,
                         (2, 5, 4, 2), 72),
    "DepthwiseConv2D": (lambda: L.DepthwiseConv2D(3, depth_multiplier=2), IMAGES, (2, 7, 6, 8), 80),
    "Conv1DTranspose": (lambda: L.Conv1DTranspose(6, 3, strides=2, padding="same"), SEQUENCES,
                        (2, 22, 6), 78),
    "Conv2DTranspose": (lambda: L.Conv2DTranspose(6, 3, strides=2), IMAGES, (2, 19, 17, 6), 222),
    "MaxPooling1D": (lambda: L.MaxPooling1D(2), SEQUENCES, (2, 5, 4), 0),
    "MaxPooling2D": (lambda: L.MaxPooling2D(3, strides=2, padding="same"), IMAGES, (2, 5, 4, 4), 0),
    "AveragePooling1D": (lambda: L.AveragePooling1D(3, padding="same"), SEQUENCES, (2, 4, 4), 0),
    "AveragePooling2D": (lambda: L.AveragePooling2D((2, 3)), IMAGES, (2, 4, 2, 4), 0),
    "GlobalMaxPooling1D": (lambda: L.GlobalMaxPooling1D(), SEQUENCES, (2, 4), 0),
    "GlobalMaxPooling2D": (lambda: L.GlobalMaxPooling2D(keepdims=True), IMAGES, (2, 1, 1, 4), 0),
    "GlobalAveragePooling1D": (lambda: L.GlobalAveragePooling1D(), SEQUENCES, (2, 4), 0),
    "GlobalAveragePooling2D": (lambda: L.GlobalAveragePooling2D(), IMAGES, (2, 4), 0),
    "BatchNormalization": (lambda: L.BatchNormalization(activation="relu"), IMAGES, IMAGES, 16),
    "BatchNormalization, bare": (lambda: L.BatchNormalization(center=False, scale=False), ROWS,
                                 ROWS, 12),
    "LayerNormalization": (lambda: L.LayerNormalization(), SEQUENCES, SEQUENCES, 8),
    "GroupNormalization": (lambda: L.GroupNormalization(2), IMAGES, IMAGES, 8),
    "LocalResponseNormalization": (lambda: L.LocalResponseNormalization(), IMAGES, IMAGES, 0),
    "Add": (lambda: L.Add(), [ROWS, ROWS, ROWS], ROWS, 0),
    "Subtract": (lambda: L.Subtract(), [ROWS, ROWS], ROWS, 0),
    "Multiply": (lambda: L.Multiply(), [ROWS, ROWS], ROWS, 0),
    "Average": (lambda: L.Average(), [ROWS, ROWS, ROWS], ROWS, 0),
    "Maximum": (lambda: L.Maximum(), [ROWS, ROWS], ROWS, 0),
    "Minimum": (lambda: L.Minimum(), [ROWS, ROWS], ROWS, 0),
    "Concatenate": (lambda: L.Concatenate(), [ROWS, (3, 2)], (3, 8), 0),
    "Arithmetic": (lambda: L.Arithmetic("reverse_subtract", 1.5), ROWS, ROWS, 0),
    "Arithmetic, several": (lambda: L.Arithmetic("divide", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), ROWS,
                            ROWS, 0),
}
NO_LAYERS = {"Input", "InputLayer", "Lambda", "Model", "Module", "Sequential"}


def draw(shape, kind="float32"):
    rng = np.random.default_rng(7)
    if isinstance(shape, list):
        return [Tensor(rng.random(s).astype(kind)) for s in shape]
    return Tensor((rng.random(shape) * 6).astype(kind))


def values(tree):
    return tree.data if isinstance(tree, Tensor) else [t.data for t in tree]


def summary_text(model, *arguments, **options):
    """Return what `summary` prints."""
    lines = []
    model.summary(*arguments, print_fn=lines.append, **options)
    return "\n".join(lines)


def test_the_table_holds_every_layer():
    assert {name.partition(",")[0] for name in LAYERS} | NO_LAYERS == set(L.__all__)


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    make, shape, output, parameters = LAYERS[name]
    layer = make()
    x = draw(shape, "int64" if name == "Embedding" else "float32")
    wanted = [s[1:] for s in shape] if isinstance(shape, list) else shape[1:]
    asked = [(None, *s) for s in wanted] if isinstance(shape, list) else (None, *wanted)
    assert layer.compute_output_shape(asked) == (None, *output[1:])
    assert layer.count_parameters() == parameters
    y = layer.eval()(x)
    assert y.shape == output
    assert y.dtype == np.float32
    assert np.isfinite(y.data).all()


@pytest.mark.parametrize("name", LAYERS)
def test_config_and_state_round_trip(name):
    make, shape, _, _ = LAYERS[name]
    layer = make().eval()
    x = draw(shape, "int64" if name == "Embedding" else "float32")
    y = layer(x)
    again = deserialize(json.loads(json.dumps(serialize(layer)))).eval()
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    assert again.state_dict().keys() == layer.state_dict().keys()
    again.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(again(x).data, y.data)
    plain = type(layer).from_config(layer.get_config())
    assert plain.get_config() == layer.get_config()


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_reach_inputs_and_weights(name):
    make, shape, _, _ = LAYERS[name]
    layer = make()
    ids = name == "Embedding"
    x = draw(shape, "int64" if ids else "float32")
    inputs = x if isinstance(x, list) else [x]
    for one in () if ids else inputs:
        one.requires_grad = True
    y = layer(x)
    F.sum(y * Tensor(np.random.default_rng(1).random(y.shape).astype("float32"))).backward()
    got = [*layer.parameters(), *(() if ids else inputs)]
    assert all(t.grad is not None and t.grad.shape == t.shape for t in got)
    assert all(np.isfinite(t.grad.data).all() for t in got)


# ---- values of the small layers ------------------------------------------------------------

X = np.array([[-2.0, -0.5, 0.0, 0.7, 5.0, 9.0]], np.float32)
VALUES = [
    (L.ReLU(), X, np.maximum(X, 0)),
    (L.ReLU(max_value=6.0), X, np.clip(X, 0, 6)),
    (L.ReLU(negative_slope=0.5), X, np.where(X > 0, X, 0.5 * X)),
    (L.ReLU(threshold=1.0, negative_slope=0.5), X, np.where(X >= 1, X, 0.5 * (X - 1))),
    (L.LeakyReLU(), X, np.where(X > 0, X, 0.3 * X)),
    (L.ELU(), X, np.where(X > 0, X, np.expm1(X))),
    (L.Rescaling(0.5, 1.0), X, X * 0.5 + 1),
    (L.Rescaling([1, 2, 3, 4, 5, 6.0], [0, 0, 0, 0, 0, 1.0]), X,
     X * [1, 2, 3, 4, 5, 6] + [0, 0, 0, 0, 0, 1]),
    (L.Arithmetic("subtract", 2), X, X - 2),
    (L.Arithmetic("reverse_subtract", 2), X, 2 - X),
    (L.Arithmetic("reverse_divide", 2), X + 3, 2 / (X + 3)),
    (L.Arithmetic("power", 2), X, X**2),
    (L.Lambda(F.exp), X, np.exp(X)),
    (L.Softmax(axis=0), np.stack([X[0], X[0]]), np.full((2, 6), 0.5)),
    (L.Rescaling(1 / 255), np.array([[0, 51, 255]], np.uint8), np.array([[0, 0.2, 1.0]])),
]


@pytest.mark.parametrize("case", range(len(VALUES)))
def test_values(case):
    layer, x, y = VALUES[case]
    np.testing.assert_allclose(layer(x).data, y, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", activations.TABLE)
def test_activations(name):
    x = Tensor(X)
    y = L.Activation(name)(x)
    np.testing.assert_array_equal(y.data, activations.get(name)(x).data)
    assert activations.get(activations.name_of(activations.get(name))) is activations.get(name)


def test_merges():
    a, b, c = (np.random.default_rng(i).standard_normal((2, 3)).astype("f4") for i in range(3))
    for layer, wanted in [(L.Add(), a + b + c), (L.Multiply(), a * b * c),
                          (L.Average(), (a + b + c) / 3), (L.Maximum(), np.max([a, b, c], 0)),
                          (L.Minimum(), np.min([a, b, c], 0)),
                          (L.Concatenate(0), np.concatenate([a, b, c], 0))]:
        np.testing.assert_allclose(layer([a, b, c]).data, wanted, rtol=1e-5)
    np.testing.assert_array_equal(L.Subtract()([a, b]).data, a - b)


# ---- modes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "shape", "axes"), [
    (L.Dropout(0.5), (2, 5, 5, 40), ()), (L.SpatialDropout1D(0.5), (4, 5, 40), (1,)),
    (L.SpatialDropout2D(0.5), (4, 5, 6, 40), (1, 2))])
def test_dropout_acts_in_training_only(layer, shape, axes):
    x = np.ones(shape, np.float32)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0.0, 2.0}
    assert 0.3 < y.mean() / 2 < 0.7
    np.testing.assert_array_equal(y, np.broadcast_to(y.min(axis=axes, keepdims=True), shape))
    np.testing.assert_array_equal(layer.eval()(x).data, x)


def test_batch_normalization_statistics():
    x = np.random.default_rng(0).normal(3, 2, (8, 5, 5, 4)).astype("f4")
    layer = L.BatchNormalization(momentum=0.9)
    y = layer(x).numpy()
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.data, 0.1 * x.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance.data, 0.9 + 0.1 * x.var((0, 1, 2)), rtol=1e-4)
    before = layer.moving_mean.numpy().copy()
    z = layer.eval()(x).numpy()
    wanted = (x - before) / np.sqrt(layer.moving_variance.data + 1e-3)
    np.testing.assert_allclose(z, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean.data, before)


def test_frozen_batch_normalization_uses_moving_statistics():
    x = np.random.default_rng(0).normal(3, 2, (8, 4)).astype("f4")
    layer = L.BatchNormalization()
    layer(x)
    before = layer.state_dict()
    layer.trainable = False
    y = layer.train()(x)
    assert not y.requires_grad
    np.testing.assert_array_equal(y.data, layer.eval()(x).data)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_train_and_eval_reach_everything_inside():
    model = Sequential([L.Dense(3), Sequential([L.Dropout(0.5), L.BatchNormalization()])])
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.train()
    assert all(m.training for m in model.modules())


def test_trainable():
    model = Sequential([Input((3,)), L.Dense(4), L.BatchNormalization(), L.Dense(2)])
    assert len(model.trainable_parameters()) == 6
    model.get_layer(0).trainable = False
    assert len(model.trainable_parameters()) == 4
    model.trainable = False
    assert model.trainable_parameters() == []
    assert not any(m.trainable for m in model.modules())
    model.trainable = True
    assert len(model.trainable_parameters()) == 6
    assert not L.Dense(2, trainable=False)(np.ones((1, 2), "f4")).requires_grad


def test_astype():
    model = Sequential([Input((3,)), L.Dense(4), L.BatchNormalization()]).astype("float64")
    y = model(np.ones((2, 3)))
    assert y.dtype == np.float64
    F.sum(y).backward()
    assert all(p.grad.dtype == np.float64 for p in model.parameters())
    with pytest.raises(errors.DTypeError, match="expected float32 or float64"):
        model.astype("int64")


# ---- modules written by hand ---------------------------------------------------------------


class Lecture(Module):
    """The lecture's MNIST network as its PyTorch listing writes it."""

    def __init__(self):
        super().__init__()
        options = {"kernel_initializer": "torch_uniform", "bias_initializer": "torch_uniform"}
        self.conv1 = L.Conv2D(10, 5, **options)
        self.conv2 = L.Conv2D(20, 5, **options)
        self.drop = L.SpatialDropout2D(0.5)
        self.fc1 = L.Dense(50, **options)
        self.fc2 = L.Dense(10, **options)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x)))
        x = F.relu(F.max_pool2d(self.drop(self.conv2(x))))
        x = F.dropout(F.relu(self.fc1(F.flatten(x))), 0.5 if self.training else 0.0)
        return F.log_softmax(self.fc2(x))


def wide():
    return Sequential([
        Input((28, 28, 1)), L.Conv2D(32, 5, padding="same", activation="relu"),
        L.MaxPooling2D(2, padding="same"), L.Conv2D(64, 5, padding="same", activation="relu"),
        L.MaxPooling2D(2, padding="same"), L.Flatten(), L.Dense(1024, activation="relu"),
        L.Dropout(0.5), L.Dense(10, activation="softmax")])


def convnet():
    x = inputs = Input((28, 28, 1))
    x = L.MaxPooling2D()(L.Conv2D(32, 3, activation="relu")(x))
    x = L.MaxPooling2D()(L.Conv2D(64, 3, activation="relu")(x))
    x = L.Flatten()(L.Conv2D(64, 3, activation="relu")(x))
    return Model(inputs, L.Dense(10, activation="softmax")(L.Dense(64, activation="relu")(x)))


@pytest.mark.parametrize(("make", "parameters"), [
    (Lecture, [260, 5020, 16050, 510]), (wide, [832, 51264, 3212288, 10250]),
    (convnet, [320, 18496, 36928, 36928, 650])])
def test_parameters_of_the_lecture_networks(make, parameters):
    model = make()
    assert model.compute_output_shape((None, 28, 28, 1)) == (None, 10)
    counts = [c for m in model.children() if (c := m.count_parameters())]
    assert counts == parameters
    assert model.count_parameters() == sum(parameters)


def test_summary_of_a_module_written_by_hand():
    text = summary_text(Lecture(), (28, 28, 1))
    rows = [line.split("  ") for line in text.split("-\n")[2].splitlines()[:-1]]
    shapes = [[cell.strip() for cell in row if cell][2] for row in rows]
    assert shapes[:4] == ["24 x 24 x 10", "12 x 12 x 10", "12 x 12 x 10", "8 x 8 x 20"]
    assert "Parameters: 21,840" in text
    assert f"Multiply-adds per sample: {24*24*250 + 8*8*20*250 + 320*50 + 500:,}" in text


def test_summary_needs_a_shape_and_draws_nothing():
    net = Lecture()
    with pytest.raises(errors.GraphError, match=r"summary\(input_shape=\(28, 28, 1\)\)"):
        net.summary()
    net(np.zeros((1, 28, 28, 1), "f4"))
    state = random.default.state
    assert "21,840" in summary_text(net)
    assert random.default.state == state
    assert net.training


class Blocks(Module):
    """Modules and parameters in lists, dicts and tuples."""

    def __init__(self, width=3):
        super().__init__()
        self.blocks = [Sequential([L.Dense(width, name="a")]), L.Dense(width)]
        self.heads = {"left": L.Dense(2), "right": (L.Dense(1),)}
        self.scale = Parameter(np.ones(width, "f4"))
        self.tied = self.scale
        self.register_buffer("seen", np.zeros(1, "f4"))

    def forward(self, x):
        for block in self.blocks:
            x = block(x) * self.scale
        return self.heads["left"](x), self.heads["right"][0](x)


def test_parts_are_found_by_path():
    net = Blocks()
    net(np.ones((2, 4), "f4"))
    assert list(net.named_parameters()) == [
        "scale", "blocks/0/a/kernel", "blocks/0/a/bias", "blocks/1/kernel", "blocks/1/bias",
        "heads/left/kernel", "heads/left/bias", "heads/right/0/kernel", "heads/right/0/bias"]
    assert list(net.named_buffers()) == ["seen"]
    assert [type(m).__name__ for m in net.leaf_modules()] == ["Dense"] * 4
    assert list(net.named_modules())[:3] == ["", "blocks/0", "blocks/0/a"]
    assert net.count_parameters() == sum(v.size for v in net.state_dict().values())


def test_module_written_by_hand_round_trip():
    net = Blocks(width=5)
    x = np.random.default_rng(0).random((2, 4)).astype("f4")
    net(x)
    net.heads["left"].trainable = False
    data = json.loads(json.dumps(serialize(net)))
    with pytest.raises(errors.ArgumentError, match="custom_objects"):
        deserialize(data)
    again = deserialize(data, custom_objects={"Blocks": Blocks})
    again.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(again(x)[1].data, net(x)[1].data)
    assert not again.heads["left"].trainable
    assert again.heads["right"][0].trainable


def test_hooks():
    layer = L.Dense(2, use_bias=False, kernel_initializer="ones")
    seen = []
    remove_pre = layer.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    remove = layer.register_forward_hook(lambda module, inputs, y: seen.append(inputs[0].tolist()))
    x = np.ones((1, 3), "f4")
    assert layer(x).tolist() == [[6.0, 6.0]]
    assert seen == [[[2.0, 2.0, 2.0]]]
    remove_pre()
    remove_post = layer.register_forward_hook(lambda module, inputs, y: y + 1)
    assert layer(x).tolist() == [[4.0, 4.0]]
    remove()
    remove_post()
    assert layer(x).tolist() == [[3.0, 3.0]]
    assert len(seen) == 2


def test_apply_goes_from_the_inside_out():
    names = []
    model = Sequential([L.Dense(1), Sequential([L.Dense(2)], name="inner")], name="outer")
    model.apply(lambda m: names.append(m.name))
    assert names == ["dense", "inner", "dense", "outer"]


# ---- names ---------------------------------------------------------------------------------


def test_names_do_not_depend_on_what_was_made_before():
    for _ in range(2):
        model = wide()
        assert list(model.named_children()) == [
            "conv2d", "max_pooling2d", "conv2d_1", "max_pooling2d_1", "flatten", "dense", "dropout",
            "dense_1"]


def test_names_given_by_the_user_are_unique():
    with pytest.raises(errors.GraphError, match=r'"a".*another layer of this name'):
        Sequential([L.Dense(1, name="a"), L.Dense(1, name="a")])
    model = Sequential([L.Dense(1, name="dense_1"), L.Dense(1), L.Dense(1), L.Dense(1)])
    assert list(model.named_children()) == ["dense_1", "dense", "dense_2", "dense_3"]


def test_sequential_add_and_pop():
    model = Sequential([Input((4,))])
    model.add(L.Dense(3))
    model.add(L.Dense(2))
    assert model.output_shape == (None, 2)
    model.pop()
    assert model.output_shape == (None, 3)
    model.add(L.Dense(5))
    assert list(model.named_children()) == ["dense", "dense_1"]
    assert model(np.ones((2, 4), "f4")).shape == (2, 5)
    with pytest.raises(errors.ArgumentError, match="functions go into Lambda"):
        model.add(F.relu)
    with pytest.raises(errors.GraphError, match="Input after other layers"):
        model.add(Input((3,)))
    with pytest.raises(errors.GraphError, match="no layer to take off"):
        Sequential().pop()


def test_sequential_uses_a_layer_twice():
    layer = L.Dense(4)
    model = Sequential([Input((4,)), layer, L.ReLU(), layer])
    assert model.count_parameters() == 20
    again = deserialize(json.loads(json.dumps(serialize(model))))
    assert again.layers[0] is again.layers[2]
    again.load_state_dict(model.state_dict())
    x = np.random.default_rng(0).random((2, 4)).astype("f4")
    np.testing.assert_array_equal(model(x).data, again(x).data)
    model.pop()
    assert list(model.named_children()) == ["dense", "re_lu"]


def test_sequential_without_input_is_rebuilt_from_its_first_call():
    model = Sequential([L.Conv2D(3, 3), L.Flatten(), L.Dense(2)])
    with pytest.raises(errors.GraphError, match="the input's shape is not known yet"):
        model.output_shape  # noqa: B018
    x = np.random.default_rng(0).random((2, 5, 5, 1)).astype("f4")
    y = model(x)
    assert model.output_shape == (None, 2)
    again = deserialize(json.loads(json.dumps(serialize(model))))
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again(x).data, y.data)


class Asking(Module):
    """Runs another model, in a thread of its own, while it runs itself."""

    def __init__(self, other: Module) -> None:
        super().__init__()
        self.dense, self.other = L.Dense(2), other
        self.found = list[object]()

    def forward(self, x: Tensor) -> Tensor:
        thread = threading.Thread(target=self.ask)
        thread.start()
        thread.join()
        return self.dense(x)

    def ask(self) -> None:
        try:
            self.found.append(self.other(np.ones((3, 4), "float32")))
            self.other(np.ones((3, 5), "float32"))
        except errors.ShapeError as e:
            self.found.append(e.where)


def test_each_thread_has_its_own_chain_of_calls() -> None:
    asking = Asking(Sequential([L.Dense(6), L.Dense(2)]))
    asking(np.ones((3, 4), "float32"))
    result, where = asking.found
    assert isinstance(result, Tensor)  # of an array, as outside of all calls
    assert where == 'layer "dense" (Dense), linear'


# ---- errors --------------------------------------------------------------------------------


class Outer(Module):
    """A module with a block in it."""

    def __init__(self):
        super().__init__()
        self.block2 = Sequential([L.Conv2D(128, 3, name="conv0"), L.Conv2D(256, 3, name="conv1")])

    def forward(self, x):
        return self.block2.get_layer("conv1")(x) if x.shape[-1] == 128 else self.block2(x)


def test_errors_name_the_layer_by_its_full_path():
    net = Outer()
    net(np.zeros((1, 8, 8, 3), "f4"))
    with pytest.raises(errors.ShapeError) as caught:
        net(np.zeros((32, 14, 14, 64), "f4"))
    text = str(caught.value)
    assert text.startswith('layer "block2/conv0" (Conv2D), conv2d: got x of shape (32, 14, 14, 64)')
    assert "the kernel is (3, 3, 3, 128)" in text
    assert "expects 3 input channels" in text


BAD = [
    (lambda: L.Dense(0), "Dense: got units=0; expected an integer of at least 1"),
    (lambda: L.Dense(3.0), "Dense: got units=3.0; expected an integer"),
    (lambda: L.Dense(3, activaton="relu"), "Dense: got .*'activaton'.*; expected units, activ"),
    (lambda: L.SpatialDropout2D(0.1, p=1), "SpatialDropout2D: .* expected rate, name, train"),
    (lambda: L.Flatten(input_shape=(2,)), "Flatten: .* goes into an Input"),
    (lambda: Sequential(L.Dense(3), L.Dense(4)), "expected a list of layers. Write Sequential"),
    (lambda: L.Input(28, 28), r"got shape=28; expected a tuple .* Write Input\(\(28, 28, 1\)\)"),
    (lambda: L.Dense(3, activation="rely"), "activation: got 'rely'"),
    (lambda: L.Dense(3, kernel_initializer="glorot"), "initializer: got 'glorot'"),
    (lambda: L.Dense(3, kernel_regularizer="l3"), "regularizer: got 'l3'"),
    (lambda: L.Dense(3, kernel_constraint="max"), "constraint: got 'max'"),
    (lambda: L.Conv2D(3, 0), "Conv2D: got kernel_size=0"),
    (lambda: L.Conv2D(3, (3, 3, 3)), r"Conv2D: got kernel_size=\(3, 3, 3\)"),
    (lambda: L.Conv1D(3, (3, 3)), "Conv1D: got kernel_size"),
    (lambda: L.MaxPooling2D(0), "MaxPooling2D: got pool_size=0"),
    (lambda: L.Dropout(1.0), "Dropout: got rate=1.0"),
    (lambda: L.ZeroPadding2D((1, 2, 3)), "ZeroPadding2D: got padding"),
    (lambda: L.BatchNormalization(axis=1), "BatchNormalization: got axis=1"),
    (lambda: L.Arithmetic("modulo"), "Arithmetic: got 'modulo'"),
    (lambda: L.Input((0, 3)), r"Input: got shape=\(0, 3\)"),
]
BAD_CALLS = [
    (L.Conv2D(3, 3, name="c"), np.ones((5, 5, 3), "f4"),
     r'layer "c" \(Conv2D\): got an input of shape \(5, 5, 3\); expected \(N, H, W, C\)'),
    (L.MaxPooling1D(2), np.ones((5, 5), "f4"), r"\(MaxPooling1D\): got an input of shape \(5, 5\)"),
    (L.Conv2D(4, 3, groups=3), np.ones((1, 5, 5, 6), "f4"), "got groups=3; it must divide 6 input"),
    (L.Conv2D(4, 7), np.ones((1, 5, 5, 6), "f4"), "does not fit"),
    (L.Dense(4), np.ones((1, 5), "int64"), "got x of type int64"),
    (L.Dense(4), [[1.0, 2.0]], r"\(Dense\): got a list of numbers; .* Make an array"),
    (L.Add(), np.ones((1, 5), "f4"), r"Call it as Add\(\)\(\[a, b\]\)"),
    (L.Subtract(), [np.ones(2, "f4")] * 3, "got 3 tensors; expected 2"),
    (L.Concatenate(), [np.ones((1, 2, 2), "f4"), np.ones((1, 3, 2), "f4")], "must agree"),
    (L.Reshape((4,)), np.ones((1, 5), "f4"), "does not hold as many"),
]


@pytest.mark.parametrize(("make", "text"), BAD)
def test_bad_arguments(make, text):
    with pytest.raises(errors.ArgumentError, match=text):
        make()


@pytest.mark.parametrize(("layer", "x", "text"), BAD_CALLS)
def test_bad_calls(layer, x, text):
    with pytest.raises(errors.MinidlError, match=text):
        layer(x)


def test_a_failed_first_call_leaves_the_layer_unbuilt():
    layer = L.Conv2D(4, 5)
    with pytest.raises(errors.ShapeError, match="does not fit"):
        layer(np.ones((1, 3, 3, 2), "f4"))
    assert layer.parameters() == []
    with pytest.raises(AttributeError, match="weights are made on the first call"):
        layer.kernel  # noqa: B018
    assert layer(np.ones((1, 9, 9, 3), "f4")).shape == (1, 5, 5, 4)


def test_load_state_dict_errors_change_nothing():
    model = Sequential([Input((3,)), L.Dense(2, name="a"), L.Dense(1, name="b")])
    before = model.state_dict()
    good = {k: v + 1 for k, v in before.items()}
    short = {k: v for k, v in good.items() if k != "b/bias"}
    bad = {**good, "a/kernel": np.zeros((2, 2))}
    for mapping, text in [(short, "missing b/bias"), ({**good, "c": 1}, "unexpected c"),
                          (bad, r"a/kernel has shape \(2, 2\), the model's has \(3, 2\)")]:
        with pytest.raises(errors.CheckpointError, match=text):
            model.load_state_dict(mapping)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    model.load_state_dict({**short, "c": 1}, strict=False)
    np.testing.assert_array_equal(model.state_dict()["a/kernel"], good["a/kernel"])
    np.testing.assert_array_equal(model.state_dict()["b/bias"], before["b/bias"])
    with pytest.raises(errors.CheckpointError, match="No weights yet in dense; call"):
        Sequential([L.Dense(1)]).load_state_dict(before)


def test_state_dict_is_a_copy():
    layer = L.Dense(2)
    layer(np.ones((1, 3), "f4"))
    state = layer.state_dict()
    state["kernel"][:] = 7
    assert not (layer.kernel.data == 7).any()


def test_configs_that_cannot_be_written():
    with pytest.raises(errors.ArgumentError, match="cannot be written to a file"):
        serialize(Sequential([L.Lambda(lambda x: x)]))
    with pytest.raises(errors.ArgumentError, match="Dense, argument 'activation'"):
        L.Dense(3, activation=lambda x: x).get_config()
    with pytest.raises(errors.ArgumentError, match="unknown arguments \\['colour'\\]"):
        initializers.GlorotUniform.from_config({"colour": 1})
    with pytest.raises(errors.ArgumentError, match=r"Dense: got the unknown arg.*colour"):
        L.Dense.from_config({"units": 3, "colour": 1})
    with pytest.raises(errors.ArgumentError, match="'Nothing' is not known"):
        deserialize({"class": "Nothing", "config": {}})


def test_arrays_of_doubles_become_the_type_of_the_model():
    assert L.Dense(2)(np.ones((1, 3))).dtype == np.float32


def test_shape_run_computes_nothing_and_keeps_the_mode():
    layer = L.Dropout(0.5)
    state = random.default.state
    assert layer.compute_output_shape((None, None, 3)) == (None, None, 3)
    assert random.default.state == state
    assert layer.training
    assert not config.only_shapes()


# ---- initializers, regularizers, constraints -----------------------------------------------

SPREADS = {  # standard deviation for fan_in 300, fan_out 3000
    "random_uniform": 0.1 / np.sqrt(12), "random_normal": 0.05, "truncated_normal": 0.05 * 0.8796,
    "glorot_uniform": np.sqrt(2 / 3300), "glorot_normal": np.sqrt(2 / 3300),
    "he_uniform": np.sqrt(2 / 300), "he_normal": np.sqrt(2 / 300),
    "lecun_uniform": np.sqrt(1 / 300), "lecun_normal": np.sqrt(1 / 300),
    "torch_uniform": np.sqrt(1 / 900), "orthogonal": np.sqrt(1 / 300),
    "variance_scaling": np.sqrt(1 / 300), "uniform": 0.1 / np.sqrt(12), "normal": 0.05,
}


@pytest.mark.parametrize("name", SPREADS)
def test_spread_of_initializers(name):
    draw_values = initializers.get(name)
    w = draw_values((3, 10, 10, 100))
    assert w.dtype == np.float32
    assert abs(w.mean()) < 0.05 * SPREADS[name]
    assert w.std() == pytest.approx(SPREADS[name], rel=0.03)
    again = type(draw_values).from_config(draw_values.get_config())
    assert again.get_config() == draw_values.get_config()
    seeded = type(draw_values)(seed=3)
    np.testing.assert_array_equal(seeded((4, 5)), type(draw_values)(seed=3)((4, 5)))
    assert not np.array_equal(draw_values((4, 5)), draw_values((4, 5)))


@pytest.mark.parametrize("name", sorted(set(initializers.TABLE) - set(SPREADS)))
def test_constant_initializers(name):
    wanted = {"zeros": 0, "ones": 1, "constant": 0}[name]
    assert (initializers.get(name)((2, 3)) == wanted).all()
    assert (initializers.Constant(2.5)((2,)) == 2.5).all()


def test_limits_of_initializers():
    w = initializers.TruncatedNormal(stddev=1.0)((200, 200))
    assert 1.9 < np.abs(w).max() <= 2
    w = initializers.GlorotUniform()((300, 100))
    assert np.abs(w).max() == pytest.approx(np.sqrt(6 / 400), rel=1e-3)
    q = initializers.Orthogonal(gain=2.0)((3, 4, 6)).reshape(12, 6)
    np.testing.assert_allclose(q.T @ q, 4 * np.eye(6), atol=1e-5)
    q = initializers.Orthogonal()((4, 10))
    np.testing.assert_allclose(q @ q.T, np.eye(4), atol=1e-5)
    with pytest.raises(errors.ShapeError, match="expected two axes"):
        initializers.Orthogonal()((4,))


def test_seed_makes_weights_the_same():
    weights = []
    for _ in range(2):
        random.seed(5)
        weights.append(convnet().state_dict())
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])


def test_torch_uniform_takes_the_kernels_fans_for_the_bias():
    layer = L.Dense(4000, kernel_initializer="torch_uniform", bias_initializer="torch_uniform")
    layer(np.ones((1, 25), "f4"))
    for weight in (layer.kernel, layer.bias):
        assert np.abs(weight.data).max() == pytest.approx(0.2, rel=1e-2)


W = np.array([[3.0, -1.0], [-4.0, 0.5]], np.float32)


@pytest.mark.parametrize(("regularizer", "value"), [
    (regularizers.L1(0.5), 4.25), (regularizers.L2(0.5), 13.125),
    (regularizers.L1L2(0.5, 1.0), 30.5), ("l1", 0.085), ("l2", 0.2625), ("l1_l2", 0.0)])
def test_regularizers(regularizer, value):
    layer = L.Dense(2, kernel_regularizer=regularizer)
    layer(W)
    assert layer.kernel.regularizer(Tensor(W)).item() == pytest.approx(value)
    assert layer.bias.regularizer is None
    again = L.Dense.from_config(json.loads(json.dumps(layer.get_config())))
    again(W)
    assert again.kernel.regularizer(Tensor(W)).item() == pytest.approx(value)


@pytest.mark.parametrize(("constraint", "wanted"), [
    (constraints.MaxNorm(2.5), [[1.5, -1.0], [-2.0, 0.5]]),
    (constraints.MaxNorm(2.5, axis=[0, 1]), W * 2.5 / np.sqrt((W**2).sum())),
    (constraints.NonNeg(), [[3.0, 0.0], [0.0, 0.5]]),
    (constraints.UnitNorm(), W / np.sqrt((W**2).sum(0)))])
def test_constraints(constraint, wanted):
    layer = L.Dense(2, kernel_constraint=constraint)
    layer(W)
    got = layer.kernel.constraint(W)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    again = type(constraint).from_config(constraint.get_config())
    np.testing.assert_array_equal(again(W), got)
