"""Convolution layers."""

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

Pair = int | Sequence[int]
Weights = tuple[Tensor, Tensor | None] | None


class _Conv(Module):
    """What convolution layers share: y = activation(x * w + b).

    Args:
        filters: channels of the output.
        kernel_size: lengths of the window.
        strides: steps between windows.
        padding: "valid", "same", an int, or (before, after) per axis.
        dilation_rate: steps between the elements of a window.
        groups: channels are split into this many groups that do not mix.
        activation: name or function.
    """

    kernel: Parameter
    bias: Parameter | None
    functions: tuple[Callable[..., Tensor], ...] = (F.conv2d, F.conv2d_relu, F.conv2d_relu6)

    def __init__(self, filters: int, kernel_size: Pair, strides: Pair = 1, padding: Any = "valid",
                 dilation_rate: Pair = 1, groups: int = 1, activation: Any = None,
                 use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
                 bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
                 bias_regularizer: Any = None, kernel_constraint: Any = None,
                 bias_constraint: Any = None, **base: Any) -> None:
        super().__init__(**base)
        axes, kind = int(self.input_axes or 0) - 2, type(self).__name__
        self.filters, = tuple_of(kind, "filters", filters, 1)
        self.kernel_size = tuple_of(kind, "kernel_size", kernel_size, axes)
        self.strides = tuple_of(kind, "strides", strides, axes)
        self.dilation_rate = tuple_of(kind, "dilation_rate", dilation_rate, axes)
        self.groups, = tuple_of(kind, "groups", groups, 1)
        self.padding = padding
        self.activation, self.use_bias = activations.get(activation), use_bias
        self.kernel_options = weight_options(
            kernel_initializer, kernel_regularizer, kernel_constraint)
        self.bias_options = weight_options(bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs with channels last."""
        self._add_weights(self.kernel_shape(input_shape[-1]), self.filters)

    def _add_weights(self, shape: Shape, channels: int) -> None:
        self.add_weight("kernel", shape, *self.kernel_options)
        self.bias = None
        if self.use_bias:
            self.add_weight("bias", (channels,), *self.bias_options, fans=fans(shape))

    def kernel_shape(self, channels: int) -> Shape:
        """Return the shape of w for a number of input channels."""
        self._check_groups(channels)
        return (*self.kernel_size, channels // self.groups, self.filters)

    def _check_groups(self, channels: int) -> None:
        if channels % self.groups or self.filters % self.groups:
            raise ArgumentError("", f"got groups={self.groups}", f"it must divide {channels} input "
                                f"and {self.filters} output channels",
                                "Change groups or the channels.")

    def forward(self, x: Tensor, activation: activations.Function | None = None,
                weights: Weights = None, **options: Any) -> Tensor:
        """Return activation(x * w + b), by default with the layer's own activation.

        Args:
            weights: kernel and bias in place of the layer's own.
            options: of the function of tensors.
        """
        return activations.apply(activation or self.activation, self.functions, x,
                                 *(weights or (self.kernel, self.bias)), **self._window(),
                                 **options)

    def _window(self) -> dict[str, Any]:
        """Return how the window moves, as the functions of tensors take it."""
        return {"stride": self.strides, "padding": self.padding, "dilation": self.dilation_rate,
                "groups": self.groups}


class Conv1D(_Conv):
    """Convolution of sequences (N, L, C) with w (K, C / groups, filters)."""

    input_axes, layout = 3, "(N, L, C)"
    functions = (F.conv1d, F.conv1d_relu)


class Conv2D(_Conv):
    """Convolution of images (N, H, W, C) with w (KH, KW, C / groups, filters).

    >>> layer = Conv2D(10, 5)
    >>> layer.compute_output_shape((None, 28, 28, 1)), layer.count_parameters()
    ((None, 24, 24, 10), 260)
    """

    input_axes, layout = 4, "(N, H, W, C)"

    def forward(self, x: Tensor, activation: activations.Function | None = None,
                weights: Weights = None, more: Tensor | None = None, **options: Any) -> Tensor:
        """Return activation(x * w + b), by default with the layer's own activation.

        Args:
            weights: kernel and bias in place of the layer's own.
            more: is added by the same op; the activation must be the identity then.
            options: of the function of tensors.
        """
        if more is None:
            return super().forward(x, activation, weights, **options)
        kernel, bias = weights or (self.kernel, self.bias)
        return F.conv2d_add(x, kernel, bias, more, **self._window(), **options)


class DepthwiseConv2D(_Conv):
    """Convolution of every channel by itself with w (KH, KW, C, depth_multiplier).

    Args:
        depth_multiplier: channels of the output per channel of the input.
        depthwise_initializer: of w, and so on for the other arguments.
    """

    input_axes, layout = 4, "(N, H, W, C)"

    def __init__(self, kernel_size: Pair, strides: Pair = 1, padding: Any = "valid",
                 depth_multiplier: int = 1, dilation_rate: Pair = 1, activation: Any = None,
                 use_bias: bool = True, depthwise_initializer: Any = "glorot_uniform",
                 bias_initializer: Any = "zeros", depthwise_regularizer: Any = None,
                 bias_regularizer: Any = None, depthwise_constraint: Any = None,
                 bias_constraint: Any = None, **base: Any) -> None:
        super().__init__(depth_multiplier, kernel_size, strides, padding, dilation_rate, 1,
                         activation, use_bias, depthwise_initializer, bias_initializer,
                         depthwise_regularizer, bias_regularizer, depthwise_constraint,
                         bias_constraint, **base)
        self.depth_multiplier = self.filters

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs with channels last."""
        channels = input_shape[-1]
        self._add_weights((*self.kernel_size, channels, self.depth_multiplier),
                          channels * self.depth_multiplier)

    def forward(self, x: Tensor, activation: activations.Function | None = None,
                weights: Weights = None, **options: Any) -> Tensor:
        """Return activation(x * w + b); channel c makes outputs c m to c m + m - 1.

        Args:
            weights: kernel and bias in place of the layer's own.
            options: of the function of tensors.
        """
        kernel, bias = weights or (self.kernel, self.bias)
        rows, columns, channels, multiplier = kernel.shape
        w = F.reshape(kernel, (rows, columns, 1, channels * multiplier))
        return activations.apply(
            activation or self.activation, self.functions, x, w, bias,
            **{**self._window(), "groups": channels}, **options)


class _ConvTranspose(_Conv):
    """What transposed convolutions share.

    Args:
        output_padding: rows and columns added at the end, to choose among the possible lengths.
    """

    def __init__(self, filters: int, kernel_size: Pair, strides: Pair = 1, padding: Any = "valid",
                 output_padding: Any = None, dilation_rate: Pair = 1, **options: Any) -> None:
        super().__init__(filters, kernel_size, strides, padding, dilation_rate, **options)
        self.output_padding = output_padding

    def kernel_shape(self, channels: int) -> Shape:
        """Return the shape of w for a number of input channels."""
        self._check_groups(channels)
        return (*self.kernel_size, self.filters // self.groups, channels)


class Conv2DTranspose(_ConvTranspose):
    """The gradient of a convolution as a layer: images (N, H, W, C), w (KH, KW, F / groups, C)."""

    input_axes, layout = 4, "(N, H, W, C)"

    def forward(self, x: Tensor, activation: activations.Function | None = None,
                weights: Weights = None, **options: Any) -> Tensor:
        """Return activation(transposed convolution of x, plus b); see `Conv2D.forward`."""
        kernel, bias = weights or (self.kernel, self.bias)
        return (activation or self.activation)(F.conv2d_transpose(
            x, kernel, bias, output_padding=self.output_padding,
            **self._window(), **options))


class Conv1DTranspose(_ConvTranspose):
    """The gradient of a convolution as a layer: sequences (N, L, C), w (K, F / groups, C)."""

    input_axes, layout = 3, "(N, L, C)"

    def forward(self, x: Tensor, activation: activations.Function | None = None,
                weights: Weights = None, **options: Any) -> Tensor:
        """Return activation(transposed convolution of x, plus b); see `Conv2D.forward`."""
        kernel, bias = weights or (self.kernel, self.bias)
        return (activation or self.activation)(F.conv1d_transpose(
            x, kernel, bias, stride=self.strides[0], padding=self.padding,
            output_padding=self.output_padding, dilation=self.dilation_rate[0],
            groups=self.groups, **options))
