"""Shapes, axes and indices of any kind: the same results as NumPy's, and right gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl.autograd import functional as F  # noqa: N812 (its usual short name)
from minidl.autograd.tensor import Tensor
from minidl.errors import MinidlError
from minidl.testing import gradcheck
from minidl.testing.result_checks import distance

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
full = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)
pairs = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4)


def array(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def leaf(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return Tensor(array(shape, seed), requires_grad=True)


def agrees(ours: Tensor, wanted: Any, bound: float = 1e-12) -> None:
    wanted = np.asarray(wanted)
    assert ours.shape == wanted.shape
    assert distance(ours.data, wanted) <= bound


def right_gradients(function: Callable[..., Tensor], *inputs: Tensor) -> None:
    report = gradcheck(function, *inputs, directions=1)
    assert report.ok, str(report)


# ---- arithmetic ----------------------------------------------------------------------------

ARITHMETIC = [(F.add, np.add), (F.subtract, np.subtract), (F.multiply, np.multiply),
              (F.maximum, np.maximum), (F.minimum, np.minimum),
              (lambda a, b: F.divide(a, b * b + 1.0), lambda a, b: a / (b * b + 1))]


@pytest.mark.parametrize(("ours", "numpy"), ARITHMETIC)
@given(shapes=pairs)
def test_broadcast_arithmetic(ours: Callable, numpy: Callable, shapes: Any) -> None:
    a, b = (leaf(s, i) for i, s in enumerate(shapes.input_shapes))
    agrees(ours(a, b), numpy(a.data, b.data))
    right_gradients(ours, a, b)


@given(one=shapes, other=shapes)
def test_shapes_that_do_not_broadcast_are_refused(one: tuple, other: tuple) -> None:
    try:
        wanted = np.broadcast_shapes(one, other)
    except ValueError:
        with pytest.raises(MinidlError, match="add: got shapes"):
            leaf(one) + leaf(other)
    else:
        assert (leaf(one) + leaf(other)).shape == wanted


@given(shape=full, lead=st.lists(st.integers(1, 3), max_size=2), ones=st.data())
def test_broadcast_to(shape: tuple, lead: list[int], ones: st.DataObject) -> None:
    small = tuple(ones.draw(st.sampled_from([1, n])) for n in shape)
    x = leaf(small)
    agrees(F.broadcast_to(x, (*lead, *shape)), np.broadcast_to(x.data, (*lead, *shape)))
    right_gradients(lambda x: F.broadcast_to(x, (*lead, *shape)), x)


@given(lead=pairs, sizes=st.tuples(*[st.integers(1, 4)] * 3))
def test_matmul_of_stacks(lead: Any, sizes: tuple[int, int, int]) -> None:
    m, k, n = sizes
    a, b = leaf((*lead.input_shapes[0], m, k)), leaf((*lead.input_shapes[1], k, n), 1)
    agrees(a @ b, a.data @ b.data)
    right_gradients(F.matmul, a, b)


# ---- reductions ----------------------------------------------------------------------------

REDUCTIONS = [(F.sum, np.sum), (F.mean, np.mean), (F.var, np.var), (F.max, np.max), (F.min, np.min)]


@pytest.mark.parametrize(("ours", "numpy"), REDUCTIONS)
@given(shape=full, data=st.data(), keepdims=st.booleans())
def test_reductions(ours: Callable, numpy: Callable, shape: tuple, data: st.DataObject,
                    keepdims: bool) -> None:
    axis = data.draw(st.none() | hnp.valid_tuple_axes(len(shape)) | st.integers(-len(shape),
                                                                               len(shape) - 1))
    x = leaf(shape)
    agrees(ours(x, axis, keepdims), numpy(x.data, axis=axis, keepdims=keepdims))
    right_gradients(lambda x: ours(x, axis, keepdims), x)


@given(shape=full, data=st.data())
def test_sum_in_float32_loses_at_most_the_last_bit(shape: tuple, data: st.DataObject) -> None:
    x = array(shape).astype("float32") + np.float32(1000)
    axis = data.draw(st.integers(0, len(shape) - 1))
    exact = x.astype("float64").sum(axis)
    assert np.all(np.abs(F.sum(Tensor(x), axis).data - exact) <= 1.2e-7 * np.abs(exact))


@given(shape=full, data=st.data())
def test_argmax(shape: tuple, data: st.DataObject) -> None:
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    x = np.round(array(shape) * 2)  # with ties: the first counts
    agrees(F.argmax(Tensor(x), axis), np.argmax(x, axis))


@given(shape=full)
def test_softmax_adds_up_to_one(shape: tuple) -> None:
    x = leaf(shape)
    agrees(F.sum(F.softmax(x), -1), np.ones(shape[:-1]))
    agrees(F.exp(F.log_softmax(x)), F.softmax(x).data)
    agrees(F.softmax(x + 1000.0), F.softmax(x).data, 1e-9)


# ---- shape ---------------------------------------------------------------------------------


@given(shape=shapes, data=st.data())
def test_transpose(shape: tuple, data: st.DataObject) -> None:
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    x = leaf(shape)
    agrees(F.transpose(x, axes), np.transpose(x.data, axes))
    right_gradients(lambda x: F.transpose(x, axes), x)


@given(shape=shapes, data=st.data())
def test_reshape(shape: tuple, data: st.DataObject) -> None:
    x = leaf(shape)
    wanted = list(data.draw(st.permutations(shape)))
    if wanted and x.size and data.draw(st.booleans()):
        wanted[data.draw(st.integers(0, len(wanted) - 1))] = -1
    agrees(F.reshape(x, wanted), x.data.reshape(wanted))
    agrees(F.reshape(x.T, wanted), x.data.T.reshape(wanted))
    right_gradients(lambda x: F.reshape(x.T, wanted), x)


@given(shape=full, data=st.data())
def test_basic_index(shape: tuple, data: st.DataObject) -> None:
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    x = leaf(shape)
    agrees(x[index], x.data[index])
    right_gradients(lambda x: x[index], x)


@given(shape=full, data=st.data())
def test_integer_index(shape: tuple, data: st.DataObject) -> None:
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2)))
    x = leaf(shape)
    agrees(x[index], x.data[index])
    right_gradients(lambda x: x[index], x)


@given(shape=full, data=st.data())
def test_mixed_index(shape: tuple, data: st.DataObject) -> None:
    parts: list[Any] = [data.draw(st.one_of(
        st.integers(-n, n - 1), st.slices(n),
        hnp.arrays(np.int64, data.draw(st.integers(1, 3)), elements=st.integers(-n, n - 1))))
        for n in shape]
    x = leaf(shape)
    try:
        wanted = x.data[tuple(parts)]
    except IndexError:
        with pytest.raises(MinidlError):
            x[tuple(parts)]
        return
    agrees(x[tuple(parts)], wanted)
    right_gradients(lambda x: x[tuple(parts)], x)


@given(shape=full, data=st.data())
def test_mask(shape: tuple, data: st.DataObject) -> None:
    mask = data.draw(hnp.arrays(bool, shape))
    x = leaf(shape)
    agrees(x[mask], x.data[mask])
    right_gradients(lambda x: x[mask], x)


@given(shape=full, data=st.data(), count=st.integers(1, 4))
def test_concat_and_split(shape: tuple, data: st.DataObject, count: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    at = axis % len(shape)
    parts = [leaf((*shape[:at], n, *shape[at + 1:]), i) for i, n in enumerate(lengths)]
    whole = F.concat(parts, axis)
    agrees(whole, np.concatenate([p.data for p in parts], axis))
    for ours, wanted in zip(F.split(whole, lengths, axis), parts, strict=True):
        agrees(ours, wanted.data)
    right_gradients(lambda *p: F.concat(p, axis), *parts)


@given(shape=full, data=st.data(), count=st.integers(1, 3))
def test_stack(shape: tuple, data: st.DataObject, count: int) -> None:
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    parts = [leaf(shape, i) for i in range(count)]
    agrees(F.stack(parts, axis), np.stack([p.data for p in parts], axis))
    right_gradients(lambda *p: F.stack(p, axis), *parts)


@given(shape=full, data=st.data(), value=st.floats(-3, 3))
def test_pad(shape: tuple, data: st.DataObject, value: float) -> None:
    pads = [tuple(data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))) for _ in shape]
    x = leaf(shape)
    agrees(F.pad(x, pads, value), np.pad(x.data, pads, constant_values=value))
    right_gradients(lambda x: F.pad(x, pads, value), x)


# ---- layouts that NumPy makes --------------------------------------------------------------


@given(shape=full, data=st.data())
def test_any_view_computes_as_its_copy(shape: tuple, data: st.DataObject) -> None:
    """Steps, reversed axes, repeated elements: only the values count."""
    base = array(shape)
    index = data.draw(hnp.basic_indices(shape, min_dims=1))
    view = np.moveaxis(base[index], 0, -1)
    assume(view.ndim)
    repeated = np.broadcast_to(view, (2, *view.shape))
    for given_array in (view, repeated):
        one, other = Tensor(given_array), Tensor(given_array.copy())
        for function in (F.relu, F.gelu, F.exp, F.sum, F.softmax, lambda x: F.clip(x, -1, 1)):
            if given_array.size:
                agrees(function(one), function(other).data, 1e-14)


# ---- numbers of any size -------------------------------------------------------------------

wide = hnp.arrays("float32", st.integers(1, 8), elements=st.floats(-1e4, 1e4, width=32))


@pytest.mark.parametrize(("ours", "exact"), [
    (F.sigmoid, lambda x: 0.5 * (1 + np.tanh(x / 2))), (F.softplus, lambda x: np.logaddexp(0, x)),
    (F.tanh, np.tanh), (F.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    (lambda x: F.softmax(x), lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum()),
    (lambda x: F.log_softmax(x), lambda x: x - x.max() - np.log(np.exp(x - x.max()).sum()))])
@given(x=wide)
def test_stable_for_large_numbers(ours: Callable, exact: Callable, x: np.ndarray) -> None:
    y = ours(Tensor(x, requires_grad=True))
    assert np.all(np.isfinite(y.data))
    np.testing.assert_allclose(y.data, exact(x.astype("float64")), rtol=1e-5, atol=1e-5)
    y.backward(np.ones(y.shape, "float32"))


@given(x=wide, data=st.data())
def test_losses_are_stable_for_large_logits(x: np.ndarray, data: st.DataObject) -> None:
    logits = Tensor(x[None], requires_grad=True)
    label = data.draw(st.integers(0, len(x) - 1))
    (F.cross_entropy(logits, np.array([label])).sum()
     + F.binary_cross_entropy_with_logits(logits, np.ones((1, len(x)), "float32")).sum()).backward()
    assert np.all(np.isfinite(logits.grad.data))
