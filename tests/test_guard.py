"""Arrays that backward still needs: changing one is an error that names op and argument."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minidl.autograd import functional as F  # noqa: N812 (its usual short name)
from minidl.autograd.guard import Saved, Storage
from minidl.autograd.parameter import Parameter
from minidl.autograd.tape import at_place
from minidl.autograd.tensor import Tensor
from minidl.errors import SavedArrayChangedError
from minidl.ops import registry
from minidl.ops.registry import Op
from minidl.testing.cases import Case, cases

X = np.array([1.0, 2.0, 3.0, 4.0])


def leaf(array: np.ndarray = X) -> Tensor:
    """Return a leaf whose memory only the engine has seen."""
    tensor = Tensor.own(array.copy())
    tensor.requires_grad = True
    return tensor


def refused(y: Tensor, op: str, argument: str) -> None:
    """Check that backward names what was changed."""
    with pytest.raises(SavedArrayChangedError) as caught:
        y.backward(np.ones(y.shape))
    text = str(caught.value)
    assert text.startswith(f"{op}: ") and f'argument "{argument}"' in text, text
    assert "changed after it was saved" in text and "Call backward first" in text


# ---- the ways to change an array -------------------------------------------------------------


def test_numpy_array_changed_between_forward_and_backward() -> None:
    array = X.copy()
    y = F.square(Tensor(array, requires_grad=True))
    array[2] = 9
    refused(y, "square", "x")


def test_the_text_names_layer_op_argument_and_shape() -> None:
    w = Parameter(np.ones((4, 2)), name="kernel")
    with at_place("block1/dense"):
        y = F.linear(Tensor(X[None], requires_grad=True), w)
    w.assign(np.zeros((4, 2)))
    text = r"block1/dense, linear: argument \"w\" of shape \(4, 2\) was changed"
    with pytest.raises(SavedArrayChangedError, match=text):
        y.sum().backward()


def test_base_changed_when_a_view_was_saved() -> None:
    base = np.arange(10.0)
    y = F.exp(F.square(Tensor(base[2:6], requires_grad=True)))
    base[3] = 0
    refused(y, "square", "x")


def test_elements_of_the_base_outside_the_view_may_change() -> None:
    base = np.arange(10.0)
    x = Tensor(base[2:6], requires_grad=True)
    y = F.square(x)
    base[7] = 0
    y.backward(np.ones(4))
    assert x.grad.tolist() == [4, 6, 8, 10]


def test_tensor_view_changed_through_its_whole() -> None:
    x = leaf()
    y = F.square(x[1:3])
    x.numpy()[1] = 7
    refused(y, "square", "x")


def test_view_taken_before_saving() -> None:
    x = leaf()
    view = x.numpy()
    y = F.square(x)
    view[0] = 5
    refused(y, "square", "x")


def test_view_taken_after_saving() -> None:
    x = leaf()
    y = F.square(x)
    x.numpy()[0] = 5
    refused(y, "square", "x")


def test_view_of_a_view_and_of_another_shape() -> None:
    x = leaf()
    y = F.square(x)
    view = x.numpy().reshape(2, 2).T[0]
    del x
    view[1] = 5
    refused(y, "square", "x")


def test_view_of_a_transposed_tensor() -> None:
    x = leaf(np.arange(6.0).reshape(2, 3))
    y = F.square(x)
    x.T.numpy()[0, 1] = 50
    refused(y, "square", "x")


@pytest.mark.parametrize("export", [np.asarray, np.from_dlpack, Tensor.numpy,
                                    lambda x: memoryview(x.numpy())])
def test_every_way_out_is_watched(export: Callable[[Tensor], np.ndarray]) -> None:
    x = leaf()
    y = F.square(x)
    array = export(x)
    array[3] = -1
    refused(y, "square", "x")


@pytest.mark.torch
def test_a_tensor_of_pytorch_is_watched() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = leaf()
    y = F.square(x)
    torch.from_dlpack(x)[3] = -1
    refused(y, "square", "x")


def test_array_shared_through_another_tensor() -> None:
    x = leaf()
    y = F.square(x)
    Tensor(x).numpy()[0] = 5
    refused(y, "square", "x")


def test_assign() -> None:
    x = leaf()
    y = F.square(x)
    x.assign(X + 1)
    refused(y, "square", "x")


def test_assign_of_the_same_values_counts_as_a_change() -> None:
    x = leaf()
    y = F.square(x)
    x.assign(X)
    refused(y, "square", "x")


def test_assign_through_a_detached_tensor_and_a_view() -> None:
    for change in (lambda x: x.detach().assign(X + 1), lambda x: x[1:2].detach().assign(0.0)):
        x = leaf()
        y = F.square(x)
        change(x)
        refused(y, "square", "x")


def test_result_changed() -> None:
    y = F.exp(leaf())
    y.numpy()[0] = 0
    refused(y, "exp", "y")


def test_number_without_axes() -> None:
    array = np.array(3.0)
    y = Tensor(X, requires_grad=True) * Tensor(array, requires_grad=True)
    array[...] = 4
    refused(y, "multiply", "b")


def test_second_backward_over_a_kept_graph() -> None:
    x = leaf()
    y = F.square(x).sum()
    y.backward(retain_graph=True)
    x.assign(X + 1)
    with pytest.raises(SavedArrayChangedError):
        y.backward()


# ---- every saved array of every op -------------------------------------------------------------


def _saved_names(case: Case) -> list[tuple[int, str]]:
    """Return (position, name) of the inputs that the gradient rules save."""
    arrays = case.draw()
    node = case.apply(*case.tensors(arrays, case.wrt(arrays))).node
    return [(i, name) for i, name in enumerate(case.op.inputs)
            if arrays[i] is not None and name in node.saved]


def _saving() -> list:
    found = []
    for op in registry.ops():
        for case in cases(op, [np.dtype("float64")]) if op.gradients and not op.variadic else ():
            if case.wrt(case.draw()):
                found += [pytest.param(case, i, id=f"{case}: {name}")
                          for i, name in _saved_names(case)]
    return found


def _change(array: np.ndarray) -> None:
    flat = array.reshape(-1)
    flat[-1] = not flat[-1] if array.dtype == bool else flat[-1] + 1


@pytest.mark.parametrize(("case", "position"), _saving())
def test_every_saved_input(case: Case, position: int) -> None:
    arrays = case.draw()
    y = case.apply(*case.tensors(arrays, case.wrt(arrays)))
    if not arrays[position].size:
        return
    _change(arrays[position])
    refused(y, case.op.name, case.op.inputs[position])


@pytest.mark.parametrize("op", [o for o in registry.ops() if o.gradients], ids=lambda o: o.name)
def test_inputs_that_are_not_saved_may_change(op: Op) -> None:
    case = next(c for c in cases(op, [np.dtype("float64")]) if c.wrt(c.draw()))
    arrays = case.draw()
    wanted = case.outcome(case.draw()).gradients
    wrt = case.wrt(arrays)
    tensors = case.tensors(arrays, wrt)
    y = case.apply(*tensors)
    for i, array in enumerate(arrays):
        name = op.inputs[min(i, len(op.inputs) - 1)]
        if array is not None and name not in y.node.saved:
            shares_result = np.may_share_memory(array, y.data) and "y" in y.node.saved
            if not shares_result:
                _change(array)
    y.backward(case.gy(y))
    for i in wrt:
        assert tensors[i].grad.data.tobytes() == wanted[i].tobytes()


# ---- no false alarms -----------------------------------------------------------------------


def _passes(y: Tensor, x: Tensor) -> None:
    y.backward(np.ones(y.shape))
    np.testing.assert_allclose(x.grad.data, 2 * X)


def test_reading_views() -> None:
    x = leaf()
    before = x.numpy()
    y = F.square(x)
    assert before.sum() + x.numpy().sum() + np.asarray(y).sum() + float(x[0]) > 0
    _passes(y, x)


def test_changing_copies() -> None:
    x = leaf()
    y = F.square(x)
    for copy in (x.numpy().copy(), np.array(x), x.clone().numpy(), y.detach().clone().numpy(),
                 np.asarray(x, "float32")):
        copy[:] = 0
    x.detach().clone().assign(0.0)
    _passes(y, x)


def test_changes_before_the_forward_pass() -> None:
    array = np.zeros(4)
    x = Tensor(array, requires_grad=True)
    array[:] = 7
    x.numpy()[:] = 8
    x.assign(X)
    _passes(F.square(x), x)


def test_changes_after_backward() -> None:
    x = leaf()
    _passes(F.square(x), x)
    x.assign(0.0)


def test_values_put_back() -> None:
    array = X.copy()
    x = Tensor(array, requires_grad=True)
    y = F.square(x)
    array[0] = 5
    array[0] = X[0]
    _passes(y, x)


def test_what_is_not_needed_may_change() -> None:
    a, b = leaf(), leaf()
    y = a + b
    a.assign(0.0)
    y.backward(np.ones(4))
    assert a.grad.tolist() == [1, 1, 1, 1]


def test_packed_copies_are_not_the_users_array() -> None:
    array = np.arange(8.0)
    w = Tensor(np.eye(4), requires_grad=True)
    strided = array[::2]
    y = F.linear(Tensor(strided[None]), w)  # linear takes contiguous arrays: it has a copy
    wanted = np.outer(strided, np.ones(4))
    array[:] = 0
    y.backward(np.ones((1, 4)))
    assert np.array_equal(w.grad.data, wanted)


def test_nan_does_not_look_like_a_change() -> None:
    x = leaf(np.array([np.nan, 1.0]))
    x.numpy()
    y = F.square(x)
    x.numpy()
    y.backward(np.ones(2))
    assert x.grad.tolist()[1] == 2


# ---- what it costs -------------------------------------------------------------------------


def test_arrays_that_only_the_engine_has_seen_are_not_fingerprinted() -> None:
    y = F.square(leaf())
    assert y.node.saved["x"].fingerprint is None


def test_dropped_views_cost_nothing() -> None:
    x = leaf()
    view = x.numpy()
    assert x.storage.exposed
    del view
    assert not x.storage.exposed
    assert F.square(x).node.saved["x"].fingerprint is None


def test_a_parameter_is_not_watched_as_a_users_array() -> None:
    array = X.copy()
    parameter = Parameter(array)
    y = F.square(parameter)
    array[:] = 0
    _passes(y, parameter)
    assert not parameter.storage.exposed


def test_storage_forgets_what_is_gone() -> None:
    storage = Storage()
    saved = Saved(X, storage, "op", "x")
    del saved
    storage.expose(X.copy())
    assert not list(storage._saves or ())


def test_a_change_through_data_is_noticed() -> None:
    x = Tensor(np.array([1.0, 2.0]) * 1, requires_grad=True)
    y = (x * x).sum()
    x.data[0] = 5.0
    with pytest.raises(SavedArrayChangedError, match=r'multiply.*argument "[ab]"'):
        y.backward()


def test_data_can_be_written_as_in_pytorch() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert x.grad is not None
    x.data -= 0.5 * x.grad.data
    assert x.tolist() == [0.0, 0.0]
    y = (x * x).sum()
    x.data = np.array([3.0, 4.0], "float32")
    with pytest.raises(SavedArrayChangedError):
        y.backward()
