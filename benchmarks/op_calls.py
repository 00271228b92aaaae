"""Calls of realistic size for the ops that need more than an array of numbers.

`bench_ops.py` makes each call, takes its gradients, and times every op that this runs, so gradient
ops need no entry. Ops that work element by element need none either (see `ELEMENTS`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ELEMENTS = (64, 32, 32, 64)
"""Shape for ops that work element by element: 16 MiB in float32, a wide layer's output."""

Draw = Callable[[np.random.Generator], np.ndarray]
Inputs = tuple[tuple[int, ...] | Draw | None, ...]


@dataclass(frozen=True)
class OpCall:
    """One call.

    Attributes:
        op: name in the op table.
        inputs: per input a shape of normal float32 values, a function that draws it, or None.
        backward: take the gradients, too.
    """

    op: str
    inputs: Inputs
    attrs: Mapping[str, Any] = field(default_factory=dict)
    backward: bool = True


def numbers(high: int, *shape: int) -> Draw:
    """Return a function that draws integers from 0 to high - 1."""
    return lambda rng: rng.integers(0, high, shape)


def positive(*shape: int) -> Draw:
    """Return a function that draws values above 0."""
    return lambda rng: rng.uniform(0.5, 1.5, shape).astype(np.float32)


def booleans(*shape: int) -> Draw:
    """Return a function that draws truth values."""
    return lambda rng: rng.random(shape) < 0.5


def key(rng: np.random.Generator) -> np.ndarray:
    """Return a key of random numbers."""
    return np.array([1, 2], np.uint64)


# ---- convolutions --------------------------------------------------------------------------

CONVOLUTIONS = (  # images, height = width, channels, filters, window, stride, padding
    (64, 32, 64, 64, 3, 1, "same"), (64, 16, 128, 128, 3, 1, "same"),
    (64, 8, 256, 256, 3, 1, "same"), (64, 16, 64, 64, 3, 1, "same"),
    (64, 32, 32, 64, 3, 1, "same"), (64, 28, 1, 32, 3, 1, "valid"),
    (64, 28, 1, 10, 5, 1, "valid"), (64, 12, 10, 20, 5, 1, "valid"),
    (64, 14, 32, 64, 5, 1, "same"), (32, 16, 64, 128, 3, 1, "same"),
    (64, 16, 256, 64, 1, 1, "valid"), (64, 32, 64, 128, 3, 2, "same"),
    (32, 56, 3, 64, 7, 2, "same"), (8, 180, 3, 32, 3, 1, "valid"),
)


def convolution(op: str, n: int, size: int, c: int, k: int, window: int, stride: int, padding: str
                ) -> OpCall:
    """Return the call of a convolution with bias."""
    return OpCall(op, ((n, size, size, c), (window, window, c, k), (k,)),
                  {"stride": stride, "padding": padding})


_CONVOLUTIONS = (
    *(convolution("conv2d", *shape) for shape in CONVOLUTIONS),
    *(convolution("conv2d_relu", *CONVOLUTIONS[i]) for i in (0, 5)),
    OpCall("conv2d", ((64, 32, 32, 64), (3, 3, 1, 64), None),  # depthwise
           {"padding": "same", "groups": 64}),
    OpCall("conv2d_transpose", ((64, 16, 16, 64), (4, 4, 32, 64), (32,)),
           {"stride": 2, "padding": 1}),
    *(OpCall(op, ((128, 500, 128), (7, 128, 32), (32,))) for op in ("conv1d", "conv1d_relu")),
    OpCall("conv1d", ((128, 9, 1), (4, 1, 256), (256,)), {"padding": "same"}),
    OpCall("conv1d_transpose", ((64, 250, 64), (4, 32, 64), (32,)), {"stride": 2, "padding": 1}),
)

# ---- everything else -----------------------------------------------------------------------

_DENSE = tuple(OpCall(op, ((n, a), (a, b), (b,)))
               for op in ("linear", "linear_relu")
               for n, a, b in ((64, 3136, 1024), (32, 9216, 4096), (128, 512, 10)))
_POOLS = tuple(OpCall(op, ((64, 32, 32, 64),), attrs)
               for op in ("max_pool2d", "average_pool2d")
               for attrs in ({"window": 2}, {"window": 3, "stride": 2, "padding": "same"},
                             {"window": 3, "stride": 1, "padding": "same"}))
_POOLS_1D = tuple(OpCall(op, ((128, 500, 64),), {"window": 5})
                  for op in ("max_pool1d", "average_pool1d"))
_NORMS = (
    *(OpCall(op, ((64, 32, 32, 64), (64,), (64,))) for op in ("batch_norm", "batch_norm_relu")),
    OpCall("batch_norm", ((64, 8, 8, 256), (256,), (256,))),
    *(OpCall(op, ((64, 32, 32, 64), (64,), positive(64), (64,), (64,)))
      for op in ("batch_norm_inference", "batch_norm_inference_relu")),
    OpCall("layer_norm", ((4096, 512), (512,), (512,))),
    OpCall("group_norm", ((64, 32, 32, 64), (64,), (64,)), {"groups": 32}),
    OpCall("local_response_norm", ((32, 55, 55, 96),)),
)
_REDUCTIONS = (
    *(OpCall(op, ((64, 32, 32, 64),), {"axis": axis}) for op in ("sum", "mean", "max", "var")
      for axis in ((1, 2), (0, 1, 2))),
    OpCall("min", ((64, 32, 32, 64),), {"axis": (1, 2)}),
    OpCall("argmax", ((4096, 1000),), {"axis": 1}),
)
_LOSSES = (
    OpCall("softmax", ((256, 1000),)), OpCall("log_softmax", ((256, 1000),)),
    OpCall("softmax_cross_entropy", ((256, 1000), numbers(1000, 256))),
    OpCall("nll", ((256, 1000), numbers(1000, 256))),
)
_LOOKUPS = (
    OpCall("embedding", (numbers(10_000, 128, 500), (10_000, 128))),
    OpCall("one_hot", (numbers(1000, 4096),), {"classes": 1000}, backward=False),
)
_SHAPES = (
    OpCall("concat", ((64, 32, 32, 32), (64, 32, 32, 48)), {"axis": 3}),
    OpCall("pad", ((64, 32, 32, 64),), {"pads": ((0, 0), (1, 1), (1, 1), (0, 0))}),
    OpCall("where", (booleans(*ELEMENTS), ELEMENTS, ELEMENTS)),
    OpCall("dropout", (ELEMENTS, key), {"rate": 0.5}),
    OpCall("dropout", (ELEMENTS, key), {"rate": 0.5, "mask_shape": (64, 1, 1, 64)}),
    OpCall("matmul", ((1024, 1024), (1024, 1024))),
    OpCall("matmul", ((64, 256, 64), (64, 64, 256))),
)

CALLS: tuple[OpCall, ...] = (*_CONVOLUTIONS, *_DENSE, *_POOLS, *_POOLS_1D, *_NORMS, *_REDUCTIONS,
                             *_LOSSES, *_LOOKUPS, *_SHAPES)

UPDATES = {"sgd": "SGD", "adam": "Adam", "rmsprop": "RMSprop", "adagrad": "Adagrad",
           "adadelta": "Adadelta", "nadam": "Nadam"}
"""Ops that update weights, and the optimizers that run them."""

WEIGHTS = (*((3, 3, 256, 256),) * 8, *((256,),) * 8, (2048, 1024), (1024,))
"""Shapes of the weights that are updated: 6.8 million."""
