"""Names of layers: unique within a model, the same in every process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import GraphError

if TYPE_CHECKING:
    from .module import Module


def snake_case(name: str) -> str:
    """Return a class name as a layer name, as Keras does.

    >>> snake_case("MaxPooling2D"), snake_case("LeakyReLU")
    ('max_pooling2d', 'leaky_re_lu')
    """
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()


class Names:
    """The names within one model; a layer without a name gets "conv2d", "conv2d_1" and so on.

    Attributes:
        layers: layer by name, in the order they came.
    """

    def __init__(self) -> None:
        self.layers: dict[str, Module] = {}
        self._names: dict[Module, str] = {}
        self._into: Names | None = None

    @property
    def scope(self) -> Names:
        """The names that these were joined to, at last."""
        return self if self._into is None else self._into.scope

    def claim(self, layer: Module) -> str:
        """Return the layer's name here; on first sight give it one that is free."""
        known = self.find(layer)
        if known is not None:
            return known
        name = layer.name or layer.default_name()
        if name in self.layers:
            name = self._other_name(layer, name)
        if layer.name is None:
            layer.name = name
        self.layers[name], self._names[layer] = layer, name
        return name

    def find(self, layer: Module) -> str | None:
        """Return the name of a layer that is here, else None."""
        return self._names.get(layer)

    def forget(self, layer: Module) -> None:
        """Free the name of a layer."""
        name = self._names.pop(layer, None)
        self.layers.pop(name or "", None)

    def join(self, other: Names) -> None:
        """Take in the layers of another scope; those that minidl named may get another number."""
        if other is self:
            return
        for layer in other.layers.values():
            name = self.claim(layer)
            if not layer.named_by_user:
                layer.name = name
        other._into = self

    def _other_name(self, layer: Module, name: str) -> str:
        if layer.named_by_user:
            raise GraphError(f'layer "{name}" ({type(layer).__name__})',
                             "the model has another layer of this name",
                             "names are unique within a model", "Give one of them another name.")
        base, number = layer.default_name(), 1
        while f"{base}_{number}" in self.layers:
            number += 1
        return f"{base}_{number}"
