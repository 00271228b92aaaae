"""A model that was looked at, or used, is as it was before."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

import minidl as dl
from minidl import config, layers
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
