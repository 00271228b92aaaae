"""Layers that are no family of their own: dense, dropout, embedding, shape and activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import functional as F  # noqa: N812 (its usual short name)
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..spec import Shape, tuple_of
from . import activations
from .initializers import fans
from .module import Module, weight_options


class Dense(Module):
    """y = activation(x w + b) for x (..., features).

    Args:
        units: length of the last axis of the output.
        activation: name or function.
        kernel_initializer: of w (features, units), and so on for the other arguments.

    >>> Dense(3).compute_output_shape((None, 5))
    (None, 3)
    """

    kernel: Parameter
    bias: Parameter | None

    def __init__(self, units: int, activation: Any = None, use_bias: bool = True,
                 kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 kernel_regularizer: Any = None, bias_regularizer: Any = None,
                 kernel_constraint: Any = None, bias_constraint: Any = None, **base: Any) -> None:
        super().__init__(**base)
        self.units, = tuple_of("Dense", "units", units, 1)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_options = weight_options(
            kernel_initializer, kernel_regularizer, kernel_constraint)
        self.bias_options = weight_options(bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs (..., features)."""
        shape = (input_shape[-1], self.units)
        self.add_weight("kernel", shape, *self.kernel_options)
        self.bias = None
        if self.use_bias:
            self.add_weight("bias", (self.units,), *self.bias_options, fans=fans(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return activation(x w + b)."""
        return self.activation(F.linear(x, self.kernel, self.bias))


class Embedding(Module):
    """Rows of a table (input_dim, output_dim) by their numbers: ids (...) to (..., output_dim)."""

    embeddings: Parameter

    def __init__(self, input_dim: int, output_dim: int, embeddings_initializer: Any = "uniform",
                 embeddings_regularizer: Any = None, embeddings_constraint: Any = None,
                 **base: Any) -> None:
        super().__init__(**base)
        self.shape = tuple_of("Embedding", "(input_dim, output_dim)", (input_dim, output_dim), 2)
        self.options = weight_options(
            embeddings_initializer, embeddings_regularizer, embeddings_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make the table."""
        self.add_weight("embeddings", self.shape, *self.options)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows; whole numbers of floating type are converted, as in Keras."""
        whole = ids if ids.dtype.kind in "iu" else F.astype(ids, "int64")
        return F.embedding(whole, self.embeddings)


# ---- activation ----------------------------------------------------------------------------


class Activation(Module):
    """An activation function by name, as a layer."""

    def __init__(self, activation: Any, **base: Any) -> None:
        super().__init__(**base)
        self.activation = activations.get(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return activation(x)."""
        return self.activation(x)


class ReLU(Module):
    """max(x, 0), at most `max_value`; below `threshold`, negative_slope (x - threshold)."""

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0,
                 threshold: float = 0.0, **base: Any) -> None:
        super().__init__(**base)
        self.max_value, self.negative_slope = max_value, negative_slope
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified values."""
        y = self._above_threshold(x)
        return y if self.max_value is None else F.minimum(y, float(self.max_value))

    def _above_threshold(self, x: Tensor) -> Tensor:
        if self.threshold == 0:
            return F.leaky_relu(x, self.negative_slope) if self.negative_slope else F.relu(x)
        return F.where(x >= self.threshold, x, self.negative_slope * (x - self.threshold))


class LeakyReLU(Module):
    """x where positive, else negative_slope x (Maas et al. 2013)."""

    def __init__(self, negative_slope: float = 0.3, **base: Any) -> None:
        super().__init__(**base)
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified values."""
        return F.leaky_relu(x, self.negative_slope)


class ELU(Module):
    """x where positive, else alpha (exp(x) - 1) (Clevert et al. 2015)."""

    def __init__(self, alpha: float = 1.0, **base: Any) -> None:
        super().__init__(**base)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated values."""
        return F.elu(x, self.alpha)


class Softmax(Module):
    """Probabilities along an axis, the last by default."""

    def __init__(self, axis: int = -1, **base: Any) -> None:
        super().__init__(**base)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Return exp(x) over its sum along the axis."""
        if self.axis in (-1, x.ndim - 1):
            return F.softmax(x)
        order = [a for a in range(x.ndim) if a != self.axis % x.ndim] + [self.axis % x.ndim]
        back = sorted(range(x.ndim), key=order.__getitem__)
        return F.transpose(F.softmax(F.transpose(x, order)), back)


# ---- dropout -------------------------------------------------------------------------------


class Dropout(Module):
    """In training, a share `rate` of the elements becomes 0 and the others are divided by 1 - rate.

    Source: Srivastava et al. 2014.
    """

    shared_axes: tuple[int, ...] = ()

    def __init__(self, rate: float, **base: Any) -> None:
        super().__init__(**base)
        if not 0 <= rate < 1:
            raise ArgumentError(type(self).__name__, f"got rate={rate}", "expected 0 <= rate < 1",
                                "It is the share of elements that become 0.")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x with elements dropped, in training only."""
        if not self.training or self.rate == 0:
            return x
        return F.dropout(x, self.rate, shared_axes=self.shared_axes)


class SpatialDropout1D(Dropout):
    """Dropout of whole channels of sequences (N, L, C) (Tompson et al. 2015)."""

    shared_axes = (1,)
    input_axes, layout = 3, "(N, L, C)"


class SpatialDropout2D(Dropout):
    """Dropout of whole channels of images (N, H, W, C) (Tompson et al. 2015)."""

    shared_axes = (1, 2)
    input_axes, layout = 4, "(N, H, W, C)"


# ---- shape ---------------------------------------------------------------------------------


class Flatten(Module):
    """All axes but the batch made one."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, -1)."""
        return F.flatten(x)


class Reshape(Module):
    """The elements of each sample in another shape; one length may be -1."""

    def __init__(self, target_shape: Sequence[int], **base: Any) -> None:
        super().__init__(**base)
        self.target_shape = tuple(target_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, *target_shape)."""
        return F.reshape(x, (x.shape[0], *self.target_shape))


class Permute(Module):
    """The axes in another order, counted from 1; the batch stays first."""

    def __init__(self, dims: Sequence[int], **base: Any) -> None:
        super().__init__(**base)
        self.dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with axis dims[i] at place i + 1."""
        return F.transpose(x, (0, *self.dims))


class Identity(Module):
    """The input as it is."""

    def forward(self, x: Any) -> Any:
        """Return x."""
        return x


def _pads(where: str, padding: Any, axes: int) -> tuple[tuple[int, int], ...]:
    """Return (before, after) per axis from an int, ints or pairs."""
    several = (padding,) * axes if isinstance(padding, int) else tuple(padding)
    if len(several) != axes:
        raise ArgumentError(where, f"got padding={padding!r}",
                            f"expected an int, or {axes} of ints or (before, after)",
                            "Change padding.")
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in several]
    return tuple(tuple_of(where, "padding", p, 2, 0) for p in pairs)  # type: ignore[misc]


class ZeroPadding1D(Module):
    """Zeros before and after sequences (N, L, C)."""

    input_axes, layout = 3, "(N, L, C)"

    def __init__(self, padding: int | Sequence[int] = 1, **base: Any) -> None:
        super().__init__(**base)
        pair = padding if isinstance(padding, int) else (tuple(padding),)
        self.padding = _pads("ZeroPadding1D", pair, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x padded along axis 1."""
        return F.pad(x, ((0, 0), *self.padding, (0, 0)))


class ZeroPadding2D(Module):
    """Zeros around images (N, H, W, C).

    Args:
        padding: an int, (rows, columns), or ((top, bottom), (left, right)).
    """

    input_axes, layout = 4, "(N, H, W, C)"

    def __init__(self, padding: Any = (1, 1), **base: Any) -> None:
        super().__init__(**base)
        self.padding = _pads("ZeroPadding2D", padding, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return x padded along axes 1 and 2."""
        return F.pad(x, ((0, 0), *self.padding, (0, 0)))


# ---- values --------------------------------------------------------------------------------


class Rescaling(Module):
    """y = x scale + offset, such as Rescaling(1 / 255) for images of bytes."""

    def __init__(self, scale: float | Sequence[float], offset: float | Sequence[float] = 0.0,
                 **base: Any) -> None:
        super().__init__(**base)
        self.scale, self.offset = scale, offset

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled values, as floats."""
        x = x if x.dtype.kind == "f" else F.astype(x, self.dtype)
        y = x * _like(self.scale, x)
        return y if self.offset == 0 else y + _like(self.offset, x)


def _like(value: float | Sequence[float], x: Tensor) -> Any:
    return value if isinstance(value, (int, float)) else Tensor(list(value), dtype=x.dtype)


class Lambda(Module):
    """Any function of tensors as a layer; models with one cannot be saved with their architecture.

    Args:
        function: called with the inputs; of a plain Python function nothing but its name is known.
    """

    def __init__(self, function: Callable[..., Any], **base: Any) -> None:
        super().__init__(**base)
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        """Return function(inputs)."""
        return self.function(*inputs)

    def get_config(self) -> dict[str, Any]:
        """Raise: a function has no config."""
        raise ArgumentError(f'layer "{self.name}" (Lambda)',
                            "a function cannot be written to a file",
                            "expected a layer with a config",
                            "Write a Module with a forward method and give it to custom_objects.")
