"""Convolutions that write side by side what is joined: the same results, and nothing is copied."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from test_fuse import BOUNDS, DTYPES, layer_by_layer, op_names

from minidl import Input, Model, Tensor, dispatch, empty, no_grad
from minidl.autograd import functional as F  # noqa: N812
from minidl.backend.memory import pool
from minidl.errors import ArgumentError, AutogradError
from minidl.models import minigooglenet, squeezenet
from minidl.nn import layers
from minidl.testing.result_checks import distance

RNG = np.random.default_rng(1)


def _conv(filters: int, size: int, **options: Any) -> layers.Conv2D:
    return layers.Conv2D(filters, size, padding="same", bias_initializer="normal", **options)


def _model(*branches: Callable[[Any], Any], then: Any = None) -> Model:
    """Return a model that joins what some branches make of images of 9 x 8 pixels."""
    x = Input((9, 8, 16))
    y = layers.Concatenate(name="join")([branch(x) for branch in branches])
    return Model(x, then(y) if then else y)


def _normalised(x: Any) -> Any:
    return layers.ReLU()(layers.BatchNormalization()(_conv(7, 3, use_bias=False)(x)))


def _pooled(x: Any) -> Any:
    return layers.MaxPooling2D(3, 1, "same")(x)


def _relu(filters: int, size: int) -> Callable[[Any], Any]:
    return lambda x: _conv(filters, size, activation="relu")(x)


MODELS: dict[str, tuple[Callable[[], Model], int]] = {
    "1x1 and 3x3": (lambda: _model(_relu(16, 1), _relu(24, 3)), 0),
    "5x5, few": (lambda: _model(_relu(3, 5), _relu(1, 1)), 0),
    "with strides and groups": (lambda: _model(
        _conv(8, 3, strides=2, groups=2), _conv(5, 3, strides=2, activation="relu6")), 0),
    "normalised": (lambda: _model(_normalised, _relu(9, 3), then=_conv(4, 1)), 0),
    "a pool": (lambda: _model(_relu(9, 3), _pooled), 1),
    "an activation of another kind": (lambda: _model(_conv(6, 3, activation="tanh"),
                                                     _relu(5, 1)), 1),
    "a relu of its own": (lambda: _model(lambda x: layers.ReLU()(_conv(6, 3)(x)),
                                         _relu(5, 1)), 0),
    "depthwise": (lambda: _model(lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
                                 _relu(8, 1)), 1),
    "joined twice": (lambda: _model(_relu(4, 1), lambda x: layers.Concatenate()(
        [_relu(5, 3)(x), _relu(6, 1)(x)])), 1),
}


def _drawn(model: Model, dtype: str, samples: int = 6) -> np.ndarray:
    return RNG.standard_normal((samples, *model.input_shape[1:])).astype(dtype)


def _settled(model: Model, dtype: str) -> Model:
    """Return the model in use, its normalisation's statistics neither 0 nor 1."""
    model.astype(dtype).train()
    for _ in range(3):
        model(2 * _drawn(model, dtype) + 1)
    return model.eval()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_equals_layer_by_layer(name: str, dtype: str) -> None:
    make, copies = MODELS[name]
    model = _settled(make(), dtype)
    x = _drawn(model, dtype)
    with no_grad():
        with op_names() as names:
            joined = model(x)
        with layer_by_layer(model):
            apart = model(x)
    assert joined.array.flags.c_contiguous and joined.dtype == apart.dtype
    assert distance(joined.numpy(), apart.numpy()) <= BOUNDS[dtype]
    assert "concat" not in names[-1 - copies:] and names.count("copy") == copies


@pytest.mark.parametrize("network", [squeezenet, minigooglenet])
def test_a_network_joins_without_copies(network: Callable[..., Model]) -> None:
    model = network((64, 64, 3), classes=5)
    model(_drawn(model, "float32", 1))
    model.eval()
    x = _drawn(model, "float32", 3)
    with no_grad():
        with op_names() as names:
            y = model(x).numpy()
        with layer_by_layer(model):
            apart = model(x).numpy()
    assert "concat" not in names
    assert distance(y, apart) <= BOUNDS["float32"]


def test_joining_takes_no_memory_of_its_own() -> None:
    model = MODELS["1x1 and 3x3"][0]()
    x, peaks = _drawn(model, "float32", 40), []
    for whole in (True, False):
        with no_grad(), nullcontext() if whole else layer_by_layer(model):
            pool.reset_peak()
            before = pool.taken
            y = model(x)
            peaks.append(pool.peak - before)
    assert peaks[0] < peaks[1] - 0.8 * y.array.nbytes


def test_with_gradients_nothing_is_written_in_place() -> None:
    model = MODELS["1x1 and 3x3"][0]()
    x = Tensor(_drawn(model, "float32"), requires_grad=True)
    with op_names() as names:
        model(x).sum().backward()
    assert "concat" in names and x.grad is not None


def test_a_result_that_others_take_keeps_its_own_memory() -> None:
    x = Input((9, 8, 16))
    one, two = _relu(4, 1)(x), _relu(5, 3)(x)
    model = Model(x, [layers.Concatenate()([one, two]), one])
    with no_grad(), op_names() as names:
        whole, part = model(_drawn(model, "float32"))
    assert names.count("copy") == 1 and part.array.flags.c_contiguous
    np.testing.assert_array_equal(whole.numpy()[..., :4], part.numpy())


@pytest.mark.parametrize("which", ["join", 0])
def test_who_hooks_sees_whole_arrays(which: str | int) -> None:
    model = MODELS["1x1 and 3x3"][0]()
    seen: list[Tensor] = []
    model.get_layer(which).register_forward_hook(lambda _, __, y: seen.append(y))
    x = _drawn(model, "float32")
    with no_grad():
        y = model(x)
        model(x + 1)
    assert seen[0].array.flags.c_contiguous
    np.testing.assert_array_equal(y.numpy()[..., :seen[0].shape[-1]], seen[0].numpy())


def test_sizes_that_are_not_known_before_are_joined_as_ever() -> None:
    x = Input((None, None, 3))
    model = Model(x, layers.Concatenate()([_relu(4, 1)(x), _relu(5, 3)(x)]))
    with no_grad(), op_names() as names:
        assert model(np.zeros((2, 5, 6, 3), "float32")).shape == (2, 5, 6, 9)
    assert "concat" in names


def test_inputs_of_two_types_are_joined_as_ever() -> None:
    x, other = Input((9, 8, 16)), Input((9, 8, 2))
    model = Model([x, other], layers.Concatenate()([_relu(4, 1)(x), other]))
    images, more = RNG.standard_normal((2, 9, 8, 16), "float32"), np.ones((2, 9, 8, 2))
    with no_grad():
        y = model([images, more])
        with layer_by_layer(model):
            apart = model([images, more])
    assert y.dtype == apart.dtype
    np.testing.assert_array_equal(y.numpy(), apart.numpy())


# ---- out= ----------------------------------------------------------------------------------


def test_out_is_a_tensor_or_a_part_of_one() -> None:
    x, w = (Tensor(RNG.standard_normal(s).astype("f4")) for s in ((2, 6, 6, 4), (3, 3, 4, 8)))
    wide, pooled = empty((2, 4, 4, 11)), empty((2, 3, 3, 4))
    with no_grad():
        y = F.conv2d(x, w, out=wide[..., 2:10])
        assert F.max_pool2d(x, out=pooled) is pooled
        np.testing.assert_array_equal(y.numpy(), F.conv2d(x, w).numpy())
        np.testing.assert_array_equal(wide.numpy()[..., 2:10], y.numpy())
        np.testing.assert_array_equal(pooled.numpy(), F.max_pool2d(x).numpy())


@pytest.mark.parametrize("out", [empty((2, 4, 4, 16))[..., ::2], empty((2, 4, 5, 8))[:, :, :4],
                                 empty((2, 4, 4, 7)), empty((2, 4, 4, 8), "float64")])
def test_out_that_does_not_fit_is_refused(out: Tensor) -> None:
    with no_grad(), pytest.raises(ArgumentError, match="expected a writable, C-contiguous array"):
        F.conv2d(np.zeros((2, 6, 6, 4), "f4"), np.zeros((3, 3, 4, 8), "f4"), out=out)


def test_out_and_gradients_exclude_each_other() -> None:
    w = Tensor(np.zeros((3, 3, 4, 8), "f4"), requires_grad=True)
    with pytest.raises(AutogradError, match="conv2d: got out= for inputs that need gradients"):
        F.conv2d(np.zeros((2, 6, 6, 4), "f4"), w, out=empty((2, 4, 4, 8)))


def test_backward_sees_that_out_was_changed() -> None:
    x = Tensor(np.ones((1, 6, 6, 4), "f4"), requires_grad=True)
    y = (x * x).sum()
    with no_grad():
        F.conv2d(np.zeros((1, 6, 6, 4), "f4"), np.zeros((1, 1, 4, 4), "f4"), out=x)
    with pytest.raises(AutogradError, match="changed"):
        y.backward()


def test_a_kernel_that_writes_whole_arrays_only_is_copied() -> None:
    x, wide = RNG.standard_normal((3, 4)), np.zeros((3, 9))
    with op_names() as names:
        dispatch.run("exp", x, out=[wide[:, 1:5]])
    assert names == ["exp", "copy"]
    np.testing.assert_array_equal(wide[:, 1:5], np.exp(x))
    assert not wide[:, 0].any() and not wide[:, 5:].any()
