"""PyTorch's counterparts of the ops, for `bench_ops.py`; a worker that times them.

A counterpart is made from the shapes and attributes of a call of minidl; its tensors are random.
Images are (N, C, H, W), in both memory formats; the faster counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from measure import serve, timing
from op_calls import WEIGHTS
from op_torch_inputs import Inputs, Run
from op_torch_windows import (
    average_pool_gradient,
    conv,
    conv_gradient,
    conv_transpose,
    max_pool_gradient,
    pool,
)
from torch.nn import functional as F  # noqa: N812

aten = torch.ops.aten

# ---- normalisation -------------------------------------------------------------------------


def batch_norm(given: Inputs, relu: bool = False) -> Run:
    """Return batch normalisation by the batch's statistics."""
    x, gamma, beta = given[0], given[1], given[2]

    def run() -> torch.Tensor:
        y = torch.native_batch_norm(x, gamma, beta, None, None, True, 0.1, 1e-3)[0]
        return y.relu_() if relu else y

    return run


def batch_norm_gradient(given: Inputs, relu: bool = False) -> Run:
    """Return the gradients by gamma and beta, and by x if that is wanted."""
    x, gamma = given[1], given.optional(2)
    gamma = torch.ones(x.shape[1]) if gamma is None else gamma
    y, mean, inverse = torch.native_batch_norm(x, gamma, gamma, None, None, True, 0.1, 1e-3)
    gy, by_x = torch.randn_like(y), given.attrs["input_gradient"]

    def run() -> Any:
        g = aten.threshold_backward(gy, y, 0) if relu else gy
        return aten.native_batch_norm_backward(g, x, gamma, None, None, mean, inverse, True, 1e-3,
                                               [by_x, True, True])[0 if by_x else 1]

    return run


def batch_norm_inference(given: Inputs, relu: bool = False) -> Run:
    """Return batch normalisation by given statistics."""
    x, mean, gamma, beta = given[0], given[1], given[3], given[4]
    variance = torch.rand_like(mean) + 0.5

    def run() -> torch.Tensor:
        y = F.batch_norm(x, mean, variance, gamma, beta, False, 0.1, 1e-3)
        return y.relu_() if relu else y

    return run


def layer_norm(given: Inputs) -> Run:
    """Return layer normalisation of rows."""
    return partial(F.layer_norm, given[0], given.shapes[1], given[1], given[2])


def group_norm(given: Inputs) -> Run:
    """Return group normalisation."""
    return partial(F.group_norm, given[0], given.attrs["groups"], given[1], given[2])


def local_response_norm(given: Inputs) -> Run:
    """Return normalisation by neighbouring channels."""
    return partial(F.local_response_norm, given[0], 2 * given.attrs.get("depth_radius", 2) + 1)


# ---- rows, losses, look-ups ----------------------------------------------------------------


def linear(given: Inputs, relu: bool = False) -> Run:
    """Return x w + b."""
    x, w, b = given[0], torch.randn(given.shapes[1][::-1]), given.optional(2)

    def run() -> torch.Tensor:
        y = F.linear(x, w, b)
        return y.relu_() if relu else y

    return run


def matmul(given: Inputs) -> Run:
    """Return a product of matrices."""
    a, b = torch.randn(given.shapes[0]), torch.randn(given.shapes[1])
    return lambda: a @ b


def cross_entropy(given: Inputs) -> Run:
    """Return the cross-entropy of logits."""
    x, labels = given[0], torch.randint(0, given.shapes[0][-1], given.shapes[1])
    return lambda: F.cross_entropy(x, labels, reduction="none")


def nll(given: Inputs) -> Run:
    """Return minus the log-probability of labels."""
    x, labels = given[0], torch.randint(0, given.shapes[0][-1], given.shapes[1])
    return lambda: F.nll_loss(x, labels, reduction="none")


def embedding(given: Inputs) -> Run:
    """Return rows of a table."""
    ids, table = torch.randint(0, given.shapes[1][0], given.shapes[0]), given[1]
    return lambda: F.embedding(ids, table)


def embedding_gradient(given: Inputs) -> Run:
    """Return the gradient by the table."""
    gy, rows = torch.randn(given.shapes[0]), given.attrs.get("rows", 10_000)
    ids = torch.randint(0, rows, given.shapes[1])
    return lambda: aten.embedding_dense_backward(gy, ids, rows, -1, False)


def dropout(given: Inputs) -> Run:
    """Return dropout of elements, or of whole channels."""
    whole = given.attrs.get("mask_shape") and math.prod(given.attrs["mask_shape"]) < math.prod(
        given.shapes[0])
    x, function = given[0], F.dropout2d if whole else F.dropout
    return lambda: function(x, given.attrs["rate"], True)


def reduction(given: Inputs, function: Callable[..., Any]) -> Run:
    """Return a reduction over axes."""
    x, axes = given[0], given.axes()
    return lambda: function(x, axes)


def concat(given: Inputs) -> Run:
    """Return tensors side by side, along the channels."""
    parts = [given[i] for i in range(len(given.shapes))]
    return lambda: torch.cat(parts, 1)


def pad(given: Inputs) -> Run:
    """Return an image with zeros around it."""
    x, pads = given[0], given.attrs["pads"]
    return lambda: F.pad(x, [n for pair in pads[2:0:-1] for n in pair])


def softmax_gradient(given: Inputs, function: Any) -> Run:
    """Return the gradient of softmax or log-softmax."""
    gy, y = given[0], given[1].softmax(-1)
    return lambda: function(gy, y, -1, torch.float32)


def bias_gradient(given: Inputs) -> Run:
    """Return the gradient of ReLU, and its sum per channel."""
    gy, y = given[0], given[1]
    axes = [a for a in range(gy.ndim) if a != 1]

    def run() -> torch.Tensor:
        g = aten.threshold_backward(gy, y, 0)
        g.sum(axes)
        return g

    return run


UPDATES: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.01, 0.9, fused=True),
    "adam": lambda p: torch.optim.Adam(p, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, foreach=True),
    "adadelta": lambda p: torch.optim.Adadelta(p, foreach=True),
    "nadam": lambda p: torch.optim.NAdam(p, foreach=True),
}


def update(given: Inputs, make: Callable[[Any], torch.optim.Optimizer]) -> Run:
    """Return an optimizer's step, fused where PyTorch has that."""
    weights = [torch.randn(shape) for shape in WEIGHTS]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = make(weights)

    def run() -> torch.Tensor:
        optimizer.step()
        return weights[0]

    return run


def pointwise(given: Inputs, function: Callable[..., Any]) -> Run:
    """Return a function of elements."""
    arguments = [given[i] for i in range(len(given.shapes))]
    if function in (torch.log, torch.sqrt, torch.pow):
        arguments[0] = arguments[0].abs()
    return lambda: function(*arguments)


_POINTWISE: dict[str, Callable[..., Any]] = {
    **{name: getattr(torch, name) for name in (
        "abs", "add", "divide", "equal", "exp", "greater", "greater_equal", "less", "less_equal",
        "log", "logical_and", "logical_not", "logical_or", "maximum", "minimum", "multiply",
        "negative", "not_equal", "relu", "sigmoid", "sign", "sqrt", "square", "subtract", "tanh",
        "where")},
    "equal": torch.eq, "power": torch.pow, "gelu": F.gelu, "elu": F.elu, "softplus": F.softplus,
    "copy": torch.clone, "leaky_relu": F.leaky_relu,
    "add_relu": lambda a, b: torch.add(a, b).relu_(),
    "clip": lambda x: x.clamp(-1, 1),
    "relu_gradient_x": lambda gy, y: aten.threshold_backward(gy, y, 0),
    "sigmoid_gradient_x": aten.sigmoid_backward, "tanh_gradient": aten.tanh_backward,
    "gelu_gradient_x": aten.gelu_backward,
    "leaky_relu_gradient_x": lambda gy, x: aten.leaky_relu_backward(gy, x, 0.01, False),
    "softplus_gradient_x": lambda gy, x: aten.softplus_backward(gy, x, 1, 20),
    "binary_cross_entropy_with_logits": partial(F.binary_cross_entropy_with_logits,
                                                reduction="none"),
}

TABLE: dict[str, Callable[[Inputs], Run]] = {
    **{name: partial(pointwise, function=f) for name, f in _POINTWISE.items()},
    "conv2d": conv, "conv1d": conv, "conv2d_relu": partial(conv, relu=True),
    "conv1d_relu": partial(conv, relu=True),
    "conv2d_input_gradient": partial(conv_gradient, which=0),
    "conv2d_weight_gradient": partial(conv_gradient, which=1),
    "conv2d_transpose": conv_transpose, "conv1d_transpose": conv_transpose,
    **{f"{ours}_pool{axes}d": partial(pool, kind=kind) for axes in (1, 2)
       for ours, kind in (("max", "max"), ("average", "avg"))},
    "max_pool2d_gradient": max_pool_gradient, "average_pool2d_gradient": average_pool_gradient,
    "batch_norm": batch_norm, "batch_norm_relu": partial(batch_norm, relu=True),
    "batch_norm_gradient": batch_norm_gradient,
    "batch_norm_relu_gradient": partial(batch_norm_gradient, relu=True),
    "batch_norm_inference": batch_norm_inference,
    "batch_norm_inference_relu": partial(batch_norm_inference, relu=True),
    "layer_norm": layer_norm, "group_norm": group_norm, "local_response_norm": local_response_norm,
    "linear": linear, "linear_relu": partial(linear, relu=True), "matmul": matmul,
    "softmax": lambda given: partial(torch.softmax, given[0], -1),
    "log_softmax": lambda given: partial(torch.log_softmax, given[0], -1),
    "softmax_gradient": partial(softmax_gradient, function=aten._softmax_backward_data),
    "log_softmax_gradient": partial(softmax_gradient, function=aten._log_softmax_backward_data),
    "softmax_cross_entropy": cross_entropy, "nll": nll, "embedding": embedding,
    "embedding_gradient": embedding_gradient, "dropout": dropout, "concat": concat, "pad": pad,
    "sum": partial(reduction, function=torch.sum), "mean": partial(reduction, function=torch.mean),
    "var": partial(reduction, function=torch.var), "max": partial(reduction, function=torch.amax),
    "min": partial(reduction, function=torch.amin),
    "argmax": lambda given: partial(torch.argmax, given[0], -1),
    "relu_bias_gradient": bias_gradient,
    **{name: partial(update, make=make) for name, make in UPDATES.items()},
}

# ---- the worker ----------------------------------------------------------------------------


def time(calls: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """Time the counterparts; the answer holds ms and size of the result, or why there is none."""
    return [best(seconds, **call) for call in calls]


def best(seconds: float, op: str, shapes: list[Any], dtypes: list[str], attrs: dict[str, Any]
         ) -> dict[str, Any]:
    """Time one counterpart in the memory formats that differ."""
    if op not in TABLE:
        return {}
    layouts = [torch.contiguous_format, torch.channels_last]
    images = any(shape is not None and len(shape) == 4 for shape in shapes)
    found = []
    for layout in layouts if images else layouts[:1]:
        try:
            run = TABLE[op](Inputs(shapes, dtypes, attrs, layout))
            with torch.inference_mode():
                size = run().numel()
                found.append({"ms": timing(run, seconds, warm_seconds=0.05).ms, "size": size})
        except (RuntimeError, TypeError, KeyError, IndexError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}"[:200]}
    return min(found, key=lambda result: result["ms"])


if __name__ == "__main__":
    serve({"time": time})
