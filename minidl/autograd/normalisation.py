"""Functions of tensors: normalisation and dropout."""

from __future__ import annotations

from collections.abc import Sequence

from .. import random
from ..spec import normal_axes
from .arguments import optional
from .tape import apply
from .tensor import Tensor, TensorLike, as_tensor

# ---- normalisation -------------------------------------------------------------------------


def batch_norm(x: TensorLike, gamma: TensorLike | None = None, beta: TensorLike | None = None,
               epsilon: float = 1e-3) -> tuple[Tensor, Tensor, Tensor]:
    """Return x (N, ..., C) with mean 0 and variance 1 per channel, times gamma plus beta (C).

    Also returns the means and the variances (divided by the count) of the channels (C), which are
    constants for backward. Source: Ioffe and Szegedy 2015.

    >>> y, mean, var = batch_norm([[1.0], [3.0]], epsilon=0.0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[-1.0], [1.0]], [2.0], [1.0])
    """
    return apply("batch_norm", as_tensor(x), optional(gamma), optional(beta),
                 epsilon=float(epsilon))


def batch_norm_relu(x: TensorLike, gamma: TensorLike | None = None,
                    beta: TensorLike | None = None, epsilon: float = 1e-3
                    ) -> tuple[Tensor, Tensor, Tensor]:
    """Return relu of what `batch_norm` returns, and its means and variances, in as few passes.

    Nothing but x is kept for backward.

    >>> y, mean, var = batch_norm_relu([[1.0], [3.0]], epsilon=0.0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[0.0], [1.0]], [2.0], [1.0])
    """
    return apply("batch_norm_relu", as_tensor(x), optional(gamma), optional(beta),
                 epsilon=float(epsilon))


def batch_norm_inference(x: TensorLike, mean: TensorLike, var: TensorLike,
                         gamma: TensorLike | None = None, beta: TensorLike | None = None,
                         epsilon: float = 1e-3) -> Tensor:
    """Return gamma (x - mean) / sqrt(var + epsilon) + beta for x (N, ..., C), all others (C).

    Mean and variance get no gradient.
    """
    return apply("batch_norm_inference", as_tensor(x), as_tensor(mean), as_tensor(var),
                 optional(gamma), optional(beta), epsilon=float(epsilon))


def batch_norm_inference_relu(x: TensorLike, mean: TensorLike, var: TensorLike,
                              gamma: TensorLike | None = None, beta: TensorLike | None = None,
                              epsilon: float = 1e-3) -> Tensor:
    """Return relu of what `batch_norm_inference` returns, in one pass."""
    return apply("batch_norm_inference_relu", as_tensor(x), as_tensor(mean), as_tensor(var),
                 optional(gamma), optional(beta), epsilon=float(epsilon))


def layer_norm(x: TensorLike, gamma: TensorLike | None = None, beta: TensorLike | None = None,
               epsilon: float = 1e-3) -> Tensor:
    """Return x (..., C) with mean 0 and variance 1 along the last axis, times gamma plus beta (C).

    Source: Ba, Kiros and Hinton 2016.
    """
    return apply("layer_norm", as_tensor(x), optional(gamma), optional(beta),
                 epsilon=float(epsilon))


def group_norm(x: TensorLike, gamma: TensorLike | None = None, beta: TensorLike | None = None,
               groups: int = 32, epsilon: float = 1e-3) -> Tensor:
    """Return x (N, ..., C) normalised per sample and group of C / groups neighbouring channels.

    With as many groups as channels this is instance normalisation. Source: Wu and He 2018.
    """
    return apply("group_norm", as_tensor(x), optional(gamma), optional(beta), groups=groups,
                 epsilon=float(epsilon))


def local_response_norm(x: TensorLike, depth_radius: int = 5, bias: float = 1.0,
                        alpha: float = 1.0, beta: float = 0.5) -> Tensor:
    """Return x (..., C) / (bias + alpha * sum of squares of near channels) ** beta.

    Near are the channels at most `depth_radius` away. Names and defaults are TensorFlow's; the
    paper (Krizhevsky et al. 2012) has depth_radius=2, bias=2, alpha=1e-4, beta=0.75.
    """
    return apply("local_response_norm", as_tensor(x), depth_radius=depth_radius, bias=float(bias),
                 alpha=float(alpha), beta=float(beta))


# ---- dropout -------------------------------------------------------------------------------


def dropout(x: TensorLike, rate: float = 0.5, key: TensorLike | None = None,
            shared_axes: Sequence[int] = ()) -> Tensor:
    """Return x with a share `rate` of its elements 0 and the others divided by 1 - rate.

    Args:
        key: uint64 [seed, count]; the next one of `minidl.random` by default.
        shared_axes: axes along which one draw holds for all, such as (1, 2) of (N, H, W, C) to
            drop whole channels (spatial dropout, Tompson et al. 2015).
    """
    x = as_tensor(x)
    axes = normal_axes("dropout", tuple(shared_axes), x.ndim) if shared_axes else ()
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return apply("dropout", x, Tensor.own(random.default.key()) if key is None else as_tensor(key),
                 rate=float(rate), mask_shape=shape)
