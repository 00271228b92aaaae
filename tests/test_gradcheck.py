"""The gradient check itself: its verdicts, its texts, the element it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from minidl.autograd import functional as F  # noqa: N812 (its usual short name)
from minidl.autograd.tape import apply
from minidl.autograd.tensor import Tensor
from minidl.errors import ArgumentError, AutogradError
from minidl.ops import registry
from minidl.testing import GradReport, gradcheck

RNG = np.random.default_rng(0)


def tensor(*shape: int, dtype: str = "float64", scale: float = 1.0) -> Tensor:
    return Tensor((scale * RNG.standard_normal(shape)).astype(dtype), requires_grad=True)


def wrong_at(index: tuple[int, ...], factor: float) -> Callable[[Tensor], Tensor]:
    """Return a smooth function whose gradient is wrong in one element."""
    def function(x: Tensor) -> Tensor:
        keep = np.zeros(x.shape)
        keep[index] = factor
        held = Tensor(x.data * keep)  # a part that backward does not see
        return F.tanh(x * Tensor(1 - keep) + held)
    return function


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("function", [F.exp, F.tanh, F.gelu, F.softplus, lambda x: x * x * x,
                                      lambda x: F.softmax(x), lambda x: x[1:].sum(), lambda x: x])
def test_correct(function: Callable, scale: float) -> None:
    report = gradcheck(function, tensor(3, 4, scale=scale))
    assert report.ok, str(report)


@pytest.mark.parametrize("factor", [1.0, 0.5, 1e-3, 1e-5])
def test_one_wrong_element_among_many_is_found(factor: float) -> None:
    report = gradcheck(wrong_at((2, 3), factor), tensor(5, 6))
    assert report.verdict == "wrong" and report.findings[0].index == (2, 3)
    assert report.findings[0].error == pytest.approx(abs(factor), rel=1e-2)


def test_zero_gradient_is_correct_where_there_is_none_to_find() -> None:
    x = tensor(3)
    assert gradcheck(lambda x: x * 0.0 + 5.0, x).ok
    assert gradcheck(lambda x: Tensor(np.ones(3)) * 2.0, x).ok


def test_missing_gradient_is_wrong() -> None:
    a, b = tensor(3), tensor(3)
    report = gradcheck(lambda a, b: a + b.detach(), a, b, names=["a", "b"])
    assert [f.verdict for f in report.findings] == ["correct", "wrong"]
    assert "b: wrong; at element" in str(report) and "backward gives 0, differences" in str(report)


def test_kink() -> None:
    x = Tensor(np.array([1.0, 0.0, -2.0]), requires_grad=True)
    report = gradcheck(F.relu, x)
    found = report.findings[0]
    assert report.verdict == found.verdict == "kink" and found.index == (1,) and not report.ok
    assert {found.left, found.right} & {0.0} and found.left != found.right


def test_kink_does_not_hide_a_wrong_gradient() -> None:
    x = Tensor(np.array([1.0, 0.0, -2.0]), requires_grad=True)
    report = gradcheck(lambda x: F.relu(x) * x.detach(), x)
    assert report.verdict == "wrong" and report.findings[0].index == (0,)


def test_kink_nearby_is_no_kink() -> None:
    x = Tensor(np.array([1e-5, -1e-5]), requires_grad=True)
    assert gradcheck(F.relu, x).ok


def test_step_is_a_kink() -> None:
    x = Tensor(np.array([0.0]), requires_grad=True)
    assert gradcheck(lambda x: x * 0.0 + (x > 0.0).astype("float64"), x).verdict == "kink"


def test_curvature_is_no_kink() -> None:
    x = Tensor(np.full(3, 0.5), requires_grad=True)
    report = gradcheck(lambda x: F.exp(20.0 * x) * x.detach(), x)
    assert report.verdict == "wrong"


def test_precision_of_float32() -> None:
    x = tensor(40, dtype="float32")
    verdicts = {gradcheck(lambda x: F.exp(x) * 100.0, x, seed=s, tolerance=1e-8).verdict
                for s in range(5)}
    assert verdicts == {"precision"}
    report = gradcheck(lambda x: F.exp(x) * x.detach(), x)
    assert report.verdict == "wrong"  # too far away for want of digits


def test_several_inputs_and_other_arguments() -> None:
    x, w, b = tensor(2, 5, 4, 3), tensor(3, 3, 3, 2), tensor(2)
    report = gradcheck(lambda *a: F.conv2d(*a[:3], padding=a[3]), x, w, b, "same",
                       names=["x", "w", "b", "padding"], name="conv2d")
    assert report.ok and [f.input for f in report.findings] == [0, 1, 2]
    assert str(report).startswith("gradient of conv2d: correct\n  x: correct; at a random")


def test_given_tensors_are_left_alone() -> None:
    x = tensor(3)
    before = x.data.copy()
    gradcheck(F.exp, x)
    assert x.grad is None and np.array_equal(x.data, before)


def test_result_without_axes_and_input_without_axes() -> None:
    assert gradcheck(lambda x: (x * x).sum(), tensor(3)).ok
    assert gradcheck(F.exp, tensor()).ok
    assert gradcheck(lambda x: x.sum(), Tensor(np.zeros((0, 3)), requires_grad=True)).ok


def test_errors() -> None:
    with pytest.raises(ArgumentError, match=r"gradcheck: no input requires a gradient"):
        gradcheck(F.exp, Tensor(np.ones(3)))
    with pytest.raises(ArgumentError, match="two results for the same inputs; expected the same"):
        gradcheck(F.dropout, tensor(100))


@pytest.mark.parametrize(("rule", "got"), [
    (lambda run, gy: gy[:2].copy(), r"\(2,\) float64"),
    (lambda run, gy: gy.astype("float32"), r"\(3,\) float32")])
def test_gradient_of_the_wrong_form_is_refused(rule: Callable, got: str) -> None:
    op = replace(registry.get("negative"), name="odd", gradients={"x": rule})
    with pytest.raises(AutogradError, match=f"{got}.*; expected"):
        gradcheck(lambda x: apply(op, x), tensor(3))


def test_same_seed_same_report() -> None:
    x = tensor(3, 4)
    reports: list[GradReport] = [gradcheck(F.gelu, x, seed=3) for _ in range(2)]
    assert str(reports[0]) == str(reports[1])
