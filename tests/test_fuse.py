"""Fused layers and ops: the same results as layer by layer, and nobody can see the difference."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest

from minidl import Input, Model, Module, Sequential, Tensor, dispatch, no_grad
from minidl.autograd import functional as F  # noqa: N812
from minidl.backend.memory import pool
from minidl.errors import NotFiniteError
from minidl.nn import deserialize, fuse, layers, serialize
from minidl.testing.result_checks import distance
from minidl.train.inspect import trace_nan

DTYPES = ("float32", "float64")
BOUNDS = {"float32": 1e-5, "float64": 1e-12}


@contextmanager
def op_names() -> Iterator[list[str]]:
    """Collect the names of the ops that run inside the block."""
    names: list[str] = []

    def note(call: dispatch.Call, compute: Callable[[], None]) -> None:
        names.append(call.plan.op.name)
        compute()

    with dispatch.hook(note):
        yield names


def ops_of(model: Module, x: Any) -> list[str]:
    with op_names() as names:
        model(x)
    return names


@contextmanager
def layer_by_layer(model: Module) -> Iterator[None]:
    """Let a hook look at every layer inside the block, so that nothing is fused."""
    removers = [m.register_forward_hook(lambda *_: None) for m in model.modules()]
    try:
        yield
    finally:
        for remove in removers:
            remove()


# ---- models, and what they run ---------------------------------------------------------------


def _chain(shape: tuple[int, ...], *parts: Any) -> Model:
    x = y = Input(shape)
    for part in parts:
        y = part(y)
    return Model(x, y)


def _relu() -> Module:
    return layers.Activation("relu", name="act")


def _residual() -> Model:
    x = Input((6, 6, 3))
    y = layers.Conv2D(3, 3, padding="same")(x)
    return Model(x, _relu()(layers.Add(name="add")([x, y])))


def _shortcut(project: bool) -> Model:
    """Return conv(bn(conv(conv(x)) + x)), or with a convolution of x in the place of the last x."""
    x = Input((6, 6, 3))
    y = layers.Conv2D(3, 1)(layers.Conv2D(4, 3, padding="same")(x))
    more = layers.Conv2D(3, 3, padding="same", use_bias=False, name="project")(x) if project else x
    total = layers.Add(name="add")([y, more])
    return Model(x, layers.Conv2D(2, 1)(layers.BatchNormalization()(total)))


MODELS: dict[str, tuple[Callable[[], Model], str]] = {
    "conv2d": (lambda: _chain((6, 7, 3), layers.Conv2D(4, 3), _relu()), "conv2d_relu"),
    "conv2d without bias": (lambda: _chain((6, 7, 3), layers.Conv2D(4, 3, use_bias=False),
                                           layers.ReLU()), "conv2d_relu"),
    "depthwise": (lambda: _chain((6, 7, 3), layers.DepthwiseConv2D(3), _relu()), "conv2d_relu"),
    "conv1d": (lambda: _chain((9, 3), layers.Conv1D(4, 3, strides=2), _relu()), "conv1d_relu"),
    "dense": (lambda: _chain((7,), layers.Dense(5), _relu()), "linear_relu"),
    "batch norm": (lambda: _chain((4, 5, 3), layers.BatchNormalization(), _relu()),
                   "batch_norm_relu"),
    "batch norm alone": (lambda: _chain((5,), layers.BatchNormalization(
        center=False, scale=False, epsilon=2e-5), layers.ReLU()), "batch_norm_relu"),
    "sum": (_residual, "add_relu"),
    "conv, batch norm": (lambda: _chain(
        (6, 7, 3), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(),
        _relu(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)), "batch_norm_relu"),
}


def _drawn(model: Model, dtype: str, seed: int) -> Tensor:
    shape = (5, *model.input_shape[1:])
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return Tensor(values, requires_grad=True)


def _run(model: Model, x: Tensor, training: bool) -> dict[str, np.ndarray]:
    """Return output, gradients and moving statistics of one run; the model stays as it was."""
    before = model.state_dict()
    model.train(training)
    y = model(x)
    y.backward(np.random.default_rng(7).standard_normal(y.shape).astype(y.dtype))
    tensors = {"x": x, **model.named_parameters()}
    found = {"output": y.array, **{f"gradient of {n}": t.grad.array for n, t in tensors.items()},
             **{n: t.array.copy() for n, t in model.named_buffers().items()}}
    for tensor in tensors.values():
        tensor.zero_grad()
    model.load_state_dict(before)
    return found


def _scatter(model: Model, seed: int) -> None:
    """Give all weights and moving statistics values that are neither 0 nor 1."""
    rng = np.random.default_rng(seed)
    for name, value in model.state_dict().items():
        drawn = rng.standard_normal(value.shape)
        model.load_state_dict({name: np.abs(drawn) + 0.5 if "variance" in name else drawn},
                              strict=False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_fused_equals_layer_by_layer(name: str, dtype: str, training: bool) -> None:
    model = MODELS[name][0]().astype(dtype)
    _scatter(model, 1)
    x = _drawn(model, dtype, 2)
    fused = _run(model, x, training)
    with layer_by_layer(model):
        apart = _run(model, x, training)
    assert fused.keys() == apart.keys()
    for what, value in apart.items():
        assert distance(fused[what], value) <= BOUNDS[dtype], what


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("project", [True, False])
def test_a_convolution_adds_the_shortcut(project: bool, dtype: str, training: bool) -> None:
    model = _shortcut(project).astype(dtype)
    _scatter(model, 1)
    x = _drawn(model, dtype, 2)
    with op_names() as names:
        fused = _run(model, x, training)
    assert names.count("conv2d_add") == 1
    with layer_by_layer(model), op_names() as names:
        apart = _run(model, x, training)
    assert "conv2d_add" not in names
    for what, value in apart.items():
        assert distance(fused[what], value) <= BOUNDS[dtype], what


def test_the_later_of_two_convolutions_adds() -> None:
    model = _shortcut(project=True)
    seen: list[str] = []
    model.get_layer("project").register_forward_hook(lambda *_: seen.append("project"))
    assert "add" in ops_of(model, _drawn(model, "float32", 3))  # the hook parts it from the sum
    assert seen == ["project"]


def test_what_a_shortcut_held_goes_when_it_was_added() -> None:
    alive: list[bool] = []
    x = Input((6, 6, 3))
    inner = layers.Conv2D(3, 1, name="inner")(x)
    total = layers.Add()([layers.Conv2D(3, 3, padding="same")(inner), inner])
    model = Model(x, layers.Activation("tanh", name="last")(total))
    held: list[Any] = []
    model.get_layer("inner").register_forward_hook(
        lambda _, __, y: held.append(weakref.ref(y)))
    model.get_layer("last").register_forward_pre_hook(
        lambda *_: alive.append(held[0]() is not None))
    with no_grad():
        names = ops_of(model, np.zeros((1, 6, 6, 3), "float32"))
    assert names == ["conv2d", "conv2d_add", "tanh"]
    assert alive == [False]


# ---- a few samples at a time -----------------------------------------------------------------


def _pooled(pooling: Module, chain: bool = False) -> Any:
    x, conv = Input((40, 40, 3)), layers.Conv2D(8, 3, activation="relu", name="conv")
    if chain:
        return Sequential([x, conv, pooling, layers.Flatten()])
    return Model(x, layers.Flatten()(pooling(conv(x))))


@pytest.mark.parametrize("chain", [True, False])
@pytest.mark.parametrize("samples", [1, 3, 7])
@pytest.mark.parametrize("pooling", [layers.MaxPooling2D(2), layers.AveragePooling2D(3, strides=2)])
def test_without_gradients_large_results_are_pooled_sample_by_sample(
        pooling: Module, samples: int, chain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    one = 38 * 38 * 8 * 4
    monkeypatch.setattr(fuse, "SLICE", one * samples)
    model = _pooled(type(pooling)(pooling.pool_size, pooling.strides), chain)
    model.eval()
    x = np.random.default_rng(3).standard_normal((14, 40, 40, 3)).astype("float32")
    peaks, results = [], []
    for apart in (True, False):
        with layer_by_layer(model) if apart else nullcontext(), no_grad(), op_names() as names:
            pool.reset_peak()
            before = pool.taken
            results.append(model(x).numpy())
            peaks.append(pool.peak - before)
        assert names.count("conv2d_relu") == (1 if apart else -(-14 // samples))
    np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-6)
    assert peaks[1] < peaks[0] - 5 * one


def test_small_batches_and_calls_with_gradients_are_pooled_whole() -> None:
    model = _pooled(layers.MaxPooling2D(2))
    x = np.zeros((4, 40, 40, 3), "float32")
    model.eval()
    with no_grad():
        assert ops_of(model, x).count("conv2d_relu") == 1  # less than two slices
    pair, = [p for p in model._pairs.values() if p.samples]
    assert pair.samples == fuse.SLICE // (38 * 38 * 8 * 4)
    large = np.zeros((2 * pair.samples, 40, 40, 3), "float32")
    assert ops_of(model, large).count("conv2d_relu") == 1
    with no_grad():
        assert ops_of(model, large).count("conv2d_relu") == 2


@pytest.mark.parametrize("name", MODELS)
def test_what_runs(name: str) -> None:
    make, op = MODELS[name]
    model = make()
    x = _drawn(model, "float32", 3)
    names = ops_of(model, x)
    assert op in names and "relu" not in names
    model.eval()
    names = ops_of(model, x)
    assert op.replace("batch_norm_relu", "batch_norm_inference_relu") in names
    assert "relu" not in names
    with layer_by_layer(model):
        assert "relu" in ops_of(model, x)


RELU6 = {"by name": lambda: layers.Activation("relu6"), "by value": lambda: layers.ReLU(6)}


@pytest.mark.parametrize("end", RELU6)
@pytest.mark.parametrize("first", [layers.Conv2D, layers.DepthwiseConv2D])
def test_a_convolution_ends_in_relu6(first: Any, end: str) -> None:
    model = _chain((9, 8, 16), first(3) if first is layers.DepthwiseConv2D else first(12, 3),
                   RELU6[end]())
    _scatter(model, 1)
    x = _drawn(model, "float32", 3)
    names, y = ops_of(model, x), model(x).numpy()
    assert "conv2d_relu6" in names and not {"clip", "minimum"} & set(names)
    assert (y == 6).mean() > 0.005 and (y == 0).mean() > 0.005
    fused = _run(model, x, training=True)
    with layer_by_layer(model):
        for what, value in _run(model, x, training=True).items():
            assert distance(fused[what], value) <= BOUNDS["float32"], what


@pytest.mark.parametrize("end", RELU6)
def test_a_folded_convolution_ends_in_relu6(end: str) -> None:
    model = _chain((9, 8, 3), layers.Conv2D(16, 3, use_bias=False), layers.BatchNormalization(),
                   RELU6[end](), layers.Flatten(), layers.Dense(2))
    x = _drawn(model, "float32", 3)
    model(x)
    model.eval()
    with no_grad():
        names, y = ops_of(model, x), model(x).numpy()
        assert "conv2d_relu6" in names and not {"clip", "minimum"} & set(names)
        with layer_by_layer(model):
            assert distance(model(x).numpy(), y) <= BOUNDS["float32"]


# ---- who looks at an inner value gets it -----------------------------------------------------


def _two() -> Model:
    return _chain((5, 5, 2), layers.Conv2D(3, 3, name="conv"), _relu())


@pytest.mark.parametrize("place", ["conv", "act"])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_parts_two_layers_until_it_goes(kind: str, place: str) -> None:
    model, seen = _two(), []
    x = _drawn(model, "float32", 4)
    remove = getattr(model.get_layer(place), kind)(lambda *given: seen.append(given))
    assert ops_of(model, x) == ["conv2d", "relu"]
    assert len(seen) == 1
    remove()
    assert ops_of(model, x) == ["conv2d_relu"]
    assert len(seen) == 1


def test_a_hook_sees_and_replaces_the_inner_value() -> None:
    model = _two()
    x = _drawn(model, "float32", 5)
    whole = model(x).numpy().copy()
    inner: list[np.ndarray] = []

    def negate(module: Module, inputs: Any, y: Tensor) -> Tensor:
        inner.append(y.numpy().copy())
        return -y

    model.get_layer("conv").register_forward_hook(negate)
    negated = model(x).numpy()
    assert inner[0].min() < 0
    np.testing.assert_allclose(np.maximum(inner[0], 0), whole, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.maximum(-inner[0], 0), negated, rtol=1e-6, atol=1e-6)


def test_up_to_an_inner_node_and_a_model_that_returns_it() -> None:
    model = _two()
    x = _drawn(model, "float32", 6)
    inner = model.up_to("conv")(x)
    both = model.up_to("conv", "act")
    assert ops_of(both, x) == ["conv2d", "relu"]
    assert inner.numpy().min() < 0
    np.testing.assert_array_equal(both(x)[0].numpy(), inner.numpy())
    np.testing.assert_allclose(model(x).numpy(), np.maximum(inner.numpy(), 0), atol=1e-6)


def _not_to_be_fused() -> dict[str, Model]:
    class Doubled(layers.Dense):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    def twice_used() -> Model:
        x = Input((4,))
        y = layers.Dense(4)(x)
        return Model(x, layers.Concatenate()([_relu()(y), y]))

    def shared_product() -> Model:
        x, dense = Input((4,)), layers.Dense(4)
        return Model(x, _relu()(dense(dense(x))))

    def shared_relu() -> Model:
        x, relu = Input((4,)), _relu()
        return Model(x, relu(layers.Dense(4)(relu(layers.Dense(4)(x)))))

    return {"two consumers": twice_used(), "shared dense": shared_product(),
            "shared relu": shared_relu(), "derived class": _chain((4,), Doubled(3), _relu()),
            "own activation": _chain((4,), layers.Dense(3, activation="tanh"), _relu()),
            "other activation": _chain((4,), layers.Dense(3), layers.Activation("tanh")),
            "relu6": _chain((4,), layers.Dense(3), layers.ReLU(max_value=6)),
            "leaky": _chain((4,), layers.Dense(3), layers.ReLU(negative_slope=0.1)),
            "threshold": _chain((4,), layers.Dense(3), layers.ReLU(threshold=0.5)),
            "dropout": _chain((4,), layers.Dropout(0.5), _relu())}


@pytest.mark.parametrize("name", _not_to_be_fused())
def test_what_is_left_apart(name: str) -> None:
    model = _not_to_be_fused()[name]
    names = ops_of(model, _drawn(model, "float32", 8))
    assert not [n for n in names if n in ("linear_relu", "add_relu")], names


def test_an_activation_that_is_changed_later_counts() -> None:
    model = _two()
    x = _drawn(model, "float32", 9)
    model.get_layer("conv").activation = F.tanh
    assert ops_of(model, x) == ["conv2d", "tanh", "relu"]
    model.get_layer("conv").activation = F.relu
    assert ops_of(model, x) == ["conv2d_relu", "relu"]


# ---- the model stays as it is written --------------------------------------------------------


def test_names_config_summary_and_files_do_not_know() -> None:
    model = MODELS["conv, batch norm"][0]().eval()
    x = _drawn(model, "float32", 10)
    with layer_by_layer(model):
        model(x)
    before, lines = serialize(model), []
    y = model(x).numpy()
    assert serialize(model) == before
    assert list(model.named_children()) == ["conv2d", "batch_normalization", "act", "max_pooling2d",
                                            "flatten", "dense"]
    model.summary(print_fn=lines.append)
    assert [name in "".join(lines) for name in model.named_children()] == [True] * 6
    again = deserialize(before)
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again.eval()(x).numpy(), y)


def test_errors_name_the_layer_of_the_product() -> None:
    model = _two()
    x = _drawn(model, "float32", 11)
    model.get_layer("conv").kernel.assign(np.nan)
    with trace_nan(), pytest.raises(NotFiniteError, match=r'layer "conv" \(Conv2D\), conv2d_relu'):
        model(x)
    model.get_layer("conv").kernel.assign(1.0)
    y = model(x)
    assert y.node.place == 'layer "conv" (Conv2D)'
    with trace_nan(), pytest.raises(NotFiniteError, match='backward of conv2d_relu'):
        y.backward(np.full(y.shape, np.inf))


def test_frozen_layers() -> None:
    model = MODELS["conv, batch norm"][0]()
    x = Tensor(_drawn(model, "float32", 12).numpy())
    model.get_layer("conv2d").trainable = False
    model.get_layer("batch_normalization").trainable = False
    before = model.state_dict()
    names = ops_of(model, x)
    assert "batch_norm_inference_relu" in names and "move_statistics" not in names
    y = model(x)
    y.backward(np.ones(y.shape))
    given = {name for name, p in model.named_parameters().items() if p.grad is not None}
    assert given == {"dense/kernel", "dense/bias"}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


# ---- chains ----------------------------------------------------------------------------------


def _layers() -> list[Module]:
    return [layers.Conv2D(3, 3), layers.BatchNormalization(), layers.ReLU(), layers.Flatten(),
            layers.Dense(4), layers.Activation("relu")]


@pytest.mark.parametrize("known", [True, False])
def test_sequential(known: bool) -> None:
    model = Sequential(([Input((5, 5, 2))] if known else []) + _layers())
    x = Tensor(np.random.default_rng(13).standard_normal((4, 5, 5, 2)).astype("float32"))
    model(x)  # builds it
    assert ops_of(model, x) == ["conv2d", "batch_norm_relu", "move_statistics", "linear_relu"]
    model.eval()
    fused = model(x).numpy()
    with layer_by_layer(model):
        np.testing.assert_allclose(model(x).numpy(), fused, rtol=1e-5, atol=1e-6)
    model.pop()
    assert ops_of(model, x)[-1] == "linear"


def test_sequential_with_a_layer_that_comes_twice() -> None:
    relu = layers.ReLU()
    model = Sequential([layers.Dense(4), relu, layers.Dense(4), relu])
    x = Tensor(np.ones((2, 3), "float32"))
    model(x)
    assert ops_of(model, x) == ["linear", "relu", "linear", "relu"]


# ---- layers and functions --------------------------------------------------------------------

X4 = (3, 6, 5, 4)
LAYERS: dict[str, tuple[Callable[..., Module], tuple[int, ...], int, str]] = {
    "Conv2D": (lambda **a: layers.Conv2D(3, 3, **a), X4, 1, "conv2d_relu"),
    "DepthwiseConv2D": (lambda **a: layers.DepthwiseConv2D(3, **a), X4, 1, "conv2d_relu"),
    "Conv1D": (lambda **a: layers.Conv1D(3, 3, **a), (3, 6, 4), 1, "conv1d_relu"),
    "Dense": (lambda **a: layers.Dense(3, **a), X4, 1, "linear_relu"),
    "BatchNormalization": (lambda **a: layers.BatchNormalization(**a), X4, 1, "batch_norm_relu"),
    "Add": (lambda **a: layers.Add(**a), X4, 3, "add_relu"),
    "Add of one": (lambda **a: layers.Add(**a), X4, 1, "relu"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_with_relu_use_the_fused_ops(name: str) -> None:
    make, shape, count, op = LAYERS[name]
    rng = np.random.default_rng(14)
    given = [Tensor(rng.standard_normal(shape).astype("float32")) for _ in range(count)]
    x: Any = given if name.startswith("Add") else given[0]
    plain, with_relu = make(), make(activation="relu")
    y = plain(x)
    with_relu(x)
    with_relu.load_state_dict(plain.state_dict())
    assert op in ops_of(with_relu, x)
    np.testing.assert_allclose(with_relu(x).numpy(), np.maximum(y.numpy(), 0), rtol=1e-5, atol=1e-6)
    assert with_relu.get_config()["activation"] == "relu"


def _tensors(shapes: tuple[Any, ...], dtype: str) -> list[Tensor | None]:
    rng = np.random.default_rng(15)
    return [None if s is None else Tensor(rng.standard_normal(s).astype(dtype), requires_grad=True)
            for s in shapes]


FUNCTIONS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "conv2d": (((2, 6, 5, 3), (3, 3, 3, 4), (4,)), {"padding": "same", "stride": 2}),
    "conv1d": (((2, 9, 3), (3, 3, 4), None), {"dilation": 2}),
    "linear": (((5, 4), (4, 3), (3,)), {}),
    "batch_norm": (((5, 4, 3), (3,), (3,)), {"epsilon": 1e-5}),
    "add": (((5, 4), (5, 4)), {}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_equal_the_composition(name: str, dtype: str) -> None:
    shapes, options = FUNCTIONS[name]
    outcomes = []
    for fused in (True, False):
        tensors = _tensors(shapes, dtype)
        y = getattr(F, f"{name}_relu" if fused else name)(*tensors, **options)
        y = y[0] if isinstance(y, tuple) else y
        y = y if fused else F.relu(y)
        y.backward(np.random.default_rng(16).standard_normal(y.shape).astype(dtype))
        outcomes.append([y.array, *(t.grad.array for t in tensors if t is not None)])
    for got, wanted in zip(*outcomes, strict=True):
        assert distance(got, wanted) <= BOUNDS[dtype]


def test_both_terms_of_a_sum_get_a_gradient_of_their_own() -> None:
    a, b = (Tensor(np.ones(4, "float32"), requires_grad=True) for _ in range(2))
    y = F.add_relu(a, b)
    with op_names() as names:
        y.backward(np.ones(4, "float32"))
    assert names.count("relu_gradient_x") == 1  # the work is shared, the result is not
    a.grad.assign(5.0)
    np.testing.assert_array_equal(b.grad.numpy(), 1)


def test_a_sum_of_other_shapes_is_broadcast() -> None:
    y = F.add_relu(np.ones((2, 3), "float32"), np.array([-2.0, 0.0, 1.0], "float32"))
    assert y.tolist() == [[0, 1, 2]] * 2


def test_batch_norm_relu_keeps_nothing_of_the_size_of_x_but_x() -> None:
    x = Tensor(np.random.default_rng(17).standard_normal((50, 8)).astype("float32"),
               requires_grad=True)
    y, _, _ = F.batch_norm_relu(x)
    large = [n for n, kept in y.node.saved.items() if kept is not None and kept.array.size > 8]
    assert large == ["x"]


# ---- normalisation by the convolution before it ------------------------------------------------


def _normalising(kind: str, bias: bool, dtype: str) -> Model:
    """Return a network whose convolutions are all normalised, with drawn statistics."""
    rng, options = np.random.default_rng(), {"use_bias": bias, "padding": "same", "dtype": dtype}
    conv = {"conv2d": lambda: layers.Conv2D(6, 3, **options),
            "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, **options),
            "grouped": lambda: layers.Conv2D(6, 3, groups=3, **options),
            "conv1d": lambda: layers.Conv1D(6, 3, **options)}[kind]
    x = Input((40, 6) if kind == "conv1d" else (9, 8, 6), dtype=dtype)
    y = layers.BatchNormalization(scale=bias, dtype=dtype)(conv()(x))
    y = layers.ReLU()(layers.BatchNormalization(dtype=dtype)(conv()(y)))
    y = layers.BatchNormalization(center=bias, activation="tanh", dtype=dtype)(conv()(y))
    shortcut = y
    y = layers.BatchNormalization(dtype=dtype)(layers.Conv2D(y.shape[-1], 1, dtype=dtype)(y)
                                               if kind != "conv1d" else
                                               layers.Conv1D(6, 1, dtype=dtype)(y))
    model = Model(x, layers.Add()([y, shortcut]))
    for path, tensor in {**model.named_parameters(), **model.named_buffers()}.items():
        low = 0.5 if path.endswith(("variance", "gamma")) else -0.5
        tensor.assign(rng.uniform(low, low + 1, tensor.shape).astype(dtype))
    return model


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["conv2d", "depthwise", "grouped", "conv1d"])
def test_convolutions_normalise_without_gradients(kind: str, bias: bool, dtype: str) -> None:
    model = _normalising(kind, bias, dtype).eval()
    shape = (4, *model.input_shape[1:])
    x = Tensor(np.random.default_rng().standard_normal(shape).astype(dtype))
    with no_grad():
        with layer_by_layer(model):
            wanted = model(x).numpy()
        with op_names() as names:
            y = model(x).numpy()
    assert distance(y, wanted) < BOUNDS[dtype]
    assert not [name for name in names if "batch_norm" in name]
    added = "conv2d_add" if kind != "conv1d" else "add"
    assert [n for n in names if n.startswith("conv") and "relu" in n] and added in names
    assert [name for name in ops_of(model, x) if "batch_norm" in name]  # with gradients


@pytest.mark.parametrize("known", [True, False])
def test_a_sequential_normalises_likewise(known: bool) -> None:
    first = [Input((9, 8, 3))] if known else []
    model = Sequential([*first, layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(),
                        layers.Conv2D(4, 3), layers.BatchNormalization()])
    x = np.random.default_rng().standard_normal((20, 9, 8, 3)).astype("float32")
    model.train()
    model(x)
    model.eval()
    with no_grad():
        assert ops_of(model, x)[-1] == "conv2d"
        y = model(x).numpy()
        with layer_by_layer(model):
            assert distance(y, model(x).numpy()) < 1e-5


def test_what_is_not_folded() -> None:
    model = _normalising("conv2d", True, "float32").eval()
    x = np.random.default_rng().standard_normal((4, 9, 8, 6)).astype("float32")
    norm = next(m for m in model.layers if type(m) is layers.BatchNormalization)

    def norms(x: np.ndarray) -> int:
        with no_grad():
            return sum("batch_norm" in name for name in ops_of(model, x))

    assert norms(x) == 0
    remove = norm.register_forward_hook(lambda *_: None)
    assert norms(x) == 1
    remove()
    norm.train()
    assert norms(x) == 1
    norm.trainable = False
    assert norms(x) == 0  # frozen: statistics are the moving ones
    wide = Sequential([Input((2, 2, 6)), layers.Conv2D(90, 2), layers.BatchNormalization()]).eval()
    with no_grad():  # fewer elements than the kernel has
        assert "batch_norm_inference" in ops_of(wide, x[:1, :2, :2])
        assert distance(wide(x[:1, :2, :2]).numpy(),
                        wide.layers[1](wide.layers[0](x[:1, :2, :2])).numpy()) < 1e-5
