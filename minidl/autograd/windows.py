"""Functions of tensors: matrix products, convolutions, pooling."""

from __future__ import annotations

from .arguments import Padding, Pair, nested, optional, pair
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor

# ---- products ------------------------------------------------------------------------------


def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the matrix product of (..., m, k) and (..., k, n), leading axes broadcast."""
    return apply("matmul", *pair(a, b))


def linear(x: TensorLike, w: TensorLike, b: TensorLike | None = None) -> Tensor:
    """Return x w + b for x (..., features), w (features, units), b (units)."""
    return apply("linear", as_tensor(x), as_tensor(w), optional(b))


def linear_relu(x: TensorLike, w: TensorLike, b: TensorLike | None = None) -> Tensor:
    """Return max(x w + b, 0) as one op.

    >>> linear_relu([[1.0, 2.0]], [[1.0, -1.0], [1.0, -1.0]]).tolist()
    [[3.0, 0.0]]
    """
    return apply("linear_relu", as_tensor(x), as_tensor(w), optional(b))


# ---- convolutions --------------------------------------------------------------------------


def conv1d(x: TensorLike, w: TensorLike, b: TensorLike | None = None, stride: Pair = 1,
           padding: Padding = "valid", dilation: Pair = 1, groups: int = 1,
           algorithm: str | None = None) -> Tensor:
    """Return the convolution of sequences x (N, L, C) with w (K, C / groups, F), plus b (F).

    Args:
        padding: "valid", "same", an int, or ((before, after),).
        algorithm: a variant by name, such as "im2col"; the best one by default.

    >>> conv1d([[[1.0], [2.0], [4.0]]], [[[1.0]], [[1.0]]]).tolist()
    [[[3.0], [6.0]]]
    """
    return apply("conv1d", as_tensor(x), as_tensor(w), optional(b), algorithm=algorithm,
                 stride=nested(stride), padding=nested(padding), dilation=nested(dilation),
                 groups=groups)


def conv2d(x: TensorLike, w: TensorLike, b: TensorLike | None = None, stride: Pair = 1,
           padding: Padding = "valid", dilation: Pair = 1, groups: int = 1,
           algorithm: str | None = None, out: Tensor | None = None) -> Tensor:
    """Return the convolution of images x (N, H, W, C) with w (KH, KW, C / groups, K), plus b (K).

    Args:
        padding: "valid", "same", an int, or (before, after) for rows and for columns.
        algorithm: a variant by name, such as "im2col"; the best one by default.
        out: a tensor to write into, which may be a part of the channels of another; without
            gradients.
    """
    return apply("conv2d", as_tensor(x), as_tensor(w), optional(b), algorithm=algorithm,
                 out=out, stride=nested(stride), padding=nested(padding), dilation=nested(dilation),
                 groups=groups)


def conv1d_relu(x: TensorLike, w: TensorLike, b: TensorLike | None = None, stride: Pair = 1,
                padding: Padding = "valid", dilation: Pair = 1, groups: int = 1,
                algorithm: str | None = None) -> Tensor:
    """Return relu of what `conv1d` returns, as one op."""
    return apply("conv1d_relu", as_tensor(x), as_tensor(w), optional(b), algorithm=algorithm,
                 stride=nested(stride), padding=nested(padding), dilation=nested(dilation),
                 groups=groups)


def conv2d_relu(x: TensorLike, w: TensorLike, b: TensorLike | None = None, stride: Pair = 1,
                padding: Padding = "valid", dilation: Pair = 1, groups: int = 1,
                algorithm: str | None = None, out: Tensor | None = None) -> Tensor:
    """Return relu of what `conv2d` returns, as one op."""
    return apply("conv2d_relu", as_tensor(x), as_tensor(w), optional(b), algorithm=algorithm,
                 out=out, stride=nested(stride), padding=nested(padding), dilation=nested(dilation),
                 groups=groups)


def conv2d_relu6(x: TensorLike, w: TensorLike, b: TensorLike | None = None, stride: Pair = 1,
                padding: Padding = "valid", dilation: Pair = 1, groups: int = 1,
                algorithm: str | None = None, out: Tensor | None = None) -> Tensor:
    """Return relu6 of what `conv2d` returns, as one op."""
    return apply("conv2d_relu6", as_tensor(x), as_tensor(w), optional(b), algorithm=algorithm,
                 out=out, stride=nested(stride), padding=nested(padding), dilation=nested(dilation),
                 groups=groups)


def conv2d_add(x: TensorLike, w: TensorLike, b: TensorLike | None, more: TensorLike,
               stride: Pair = 1, padding: Padding = "valid", dilation: Pair = 1, groups: int = 1,
               algorithm: str | None = None, out: Tensor | None = None) -> Tensor:
    """Return what `conv2d` returns plus more (N, P, Q, K), as one op.

    >>> conv2d_add([[[[2.0]]]], [[[[3.0]]]], None, [[[[1.0]]]]).tolist()
    [[[[7.0]]]]
    """
    return apply("conv2d_add", as_tensor(x), as_tensor(w), optional(b), as_tensor(more),
                 algorithm=algorithm, out=out, stride=nested(stride), padding=nested(padding),
                 dilation=nested(dilation), groups=groups)


def conv1d_transpose(x: TensorLike, w: TensorLike, b: TensorLike | None = None, stride: Pair = 1,
                     padding: Padding = "valid", output_padding: Pair | None = None,
                     dilation: Pair = 1, groups: int = 1, algorithm: str | None = None) -> Tensor:
    """Return sequences x (N, L, C) spread over windows w (K, F / groups, C), plus b (F).

    The arguments are those of `conv2d_transpose`.
    """
    return apply("conv1d_transpose", as_tensor(x), as_tensor(w), optional(b), algorithm=algorithm,
                 stride=nested(stride), padding=nested(padding),
                 output_padding=nested(output_padding), dilation=nested(dilation), groups=groups)


def conv2d_transpose(x: TensorLike, w: TensorLike, b: TensorLike | None = None, stride: Pair = 1,
                     padding: Padding = "valid", output_padding: Pair | None = None,
                     dilation: Pair = 1, groups: int = 1, algorithm: str | None = None) -> Tensor:
    """Return images x (N, H, W, C) spread over windows w (KH, KW, F / groups, C), plus b (F).

    This is the convolution that goes from the shape of conv2d's result to that of its input. With a
    window of K elements (dilated ones counted in full) a length L becomes (L - 1) stride +
    max(K, stride) for "valid" and L stride for "same", as in Keras 3.

    Args:
        padding: "valid", "same", or what is cut off: an int, or (before, after) per axis, as in
            PyTorch.
        output_padding: what the length exceeds the smallest possible one by, below the stride;
            None gives the lengths above, or 0 with an explicit padding.

    >>> from minidl import empty
    >>> conv2d_transpose(empty((1, 5, 5, 8)), empty((3, 3, 4, 8)), stride=2, padding="same").shape
    (1, 10, 10, 4)
    """
    return apply("conv2d_transpose", as_tensor(x), as_tensor(w), optional(b), algorithm=algorithm,
                 stride=nested(stride), padding=nested(padding),
                 output_padding=nested(output_padding), dilation=nested(dilation), groups=groups)


# ---- pooling -------------------------------------------------------------------------------


def max_pool1d(x: TensorLike, window: Pair = 2, stride: Pair | None = None,
               padding: Padding = "valid") -> Tensor:
    """Return the maxima of windows of sequences (N, L, C); stride is the window by default."""
    return apply("max_pool1d", as_tensor(x), window=nested(window), stride=nested(stride),
                 padding=nested(padding))


def average_pool1d(x: TensorLike, window: Pair = 2, stride: Pair | None = None,
                   padding: Padding = "valid", count_include_pad: bool = False) -> Tensor:
    """Return the means of windows of sequences (N, L, C); padding does not count by default."""
    return apply("average_pool1d", as_tensor(x), window=nested(window), stride=nested(stride),
                 padding=nested(padding), count_include_pad=count_include_pad)


def max_pool2d(x: TensorLike, window: Pair = 2, stride: Pair | None = None,
               padding: Padding = "valid", out: Tensor | None = None) -> Tensor:
    """Return the maxima of windows of images (N, H, W, C); stride is the window by default.

    Args:
        out: a tensor to write into, without gradients.
    """
    return apply("max_pool2d", as_tensor(x), out=out, window=nested(window), stride=nested(stride),
                 padding=nested(padding))


def average_pool2d(x: TensorLike, window: Pair = 2, stride: Pair | None = None,
                   padding: Padding = "valid", count_include_pad: bool = False,
                   out: Tensor | None = None) -> Tensor:
    """Return the means of windows of images (N, H, W, C); padding does not count by default."""
    return apply("average_pool2d", as_tensor(x), out=out, window=nested(window),
                 stride=nested(stride), padding=nested(padding),
                 count_include_pad=count_include_pad)
