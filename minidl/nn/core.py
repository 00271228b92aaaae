"""Layers that are no family of their own: dense, embedding, dropout, rescaling, lambda."""

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

    def forward(self, x: Tensor, activation: activations.Function | None = None) -> Tensor:
        """Return activation(x w + b), by default with the layer's own activation."""
        return activations.apply(activation or self.activation, (F.linear, F.linear_relu),
                                 x, self.kernel, self.bias)


class Embedding(Module):
    """Rows of a table (input_dim, output_dim) by their numbers: ids (...) to (..., output_dim)."""

    embeddings: Parameter
    repeatable = False  # the numbers are checked in Python

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

    repeatable = False

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
