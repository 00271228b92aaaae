"""L1 and L2 in `fit`, applied by the optimizer in its pass over the weights, against autograd."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minidl import nn, optim
from minidl.autograd import functional as F  # noqa: N812
from minidl.autograd.parameter import Parameter
from minidl.autograd.tensor import Tensor
from minidl.backend.memory import pool
from minidl.nn import layers
from minidl.nn.regularizers import L1, L1L2, L2
from minidl.optim import SGD, Adadelta, Adagrad, Adam, AdamW, Nadam, RMSprop

RULES = (L2(0.03), L1(0.02), L1L2(0.01, 0.05), None)
OPTIMIZERS: dict[str, Callable[[], optim.Optimizer]] = {
    "sgd": lambda: SGD(0.1),
    "nesterov": lambda: SGD(0.1, momentum=0.9, nesterov=True),
    "clip norm": lambda: SGD(0.1, momentum=0.9, clip_norm=0.3),
    "clip value": lambda: SGD(0.1, momentum=0.9, clip_value=0.05),
    "accumulate": lambda: SGD(0.1, momentum=0.9, accumulate=3, clip_norm=0.2),
    "ema": lambda: SGD(0.1, ema=0.9, weight_decay=0.1),
    "rmsprop": lambda: RMSprop(0.01, momentum=0.5, centered=True),
    "adam": lambda: Adam(0.01, amsgrad=True),
    "adamw": lambda: AdamW(0.01, clip_norm=0.4),
    "nadam": lambda: Nadam(0.01),
    "adagrad": lambda: Adagrad(0.1),
    "adadelta": lambda: Adadelta(1.0),
}


def network(rules: Any = RULES, dtype: str = "float64") -> Any:
    """Return a small network whose four kernels have these regularizers, and its data."""
    model = nn.Sequential([layers.Input((6,))] + [
        layers.Dense(units, activation="tanh", kernel_regularizer=rule)
        for units, rule in zip((7, 5, 4, 3), rules, strict=True)]).astype(dtype)
    rng = np.random.default_rng(3)
    for p in model.parameters():
        p.assign(rng.standard_normal(p.shape))
    return model, rng.standard_normal((32, 6)).astype(dtype), rng.standard_normal((32, 3))


def by_autograd(rule: Any) -> Any:
    """Return the same regularizer as a function of which nothing else is known."""
    return None if rule is None else lambda weight: rule(weight)


def figures(rules: Any, make: Callable[[], optim.Optimizer], dtype: str = "float64") -> Any:
    """Return the weights and the losses of a few epochs."""
    model, x, y = network(rules, dtype)
    model.compile(make(), "mse")
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, seed=0,
                        validation_data=(x, y)).history
    return model.state_dict(), [history["loss"], history["val_loss"]]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_fit_agrees_with_autograd(case: str, dtype: str) -> None:
    weights, losses = figures(RULES, OPTIMIZERS[case], dtype)
    wanted, wanted_losses = figures([by_autograd(r) for r in RULES], OPTIMIZERS[case], dtype)
    tolerance = {"float64": 1e-9, "float32": 2e-5}[dtype]
    for name, value in weights.items():
        np.testing.assert_allclose(value, wanted[name], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(losses, wanted_losses, rtol=tolerance)


def test_penalties_are_part_of_the_loss_and_change_the_weights() -> None:
    plain, costly = (figures(r, lambda: SGD(0.1)) for r in ((None,) * 4, RULES))
    assert costly[1][0][0] > plain[1][0][0] + 1
    assert all(np.abs(costly[0][n]).sum() < np.abs(plain[0][n]).sum()
               for n in plain[0] if n.endswith("kernel") and "3" not in n)


def test_hand_written_loop_is_the_same_as_fit() -> None:
    from minidl.train.step import penalty
    model, x, y = network()
    optimizer, parameters = SGD(0.1, momentum=0.9), model.parameters()
    model.train()
    for _ in range(4):
        loss = F.mean(F.mse(model(x), Tensor(y))) + penalty(parameters)
        loss.backward()
        optimizer.step(parameters)
        optimizer.zero_grad(parameters)
    other, x, y = network()
    other.compile(SGD(0.1, momentum=0.9), "mse")
    other.fit(x, y, batch_size=32, epochs=4, verbose=0)
    for p, q in zip(parameters, other.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-10)


def test_frozen_weights_cost_but_do_not_move() -> None:
    model, x, y = network()
    model.layers[0].trainable = False
    before, cost = model.parameters()[0].data.copy(), L2(0.03)(model.parameters()[0]).item()
    model.compile(SGD(0.1), "mse")
    loss = model.train_on_batch(x, y)
    assert np.array_equal(model.parameters()[0].data, before) and loss > cost > 1


class Unused(nn.Module):
    """A model with a weight that its output does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.used = layers.Dense(3)
        self.unused = Parameter(np.ones(4, "float32"))
        self.unused.regularizer = L2(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return used(x)."""
        return self.used(x)


def test_a_penalty_alone_moves_a_weight() -> None:
    model = Unused()
    model.compile(SGD(0.1), "mse")
    model.train_on_batch(np.ones((2, 5), "float32"), np.ones((2, 3), "float32"))
    np.testing.assert_allclose(model.unused.data, 0.9)


class Cubic(L2):
    """A subclass with a formula of its own."""

    def __call__(self, weight: Tensor) -> Tensor:
        """Return l2 sum w^3."""
        return self.l2 * F.sum(weight * weight * weight)


def test_what_is_not_known_goes_through_autograd() -> None:
    assert Cubic(0.1).coefficients() is None and L2(0.1).coefficients() == (0.0, 0.1)
    rules, other = (Cubic(0.1), L2(0.1), None, None), (by_autograd(Cubic(0.1)), L2(0.1), None, None)
    weights, wanted = figures(rules, lambda: SGD(0.01))[0], figures(other, lambda: SGD(0.01))[0]
    assert all(np.array_equal(weights[n], wanted[n]) for n in weights)


def test_a_hook_sees_the_whole_gradient() -> None:
    model, x, y = network()
    seen, kernel = [], model.parameters()[0]
    kernel.register_hook(lambda g: seen.append(g.numpy().copy()))
    model.compile(SGD(0.0), "mse")
    model.train_on_batch(x, y)
    np.testing.assert_allclose(seen[0] if len(seen) == 1 else sum(seen),
                               gradient_of(model, x, y, kernel), rtol=1e-9)


def gradient_of(model: Any, x: np.ndarray, y: np.ndarray, kernel: Parameter) -> np.ndarray:
    kernel.zero_grad()
    (F.mean(F.mse(model(x), Tensor(y))) + L2(0.03)(kernel)).backward()
    return kernel.grad.numpy()


def test_a_step_makes_no_array_of_the_weights_size() -> None:
    p = Parameter(np.ones((400, 500), "float32"))
    p.regularizer = L2(1e-4)
    optimizer = SGD(0.1, momentum=0.9, nesterov=True, clip_norm=1.0, weight_decay=1e-3)
    p.grad = Tensor.own(np.full(p.shape, 0.1, "float32"))
    optimizer.step([p], regularize=True)
    pool.reset_peak()
    before = pool.taken
    tracemalloc.start()
    try:
        optimizer.step([p], regularize=True)
        assert pool.peak == before
        assert tracemalloc.get_traced_memory()[1] < p.array.nbytes // 10
    finally:
        tracemalloc.stop()
