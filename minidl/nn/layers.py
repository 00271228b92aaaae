"""All layers and models by their Keras names."""

from .activation_layers import ELU, Activation, LeakyReLU, ReLU, Softmax
from .augmentation import (
    RandomContrast,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
)
from .conv import Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, DepthwiseConv2D
from .core import (
    Dense,
    Dropout,
    Embedding,
    Lambda,
    Rescaling,
    SpatialDropout1D,
    SpatialDropout2D,
)
from .graph import Input, InputLayer
from .merge import Add, Arithmetic, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .model import Model
from .module import Module
from .normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    LocalResponseNormalization,
)
from .pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from .reshaping import Flatten, Identity, Permute, Reshape, ZeroPadding1D, ZeroPadding2D
from .sequential import Sequential

__all__ = [
    "ELU", "Activation", "Add", "Arithmetic", "Average", "AveragePooling1D", "AveragePooling2D",
    "BatchNormalization", "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose",
    "Dense", "DepthwiseConv2D", "Dropout", "Embedding", "Flatten", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GroupNormalization",
    "Identity", "Input", "InputLayer", "Lambda", "LayerNormalization", "LeakyReLU",
    "LocalResponseNormalization", "MaxPooling1D", "MaxPooling2D", "Maximum", "Minimum", "Model",
    "Module", "Multiply", "Permute", "RandomContrast", "RandomFlip", "RandomRotation",
    "RandomTranslation", "RandomZoom", "ReLU", "Rescaling", "Reshape", "Sequential", "Softmax",
    "SpatialDropout1D", "SpatialDropout2D", "Subtract", "ZeroPadding1D", "ZeroPadding2D",
]
