"""The tape and the tensor: graphs of every form, hooks, errors, memory, custom ops."""

from __future__ import annotations

import gc
import math
import operator
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import ties

from minidl import config, dispatch
from minidl.autograd import functional as F  # noqa: N812 (its usual short name)
from minidl.autograd.parameter import Parameter
from minidl.autograd.tape import apply, at_place, place
from minidl.autograd.tensor import Tensor, as_tensor
from minidl.backend.memory import pool
from minidl.errors import (
    ArgumentError,
    AutogradError,
    DeviceError,
    DTypeError,
    MinidlError,
    ShapeError,
)
from minidl.ops import registry
from minidl.ops.registry import Sample, jointly
from minidl.testing import check_op, gradcheck


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


# ---- graphs --------------------------------------------------------------------------------


def test_diamond() -> None:
    x = leaf(2.0)
    a = x * x
    y = a * 3.0 + a * a
    y.backward()
    assert x.grad.tolist() == [3 * 4 + 4 * 2**3]


def test_diamond_of_diamonds_is_linear_work() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2**60 paths
        y = y + y
    ran = []
    with dispatch.hook(lambda call, compute: (ran.append(call), compute())[1]):
        y.backward()
    assert x.grad.tolist() == [2.0**60] and len(ran) <= 130


def test_deep_chain_needs_no_recursion() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = -y
    y.backward()
    assert x.grad.tolist() == [1]
    del y
    gc.collect()  # tearing down a chain must not recurse either


def test_deep_chain_dropped_without_backward() -> None:
    y = leaf(1.0)
    for _ in range(50_000):
        y = -y
    del y


def test_one_leaf_used_many_times() -> None:
    x = leaf(3.0)
    (x * x * x + x / x + x).backward()
    assert x.grad.tolist() == pytest.approx([3 * 9 + 0 + 1])


def test_same_tensor_twice_in_one_op() -> None:
    x = leaf(1.0, 2.0)
    F.concat([x, x, x]).backward(np.arange(6.0))
    assert x.grad.tolist() == [0 + 2 + 4, 1 + 3 + 5]


def test_branch_that_needs_no_gradient_runs_nothing() -> None:
    x, fixed = leaf(1.0), Tensor(np.array([2.0]))
    inner = F.exp(fixed)
    y = x * inner
    assert inner.node is None and set(y.node.parents) == {0}
    y.backward()
    assert fixed.grad is None and not fixed.requires_grad


def test_integer_index_twice() -> None:
    x = leaf(1.0, 2.0, 3.0)
    x[np.array([0, 2, 0, 0])].backward(np.array([1.0, 10.0, 100.0, 1000.0]))
    assert x.grad.tolist() == [1101, 0, 10]


def test_boolean_index_and_list_index() -> None:
    x = leaf(1.0, 2.0, 3.0)
    (x[np.array([True, False, True])].sum() + x[[1, 1]].sum()).backward()
    assert x.grad.tolist() == [1, 2, 1]


def test_gradient_of_a_view_of_a_view() -> None:
    x = Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    x.T[1:3].reshape(-1)[2:4].sum().backward()
    expected = np.zeros((3, 4))
    expected.T[1:3].reshape(-1)
    expected[2, 1] = expected[0, 2] = 1
    assert np.array_equal(x.grad.data, expected)


def test_iteration_and_unpacking() -> None:
    x = leaf(2.0, 5.0)
    a, b = x
    (a * b).backward()
    assert x.grad.tolist() == [5, 2]


@pytest.mark.parametrize("name", ties.TIES)
def test_gradient_at_a_kink(name: str) -> None:
    found = ties.gradients(name, ties.TIES[name])
    for gradient, wanted in zip(found, ties.TIES[name].gradients, strict=True):
        assert gradient.tolist() == wanted
    assert ties.keeps(registry.get(name))


# ---- backward more than once ---------------------------------------------------------------


def test_second_backward_is_refused() -> None:
    x = leaf(2.0)
    y = F.square(x)
    y.backward()
    text = r"square: backward went .* freed what it had saved. Use backward\(retain_graph=True\)"
    with pytest.raises(AutogradError, match=text):
        y.backward()


def test_retain_graph() -> None:
    x = leaf(2.0)
    y = F.square(x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8]


def test_two_losses_over_one_trunk() -> None:
    x = leaf(2.0)
    trunk = F.square(x)
    (trunk * 3.0).backward(retain_graph=True)
    (trunk * 5.0).backward()
    assert x.grad.tolist() == [32]


def test_gradients_add_up_until_forgotten() -> None:
    x = leaf(2.0)
    for _ in range(3):
        F.square(x).backward()
    assert x.grad.tolist() == [12]
    x.zero_grad()
    assert x.grad is None


def test_adding_up_does_not_change_the_first_gradient() -> None:
    x = leaf(2.0)
    F.square(x).backward()
    first = x.grad
    F.square(x).backward()
    assert first.tolist() == [4] and x.grad.tolist() == [8]


def test_gradients_of_two_leaves_share_no_memory() -> None:
    a, b, gy = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    (a + b).backward(gy)
    arrays = [a.grad.data, b.grad.data, gy]
    for i, one in enumerate(arrays):
        assert one.flags.writeable and one.flags.c_contiguous
        assert not any(np.may_share_memory(one, other) for other in arrays[:i])


def test_gradient_of_a_sum_can_be_written_to() -> None:
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.grad.numpy()[0] = 5
    assert x.grad.tolist() == [5, 1]


def test_backward_of_a_leaf() -> None:
    x, gy = leaf(1.0, 2.0), np.array([3.0, 4.0])
    x.backward(gy)
    gy[:] = 0
    assert x.grad.tolist() == [3, 4]


def test_gradient_given_as_tensor_number_or_list() -> None:
    for gy in (Tensor(np.array([2.0])), [2.0], np.array([2], "float32")):
        x = leaf(3.0)
        F.square(x).backward(gy)
        assert x.grad.tolist() == [12] and x.grad.dtype == np.float64


# ---- switching recording off -------------------------------------------------------------------


def test_no_grad() -> None:
    x = leaf(1.0)
    with config.no_grad():
        y = x * 2.0
        with config.enable_grad():
            z = x * 2.0
    assert y.node is None and not y.requires_grad and z.requires_grad
    with pytest.raises(AutogradError, match="nothing here requires a gradient"):
        y.backward()


def test_no_grad_ends_with_an_error() -> None:
    with pytest.raises(KeyError), config.no_grad():
        raise KeyError
    assert config.grad_enabled()


def test_detach_shares_memory_and_stops_gradients() -> None:
    x = leaf(3.0)
    y = F.square(x)
    (y.detach() * x).backward()
    assert x.grad.tolist() == [9]
    assert np.may_share_memory(y.data, y.detach().data)


def test_backward_records_nothing() -> None:
    x = leaf(2.0)
    F.square(x).backward()
    assert x.grad.node is None and not x.grad.requires_grad


def test_integers_and_comparisons_need_no_gradient() -> None:
    x = leaf(2.0)
    for y in (x > 1.0, F.argmax(x), F.sign(x), x.astype("int64")):
        assert not y.requires_grad


# ---- hooks ---------------------------------------------------------------------------------


def test_hook_sees_and_replaces_the_gradient() -> None:
    x = leaf(3.0)
    y = F.square(x)
    seen: list[Any] = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10.0)
    (y + y).backward()
    assert seen == [[2]]  # once, with the whole gradient
    assert x.grad.tolist() == [2 * 10 * 6]


def test_hook_on_a_leaf_runs_on_each_part() -> None:
    x = leaf(3.0)
    remove = x.register_hook(lambda g: -g)
    F.square(x).backward()
    assert x.grad.tolist() == [-6]
    remove()
    x.zero_grad()
    F.square(x).backward()
    assert x.grad.tolist() == [6]


def test_hook_may_return_an_array() -> None:
    x = leaf(3.0)
    y = F.square(x)
    y.register_hook(lambda g: Tensor(np.array([0.5])))
    y.backward()
    assert x.grad.tolist() == [3]


# ---- memory --------------------------------------------------------------------------------


def test_backward_frees_what_forward_saved() -> None:
    x = Tensor.own(pool.empty((256, 256), np.dtype("float32")))
    x.data[...] = 0.5
    x.requires_grad = True
    gc.collect()
    before = pool.taken
    y = F.exp(F.tanh(F.square(x))).sum()
    held = pool.taken - before
    y.backward()
    x.zero_grad()
    assert held == 2 * x.data.nbytes  # the results of tanh and exp; x itself was there before
    assert pool.taken <= before


def test_dropping_the_result_frees_the_graph() -> None:
    x = Tensor(np.ones((256, 256)), requires_grad=True)
    gc.collect()
    gc.disable()  # no cycles: memory returns at once
    try:
        before = pool.taken
        y = F.exp(F.tanh(x))
        assert pool.taken > before
        del y
        assert pool.taken == before
    finally:
        gc.enable()


def test_results_that_no_rule_needs_are_not_kept() -> None:
    x = Tensor(np.ones((256, 256)), requires_grad=True)
    gc.collect()
    before = pool.taken
    y = (((x + 1.0) + 1.0) + 1.0).sum()
    assert pool.taken - before < x.data.nbytes
    y.backward()


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -2])
def test_softmax_along_an_axis(function: Callable, axis: int) -> None:
    x = np.random.default_rng(axis + 5).standard_normal((3, 4, 5))
    wanted = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    wanted = wanted if function is F.softmax else np.log(wanted)
    np.testing.assert_allclose(function(x, axis=axis).numpy(), wanted, rtol=1e-12)
    assert gradcheck(lambda x: function(x, axis), Tensor(x, requires_grad=True)).ok


# ---- custom ops ----------------------------------------------------------------------------


@pytest.fixture
def custom() -> Iterator[Callable]:
    """Define ops for one test."""
    names: list[str] = []

    def define(name: str, **fields: Any) -> registry.Op:
        names.append(name)
        return registry.define(name, **fields)

    yield define
    for name in names:
        registry.forget(name)


def _cube(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict) -> None:
    np.power(x, 3, out=out)


def test_custom_op_in_a_few_lines(custom: Callable) -> None:
    custom("cube", inputs=["x"], infer=lambda x: x, reference=lambda x: x**3, kernel=_cube,
           doc="y = x ** 3", samples=[Sample(((3, 4),))],
           gradients={"x": lambda run, gy, x: run("multiply", gy, 3 * x * x)})
    x = leaf(2.0, 3.0)
    y = apply("cube", x)
    y.backward(np.ones(2))
    assert y.tolist() == [8, 27] and x.grad.tolist() == [12, 27]
    assert gradcheck(lambda x: apply("cube", x), x).ok
    assert check_op("cube", ["forward", "gradients", "layouts", "buffers", "threads"]) == []


def test_check_op_names_what_is_wrong(custom: Callable) -> None:
    custom("cube", inputs=["x"], infer=lambda x: x, reference=lambda x: x**3, kernel=_cube,
           doc="y = x ** 3", samples=[Sample(((3, 4),))],
           gradients={"x": lambda run, gy, x: run("multiply", gy, x * x)})
    problems = check_op("cube")
    assert any(p.startswith("gradients: cube, sample 0, float64: gradient of cube: wrong")
               for p in problems)


def test_custom_op_with_two_results_and_saved_arrays(custom: Callable) -> None:
    def kernel(x: np.ndarray, *, out: tuple, saved: dict, work: dict, power: int) -> None:
        np.power(x, power, out=out[0])
        out[1][...] = x.sum()
        np.power(x, power - 1, out=saved["slope"])

    custom("powers", inputs=["x"], kernel=kernel, doc="y = x ** power and the sum of x",
           infer=lambda x, power=2: registry.Inferred(
               (x, registry.Spec((), x.dtype)), {"slope": x}, {"power": power}),
           reference=lambda x, power=2: (x**power, np.sum(x)),
           gradients={"x": lambda run, gy, slope, power: power * gy * slope},
           samples=[Sample(((3,),)), Sample(((2, 3),), {"power": 3})])
    x = leaf(1.0, 2.0)
    y, total = apply("powers", x, power=3)
    assert not total.requires_grad and total.item() == 3
    y.backward(np.ones(2))
    assert x.grad.tolist() == [3, 12]
    assert check_op("powers", ["forward", "gradients", "buffers", "layouts"]) == []


def test_custom_op_with_a_joint_rule(custom: Callable) -> None:
    asked = []

    def rule(run: Callable, gy: np.ndarray, a: np.ndarray, b: np.ndarray, wanted: tuple) -> tuple:
        asked.append(wanted)
        return (gy * b if "a" in wanted else None, gy * a if "b" in wanted else None)

    custom("product", inputs=["a", "b"], infer=lambda a, b: a, reference=np.multiply,
           kernel=lambda a, b, *, out, saved, work: np.multiply(a, b, out=out), doc="y = a b",
           gradients=jointly("a", "b", rule=rule), samples=[Sample(((3,), (3,)))])
    a, b = leaf(2.0), leaf(5.0)
    apply("product", a, b).backward()
    apply("product", a, Tensor(np.array([1.0]))).backward()
    assert asked == [("a", "b"), ("a",)] and a.grad.tolist() == [6] and b.grad.tolist() == [2]


@pytest.mark.parametrize("rule, got", [
    (lambda run, gy: gy.sum(axis=0), "an array of (3,) float64"),
    (lambda run, gy: gy.astype("float32"), "an array of (2, 3) float32"),
    (lambda run, gy: None, "NoneType"), (lambda run, gy: leaf(1.0), "Tensor")])
def test_rules_that_give_no_gradient(rule: Callable, got: str, custom: Callable) -> None:
    custom("cube", inputs=["x"], infer=lambda x: x, reference=lambda x: x**3, kernel=_cube, doc="",
           gradients={"x": rule})
    y = apply("cube", Tensor(np.ones((2, 3)), requires_grad=True) * 2.0)
    text = f"backward of cube: the rule for x returned {got}; expected an array of (2, 3) float64"
    with pytest.raises(AutogradError, match=re.escape(text)):
        y.sum().backward()


def test_a_number_may_be_a_gradient(custom: Callable) -> None:
    custom("twice", inputs=["x"], infer=lambda x: x, reference=lambda x: 2 * x, doc="",
           kernel=lambda x, *, out, saved, work: np.multiply(x, 2, out=out),
           gradients={"x": lambda run, gy: np.sum(gy) * 2})
    x = leaf(1.0, 2.0)
    apply("twice", x.sum()).backward()
    assert x.grad.tolist() == [2, 2]


def test_rules_that_change_what_they_are_given(custom: Callable) -> None:
    custom("cube", inputs=["x"], infer=lambda x: x, reference=lambda x: x**3, kernel=_cube, doc="",
           gradients={"x": lambda run, gy, x: np.multiply(gy, 3 * x * x, out=gy)},
           samples=[Sample(((3, 4),))])
    with pytest.raises(AutogradError, match="gradcheck: a gradient rule changed gy"):
        gradcheck(lambda x: apply("cube", x), leaf(1.0, 2.0))
    assert "a gradient rule changed gy" in check_op("cube", ["gradients"])[0]


def test_kernels_that_return_their_result(custom: Callable) -> None:
    custom("cube", inputs=["x"], infer=lambda x: x, reference=lambda x: x**3, doc="",
           kernel=lambda x, *, out, saved, work: x**3)
    with pytest.raises(ArgumentError, match="cube: the kernel default returned a ndarray; a kernel "
                                            "writes its result into out"):
        apply("cube", leaf(1.0))


def test_defaults_of_infer_reach_the_kernel_and_the_rule(custom: Callable) -> None:
    custom("scaled", inputs=["x"], infer=lambda x, *, by=3.0: x, reference=lambda x, by: x * by,
           kernel=lambda x, *, out, saved, work, by: np.multiply(x, by, out=out), doc="",
           gradients={"x": lambda run, gy, by: gy * by})
    x = leaf(2.0)
    apply("scaled", x).backward()
    assert apply("scaled", x, by=5.0).tolist() == [10] and x.grad.tolist() == [3]


def test_records_that_are_no_ops(custom: Callable) -> None:
    fields: dict[str, Any] = {"infer": lambda x: x.shape, "reference": np.copy}
    code = "registry.define('own', inputs=('x',), infer=len, reference=len)"
    with pytest.raises(ArgumentError, match="own: got no kernel; expected a function"):
        exec(code, {"registry": registry, "__name__": "__main__"})
    with pytest.raises(ArgumentError, match=r"own: got inputs='x'; .* inputs=\('x',\)"):
        registry.define("own", inputs="x", **fields)
    custom("own", inputs=["x"], kernel=_cube, **fields)
    with pytest.raises(ArgumentError, match=r"own: infer returned \(1,\); expected a Spec"):
        apply("own", leaf(1.0))


def test_custom_op_errors(custom: Callable) -> None:
    fields: dict[str, Any] = {"inputs": ["x"], "infer": lambda x: x, "reference": lambda x: x**3,
                              "kernel": _cube}
    custom("cube", **fields)
    with pytest.raises(ArgumentError, match="cube: an op of this name is defined already"):
        registry.define("cube", **fields)
    with pytest.raises(ArgumentError, match=r"gradient rules for \['z'\]; inputs are \('x',\)"):
        registry.define("other", **fields, gradients={"z": lambda run, gy: gy})
    with pytest.raises(ArgumentError, match=r"no op 'cub'; there are .*cube"):
        apply("cub", leaf(1.0))
    with pytest.raises(ArgumentError, match=r"cube: got 2 arrays; expected 1. Its inputs are x"):
        apply("cube", leaf(1.0), leaf(1.0))
    with pytest.raises(ArgumentError, match="cube: got no x"):
        apply("cube", None)
    with pytest.raises(ArgumentError, match="unexpected keyword argument 'power'"):
        apply("cube", leaf(1.0), power=3)
    assert not apply("cube", leaf(1.0)).requires_grad  # no rule, no gradient


def test_rule_of_a_misspelt_need_is_refused(custom: Callable) -> None:
    with pytest.raises(MinidlError, match="xx"):
        custom("cube", inputs=["x"], infer=lambda x: x, reference=lambda x: x**3, kernel=_cube,
               gradients={"x": lambda run, gy, xx: gy})
        apply("cube", leaf(1.0)).backward()


# ---- error texts ---------------------------------------------------------------------------

BAD = [
    (lambda: F.square(leaf(1.0, 2.0)).backward(), AutogradError,
     r"backward: the tensor has shape \(2,\); expected one element. Give the gradient, or reduce"),
    (lambda: F.square(leaf(1.0, 2.0)).backward([1.0]), ShapeError,
     r"backward: got a gradient of shape \(1,\); expected \(2,\)"),
    (lambda: Tensor([1.0]).backward(), AutogradError, "Set requires_grad=True on an input"),
    (lambda: Tensor([1, 2], requires_grad=True), DTypeError, "requires_grad for elements of type"),
    (lambda: Tensor(["a"]), DTypeError, "Tensor: got elements of type <U1; expected numbers"),
    (lambda: Tensor([[1, 2], [3]]), ShapeError, "expected numbers, or lists of equal lengths"),
    (lambda: leaf(1.0, 2.0).__setitem__(0, 1.0), AutogradError, "cannot be set one by one"),
    (lambda: operator.isub(Parameter([1.0], "w"), 0.5), AutogradError,
     r'parameter "w": got \+= or its like.* Write p.assign'),
    (lambda: Tensor([1.0, 2.0]).item(), ShapeError, r"item: got a tensor of shape \(2,\)"),
    (lambda: len(Tensor(1.0)), ShapeError, "len: got a tensor without axes"),
    (lambda: Tensor([1.0]).to("moon"), DeviceError, "device: got 'moon'"),
    (lambda: leaf(1.0).assign([1.0, 2.0]), ShapeError, r"assign: got values of shape \(2,\)"),
    (lambda: F.square(leaf(1.0)).assign([1.0]), AutogradError, "assign: this tensor was computed"),
    (lambda: Tensor([1.0, 2.0]) + Tensor([1.0, 2.0, 3.0]), ShapeError,
     r"add: got shapes \(2,\) and \(3,\); shapes must be equal or 1"),
    (lambda: Tensor([1.0])[3], ShapeError, "out of bounds"),
    (lambda: F.clip(Tensor([1.0])), ArgumentError, "clip: got neither low nor high"),
    (lambda: F.split(Tensor([1.0, 2.0, 3.0]), 2), ShapeError, "they must add up to 3"),
    (lambda: F.softmax(np.ones((2, 3)), axis=2), ArgumentError, "softmax: got axis 2; expected -2"),
    (lambda: F.stack([]), ArgumentError, "stack: got no arrays"),
    (lambda: F.concat([]), ArgumentError, "concat: got no arrays"),
    (lambda: F.concat(np.ones(2), np.ones(2)), ArgumentError, r"concat: .* one list. Write concat"),
    (lambda: F.stack(np.ones(2), np.ones(2)), ArgumentError, "stack: got a second tensor as"),
    (lambda: F.mse(Tensor([1.0]), Tensor([1.0, 2.0])), ShapeError, "mse: got a prediction"),
    (lambda: F.binary_cross_entropy(Tensor([[0.5], [0.5]]), Tensor([1.0, 0.0])), ShapeError,
     "binary_cross_entropy: got a prediction of shape"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([0, 3])), ArgumentError,
     "got labels from 0 to 3; expected 0 to 2 for 3 classes"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([-1, 0])), ArgumentError, "labels from -1"),
    (lambda: F.nll(np.ones((2, 3)), np.array([0, 5])), ArgumentError, "expected 0 to 2"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([True, False])), DTypeError,
     "got labels of type bool"),
]


@pytest.mark.parametrize(("function", "error", "text"), BAD)
def test_error_text(function: Callable, error: type[MinidlError], text: str) -> None:
    with pytest.raises(error, match=text):
        function()


# ---- the tensor ----------------------------------------------------------------------------

OPERATORS: list[Callable] = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b,
    lambda a, b: a**b, lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a > b,
    lambda a, b: a >= b, lambda a, b: a == b, lambda a, b: a != b]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("other", [3, 2.5, np.array([0.5, 1.0, 2.0], "float32"), np.float32(2)])
def test_operators_take_numbers_and_arrays_on_both_sides(operator: Callable, other: Any) -> None:
    array = np.array([1.0, 2.0, 4.0], "float32")
    for ours, wanted in ((operator(Tensor(array), other), operator(array, other)),
                         (operator(other, Tensor(array)), operator(other, array))):
        assert isinstance(ours, Tensor)
        np.testing.assert_allclose(ours.data, wanted, rtol=1e-6)
        assert ours.dtype in (np.float32, np.bool_)


def test_numbers_take_the_tensors_type() -> None:
    assert (Tensor(np.ones(2)) * 2.5).dtype == np.float64
    assert (Tensor([1.0]) * 2.5).dtype == np.float32
    assert (Tensor([1, 2]) * 3).dtype == np.int64
    assert (Tensor([1, 2]) * 2.5).dtype == np.float32
    assert (Tensor([1, 2]) / 2).dtype == np.float32
    assert (Tensor([1, 2]) + Tensor([0.5, 0.5])).dtype == np.float32
    assert as_tensor(2, like=Tensor(np.ones(2))).dtype == np.float64


def test_python_floats_become_float32_and_arrays_keep_their_type() -> None:
    assert Tensor(1.0).dtype == Tensor([[1.0, 2]]).dtype == np.float32
    assert Tensor(np.ones(2)).dtype == np.float64
    assert Tensor(np.ones(2), dtype="float32").dtype == np.float32
    assert Tensor([1, 2]).dtype == np.int64 and Tensor([True]).dtype == bool


def test_the_other_byte_order_is_converted() -> None:
    array = np.array([1.5, 2.0])
    x = Tensor(array.astype(array.dtype.newbyteorder()), requires_grad=True)
    F.square(x).sum().backward()
    assert x.dtype.isnative and x.grad.tolist() == [3, 4]


def test_methods_match_numpy() -> None:
    a = np.arange(6.0).reshape(2, 3)
    x = Tensor(a)
    assert (x.shape, x.ndim, x.size, len(x), x.device) == ((2, 3), 2, 6, 2, "cpu")
    for ours, wanted in ((x.sum(0), a.sum(0)), (x.mean(), a.mean()), (x.max(1), a.max(1)),
                         (x.min(), a.min()), (x.argmax(1), a.argmax(1)), (x.T, a.T), (-x, -a),
                         (abs(x - 2.0), abs(a - 2)), (x.reshape(3, 2), a.reshape(3, 2)),
                         (x.reshape((3, -1)), a.reshape(3, 2)), (x @ x.T, a @ a.T),
                         (x.transpose(1, 0), a.T), (a @ x.T, a @ a.T)):
        np.testing.assert_allclose(ours.data, wanted)
    assert float(x.sum()) == 15 and int(x[1, 2]) == 5 and bool(x[0, 1])
    assert x.tolist() == a.tolist() and math.isclose(Tensor(2.5).item(), 2.5)


def test_astype_carries_gradients_back_in_the_first_type() -> None:
    x = leaf(1.0, 2.0)
    y = x.astype("float32")
    assert y.dtype == np.float32
    y.backward(np.ones(2, "float32"))
    assert x.grad.dtype == np.float64 and x.grad.tolist() == [1, 1]


def test_repr() -> None:
    assert repr(Tensor([1.0])) == "Tensor([1.], shape=(1,), dtype=float32)"
    assert repr(leaf(1.0)).endswith("requires_grad=True)")


def test_tensors_are_hashable_by_identity() -> None:
    x, y = leaf(1.0), leaf(1.0)
    assert len({x, y, x}) == 2


def test_parameter_owns_its_values() -> None:
    values = np.ones(3, "float32")
    parameter = Parameter(values, name="scale")
    values[:] = 7
    assert parameter.tolist() == [1, 1, 1] and parameter.requires_grad and parameter.trainable
    parameter.trainable = False
    assert not (parameter * 2.0).requires_grad


def test_composed_functions_have_right_gradients() -> None:
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((4, 3)), requires_grad=True)
    labels = np.array([0, 2, 1, 1])
    for function in (lambda x: F.cross_entropy(x, labels),
                     lambda x: F.nll(F.log_softmax(x), labels),
                     lambda x: F.binary_cross_entropy(F.sigmoid(x), np.eye(4, 3)),
                     lambda x: F.binary_cross_entropy_with_logits(x, np.eye(4, 3)),
                     lambda x: F.mse(x, np.ones((4, 3))), lambda x: F.stack([x, x * x], axis=1),
                     lambda x: F.concat(F.split(x, [1, 2])[::-1]), lambda x: F.flatten(x[None]),
                     lambda x: x / (1.0 + x * x) - 2.0**x, lambda x: F.where(x > 0.0, x, x * x)):
        report = gradcheck(function, x)
        assert report.ok, str(report)


def test_an_index_array_may_change_after_its_use() -> None:
    x = Tensor(np.arange(5.0), requires_grad=True)
    index = np.array([0, 1])
    y = x[index]
    index[:] = 4
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0, 0]
    assert x[np.array([0, 1])].tolist() == [0, 1]


def test_masks_must_fit() -> None:
    x = Tensor(np.arange(5.0))
    for length in (3, 7):
        with pytest.raises(ShapeError, match="boolean index did not match"):
            x[np.arange(length) < 2]
    assert x[np.arange(5) > 2].tolist() == [3, 4] and x[[]].shape == (0,)
    assert x[np.array(True)].shape == (1, 5)


def test_one_element_is_a_view_too() -> None:
    x = Tensor(np.arange(3.0))
    x[1].assign(7.0)
    assert isinstance(x[1].data, np.ndarray) and x.tolist() == [0, 7, 2]


def test_numbers_that_the_other_type_cannot_hold() -> None:
    truth, small = Tensor([True, False]), Tensor(np.array([1, 2], np.uint8))
    assert (truth + 1).tolist() == [2, 1] and (truth == 2).tolist() == [False, False]
    assert (truth * True).dtype == bool
    assert (small + 300).tolist() == [301, 302] and (small == -1).tolist() == [False, False]
    assert (small + 1).dtype == np.uint8
    with pytest.raises(DTypeError, match="expected numbers"):
        small + 2**70


def test_gradients_of_powers_at_zero() -> None:
    a = Tensor(np.array([0.0, 2.0]), requires_grad=True)
    b = Tensor(np.array([2.0, 2.0]), requires_grad=True)
    (a**0.0).sum().backward()
    assert a.grad.tolist() == [0, 0]
    F.power(a, b).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), [0, 4 * np.log(2)])


def test_pointwise_ops_of_one_shape_refuse_others() -> None:
    for labels in (np.ones((1, 1)), np.array(1.0), np.ones(4)):
        with pytest.raises(ShapeError, match="expected equal shapes"):
            F.binary_cross_entropy_with_logits(np.ones((4, 1)), labels)


def test_a_gradient_from_a_hook_is_not_shared_and_has_the_shape() -> None:
    given = np.ones(3)
    x, y = (Tensor(np.zeros(3), requires_grad=True) for _ in range(2))
    x.register_hook(lambda g: Tensor(given))
    (x * 2.0).sum().backward()
    given[:] = 9
    assert x.grad.tolist() == [1, 1, 1]
    y.register_hook(lambda g: Tensor(1.0))
    with pytest.raises(ShapeError, match=r"hook: got a gradient of shape \(\)"):
        (y * 2.0).sum().backward()


def test_shapes_at_the_edge() -> None:
    x = Tensor(np.zeros((2, 3)))
    assert F.argmax(np.zeros((0, 5)), axis=1).shape == (0,)
    assert F.flatten(np.zeros((0, 3, 4))).shape == (0, 12)
    assert F.linear(np.zeros((2, 4, 0)), np.zeros((0, 3))).tolist() == np.zeros((2, 4, 3)).tolist()
    assert F.matmul(np.zeros((2, 3, 4)), np.zeros((4, 0))).shape == (2, 3, 0)
    assert x.transpose((1, 0)).shape == x.transpose(1, 0).shape == (3, 2)
    wrong: tuple[tuple[Callable[[], Any], str], ...] = (
        (lambda: x.reshape(-2, -3), "does not hold as many"),
        (lambda: F.split(x, [-1, 4]), "must add up"),
        (lambda: F.argmax(np.zeros((0, 5)), axis=0), "nothing to compare"),
        (lambda: F.max_pool2d(np.zeros((1, 0, 4, 1)), 2, 1, padding=1), "does not fit"),
        (lambda: F.conv2d(np.zeros((1, 4, 4, 1)), np.zeros((1, 1, 1, 1)), stride=1.5),
         "stride=1.5"))
    for call, text in wrong:
        with pytest.raises(MinidlError, match=text):
            call()


def test_places_belong_to_a_thread() -> None:
    seen: list[str] = []
    with at_place("layer"):
        other = threading.Thread(target=lambda: seen.append(place()))
        other.start()
        other.join(60)
    assert seen == [""]
