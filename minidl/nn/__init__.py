"""Layers, models made of them, and what belongs to their weights."""

from . import activations, constraints, initializers, layers, regularizers
from .graph import Input
from .holder import Buffer
from .model import Model
from .module import Module
from .sequential import Sequential
from .serialization import custom_objects, deserialize, serialize
from .symbol import Symbol

__all__ = [
    "Buffer", "Input", "Model", "Module", "Sequential", "Symbol", "activations", "constraints",
    "custom_objects", "deserialize", "initializers", "layers", "regularizers", "serialize",
]
