"""Gradients of a tensor with several uses: rules that add what came before give the same sum."""

from __future__ import annotations

import numpy as np
import pytest

import minidl as dl
from minidl import dispatch
from minidl.autograd import functional as F  # noqa: N812 (as in the other tests)

SHAPE = (2, 8, 8, 16)


def convolution(seed: int, window: int = 3, **options):
    w = dl.Tensor(np.random.default_rng(seed).standard_normal((window, window, 16, 16)))
    return lambda x: F.conv2d(x, w, None, padding="same", **options)


def normalisation(function):
    gamma, beta = dl.Tensor(np.linspace(1, 2, 16)), dl.Tensor(np.linspace(-1, 1, 16))
    return lambda x: function(x, gamma, beta)[0]


USES = {"direct": convolution(0, algorithm="direct"), "im2col": convolution(1, algorithm="im2col"),
        "winograd": convolution(2, algorithm="winograd"), "pointwise": convolution(3, 1),
        "batch_norm": normalisation(F.batch_norm), "relu": F.relu,
        "batch_norm_relu": normalisation(F.batch_norm_relu)}


def gradient(uses, hook=None):
    """Return the gradient of x for the sum of squares of all uses of a tensor made from x."""
    x = dl.Tensor(np.random.default_rng(9).standard_normal(SHAPE), requires_grad=True)
    between = x * 2.0
    if hook is not None:
        between.register_hook(hook)
    results = [use(between) for use in uses]
    sum((F.sum(y * y) for y in results[1:]), start=F.sum(results[0] * results[0])).backward()
    return x.grad.numpy()


@pytest.mark.parametrize("first", USES)
@pytest.mark.parametrize("second", USES)
def test_sum_of_two_uses(first, second):
    both = gradient([USES[first], USES[second]])
    alone = gradient([USES[first]]) + gradient([USES[second]])
    np.testing.assert_allclose(both, alone, rtol=1e-9, atol=1e-9 * abs(alone).max())


def test_an_input_gradient_adds_what_came_before():
    ran = []
    with dispatch.hook(lambda call, compute: ran.append(call.plan.op.name) or compute()):
        gradient([USES["winograd"], USES["direct"], USES["batch_norm"]])
    assert ran.count("conv2d_input_gradient_add") >= 2
    assert "add" not in ran[ran.index("conv2d_input_gradient_add"):]


def test_a_hook_sees_the_sum():
    seen = []
    gx = gradient([USES["direct"], USES["batch_norm"]],
                  lambda g: seen.append(g.numpy().copy()))
    assert len(seen) == 1
    np.testing.assert_allclose(2 * seen[0], gx)


def test_both_inputs_of_one_convolution():
    x = dl.Tensor(np.random.default_rng(0).standard_normal((3, 3, 3, 3)), requires_grad=True)
    y = x * 1.0
    F.sum(F.conv2d(y, y, None) * F.conv2d(y, y, None)).backward()
    got, x.grad = x.grad.numpy(), None
    a, b = x * 1.0, x * 1.0
    F.sum(F.conv2d(a, b, None) * F.conv2d(a, b, None)).backward()
    np.testing.assert_allclose(got, x.grad.numpy())
