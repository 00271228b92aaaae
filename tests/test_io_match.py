"""Matching: which array goes where, how it is turned, and what is said where it does not fit."""

from __future__ import annotations

import numpy as np

import minidl.nn.layers as L  # noqa: N812
from minidl.io.match import Weights, match
from minidl.nn import Input, Sequential

RNG = np.random.default_rng(3)


def file(shapes: dict[str, tuple[int, ...]], layout: str = "channels_first") -> Weights:
    arrays = {name: RNG.random(shape, np.float32) for name, shape in shapes.items()}
    return Weights(arrays, layout, "weights.pt (torch)")


def small() -> Sequential:
    return Sequential([Input((6, 5, 3)), L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(),
                       L.Flatten(), L.Dropout(0.5), L.Dense(7), L.BatchNormalization(),
                       L.Dense(2)])


SMALL = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,),
         "1.running_mean": (4,), "1.running_var": (4,), "1.num_batches_tracked": (),
         "4.weight": (7, 48), "4.bias": (7,), "5.weight": (7,), "5.bias": (7,),
         "5.running_mean": (7,), "5.running_var": (7,), "6.weight": (2, 7), "6.bias": (2,)}


def test_small() -> None:
    model, weights = small(), file(SMALL)
    report = match(model, weights)
    assert report.complete and "bit by bit" in report.check
    state = model.state_dict()
    assert np.array_equal(state["conv2d/kernel"],
                          weights.arrays["0.weight"].transpose(2, 3, 1, 0))
    dense = weights.arrays["4.weight"].reshape(7, 4, 4, 3)
    assert np.array_equal(state["dense/kernel"], dense.transpose(2, 3, 1, 0).reshape(48, 7))
