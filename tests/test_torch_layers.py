"""Every layer that PyTorch has, too: outputs, input gradients and weight gradients agree."""

from __future__ import annotations

import numpy as np
import pytest

import minidl.nn.layers as L  # noqa: N812
from minidl.autograd import functional as F  # noqa: N812
from minidl.autograd.tensor import Tensor

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn
pytestmark = pytest.mark.torch

KERNEL2D = {"kernel": ("weight", (2, 3, 1, 0))}       # (KH, KW, C, K) of (K, C, KH, KW)
KERNEL1D = {"kernel": ("weight", (2, 1, 0))}          # (K, C, F) of (F, C, K)
TRANSPOSE2D = {"kernel": ("weight", (2, 3, 1, 0))}    # (KH, KW, F, C) of (C, F, KH, KW)
DEPTHWISE = {"kernel": ("weight", (2, 3, 0, 1))}      # (KH, KW, C, 1) of (C, 1, KH, KW)
DENSE = {"kernel": ("weight", (1, 0))}
BIAS = {"bias": ("bias", (0,))}
SCALE = {"gamma": ("weight", (0,)), "beta": ("bias", (0,))}
IMAGES, SEQUENCES, ROWS = (2, 9, 8, 4), (3, 11, 4), (5, 6)


def same(window):
    """Return PyTorch's padding for stride 1 that gives the input's length, odd windows."""
    return window // 2


# name: layer, PyTorch's module, input shape, weights (ours to theirs with axes), channels moved
CASES = {
    "dense": (lambda: L.Dense(3), lambda: nn.Linear(6, 3), ROWS, DENSE | BIAS, False),
    "dense relu": (lambda: L.Dense(3, activation="relu"),
                   lambda: nn.Sequential(nn.Linear(6, 3), nn.ReLU()), ROWS,
                   {"kernel": ("0.weight", (1, 0)), "bias": ("0.bias", (0,))}, False),
    "conv2d": (lambda: L.Conv2D(5, 3), lambda: nn.Conv2d(4, 5, 3), IMAGES, KERNEL2D | BIAS, True),
    "conv2d stride, padding": (
        lambda: L.Conv2D(5, (3, 2), strides=(2, 1), padding=(1, 2)),
        lambda: nn.Conv2d(4, 5, (3, 2), (2, 1), (1, 2)), IMAGES, KERNEL2D | BIAS, True),
    "conv2d same, dilation": (
        lambda: L.Conv2D(5, 3, padding="same", dilation_rate=2, use_bias=False),
        lambda: nn.Conv2d(4, 5, 3, 1, "same", 2, bias=False), IMAGES, KERNEL2D, True),
    "conv2d groups": (lambda: L.Conv2D(6, 3, groups=2), lambda: nn.Conv2d(4, 6, 3, groups=2),
                      IMAGES, KERNEL2D | BIAS, True),
    "depthwise": (lambda: L.DepthwiseConv2D(3, padding="same"),
                  lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4), IMAGES, DEPTHWISE | BIAS, True),
    "conv1d": (lambda: L.Conv1D(5, 4, strides=2, padding=1), lambda: nn.Conv1d(4, 5, 4, 2, 1),
               SEQUENCES, KERNEL1D | BIAS, True),
    "conv1d groups, dilation": (
        lambda: L.Conv1D(6, 3, groups=2, dilation_rate=3),
        lambda: nn.Conv1d(4, 6, 3, dilation=3, groups=2), SEQUENCES, KERNEL1D | BIAS, True),
    "conv2d transpose": (lambda: L.Conv2DTranspose(5, 3), lambda: nn.ConvTranspose2d(4, 5, 3),
                         IMAGES, TRANSPOSE2D | BIAS, True),
    "conv2d transpose stride": (
        lambda: L.Conv2DTranspose(5, (3, 4), strides=(2, 3)),
        lambda: nn.ConvTranspose2d(4, 5, (3, 4), (2, 3)), IMAGES, TRANSPOSE2D | BIAS, True),
    "conv2d transpose groups": (
        lambda: L.Conv2DTranspose(6, 3, strides=2, padding=1, output_padding=1, groups=2),
        lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), IMAGES, TRANSPOSE2D | BIAS, True),
    "conv1d transpose": (lambda: L.Conv1DTranspose(5, 4, strides=2),
                         lambda: nn.ConvTranspose1d(4, 5, 4, 2), SEQUENCES, KERNEL1D | BIAS, True),
    "max pool 2d": (lambda: L.MaxPooling2D(3, strides=2), lambda: nn.MaxPool2d(3, 2), IMAGES, {},
                    True),
    "max pool 2d padded": (lambda: L.MaxPooling2D(3, 1, "same"), lambda: nn.MaxPool2d(3, 1, 1),
                           IMAGES, {}, True),
    "average pool 2d": (lambda: L.AveragePooling2D((2, 3), strides=1),
                        lambda: nn.AvgPool2d((2, 3), 1), IMAGES, {}, True),
    "average pool 2d same": (
        lambda: L.AveragePooling2D(3, 1, "same"),
        lambda: nn.AvgPool2d(3, 1, same(3), count_include_pad=False), IMAGES, {}, True),
    "max pool 1d": (lambda: L.MaxPooling1D(3, 2), lambda: nn.MaxPool1d(3, 2), SEQUENCES, {}, True),
    "average pool 1d": (lambda: L.AveragePooling1D(3), lambda: nn.AvgPool1d(3), SEQUENCES, {},
                        True),
    "global max 2d": (lambda: L.GlobalMaxPooling2D(keepdims=True), lambda: nn.AdaptiveMaxPool2d(1),
                      IMAGES, {}, True),
    "global average 2d": (lambda: L.GlobalAveragePooling2D(keepdims=True),
                          lambda: nn.AdaptiveAvgPool2d(1), IMAGES, {}, True),
    "global max 1d": (lambda: L.GlobalMaxPooling1D(keepdims=True), lambda: nn.AdaptiveMaxPool1d(1),
                      SEQUENCES, {}, True),
    "global average 1d": (lambda: L.GlobalAveragePooling1D(keepdims=True),
                          lambda: nn.AdaptiveAvgPool1d(1), SEQUENCES, {}, True),
    "batch norm 2d": (lambda: L.BatchNormalization(epsilon=1e-5), lambda: nn.BatchNorm2d(4), IMAGES,
                      SCALE, True),
    "batch norm of rows": (lambda: L.BatchNormalization(), lambda: nn.BatchNorm1d(6, eps=1e-3),
                           ROWS, SCALE, False),
    "layer norm": (lambda: L.LayerNormalization(), lambda: nn.LayerNorm(6, eps=1e-3), ROWS, SCALE,
                   False),
    "group norm": (lambda: L.GroupNormalization(2), lambda: nn.GroupNorm(2, 4, eps=1e-3), IMAGES,
                   SCALE, True),
    "instance norm": (lambda: L.GroupNormalization(-1, center=False, scale=False),
                      lambda: nn.InstanceNorm2d(4, eps=1e-3), IMAGES, {}, True),
    # PyTorch divides alpha by the number of channels in the window
    "local response": (lambda: L.LocalResponseNormalization(2, 0.1, 0.75, 2.0),
                       lambda: nn.LocalResponseNorm(5, 0.5, 0.75, 2.0), (2, 3, 3, 7), {}, True),
    "relu": (lambda: L.ReLU(), nn.ReLU, ROWS, {}, False),
    "relu 6": (lambda: L.ReLU(6.0), nn.ReLU6, ROWS, {}, False),
    "leaky relu": (lambda: L.LeakyReLU(0.1), lambda: nn.LeakyReLU(0.1), ROWS, {}, False),
    "elu": (lambda: L.ELU(0.7), lambda: nn.ELU(0.7), ROWS, {}, False),
    "softmax": (lambda: L.Softmax(), lambda: nn.Softmax(-1), ROWS, {}, False),
    "softmax of axis 1": (lambda: L.Softmax(1), lambda: nn.Softmax(1), SEQUENCES, {}, False),
    "zero padding": (lambda: L.ZeroPadding2D(((1, 2), (3, 0))), lambda: nn.ZeroPad2d((3, 0, 1, 2)),
                     IMAGES, {}, True),
    **{f"activation {ours}": (lambda ours=ours: L.Activation(ours), theirs, ROWS, {}, False)
       for ours, theirs in {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softplus": nn.Softplus,
                            "gelu": nn.GELU, "silu": nn.SiLU, "relu6": nn.ReLU6, "elu": nn.ELU,
                            "log_softmax": lambda: nn.LogSoftmax(-1),
                            "leaky_relu": lambda: nn.LeakyReLU(0.2)}.items()},
}


def close(ours, theirs):
    scale = max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * scale)


def first(array, moved):
    return np.moveaxis(array, -1, 1) if moved else array


def last(array, moved):
    return np.moveaxis(array, 1, -1) if moved else array


@pytest.mark.parametrize("name", CASES)
def test_forward_and_backward(name):
    make, make_theirs, shape, weights, moved = CASES[name]
    rng = np.random.default_rng(len(name))
    x, layer, theirs = rng.standard_normal(shape).astype("f4") * 2, make(), make_theirs()
    layer(x)
    named = dict(theirs.named_parameters())
    for ours, (other, axes) in weights.items():
        value = rng.standard_normal(named[other].shape).astype("f4") * 0.5
        named[other].data = torch.from_numpy(value)
        getattr(layer, ours).assign(np.transpose(value, axes))
    a = Tensor(x, requires_grad=True)
    b = torch.from_numpy(np.ascontiguousarray(first(x, moved))).requires_grad_()
    y, z = layer(a), theirs(b)
    gy = rng.standard_normal(y.shape).astype("f4")
    F.sum(y * Tensor(gy)).backward()
    z.backward(torch.from_numpy(np.ascontiguousarray(first(gy, moved))))
    close(y.data, last(z.detach().numpy(), moved))
    close(a.grad.data, last(b.grad.numpy(), moved))
    assert len(layer.parameters()) == len(weights) == len(named)
    for ours, (other, axes) in weights.items():
        close(getattr(layer, ours).grad.data, np.transpose(named[other].grad.numpy(), axes))


def test_embedding():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 7, (3, 5))
    ours, theirs = L.Embedding(7, 4), nn.Embedding(7, 4)
    y = ours(ids)
    theirs.weight.data = torch.from_numpy(ours.embeddings.data.copy())
    z = theirs(torch.from_numpy(ids))
    gy = rng.standard_normal(y.shape).astype("f4")
    F.sum(y * Tensor(gy)).backward()
    z.backward(torch.from_numpy(gy))
    close(y.data, z.detach().numpy())
    close(ours.embeddings.grad.data, theirs.weight.grad.numpy())


def test_batch_normalization_in_use():
    """PyTorch keeps the unbiased variance, Keras and minidl the biased one."""
    rng = np.random.default_rng(0)
    ours, theirs = L.BatchNormalization(momentum=0.9), nn.BatchNorm2d(4, eps=1e-3, momentum=0.1)
    for _ in range(3):
        x = rng.normal(2, 3, IMAGES).astype("f4")
        ours(x)
        theirs(torch.from_numpy(np.ascontiguousarray(first(x, True))))
    n = x[..., 0].size
    close(ours.moving_mean.data, theirs.running_mean.numpy())
    unbiased = (ours.moving_variance.data - 0.9**3) * n / (n - 1) + 0.9**3
    close(unbiased, theirs.running_var.numpy())
    theirs.running_var = torch.from_numpy(ours.moving_variance.data.copy())
    z = theirs.eval()(torch.from_numpy(np.ascontiguousarray(first(x, True))))
    close(ours.eval()(x).data, last(z.detach().numpy(), True))


def test_default_weights_of_pytorch():
    """torch_uniform draws kernel and bias from the range that PyTorch draws from."""
    torch.manual_seed(0)
    options = {"kernel_initializer": "torch_uniform", "bias_initializer": "torch_uniform"}
    for layer, theirs, shape in [
            (L.Conv2D(3000, 5, **options), nn.Conv2d(3, 3000, 5), (1, 9, 9, 3)),
            (L.Dense(4000, **options), nn.Linear(20, 4000), (1, 20))]:
        layer(np.zeros(shape, "f4"))
        for ours, other in [(layer.kernel, theirs.weight), (layer.bias, theirs.bias)]:
            other = other.detach().numpy()
            assert ours.data.std() == pytest.approx(other.std(), rel=0.05)
            assert np.abs(ours.data).max() == pytest.approx(np.abs(other).max(), rel=0.03)


def test_a_whole_network():
    """The lecture's MNIST network, dropout off: outputs and all gradients agree."""
    theirs = nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2),
        nn.ReLU(), nn.Flatten(), nn.Linear(320, 50), nn.ReLU(), nn.Linear(50, 10), nn.LogSoftmax(1))
    ours = L.Sequential([
        L.Input((28, 28, 1)), L.Conv2D(10, 5), L.MaxPooling2D(), L.ReLU(), L.Conv2D(20, 5),
        L.MaxPooling2D(), L.ReLU(), L.Flatten(), L.Dense(50, activation="relu"),
        L.Dense(10, activation="log_softmax")])
    params = [p.detach().numpy() for p in theirs.parameters()]
    axes = [(2, 3, 1, 0), (0,), (2, 3, 1, 0), (0,), None, (0,), (1, 0), (0,)]

    def convert(value, order):
        if order is None:  # their flatten runs over channels first
            return value.reshape(50, 20, 4, 4).transpose(2, 3, 1, 0).reshape(320, 50)
        return value.transpose(order)

    for p, value, order in zip(ours.parameters(), params, axes, strict=True):
        p.assign(convert(value, order))
    x = np.random.default_rng(0).standard_normal((6, 28, 28, 1)).astype("f4")
    labels = np.arange(6) % 10
    y, z = ours(x), theirs(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    close(y.data, z.detach().numpy())
    F.mean(F.nll(y, labels)).backward()
    nn.functional.nll_loss(z, torch.from_numpy(labels)).backward()
    for p, q, order in zip(ours.parameters(), theirs.parameters(), axes, strict=True):
        close(p.grad.data, convert(q.grad.numpy(), order))
