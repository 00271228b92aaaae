"""A model that was looked at, or used, is as it was before."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

import numpy as np
import pytest

import minidl as dl
from minidl import config, layers, watch
from minidl.watch import hooked, inference, mode


def small() -> dl.Sequential:
    return dl.Sequential([dl.Input((4,)), layers.Dense(3), layers.BatchNormalization(),
                          layers.Dropout(0.5)])


def modes(model: dl.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def judged(model: dl.Sequential) -> None:
    model.compile("sgd", "mse")
    model.evaluate(np.ones((2, 4), "float32"), np.ones((2, 3), "float32"))


USES = {
    "predict": lambda model: model.predict(np.ones((2, 4), "float32")),
    "evaluate": judged,
    "summary": lambda model: model.summary(print_fn=len),
}


@pytest.mark.parametrize("all_in_training", [False, True])
@pytest.mark.parametrize("use", USES)
def test_each_layer_comes_back_in_its_own_mode(use, all_in_training):
    model = small()
    model.train(all_in_training)
    model.layers[1].train(not all_in_training)  # as one freezes a batch normalisation by hand
    before = modes(model)
    USES[use](model)
    assert modes(model) == before
    assert len(set(before)) == 2


@pytest.mark.parametrize("training", [False, True])
def test_mode_holds_for_all_inside_and_ends_with_an_error(training):
    model = small()
    model.train(not training)
    with suppress(KeyError), mode(model, training):
        assert set(modes(model)) == {training}
        raise KeyError
    assert set(modes(model)) == {not training}


def test_the_last_of_several_blocks_puts_the_modules_back():
    model = small()
    first, second, third = (mode(model, training=False) for _ in range(3))
    first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    assert set(modes(model)) == {False}
    model.train()
    third.__enter__()
    assert set(modes(model)) == {False}
    third.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert set(modes(model)) == {True}
    assert not watch._blocks


def test_threads_that_predict_leave_the_statistics_alone():
    model, x = small(), np.random.default_rng(0).standard_normal((4, 4)).astype("float32")
    model.predict(x)
    before = model.layers[1].moving_mean.numpy().copy()
    asking = [threading.Thread(target=lambda: [model.predict(x) for _ in range(60)])
              for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    np.testing.assert_array_equal(model.layers[1].moving_mean.numpy(), before)
    assert set(modes(model)) == {True}


def test_inference_records_nothing():
    model = small()
    with inference(model):
        assert not model.training and not config.grad_enabled()
        assert model(np.ones((2, 4), "float32")).node is None
    assert model(np.ones((2, 4), "float32")).node is not None


def test_hooks_are_called_in_order_and_taken_away():
    model, calls = small(), []
    dense = model.layers[0]

    def op(call, compute):
        calls.append(call.plan.op.name)
        compute()

    watching = hooked([dense], lambda module, inputs: calls.append("before"),
                      lambda module, inputs, y: calls.append("after"), op)
    with inference(model):
        with suppress(KeyError), watching:
            model(np.ones((2, 4), "float32"))
            raise KeyError
        seen = list(calls)
        model(np.ones((2, 4), "float32"))
    assert seen[:3] == ["before", "linear", "after"]
    assert calls == seen
