"""The layer graph: building, running, sub-models, saving, summary and pictures."""

from __future__ import annotations

import copy
import json
import pickle
import weakref
from itertools import pairwise

import numpy as np
import pytest

import minidl.nn.layers as L  # noqa: N812
from minidl import dispatch, errors, random
from minidl.autograd import functional as F  # noqa: N812
from minidl.autograd.tensor import Tensor
from minidl.nn import Input, Model, Module, Sequential, deserialize, serialize
from minidl.nn.load import load_model
from minidl.nn.plot import boxes_of, fold, layout, plot
from minidl.nn.tree import leaves


def draw(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype("f4")


def residual():
    """A small residual network with a shared layer, two inputs and two outputs."""
    image, extra = Input((8, 8, 3), name="image"), Input((5,), name="extra")
    x = L.Conv2D(4, 3, padding="same", activation="relu", name="stem")(image)
    y = L.Conv2D(4, 3, padding="same", name="block/conv1")(x)
    x = L.ReLU()(x + y * 0.5)
    features = L.GlobalAveragePooling2D()(x)
    dense = L.Dense(4, name="shared")
    both = L.Concatenate()([dense(extra), dense(L.Dense(5)(features)), features])
    return Model([image, extra], {"scores": L.Dense(2, name="scores")(both), "features": features},
                 name="residual")


def summary_text(model, *arguments, **options):
    """Return what `summary` prints."""
    lines = []
    model.summary(*arguments, print_fn=lines.append, **options)
    return "\n".join(lines)


def test_symbols_know_their_shapes():
    x = Input((28, 28, 1))
    assert (x.shape, x.dtype, x.ndim) == ((None, 28, 28, 1), np.float32, 4)
    y = L.Flatten()(L.Conv2D(10, 5)(x))
    assert y.shape == (None, 5760)
    assert repr(y) == "Symbol(flatten, shape=(None, 5760), dtype=float32)"
    assert Input((None,), dtype="int64").dtype == np.int64


def test_unknown_lengths():
    x = Input((None, None, 3))
    y = L.Conv2D(4, 3, strides=2)(x)
    assert y.shape == (None, None, None, 4)
    model = Model(x, L.GlobalAveragePooling2D()(y))
    assert model.output_shape == (None, 4)
    assert model(draw(2, 9, 7, 3)).shape == (2, 4)
    assert model(draw(1, 20, 30, 3)).shape == (1, 4)
    with pytest.raises(errors.ShapeError, match=r"expects .* features|kernel is"):
        L.Dense(3)(L.Flatten()(y))


def test_building_makes_weights_and_runs_no_kernel():
    ran = []
    with dispatch.hook(lambda call, compute: (ran.append(call.plan.op.name), compute())[1]):
        before = random.default.state[1]
        model = residual()
    assert model.count_parameters() == 112 + 148 + (5 * 4 + 4) + (4 * 5 + 5) + (12 * 2 + 2)
    convolutions = [name for name in ran if name in ("conv2d", "conv2d_relu")]
    assert len(convolutions) == 4  # two layers, each for two trial sizes
    assert random.default.state[1] - before == 5  # one draw per kernel; biases are zeros
    assert all(m.training for m in model.modules())


def test_forward_equals_the_same_layers_by_hand():
    model = residual()
    image, extra = draw(3, 8, 8, 3), draw(3, 5)
    got = model([image, extra])
    layer = model.get_layer
    x = layer("stem")(image)
    x = F.relu(x + layer("block/conv1")(x) * 0.5)
    features = F.mean(x, (1, 2))
    parts = [layer("shared")(extra), layer("shared")(layer("dense")(features)), features]
    np.testing.assert_array_equal(got["features"].data, features.data)
    np.testing.assert_array_equal(got["scores"].data, layer("scores")(F.concat(parts)).data)


def test_names_in_a_graph():
    assert list(residual().named_children()) == [
        "stem", "block/conv1", "multiply", "add", "re_lu", "global_average_pooling2d", "shared",
        "dense", "concatenate", "scores"]
    assert "block/conv1/kernel" in residual().named_parameters()


def test_two_branches_from_two_inputs_get_different_names():
    a, b = Input((3,)), Input((4,))
    left, right = L.Dense(2)(a), L.Dense(2)(b)
    model = Model([a, b], left + right)
    assert list(model.named_children()) == ["dense", "dense_1", "add"]
    assert [s.node.name for s in model.inputs] == ["input", "input_1"]
    x = Input((3,))
    y = L.Dense(2, name="twin")(L.Dense(2, name="twin_0")(x))
    with pytest.raises(errors.GraphError, match=r'"twin".*another layer of this name'):
        L.Dense(2, name="twin")(y)


def test_a_layer_used_twice_shares_its_weights_and_gradients():
    x = Input((4,))
    layer = L.Dense(4, use_bias=False)
    model = Model(x, layer(layer(x)))
    assert len(model.parameters()) == 1
    data = draw(2, 4)
    F.sum(model(data)).backward()
    w = layer.kernel.data.astype("f8")
    ones = np.ones((2, 4))
    wanted = data.T @ (ones @ w.T) + (data @ w).T @ ones
    np.testing.assert_allclose(layer.kernel.grad.data, wanted, rtol=1e-4, atol=1e-5)


OPERATIONS = {
    "a + b": lambda a, b: a + b, "a - b": lambda a, b: a - b, "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b, "a + 2": lambda a, b: a + 2, "2 - a": lambda a, b: 2 - a,
    "3 * a": lambda a, b: 3 * a, "2 / b": lambda a, b: 2 / b, "a ** 2": lambda a, b: a**2,
    "b ** a": lambda a, b: b**a, "-a": lambda a, b: -a, "a - 1.5": lambda a, b: a - 1.5,
    "1 + a": lambda a, b: 1 + a, "a / 4": lambda a, b: a / 4,
    "array": lambda a, b: np.array([1, 2, 3], "f4") * a,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_arithmetic_on_symbols(name):
    function = OPERATIONS[name]
    a, b = Input((3,)), Input((3,))
    model = Model([a, b], function(a, b))
    x, y = draw(2, 3), np.exp(draw(2, 3))
    wanted = function(Tensor(x), Tensor(y)).data
    np.testing.assert_array_equal(model([x, y]).data, wanted)
    again = deserialize(json.loads(json.dumps(serialize(model))))
    np.testing.assert_array_equal(again([x, y]).data, wanted)


# ---- errors --------------------------------------------------------------------------------


def test_shape_errors_appear_when_the_graph_is_built():
    x = L.MaxPooling2D()(L.Conv2D(32, 3)(Input((28, 28, 1))))
    with pytest.raises(errors.ShapeError) as caught:
        L.Conv2D(64, 14, name="block2/conv1")(x)
    text = str(caught.value)
    assert text.startswith('layer "block2/conv1" (Conv2D), conv2d: got an input of 13 x 13')
    assert text.endswith("input (None, 28, 28, 1) -> conv2d (None, 26, 26, 32) -> "
                         "max_pooling2d (None, 13, 13, 32).")
    assert L.Conv2D(64, 13, name="block2/conv1")(x).shape == (None, 1, 1, 64)


def test_errors_in_a_nested_model_name_the_whole_path():
    body = Sequential([L.Conv2D(4, 3, name="conv1"), L.Conv2D(4, 5, name="conv2")], name="body")
    with pytest.raises(errors.ShapeError, match=r'layer "body/conv2" \(Conv2D\), conv2d'):
        body(Input((6, 6, 3)))
    model = Sequential([Input((9, 9, 3)), body])
    body.get_layer("conv2").kernel.array = np.zeros((5, 5, 3, 4), "f4")
    with pytest.raises(errors.ShapeError, match=r'layer "sequential/body/conv2"|"body/conv2"'):
        model(draw(1, 9, 9, 3))


def test_errors_of_a_running_model():
    model = residual()
    with pytest.raises(errors.ShapeError, match=r'"image"; expected \(None, 8, 8, 3\)'):
        model([draw(2, 3, 8, 8), draw(2, 5)])
    with pytest.raises(errors.ArgumentError, match="got a Tensor; expected 2 inputs"):
        model(draw(2, 8, 8, 3))
    chain = Sequential([Input((4,)), L.Dense(2)], name="chain")
    with pytest.raises(errors.ShapeError, match=r'model "chain" .*expected \(None, 4\)'):
        chain(draw(2, 5))


def test_bad_graphs():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    with pytest.raises(errors.GraphError, match='depends on the input "b"'):
        Model(a, a + b)
    with pytest.raises(errors.GraphError, match="no symbols"):
        Model(a, draw(2, 3))
    with pytest.raises(errors.GraphError, match="a symbol has a shape but no values"):
        F.relu(a)
    with pytest.raises(errors.GraphError, match="a symbol has a shape but no values"):
        bool(a)
    with pytest.raises(errors.GraphError, match="forward returned int"):
        L.Lambda(lambda x: 3)(a)
    with pytest.raises(errors.GraphError, match="no layer 'nothing'; there are dense"):
        Model(a, L.Dense(2)(a)).get_layer("nothing")
    with pytest.raises(errors.GraphError, match="got position 5; there are 1 layers"):
        Model(a, L.Dense(2)(a)).get_layer(5)


# ---- sub-models ----------------------------------------------------------------------------


def test_up_to_shares_layers():
    model = residual()
    part = model.up_to("stem")
    assert part.get_layer("stem") is model.get_layer("stem")
    assert part.output_shape == (None, 8, 8, 4)
    image, extra = draw(2, 8, 8, 3), draw(2, 5)
    maps, features = model.up_to("re_lu", "global_average_pooling2d")([image, extra])
    np.testing.assert_array_equal(features.data, model([image, extra])["features"].data)
    assert maps.shape == (2, 8, 8, 4)


def test_up_to_in_a_chain_and_in_a_nested_model():
    body = Sequential([Input((8, 8, 3)), L.Conv2D(4, 3, name="conv1"), L.ReLU(), L.Flatten()],
                      name="body")
    model = Sequential([Input((8, 8, 3)), L.Rescaling(2.0), body, L.Dense(2)])
    x = draw(2, 8, 8, 3)
    wanted = body.get_layer("conv1")(x * 2).data
    np.testing.assert_array_equal(model.up_to("body/conv1")(x).data, wanted)
    np.testing.assert_array_equal(body.up_to("conv1")(2 * x).data, wanted)
    np.testing.assert_array_equal(body.up_to(0)(2 * x).data, wanted)
    assert model.get_layer("body/conv1") is body.layers[0]
    assert [m.name for m in model.leaf_modules()] == [
        "rescaling", "conv1", "re_lu", "flatten", "dense"]


def test_a_body_gets_a_new_head():
    body = Sequential([Input((8,)), L.Dense(6, activation="relu"), L.Dense(3)])
    features = body.up_to("dense")
    features.trainable = False
    x = Input((8,))
    model = Model(x, L.Dense(2, name="head")(features(x)))
    assert [p.name for p in model.trainable_parameters()] == ["kernel", "bias"]
    F.sum(model(draw(3, 8))).backward()
    assert body.layers[0].kernel.grad is None
    again = deserialize(json.loads(json.dumps(serialize(model))))
    assert len(again.trainable_parameters()) == 2
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again(draw(3, 8)).data, model(draw(3, 8)).data)


def test_model_from_an_inner_symbol():
    x = Input((4,))
    middle = L.Dense(3)(x)
    head = Model(middle, L.Dense(2)(middle))
    assert list(head.named_children()) == ["dense_1"]
    assert head(draw(2, 3)).shape == (2, 2)
    again = deserialize(serialize(head))
    assert again.output_shape == (None, 2)


# ---- running -------------------------------------------------------------------------------


def test_intermediate_values_are_dropped_after_their_last_use():
    x = Input((50,))
    y = x
    for _ in range(4):
        y = L.Dense(50)(y)
    model = Model(x, y)
    alive = []
    for layer in model.layers:
        layer.register_forward_hook(lambda m, i, out: alive.append(weakref.ref(out)))
    counts = []
    for layer in model.layers:
        layer.register_forward_pre_hook(
            lambda m, i: counts.append(sum(r() is not None for r in alive)))
    model.eval()
    for p in model.parameters():
        p.trainable = False
    y = model(draw(2, 50))
    assert counts == [0, 1, 1, 1]
    assert y.shape == (2, 50)


def test_frozen_layers_stop_backpropagation():
    def backward_ops(frozen):
        model = Sequential([Input((8, 8, 2)), L.Conv2D(3, 3, name="low"), L.ReLU(),
                            L.Conv2D(3, 3, name="middle"), L.Flatten(), L.Dense(2, name="high")])
        for name in frozen:
            model.get_layer(name).trainable = False
        y = F.sum(model(draw(2, 8, 8, 2)))
        ops = []
        with dispatch.hook(lambda call, compute: (ops.append(call.plan.op.name), compute())[1]):
            y.backward()
        return ops.count("conv2d_input_gradient"), ops.count("conv2d_weight_gradient")

    assert backward_ops([]) == (1, 2)
    assert backward_ops(["low"]) == (0, 1)
    assert backward_ops(["low", "middle"]) == (0, 0)
    assert backward_ops(["middle"]) == (1, 1)


# ---- saving --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    residual, lambda: Sequential([Input((8,)), residual_head(), L.Dense(1)]),
    lambda: Sequential([Input((8,)), L.Dense(4, kernel_regularizer="l2"), L.Softmax()])])
def test_model_round_trip(make):
    model = make().eval()
    written = json.dumps(serialize(model))
    again = deserialize(json.loads(written)).eval()
    assert json.dumps(serialize(again)) == written
    assert again.name == model.name
    again.load_state_dict(model.state_dict())
    x = [draw(2, 8, 8, 3), draw(2, 5)] if isinstance(model, Model) else draw(2, 8)
    one, two = model(x), again(x)
    for a, b in zip(leaves(one), leaves(two), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def residual_head():
    x = Input((8,))
    shared = L.Dense(8, activation="relu")
    return Model(x, shared(x) + shared(shared(x)), name="head")


def test_a_layer_shared_by_two_models_stays_shared():
    shared = L.Dense(4, name="shared")
    x = Input((4,))
    inner = Model(x, shared(x), name="inner")
    y = Input((4,))
    model = Model(y, shared(inner(y)))
    assert len(model.parameters()) == 2
    again = deserialize(json.loads(json.dumps(serialize(model))))
    assert len(again.parameters()) == 2
    assert again.get_layer("shared") is again.get_layer("inner").get_layer("shared")


def test_save_and_load(tmp_path):
    model = residual()
    model.save(tmp_path / "plain")
    inputs = [draw(2, 8, 8, 3), draw(2, 5)]
    again = load_model(tmp_path / "plain")
    np.testing.assert_array_equal(again(inputs)["scores"].data, model(inputs)["scores"].data)
    chain = Sequential([L.Dense(4, activation="relu"), L.Dense(2)], name="chain")
    chain.compile("adam", "mse")
    x, y = draw(8, 3), draw(8, 2)
    chain.fit(x, y, epochs=2, batch_size=4, verbose=0)
    chain.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.name == "chain"
    for m in (chain, again):
        random.seed(1)  # both shuffle alike
        m.fit(x, y, epochs=1, batch_size=4, verbose=0)
    for name, value in chain.state_dict().items():
        np.testing.assert_array_equal(value, again.state_dict()[name])
    with pytest.raises(errors.CheckpointError, match="nothing"):
        load_model(tmp_path / "nothing")


def test_a_trained_model_can_be_pickled():
    model = Sequential([Input((3,)), L.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(draw(4, 3), draw(4, 2), verbose=0)
    again = pickle.loads(pickle.dumps(model))
    x = draw(2, 3)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.fit(draw(4, 3), draw(4, 2), verbose=0)


def test_copies_are_independent():
    model = residual()
    twin = copy.deepcopy(model)
    assert twin.state_dict().keys() == model.state_dict().keys()
    twin.get_layer("stem").kernel.assign(0)
    assert model.get_layer("stem").kernel.data.any()


class Scale(Module):
    """A user's layer."""

    def __init__(self, factor, **base):
        super().__init__(**base)
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def test_custom_layers():
    x = Input((3,))
    model = Model(x, Scale(2.0)(L.Dense(2)(x)))
    data = json.loads(json.dumps(serialize(model)))
    with pytest.raises(errors.ArgumentError, match=r'custom_objects=\{"Scale": Scale\}'):
        deserialize(data)
    again = deserialize(data, custom_objects={"Scale": Scale})
    assert isinstance(again.get_layer("scale"), Scale)


# ---- looking at it -------------------------------------------------------------------------


def test_summary_of_a_graph(capsys):
    model = residual()
    model.get_layer("stem").trainable = False
    text = summary_text(model)
    assert capsys.readouterr().out == ""
    assert model.summary() is None
    assert capsys.readouterr().out == text + "\n"
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert " ".join(lines["stem"].split()[1:]) == "Conv2D 8 x 8 x 4 112 6,912 0 B"
    assert f"Parameters: {model.count_parameters():,}" in text
    assert "not trainable: 112" in text
    macs = 64 * 27 * 4 + 64 * 36 * 4 + 5 * 4 + 4 * 5 + 5 * 4 + 12 * 2
    assert f"Multiply-adds per sample: {macs:,}" in text
    assert text.count("shared") == 2


def test_summary_counts_saved_bytes():
    """Dense keeps its input for the weight's gradient; frozen, it keeps nothing."""
    model = Sequential([Input((100,)), L.Dense(50, name="a"), L.Dense(20, name="b")])
    saved = {line.split()[0]: line.split()[-2:] for line in summary_text(model).splitlines()[4:6]}
    assert saved == {"a": ["400", "B"], "b": ["200", "B"]}
    model.get_layer("a").trainable = False
    saved = {line.split()[0]: line.split()[-2:] for line in summary_text(model).splitlines()[4:6]}
    assert saved == {"a": ["0", "B"], "b": ["200", "B"]}


def test_summary_of_nested_models():
    body = Sequential([L.Conv2D(4, 3, name="conv1"), L.BatchNormalization(name="bn")], name="body")
    model = Sequential([Input((8, 8, 3)), body, L.Flatten()])
    text = summary_text(model)
    assert "body/conv1" not in text
    assert "not trainable: 8" in text
    text = summary_text(model, expand_nested=True)
    assert "body/conv1" in text
    assert "body/bn" in text


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_plot(tmp_path, ending):
    path = tmp_path / f"graph.{ending}"
    residual().plot(str(path))
    start = path.read_bytes()[:200]
    assert b"<?xml" in start if ending == "svg" else start.startswith(b"\x89PNG")
    Sequential([Input((3,)), L.Dense(2)]).plot(str(path))


@pytest.mark.parametrize("name", ["graph.xyz", "folder.png"])
def test_a_plot_that_cannot_be_written(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(errors.CheckpointError, match=f"{name}: cannot be written"):
        residual().plot(tmp_path / name)


def test_layout_has_no_overlaps():
    x = inputs = Input((8, 8, 3))
    for width in (2, 4, 3):
        branches = [x]
        for depth in range(width):
            y = x
            for _ in range(depth):
                y = L.Conv2D(3, 3, padding="same")(y)
            branches.append(y)
        x = L.Concatenate()([L.Conv2D(3, 1)(b) for b in branches])
    rows = layout(boxes_of(Model(inputs, x)))
    for row in rows:
        for a, b in pairwise(row):
            room = (0.5 if a.lines else 0.1) + (0.5 if b.lines else 0.1)
            assert b.x - a.x >= room - 1e-9
        for box in row:
            assert all(parent.row == box.row - 1 for parent in box.parents)


def test_a_long_graph_folds_where_all_goes_through_one_layer():
    x = inputs = Input((8, 8, 3))
    for _ in range(5):
        y = L.Conv2D(3, 3, padding="same")(x)
        x = L.Add()([L.Conv2D(3, 3, padding="same")(y), x])
    rows = layout(boxes_of(Model(inputs, x)))
    parts = fold(rows, 3)
    assert [box for part in parts for row in part for box in row] == [b for r in rows for b in r]
    assert [len(part) for part in parts] == [4, 6, 6]
    for before in parts[:-1]:
        assert len(before[-1]) == 1
    assert fold(rows, 1) == [rows]


def test_a_folded_plot_is_lower_and_wider(tmp_path):
    from PIL import Image

    model = Sequential([Input((4,)), *[L.Dense(4) for _ in range(11)]])
    plot(model.to_graph(), str(tmp_path / "long.png"))
    plot(model.to_graph(), str(tmp_path / "folded.png"), columns=3, dpi=50)
    sizes = []
    for name in ("long", "folded"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            sizes.append(picture.size)
    long, folded = sizes
    assert folded[0] == pytest.approx(long[0], abs=3)  # three times as wide, a third of the dots
    assert folded[1] == pytest.approx(long[1] / 9, abs=3)


def test_mermaid():
    x = Input((4,))
    assert Model(x, L.Dense(3)(x)).mermaid() == (
        'flowchart TD\n    n0["input<br/>Input<br/>(None, 4)"]\n'
        '    n1["dense<br/>Dense<br/>(None, 3)"]\n    n0 --> n1')
    assert Sequential([Input((4,)), L.Dense(3)]).mermaid().count("-->") == 1
