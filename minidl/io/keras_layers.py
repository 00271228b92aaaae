"""Layers of Keras as layers of minidl: a table of classes, and of what every key becomes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ArgumentError
from ..nn import layers as ours
from ..nn.configurable import arguments_of
from ..nn.module import Module
from .keras_values import WEIGHT_KEYS, Room, activation, dtype, number, plain

Convert = Callable[[Any], Any]

IGNORED = {"name", "trainable", "dtype", "batch_input_shape", "batch_shape", "input_shape",
           "input_dtype", "seed", "autocast", "supports_masking", "renorm_clipping",
           "renorm_momentum", "synchronized", "fused", "lora_alpha", "input_length", "value_range"}
"""Keys that change nothing here, or that are read elsewhere."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "data_format": ("channels_last", None), "activity_regularizer": (None,), "dynamic": (False,),
    "lora_rank": (None,), "quantization_config": (None,), "quantization_mode": (None,),
    "renorm": (False,), "virtual_batch_size": (None,), "adjustment": (None,),
    "noise_shape": (None,), "mask_zero": (False,), "sparse": (False,), "ragged": (False,),
    "interpolation": ("bilinear",), "output_padding": (None,), "groups": (1,),
    "input_spec": (None,), "weights": (None,), "rms_scaling": (False,), "batch_size": (None,),
    "dilation_rate": (1, [1], [1, 1]), "fill_value": (0, 0.0)}
"""Keys whose effect minidl lacks, with the values that have none; a rule may take them instead."""

REMEDIES = {
    "data_format": 'Only "channels_last" is read: rebuild the model so in Keras, '
                   "its weights are the same, or load the weights alone with load_weights.",
}


@dataclass(frozen=True)
class Rule:
    """How a class of Keras becomes a layer.

    Attributes:
        make: called with our arguments.
        take: our argument, and what makes its value, by key.
        weights: names of weights, whose initializer, penalty and limit are taken.
        last_axis: whether the key `axis` must mean the channels.
    """

    make: Callable[..., Module]
    take: Mapping[str, tuple[str, Convert]] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    last_axis: bool = False

    def options(self, config: Mapping[str, Any], axes: int | None) -> dict[str, Any]:
        """Return our arguments.

        Args:
            axes: how many the layer's input has, if that is known.

        Raises:
            ArgumentError: a key is unknown, or has a value that minidl has nothing for.
        """
        found = {}
        for key, value in config.items():
            weight, _, what = key.rpartition("_")
            try:
                if key in self.take:
                    name, convert = self.take[key]
                    found[name] = convert(value)
                elif weight in self.weights and what in WEIGHT_KEYS:
                    found[key] = WEIGHT_KEYS[what](value)
                elif self.last_axis and key == "axis":
                    _check_axis(value, axes)
                elif key not in IGNORED:
                    _check_neutral(key, value)
            except ArgumentError as error:
                raise _not_supported(key, value, error) from error
        return found


def _check_axis(value: Any, axes: int | None) -> None:
    whole = value[0] if isinstance(value, list) and len(value) == 1 else value
    if whole != -1 and (axes is None or whole != axes - 1):
        raise ArgumentError("", "", "expected the last axis, the channels",
                            "Channels are the last axis here.")


def _check_neutral(key: str, value: Any) -> None:
    if key not in NEUTRAL:
        raise ArgumentError("", "", "minidl has no such argument", "Build this layer without it.")
    if not any(value == known and type(value) in (type(known), int, list)
               for known in NEUTRAL[key]):
        known = " or ".join(map(repr, NEUTRAL[key]))
        raise ArgumentError("", "", f"expected {known}",
                            REMEDIES.get(key, "minidl's layer has nothing for it."))


def _not_supported(key: str, value: Any, error: ArgumentError) -> ArgumentError:
    text = repr(tuple(value)) if isinstance(value, list) else repr(value)
    shown = text if len(text) < 80 else text[:77] + "..."
    return ArgumentError("", f"{key}={shown} is not supported", error.expected, error.remedy)


def layer_from(rule: Rule, config: Mapping[str, Any], name: str, axes: int | None, room: Room
               ) -> Module:
    """Return a layer from its config, whose weights are zeros of `room` when it is built."""
    options = {**rule.options(config, axes), "name": name, "dtype": dtype(config.get("dtype")),
               "trainable": bool(config.get("trainable", True))}
    starts = {f"{weight}_initializer" for weight in rule.weights}
    layer = rule.make(**{**options, **dict.fromkeys(starts, room)})
    if isinstance(rule.make, type):  # the file's initializers are the layer's config
        kept = {k: v for k, v in options.items() if v is not None or k not in starts}
        layer.__dict__["_given"] = ((), kept)
    return layer


def custom_rule(cls: type[Module]) -> Rule:
    """Return the rule for a class that is not Keras's: it takes the arguments that it has."""
    names = [key for key in arguments_of(cls) if key not in IGNORED]
    weights = [key.removesuffix("_initializer") for key in inspect.signature(cls).parameters
               if key.endswith("_initializer")]
    values = {key: plain for key in names if key.rpartition("_")[2] not in WEIGHT_KEYS}
    return Rule(cls, {key: (key, convert) for key, convert in values.items()}, tuple(weights))


# ---- the table -----------------------------------------------------------------------------


def _rule(make: Callable[..., Module], *keys: str, weights: Iterable[str] = (),
          last_axis: bool = False, **special: tuple[str, Convert]) -> Rule:
    take = {key: (key, CONVERT.get(key, plain)) for key in keys}
    return Rule(make, {**take, **special}, tuple(weights), last_axis)


CONVERT: dict[str, Convert] = {"activation": activation, "negative_slope": number,
                               "threshold": number}

_WINDOW = ("kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias")
_CONV = ("filters", *_WINDOW, "groups")
_KERNEL = ("kernel", "bias")
_NORM = ("center", "scale", "epsilon")
_POOL = ("pool_size", "strides", "padding")
_WARP = ("fill_mode", "fill_value", "interpolation")
_SCALE = ("gamma", "beta")


def _separable(name: str, trainable: bool, dtype: str, *, filters: int, depth_multiplier: int = 1,
               activation: Any = None, use_bias: bool = True, depthwise_initializer: Any = None,
               pointwise_initializer: Any = None, bias_initializer: Any = None,
               depthwise_regularizer: Any = None, pointwise_regularizer: Any = None,
               bias_regularizer: Any = None, depthwise_constraint: Any = None,
               pointwise_constraint: Any = None, bias_constraint: Any = None, **window: Any
               ) -> Module:
    """Return a convolution of each channel and one of 1x1, as one layer of Keras has both."""
    base: dict[str, Any] = {"trainable": trainable, "dtype": dtype}
    first = ours.DepthwiseConv2D(
        **window, depth_multiplier=depth_multiplier, use_bias=False, name="depthwise", **base,
        depthwise_initializer=depthwise_initializer, depthwise_constraint=depthwise_constraint,
        depthwise_regularizer=depthwise_regularizer)
    second = ours.Conv2D(
        filters, 1, activation=activation, use_bias=use_bias, name="pointwise", **base,
        kernel_initializer=pointwise_initializer, kernel_regularizer=pointwise_regularizer,
        kernel_constraint=pointwise_constraint, bias_initializer=bias_initializer,
        bias_regularizer=bias_regularizer, bias_constraint=bias_constraint)
    return ours.Sequential([first, second], name=name)


_batch_norm = _rule(ours.BatchNormalization, *_NORM, "momentum", last_axis=True,
                    weights=(*_SCALE, "moving_mean", "moving_variance"))

LAYERS: dict[str, Rule] = {
    "Dense": _rule(ours.Dense, "units", "activation", "use_bias", weights=_KERNEL),
    "Embedding": _rule(ours.Embedding, "input_dim", "output_dim", weights=("embeddings",)),
    "Conv1D": _rule(ours.Conv1D, *_CONV, weights=_KERNEL),
    "Conv2D": _rule(ours.Conv2D, *_CONV, weights=_KERNEL),
    "DepthwiseConv2D": _rule(ours.DepthwiseConv2D, *_WINDOW, "depth_multiplier",
                             weights=("depthwise", "bias")),
    "SeparableConv2D": _rule(_separable, "filters", *_WINDOW, "depth_multiplier",
                             weights=("depthwise", "pointwise", "bias")),
    "Conv1DTranspose": _rule(ours.Conv1DTranspose, *_CONV, "output_padding", weights=_KERNEL),
    "Conv2DTranspose": _rule(ours.Conv2DTranspose, *_CONV, "output_padding", weights=_KERNEL),
    "MaxPooling1D": _rule(ours.MaxPooling1D, *_POOL),
    "MaxPooling2D": _rule(ours.MaxPooling2D, *_POOL),
    "AveragePooling1D": _rule(ours.AveragePooling1D, *_POOL),
    "AveragePooling2D": _rule(ours.AveragePooling2D, *_POOL),
    "GlobalMaxPooling1D": _rule(ours.GlobalMaxPooling1D, "keepdims"),
    "GlobalMaxPooling2D": _rule(ours.GlobalMaxPooling2D, "keepdims"),
    "GlobalAveragePooling1D": _rule(ours.GlobalAveragePooling1D, "keepdims"),
    "GlobalAveragePooling2D": _rule(ours.GlobalAveragePooling2D, "keepdims"),
    "BatchNormalization": _batch_norm, "BatchNormalizationV1": _batch_norm,
    "BatchNormalizationV2": _batch_norm,
    "LayerNormalization": _rule(ours.LayerNormalization, *_NORM, last_axis=True, weights=_SCALE),
    "GroupNormalization": _rule(ours.GroupNormalization, *_NORM, "groups", last_axis=True,
                                weights=_SCALE),
    "Dropout": _rule(ours.Dropout, "rate"),
    "SpatialDropout1D": _rule(ours.SpatialDropout1D, "rate"),
    "SpatialDropout2D": _rule(ours.SpatialDropout2D, "rate"),
    "Activation": _rule(ours.Activation, "activation"),
    "ReLU": _rule(ours.ReLU, "max_value", "negative_slope", "threshold"),
    "LeakyReLU": _rule(ours.LeakyReLU, "negative_slope", alpha=("negative_slope", number)),
    "ELU": _rule(ours.ELU, "alpha"),
    "Softmax": _rule(ours.Softmax, "axis"),
    "Flatten": _rule(ours.Flatten),
    "Reshape": _rule(ours.Reshape, "target_shape"),
    "Permute": _rule(ours.Permute, "dims"),
    "ZeroPadding1D": _rule(ours.ZeroPadding1D, "padding"),
    "ZeroPadding2D": _rule(ours.ZeroPadding2D, "padding"),
    "Identity": _rule(ours.Identity),
    "Rescaling": _rule(ours.Rescaling, "scale", "offset"),
    "RandomFlip": _rule(ours.RandomFlip, "mode"),
    "RandomRotation": _rule(ours.RandomRotation, "factor", *_WARP),
    "RandomZoom": _rule(ours.RandomZoom, "height_factor", "width_factor", *_WARP),
    "RandomTranslation": _rule(ours.RandomTranslation, "height_factor", "width_factor", *_WARP),
    "RandomContrast": _rule(ours.RandomContrast, "factor"),
    "Concatenate": _rule(ours.Concatenate, "axis"),
    **{name: _rule(getattr(ours, name))
       for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
}
"""Rules by class."""

OPERATIONS = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Divide": "divide",
              "TrueDivide": "divide", "Power": "power"}
"""Arithmetic on tensors, which Keras 3 has in its graphs, by class."""

REFUSED = {
    "Lambda": "it holds Python code, which is never run",
    "TFOpLambda": "it is a function of TensorFlow", "SlicingOpLambda": "it is a function of "
    "TensorFlow", "TensorFlowOpLayer": "it is a function of TensorFlow"}
"""Classes that are not even a matter of writing a rule, with the reason."""


def rule_of(kind: Any) -> Rule:
    """Return the rule for a class of Keras.

    Raises:
        ArgumentError: minidl has no layer for it.
    """
    if isinstance(kind, str) and kind in LAYERS:
        return LAYERS[kind]
    reason = REFUSED.get(kind, "minidl has no such layer") if isinstance(kind, str) else "no class"
    raise ArgumentError("", f"the class {str(kind)[:60]!r} is not supported: {reason}",
                        f"expected one of {', '.join(LAYERS)}",
                        "Build the network with layers of minidl and load the weights alone "
                        "(load_weights), or give custom_objects.")
