"""Optimizers against formulas and PyTorch, their options, their state, and the schedules."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from minidl import config, dispatch, optim
from minidl.autograd.parameter import Parameter
from minidl.autograd.tensor import Tensor
from minidl.errors import ArgumentError, CheckpointError, SavedArrayChangedError
from minidl.ops import registry
from minidl.ops.update.formulas import UPDATES
from minidl.optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Nadam,
    Optimizer,
    RMSprop,
    schedules,
)
from minidl.testing import check_op

SHAPES = ((4, 3), (3,), (), (2, 1, 5))
STEPS = 60
TOLERANCE = {"float64": 1e-12, "float32": 2e-6}


def parameters(dtype="float64", shapes=SHAPES, seed=0):
    rng = np.random.default_rng(seed)
    return [Parameter(np.asarray(rng.standard_normal(s), dtype), f"p{i}")
            for i, s in enumerate(shapes)]


def gradient(p, t, i):
    """Return a bowl's gradient plus noise, the same for whoever asks."""
    noise = np.random.default_rng([t, i]).standard_normal(p.shape)
    return 0.5 * (p - i) + 0.3 * noise + np.asarray(0.05)


def give_gradients(ps, t):
    for i, p in enumerate(ps):
        p.grad = Tensor.own(np.asarray(gradient(p.data.astype(float), t, i), p.dtype))


def train(optimizer, ps, start=0, stop=STEPS):
    for t in range(start, stop):
        give_gradients(ps, t)
        optimizer.step(ps)
    return [p.data.copy() for p in ps]


def follow(formula, steps=STEPS):
    """Return the parameters after steps of `formula(p, g, t, memory)`, t from 1, in float64."""
    results = []
    for i, p in enumerate(parameters()):
        value, memory = p.data.copy(), {}
        for t in range(steps):
            value = formula(value, gradient(value, t, i), t + 1, memory)
        results.append(value)
    return results


def assert_near(got, wanted, tolerance):
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=tolerance * 10, atol=tolerance)


# ---- the formulas of the papers, in Keras's form -------------------------------------------


def sgd(rate, momentum=0.0, nesterov=False, decay=0.0):
    def step(p, g, t, m):
        r = rate / (1 + decay * (t - 1))
        m["v"] = momentum * m.get("v", 0.0) - r * g
        return p + momentum * m["v"] - r * g if nesterov else p + m["v"]
    return step


def rmsprop(rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    def step(p, g, t, m):
        m["s"] = rho * m.get("s", 0.0) + (1 - rho) * g * g
        m["a"] = rho * m.get("a", 0.0) + (1 - rho) * g
        spread = m["s"] - m["a"]**2 if centered else m["s"]
        m["v"] = momentum * m.get("v", 0.0) + rate * g / np.sqrt(spread + epsilon)
        return p - m["v"]
    return step


def adam(rate, b1=0.9, b2=0.999, epsilon=1e-7, amsgrad=False, decay=0.0):
    def step(p, g, t, m):
        p = p - rate * decay * p
        m["m"] = b1 * m.get("m", 0.0) + (1 - b1) * g
        m["s"] = b2 * m.get("s", 0.0) + (1 - b2) * g * g
        m["max"] = np.maximum(m.get("max", 0.0), m["s"]) if amsgrad else m["s"]
        corrected = rate * math.sqrt(1 - b2**t) / (1 - b1**t)
        return p - corrected * m["m"] / (np.sqrt(m["max"]) + epsilon)
    return step


def nadam(rate, b1=0.9, b2=0.999, epsilon=1e-7):
    def u(t):
        return b1 * (1 - 0.5 * 0.96**t)

    def step(p, g, t, m):
        product = math.prod(u(k) for k in range(1, t + 1))
        m["m"] = b1 * m.get("m", 0.0) + (1 - b1) * g
        m["s"] = b2 * m.get("s", 0.0) + (1 - b2) * g * g
        mean = u(t + 1) * m["m"] / (1 - product * u(t + 1)) + (1 - u(t)) * g / (1 - product)
        return p - rate * mean / (np.sqrt(m["s"] / (1 - b2**t)) + epsilon)
    return step


def adagrad(rate, start=0.1, epsilon=1e-7):
    def step(p, g, t, m):
        m["s"] = m.get("s", start) + g * g
        return p - rate * g / np.sqrt(m["s"] + epsilon)
    return step


def adadelta(rate, rho=0.95, epsilon=1e-7):
    def step(p, g, t, m):
        m["s"] = rho * m.get("s", 0.0) + (1 - rho) * g * g
        d = np.sqrt(m.get("e", 0.0) + epsilon) / np.sqrt(m["s"] + epsilon) * g
        m["e"] = rho * m.get("e", 0.0) + (1 - rho) * d * d
        return p - rate * d
    return step


CASES = {
    "sgd": (lambda: SGD(), sgd(0.01)),
    "sgd momentum": (lambda: SGD(0.02, momentum=0.9), sgd(0.02, 0.9)),
    "sgd nesterov": (lambda: SGD(0.02, momentum=0.9, nesterov=True), sgd(0.02, 0.9, True)),
    "sgd time decay": (lambda: SGD(0.1, momentum=0.5, time_decay=0.2), sgd(0.1, 0.5, decay=0.2)),
    "rmsprop": (lambda: RMSprop(), rmsprop(0.001)),
    "rmsprop momentum": (lambda: RMSprop(0.01, momentum=0.8), rmsprop(0.01, momentum=0.8)),
    "rmsprop centered": (lambda: RMSprop(0.01, 0.8, epsilon=1e-2, centered=True),
                         rmsprop(0.01, 0.8, epsilon=1e-2, centered=True)),
    "rmsprop all": (lambda: RMSprop(0.01, 0.8, 0.6, 1e-2, True),
                    rmsprop(0.01, 0.8, 0.6, 1e-2, True)),
    "adam": (lambda: Adam(), adam(0.001)),
    "adam amsgrad": (lambda: Adam(0.1, 0.8, 0.9, 1e-3, True), adam(0.1, 0.8, 0.9, 1e-3, True)),
    "adamw": (lambda: AdamW(), adam(0.001, decay=0.004)),
    "adamw strong": (lambda: AdamW(0.02, weight_decay=0.5), adam(0.02, decay=0.5)),
    "nadam": (lambda: Nadam(), nadam(0.001)),
    "nadam fast": (lambda: Nadam(0.05, 0.8, 0.95, 1e-3), nadam(0.05, 0.8, 0.95, 1e-3)),
    "adagrad": (lambda: Adagrad(), adagrad(0.001)),
    "adagrad from 0": (lambda: Adagrad(0.1, 0.0, 1e-3), adagrad(0.1, 0.0, 1e-3)),
    "adadelta": (lambda: Adadelta(), adadelta(0.001)),
    "adadelta fast": (lambda: Adadelta(1.0, 0.9, 1e-4), adadelta(1.0, 0.9, 1e-4)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_follows_the_formula(case, dtype):
    make, formula = CASES[case]
    ps = parameters(dtype)
    got = train(make(), ps)
    assert all(g.dtype == dtype for g in got)
    assert_near(got, follow(formula), TOLERANCE[dtype])


# ---- PyTorch -------------------------------------------------------------------------------

TORCH = {  # ours, PyTorch's name and settings; epsilon 0 where it stands elsewhere
    "sgd": (lambda: SGD(0.05), "SGD", {"lr": 0.05}),
    "momentum": (lambda: SGD(0.05, momentum=0.9), "SGD", {"lr": 0.05, "momentum": 0.9}),
    "nesterov": (lambda: SGD(0.05, momentum=0.9, nesterov=True), "SGD",
                 {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (lambda: RMSprop(0.01, 0.99, epsilon=0), "RMSprop", {"lr": 0.01, "eps": 0.0}),
    "rmsprop momentum": (lambda: RMSprop(0.01, 0.9, momentum=0.7, epsilon=0), "RMSprop",
                         {"lr": 0.01, "alpha": 0.9, "eps": 0.0, "momentum": 0.7}),
    "rmsprop centered": (lambda: RMSprop(0.01, 0.9, epsilon=0, centered=True), "RMSprop",
                         {"lr": 0.01, "alpha": 0.9, "eps": 0.0, "centered": True}),
    "adam": (lambda: Adam(0.02, epsilon=0), "Adam", {"lr": 0.02, "eps": 0.0}),
    "amsgrad": (lambda: Adam(0.02, 0.8, 0.9, 0, amsgrad=True), "Adam",
                {"lr": 0.02, "betas": (0.8, 0.9), "eps": 0.0, "amsgrad": True}),
    "adamw": (lambda: AdamW(0.02, epsilon=0, weight_decay=0.3), "AdamW",
              {"lr": 0.02, "eps": 0.0, "weight_decay": 0.3}),
    "nadam": (lambda: Nadam(0.02, epsilon=1e-3), "NAdam",
              {"lr": 0.02, "eps": 1e-3, "momentum_decay": 1.0}),
    "nadam decay": (lambda: Nadam(0.02, epsilon=1e-3, weight_decay=0.1), "NAdam",
                    {"lr": 0.02, "eps": 1e-3, "momentum_decay": 1.0, "weight_decay": 0.1,
                     "decoupled_weight_decay": True}),
    "adagrad": (lambda: Adagrad(0.05, epsilon=0), "Adagrad",
                {"lr": 0.05, "eps": 0.0, "initial_accumulator_value": 0.1}),
    "adadelta": (lambda: Adadelta(1.0, 0.9, 1e-6), "Adadelta", {"lr": 1.0}),
}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", TORCH)
def test_agrees_with_torch(torch, case, dtype):
    make, name, settings = TORCH[case]
    ours, theirs = parameters(dtype), [torch.nn.Parameter(torch.tensor(p.data.copy()))
                                       for p in parameters(dtype)]
    optimizer, other = make(), getattr(torch.optim, name)(theirs, **settings)
    for t in range(STEPS):
        for i, q in enumerate(theirs):
            value = gradient(q.detach().numpy().astype(float), t, i)
            q.grad = torch.tensor(np.asarray(value, dtype))
        other.step()
    got = train(optimizer, ours)
    # PyTorch keeps Nadam's product of momenta in float32, whatever the parameters are
    tolerance = 1e-7 if (name, dtype) == ("NAdam", "float64") else TOLERANCE[dtype]
    assert_near(got, [q.detach().numpy() for q in theirs], tolerance)


@pytest.mark.torch
def test_clip_norm_agrees_with_torch(torch):
    ours, theirs = parameters(), [torch.nn.Parameter(torch.tensor(p.data)) for p in parameters()]
    give_gradients(ours, 0)
    for p, q in zip(ours, theirs, strict=True):
        q.grad = torch.tensor(p.grad.data.copy())
    torch.nn.utils.clip_grad_norm_(theirs, 0.7)
    SGD(1.0, clip_norm=0.7).step(ours)
    for p, q, start in zip(ours, theirs, parameters(), strict=True):
        np.testing.assert_allclose(start.data - p.data, q.grad.numpy(), rtol=1e-5)


# ---- the update ops ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*UPDATES, "blend"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_written_over_the_inputs_is_the_same(name, dtype):
    op = registry.get(name)
    for sample in op.samples:
        arrays = sample.draw(np.random.default_rng(3), np.dtype(dtype))
        before = [a.copy() for a in arrays]
        fresh = dispatch.call(op, arrays, sample.attrs).out
        assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
        pairs = op.overwrites(len(arrays), len(fresh))
        assert sorted(o for _, o in pairs) == list(range(len(fresh)))
        out = [arrays[i] for i, _ in sorted(pairs, key=lambda pair: pair[1])]
        dispatch.call(op, arrays, sample.attrs, out=out)
        assert all(np.array_equal(a, b) for a, b in zip(out, fresh, strict=True))
        kept = set(range(len(arrays))) - {i for i, _ in pairs}
        assert all(np.array_equal(arrays[i], before[i]) for i in kept)


@pytest.mark.parametrize("name", [*UPDATES, "blend"])
def test_result_does_not_depend_on_threads(name):
    op, rng = registry.get(name), np.random.default_rng(5)
    update = UPDATES.get(name)
    groups = 2 + len(update.present({})) if update else 2
    shapes = ((3,), (300, 401), (0, 4), (50_001,), (7,))
    arrays = [rng.random(s, np.float32) for _ in range(groups) for s in shapes]
    hyper = [np.array([0.1, 2.0, 0.4][:update.hyper])] if update else []
    attrs = ({"clip_norm": 1.0, "penalties": [(0.1, 0.2)] * len(shapes)} if update else
             {"keep": 0.3, "take": 0.7})
    results = []
    for count in (1, 4):
        with config.threads(count):
            results.append(dispatch.call(op, [*hyper, *arrays], attrs).out)
    wanted = op.reference(*hyper, *(a.astype(float) for a in arrays), **attrs)
    for one, four, right in zip(*results, wanted, strict=True):
        assert one.tobytes() == four.tobytes()
        np.testing.assert_allclose(one, right, rtol=2e-6, atol=2e-6)


def test_a_step_is_one_call_in_place():
    ps, calls = parameters("float32"), []
    arrays, versions = [p.array for p in ps], [p.storage.version for p in ps]
    optimizer = Adam()
    give_gradients(ps, 0)
    before = [p.grad.data.copy() for p in ps]

    def hook(call, compute):
        calls.append(call.plan.op.name)
        compute()

    with dispatch.hook(hook):
        optimizer.step(ps)
    assert calls == ["adam"]
    assert all(p.array is a for p, a in zip(ps, arrays, strict=True))
    assert [p.storage.version for p in ps] == [v + 1 for v in versions]
    assert all(np.array_equal(p.grad.data, g) for p, g in zip(ps, before, strict=True))


@pytest.mark.parametrize("make", [lambda: Nadam(0.1), lambda: SGD(0.1, 0.9, time_decay=0.5)])
def test_a_recorded_update_can_be_replayed(make):
    calls = []

    def hook(call, compute):
        calls.append(call)
        compute()

    replayed, plain = parameters(), parameters()
    optimizer = make()
    give_gradients(replayed, 0)
    with dispatch.hook(hook):
        optimizer.step(replayed)
    for t in range(1, 5):
        for i, p in enumerate(replayed):
            p.grad.data[...] = gradient(p.data, t, i)
        optimizer.advance()
        calls[0].compute()
    wanted = train(make(), plain, stop=5)
    assert all(np.array_equal(p.data, w) for p, w in zip(replayed, wanted, strict=True))


def test_a_changed_parameter_is_noticed_by_backward():
    w = Parameter([1.0, 2.0])
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    SGD().step([w])
    with pytest.raises(SavedArrayChangedError, match="multiply"):
        loss.backward()


def test_gradients_that_share_memory_are_not_changed():
    a, b = Parameter(np.ones(3)), Parameter(np.ones(3))
    (a + b).sum().backward()
    SGD(0.5, clip_value=0.25).step([a, b])
    assert a.data.tolist() == b.data.tolist() == [0.875] * 3
    assert a.grad.data.tolist() == b.grad.data.tolist() == [1.0] * 3


def test_transposed_initial_values_can_be_trained():
    p = Parameter(np.arange(6.0).reshape(2, 3).T)
    (p * p).sum().backward()
    SGD(0.25).step([p])
    np.testing.assert_allclose(p.data, np.arange(6.0).reshape(2, 3).T / 2)


# ---- options -------------------------------------------------------------------------------


def test_weight_decay_is_apart_from_the_gradient():
    def decayed(p, g, t, m):
        return sgd(0.05, 0.9)(p * (1 - 0.05 * 0.1), g, t, m)
    got = train(SGD(0.05, momentum=0.9, weight_decay=0.1), parameters())
    assert_near(got, follow(decayed), 1e-12)


@pytest.mark.parametrize("optimizer", [SGD, RMSprop, Adam, Nadam, Adagrad, Adadelta])
def test_every_optimizer_decays_weights(optimizer):
    plain, decayed = parameters(), parameters()
    start = [p.data.copy() for p in plain]
    train(optimizer(0.1), plain, stop=1)
    train(optimizer(0.1, weight_decay=0.2), decayed, stop=1)
    for p, q, s in zip(plain, decayed, start, strict=True):
        np.testing.assert_allclose(p.data - q.data, 0.02 * s, rtol=1e-9)


def step_of(ps, **options):
    """Return how far SGD with rate 1 moves the parameters."""
    start = [p.data.copy() for p in ps]
    SGD(1.0, **options).step(ps)
    return [s - p.data for s, p in zip(start, ps, strict=True)]


@pytest.mark.parametrize("limit", [0.7, 100.0])
def test_clip_norm_is_over_all_gradients(limit):
    ps = parameters()
    give_gradients(ps, 0)
    length = math.sqrt(sum((p.grad.data**2).sum() for p in ps))
    wanted = [p.grad.data * min(1, limit / length) for p in ps]
    assert_near(step_of(ps, clip_norm=limit), wanted, 1e-12)


def test_clip_value_limits_each_element():
    ps = parameters()
    give_gradients(ps, 0)
    wanted = [np.clip(p.grad.data, -0.2, 0.2) for p in ps]
    assert_near(step_of(ps, clip_value=0.2), wanted, 1e-12)


def test_accumulate_updates_by_the_mean():
    ps, other = parameters(), parameters()
    optimizer, plain = Adam(0.1, accumulate=3), Adam(0.1)
    for t in range(4):
        gradients = [[gradient(p.data, 3 * t + k, i) for i, p in enumerate(ps)] for k in range(3)]
        for k in range(3):
            for p, g in zip(ps, gradients[k], strict=True):
                p.grad = Tensor.own(np.asarray(g))
            assert optimizer.iterations == t
            optimizer.step(ps)
        for p, *g in zip(other, *gradients, strict=True):
            p.grad = Tensor.own(np.asarray(np.mean(g, axis=0)))
        plain.step(other)
    assert optimizer.iterations == 4
    assert_near([p.data for p in ps], [p.data for p in other], 1e-12)


def test_accumulate_counts_a_missing_gradient_as_zero():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = SGD(1.0, accumulate=2)
    a.grad = b.grad = Tensor.own(np.full(2, 0.5))
    optimizer.step([a, b])
    b.grad = None
    optimizer.step([a, b])
    assert a.data.tolist() == [0.5, 0.5] and b.data.tolist() == [0.75, 0.75]


def test_ema_follows_the_weights():
    ps, optimizer, wanted = parameters(), SGD(0.1, ema=0.8), None
    for t in range(10):
        values = train(optimizer, ps, t, t + 1)
        wanted = values if wanted is None else [
            0.8 * w + 0.2 * v for w, v in zip(wanted, values, strict=True)]
    assert_near(optimizer.ema_values(), wanted, 1e-12)
    optimizer.swap_ema()
    assert_near([p.data for p in ps], wanted, 1e-12)
    with pytest.raises(ArgumentError, match="moving average is swapped in"):
        optimizer.step(ps)
    optimizer.swap_ema()
    assert all(np.array_equal(p.data, v) for p, v in zip(ps, values, strict=True))


def test_ema_keeps_its_weight_in_float32():
    p, optimizer = Parameter(np.ones(3, "float32")), SGD(0.0, ema=0.9999)
    p.grad = Tensor.own(np.ones(3, "float32"))
    for _ in range(300):
        optimizer.step([p])
    assert optimizer.ema_values()[0].tolist() == [1.0] * 3


def test_constraint_is_applied_after_the_step():
    p = Parameter(np.array([0.05, 2.0]))
    p.constraint = lambda w: np.maximum(w, 0)
    p.grad = Tensor.own(np.ones(2))
    optimizer = SGD(0.1, ema=0.5)
    optimizer.step([p])
    assert p.data.tolist() == [0.0, 1.9]
    assert optimizer.ema_values()[0].tolist() == [0.0, 1.9]


def test_frozen_parameters_and_those_without_gradient_stay():
    ps = parameters()
    start = [p.data.copy() for p in ps]
    give_gradients(ps, 0)
    ps[0].trainable, ps[1].grad = False, None
    optimizer = AdamW(0.1)
    optimizer.step(ps)
    moved = [not np.array_equal(p.data, s) for p, s in zip(ps, start, strict=True)]
    assert moved == [False, False, True, True]
    ps[0].trainable = True
    give_gradients(ps, 1)
    optimizer.step(ps)
    assert not np.array_equal(ps[0].data, start[0])


def test_zero_grad():
    ps, optimizer = parameters(), SGD()
    give_gradients(ps, 0)
    optimizer.zero_grad(ps)
    assert all(p.grad is None for p in ps)


# ---- learning rate -------------------------------------------------------------------------


def test_schedule_counts_updates():
    p, optimizer = Parameter(np.zeros(())), SGD(schedules.StepDecay(1.0, every=2, factor=0.5))
    rates = []
    for _ in range(5):
        p.grad = Tensor.own(np.ones(()))
        before = p.item()
        rates.append(optimizer.learning_rate)
        optimizer.step([p])
        assert before - p.item() == rates[-1]
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25]
    optimizer.learning_rate = 0.125
    assert optimizer.learning_rate == 0.125
    optimizer.learning_rate = lambda step: step / 10
    assert optimizer.learning_rate == 0.5


def test_time_decay_is_a_schedule():
    optimizer = SGD(0.1, time_decay=0.5)
    train(optimizer, parameters(), stop=2)
    assert optimizer.learning_rate == 0.05
    optimizer.learning_rate = 0.01
    assert optimizer.learning_rate == 0.01


# ---- errors --------------------------------------------------------------------------------

BAD_ARGUMENTS = [
    (lambda: SGD(-0.1), "got learning_rate=-0.1; expected a number of at least 0"),
    (lambda: SGD(float("nan")), "learning_rate=nan"),
    (lambda: SGD("fast"), "learning_rate='fast'"),
    (lambda: SGD(momentum=1.0), "SGD: got momentum=1.0; expected a number from 0 to below 1"),
    (lambda: SGD(time_decay=-1), "time_decay=-1"),
    (lambda: SGD(lambda step: 0.1, time_decay=0.1), "a schedule and time_decay"),
    (lambda: Adam(beta_2=1.5), "Adam: got beta_2=1.5"),
    (lambda: Adam(epsilon=-1), "epsilon=-1"),
    (lambda: Adam(amsgrad=3), "got amsgrad=3; expected True or False"),
    (lambda: AdamW(weight_decay=-1), "AdamW: got weight_decay=-1"),
    (lambda: Adagrad(initial_accumulator_value=-1), "initial_accumulator_value=-1"),
    (lambda: RMSprop(clip_norm=0), "got clip_norm=0; expected a number above 0"),
    (lambda: RMSprop(clip_norm=1, clip_value=1), "clip_norm and clip_value"),
    (lambda: Nadam(accumulate=0), "got accumulate=0; expected an integer of at least 1"),
    (lambda: Nadam(accumulate=1.5), "accumulate=1.5"),
    (lambda: Adadelta(ema=1), "ema=1"),
    (lambda: Adam(beta1=0.9), "Adam: got beta1; expected learning_rate, beta_1, beta_2"),
    (lambda: Adam([Parameter([1.0])]), "learning rate: got a list; expected a number, a schedule"),
    (lambda: setattr(SGD(), "learning_rate", -1), "learning_rate=-1"),
    (lambda: optim.get("sdg"), "got 'sdg'; there are adadelta, adagrad, adam"),
    (lambda: optim.get({"class_name": "Lion"}), "got class_name 'Lion'; there are Adadelta"),
    (lambda: optim.get({"class_name": "Adam", "config": {}}), "Adam cannot be made from {}"),
    (lambda: SGD().ema_values(), "SGD.ema_values: this optimizer has no ema"),
    (lambda: SGD(ema=0.9).swap_ema(), "there was no step yet"),
    (lambda: schedules.PolynomialDecay(0.1, 0), "PolynomialDecay: got steps=0"),
    (lambda: schedules.StepDecay(-1, 5), "got initial=-1"),
    (lambda: schedules.WarmUp(0.1, -5), "WarmUp: got steps=-5"),
    (lambda: schedules.FunctionSchedule(3), "got 3; expected a function"),
    (lambda: schedules.get({"class_name": "Sine"}), "there are CosineDecay"),
]


@pytest.mark.parametrize(("call", "text"), BAD_ARGUMENTS, ids=[t for _, t in BAD_ARGUMENTS])
def test_bad_arguments(call, text):
    with pytest.raises(ArgumentError) as raised:
        call()
    assert text in str(raised.value)


def with_gradients(count=2):
    ps = parameters(shapes=SHAPES[:count])
    give_gradients(ps, 0)
    return ps


@pytest.mark.parametrize(("given", "text"), [
    (lambda: with_gradients()[0], "got Parameter; expected a list of parameters"),
    (lambda: 5, "got int; expected a list of parameters"),
    (lambda: [Tensor([1.0], requires_grad=True)], "item 0 is of type Tensor; expected a Parameter"),
    (lambda: with_gradients()[:1] * 2, "given twice"),
    (lambda: parameters(), "no trainable parameter has a gradient"),
    (lambda: [Parameter([1.0], trainable=False)], "all parameters are frozen; expected"),
    (list, "got no parameters; expected those of a model"),
])
def test_bad_parameters(given, text):
    with pytest.raises(ArgumentError) as raised:
        SGD().step(given())
    assert text in str(raised.value)


def test_other_parameters_than_before():
    ps, optimizer = with_gradients(3), SGD(momentum=0.9)
    optimizer.step(ps)
    for others in (ps[:2], ps[::-1], with_gradients(3)):
        with pytest.raises(ArgumentError, match="of the steps before; expected the same 3"):
            optimizer.step(others)


# ---- state and configuration ---------------------------------------------------------------

RESUMED = {
    **{name: make for name, (make, _) in CASES.items()},
    "options": lambda: AdamW(0.1, clip_norm=0.5, accumulate=4, ema=0.9),
    "warm-up": lambda: Nadam(schedules.WarmUp(schedules.CosineDecay(0.1, 30), 5), ema=0.5),
    "function": lambda: SGD(lambda step: 0.1 / (step + 1), accumulate=3),
}


@pytest.mark.parametrize("case", RESUMED)
def test_resume_is_exact(case):
    whole = parameters("float32")
    optimizer = RESUMED[case]()
    wanted = train(optimizer, whole, stop=20)
    halted = parameters("float32")
    first = RESUMED[case]()
    values, state = train(first, halted, stop=10), first.state_dict()
    train(first, halted, 10, 12)  # what was saved is a copy
    resumed, second = [Parameter(v) for v in values], RESUMED[case]()
    second.load_state_dict(state)
    got = train(second, resumed, 10, 20)
    assert all(g.tobytes() == w.tobytes() for g, w in zip(got, wanted, strict=True))
    assert second.iterations == optimizer.iterations
    for (name, a), (other, b) in zip(optimizer.state_dict().items(), second.state_dict().items(),
                                     strict=True):
        assert name == other and np.array_equal(a, b)


def test_state_names():
    optimizer = Adam(ema=0.9)
    train(optimizer, parameters(), stop=1)
    names = set(optimizer.state_dict())
    assert {"hyper", "learning_rate", "0/mean", "0/mean_square", "3/average"} <= names
    assert all(isinstance(a, np.ndarray) for a in optimizer.state_dict().values())


def test_a_changed_learning_rate_is_restored():
    first, second = SGD(0.1), SGD(0.1)
    first.learning_rate = 0.02
    second.load_state_dict(first.state_dict())
    assert second.learning_rate == 0.02


def trained_state(optimizer, **changes):
    train(optimizer, parameters(), stop=2)
    state = {**optimizer.state_dict(), **changes}
    return {name: array for name, array in state.items() if array is not None}


@pytest.mark.parametrize(("state", "text"), [
    (dict, 'got a state with nothing; expected "hyper" of shape (2,)'),
    (lambda: trained_state(Nadam()), "got a state with hyper"),
    (lambda: trained_state(SGD(momentum=0.5)), 'got "0/velocity" in a state; its slots are mean'),
    (lambda: trained_state(Adam(), **{"1/mean": None}), 'got no "1/mean" in a state'),
    (lambda: trained_state(Adam(), **{"1/mean": np.ones(7)}),
     '"1/mean" is (7,) float64; parameter 1'),
    (lambda: trained_state(Adam(), **{"9/average": np.ones(7)}), "there are 4 parameters"),
])
def test_states_that_do_not_fit(state, text):
    given, optimizer, ps = state(), Adam(), parameters()
    train(optimizer, ps, stop=1)
    before = optimizer.state_dict()
    with pytest.raises(CheckpointError) as raised:
        optimizer.load_state_dict(given)
    assert text in str(raised.value)
    assert all(np.array_equal(a, before[k]) for k, a in optimizer.state_dict().items())


def test_state_of_another_model_is_noticed_at_the_first_step():
    optimizer, others = Adam(), parameters(shapes=((5,), (3,)))
    optimizer.load_state_dict(trained_state(Adam()))
    give_gradients(others, 0)
    with pytest.raises(CheckpointError, match='"0/mean" is'):
        optimizer.step(others)


CONFIGURED = {
    **{name: make for name, (make, _) in CASES.items()},
    "options": lambda: Adam(0.1, clip_value=0.5, accumulate=4, ema=0.9, weight_decay=0.1),
    "no decay": lambda: AdamW(weight_decay=None),
    "schedule": lambda: SGD(schedules.WarmUp(schedules.StepDecay(0.1, 3), np.int64(5))),
    "numpy numbers": lambda: RMSprop(np.float32(0.5), momentum=np.float64(0.1), centered=np.True_),
}


@pytest.mark.parametrize("case", CONFIGURED)
def test_configuration_round_trip(case):
    first = CONFIGURED[case]()
    second = optim.get(json.loads(json.dumps(optim.serialize(first))))
    assert type(second) is type(first) and second.get_config() == first.get_config()
    got = train(second, parameters(), stop=4)
    assert all(np.array_equal(a, b) for a, b in zip(got, train(first, parameters(), stop=4),
                                                    strict=True))


def test_get():
    for name, kind in [("sgd", SGD), ("RMSprop", RMSprop), ("adam", Adam), ("adamw", AdamW),
                       ("nadam", Nadam), ("adagrad", Adagrad), ("adadelta", Adadelta)]:
        assert type(optim.get(name)) is kind
    optimizer = SGD()
    assert optim.get(optimizer) is optimizer


def test_own_optimizer_and_schedule():
    class Slow(SGD):
        pass

    class Half(schedules.Schedule):
        def __call__(self, step):
            return 0.5

    custom = {"Slow": Slow, "Half": Half}
    again = optim.get(optim.serialize(Slow(Half())), custom)
    assert type(again) is Slow and again.learning_rate == 0.5
    with pytest.raises(ArgumentError, match="custom_objects"):
        optim.get(optim.serialize(Slow(Half())))


# ---- schedules -----------------------------------------------------------------------------


def drop(step):
    return 0.1 if step < 7 else 0.05


SCHEDULES = {
    "polynomial": (schedules.PolynomialDecay(0.5, 10, power=2.0, end=0.1),
                   lambda s: 0.1 + 0.4 * (1 - min(s, 10) / 10)**2),
    "linear": (schedules.PolynomialDecay(0.5, 8), lambda s: 0.5 * max(0, 8 - s) / 8),
    "step": (schedules.StepDecay(0.5, every=4, factor=0.1), lambda s: 0.5 * 10.0**-(s // 4)),
    "exponential": (schedules.ExponentialDecay(0.5, steps=5, factor=0.3),
                    lambda s: 0.5 * math.exp(math.log(0.3) * s / 5)),
    "cosine": (schedules.CosineDecay(0.5, 12, end=0.1),
               lambda s: 0.3 + 0.2 * math.cos(math.pi * min(s, 12) / 12)),
    "time": (schedules.TimeDecay(0.5, 0.3), lambda s: 0.5 / (1 + 0.3 * s)),
    "warm-up": (schedules.WarmUp(0.5, 4), lambda s: 0.5 * min(s + 1, 5) / 5),
    "warm-up, then steps": (schedules.WarmUp(schedules.StepDecay(0.5, 3), 4),
                            lambda s: 0.1 * (s + 1) if s < 4 else 0.5 * 0.5**((s - 4) // 3)),
    "function": (schedules.FunctionSchedule(drop), drop),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedule_is_the_closed_form(case):
    schedule, formula = SCHEDULES[case]
    got = [schedule(step) for step in range(20)]
    assert all(type(rate) is float for rate in got)
    np.testing.assert_allclose(got, [formula(step) for step in range(20)], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedule_configuration_round_trip(case):
    schedule, _ = SCHEDULES[case]
    again = schedules.get(json.loads(json.dumps(optim.serialize(schedule))), {"drop": drop})
    assert type(again) is type(schedule)
    assert [again(step) for step in range(20)] == [schedule(step) for step in range(20)]


def test_function_schedule_needs_its_function():
    described = optim.serialize(schedules.FunctionSchedule(drop))
    with pytest.raises(ArgumentError, match="the function 'drop' is not known here"):
        schedules.get(described)


TORCH_SCHEDULES = {
    "polynomial": (schedules.PolynomialDecay(0.5, 10, power=2.0),
                   lambda o, s: s.PolynomialLR(o, total_iters=10, power=2.0)),
    "step": (schedules.StepDecay(0.5, 4, 0.1), lambda o, s: s.StepLR(o, 4, 0.1)),
    "exponential": (schedules.ExponentialDecay(0.5, 1, 0.9), lambda o, s: s.ExponentialLR(o, 0.9)),
    "cosine": (schedules.CosineDecay(0.5, 15, 0.1),
               lambda o, s: s.CosineAnnealingLR(o, 15, eta_min=0.1)),
    "warm-up": (schedules.WarmUp(0.5, 4),
                lambda o, s: s.LinearLR(o, start_factor=0.2, total_iters=4)),
    "function": (schedules.FunctionSchedule(drop),
                 lambda o, s: s.LambdaLR(o, lambda t: 2 * drop(t))),
}


@pytest.mark.torch
@pytest.mark.parametrize("case", TORCH_SCHEDULES)
def test_schedule_agrees_with_torch(torch, case):
    schedule, make = TORCH_SCHEDULES[case]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs, rates = make(optimizer, torch.optim.lr_scheduler), []
    for _ in range(15):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    np.testing.assert_allclose([schedule(s) for s in range(15)], rates, rtol=1e-9)


def test_centered_rmsprop_stays_finite_where_the_spread_is_nothing_but_rounding() -> None:
    rng = np.random.default_rng(0)
    p, optimizer = Parameter(np.zeros(4096, "float32")), RMSprop(0.01, centered=True)
    constant = (rng.random(4096) * 1000).astype("float32")
    for step in range(250):
        noise = 3 * rng.random(4096, "float32") if step <= 50 else np.float32(1)
        p.grad = Tensor(constant * noise)
        optimizer.step([p])
    assert np.isfinite(p.data).all()


# ---- optimizers of users -------------------------------------------------------------------


def sign_descent(hyper, p, g, slots, keep):
    """p - r sign(m), m = keep m + (1 - keep) g."""
    slots["mean"] = keep * slots["mean"] + (1 - keep) * g
    return p - hyper[0] * np.sign(slots["mean"])


class SignDescent(Optimizer):
    op = "sign_descent"

    def __init__(self, learning_rate=0.01, keep=0.5, **options):
        super().__init__(learning_rate, {"keep": keep}, **options)


@pytest.fixture
def update():
    yield optim.define_update("sign_descent", sign_descent, slots=["mean"], keep=0.5)
    registry.forget("sign_descent")
    del UPDATES["sign_descent"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_update_of_ones_own(dtype, update):
    def formula(p, g, t, memory):
        memory["m"] = 0.8 * memory.get("m", 0) + 0.2 * g
        return p - 0.01 * np.sign(memory["m"])

    got = train(SignDescent(0.01, keep=0.8), parameters(dtype))
    assert_near(got, follow(formula), TOLERANCE[dtype])


def test_an_update_of_ones_own_has_what_all_have(update):
    assert check_op(update, ["complete", "refusals", "forward", "inputs unchanged", "buffers",
                             "overwrite", "repeatable", "threads"]) == []
    ps, again = parameters(), parameters()
    options = {"weight_decay": 0.1, "clip_norm": 1.0, "ema": 0.9}
    whole = SignDescent(schedules.CosineDecay(0.1, 20), **options)
    train(whole, ps, 0, 20)
    begun = SignDescent(schedules.CosineDecay(0.1, 20), **options)
    train(begun, again, 0, 10)
    written = json.loads(json.dumps(optim.serialize(begun)))
    resumed = optim.get(written, {"SignDescent": SignDescent})
    resumed.load_state_dict(begun.state_dict())
    train(resumed, again, 10, 20)
    for p, q in zip(ps, again, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    for a, b in zip(whole.ema_values(), resumed.ema_values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_updates_that_there_are_not(update):
    with pytest.raises(ArgumentError, match="sign_descent: an op of this name is defined already"):
        optim.define_update("sign_descent", sign_descent)

    class Other(Optimizer):
        op = "others"

    for kind, name in ((Other, "others"), (Optimizer, "")):
        with pytest.raises(ArgumentError, match=f"its class has op = '{name}'; there are sgd,"):
            kind(0.1, {})
    fast = SignDescent()
    fast.settings["speed"] = 2
    with pytest.raises(ArgumentError, match="sign_descent: got speed; its attributes are keep, "):
        fast.step(with_gradients())
