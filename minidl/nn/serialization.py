"""Models as plain dicts that JSON can hold, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import numpy as np

from .. import config
from ..errors import ArgumentError
from ..spec import Spec
from . import constraints, initializers, regularizers
from .configurable import Configurable, sharing
from .holder import shapes_only
from .module import Module, stand_in
from .tree import leaves, map_tree

_custom: ContextVar[Mapping[str, type]] = ContextVar("custom_objects", default={})  # noqa: B039


@cache
def known_classes() -> dict[str, type]:
    """Return the classes of minidl by name, which files name without their module."""
    from . import layers
    objects = [getattr(layers, name) for name in layers.__all__]
    for module in (constraints, initializers, regularizers):
        objects += vars(module).values()
    return {c.__name__: c for c in objects if isinstance(c, type) and issubclass(c, Configurable)}


def serialize(thing: Configurable) -> dict[str, Any]:
    """Return a model, layer or other configured object as a dict; `deserialize` makes it again.

    A layer that occurs twice is written once and referred to by number after that. The weights'
    values are not in it (see `state_dict`), their shapes are.

    Raises:
        ArgumentError: something in it, such as a Python function, cannot be written.

    >>> from minidl.nn.regularizers import L2
    >>> serialize(L2(0.5))
    {'class': 'L2', 'config': {'l2': 0.5}}
    """
    outermost = not _running()
    with sharing() as known:
        entry = known.get(id(thing)) if isinstance(thing, Module) else None
        if entry is not None:
            return {"shared": entry[1].setdefault("id", len(known))}
        written = _class_entry(type(thing))
        known[id(thing)] = (thing, written)
        written["config"] = thing.get_config()
    if outermost and isinstance(thing, Module):
        written.update(_extras(thing))
    return written


def serialize_as(layer: Module, name: str | None) -> dict[str, Any]:
    """Return a layer as a dict, under the name that it has in the model around it."""
    written = serialize(layer)
    if "name" in written.get("config", {}):
        written["config"]["name"] = name
    return written


def _running() -> bool:
    from .configurable import _shared
    return _shared.get() is not None


def _class_entry(cls: type) -> dict[str, Any]:
    if known_classes().get(cls.__name__) is cls:
        return {"class": cls.__name__}
    return {"class": cls.__name__, "module": cls.__module__}


def _extras(module: Module) -> dict[str, Any]:
    """Return what constructors do not say: seen input shapes, and which modules are frozen."""
    extras: dict[str, Any] = {}
    specs = module._seen
    if specs and all(isinstance(leaf, Spec) for leaf in leaves(specs)):
        extras["input"] = map_tree(lambda s: {"shape": list(s.shape), "dtype": s.dtype.name},
                                   list(specs))
    frozen = [path for path, m in module.named_modules().items() if not m._trainable]
    return {**extras, "frozen": frozen} if frozen else extras


@contextmanager
def custom_objects(classes: Mapping[str, type]) -> Iterator[None]:
    """Let `deserialize` know more classes, by name, inside the block."""
    token = _custom.set({**_custom.get(), **classes})
    try:
        yield
    finally:
        _custom.reset(token)


def deserialize(data: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Any:
    """Make a model, layer or other object from what `serialize` returned; weights are fresh.

    Args:
        custom_objects: classes by name, for those that are not minidl's own.

    Raises:
        ArgumentError: a class is unknown, or a config does not fit its class.

    >>> deserialize({"class": "L2", "config": {"l2": 0.5}}).l2
    0.5
    """
    if custom_objects:
        with _more_classes(custom_objects):
            return deserialize(data)
    with sharing() as known:
        if "shared" in data:
            return known[data["shared"]]
        made = _class_of(data).from_config(data.get("config", {}))
        if "id" in data:
            known[data["id"]] = made
    if isinstance(made, Module):
        _restore(made, data)
    return made


_more_classes = custom_objects


def _class_of(data: Mapping[str, Any]) -> type[Configurable]:
    name = data.get("class", "")
    found = _custom.get().get(name)
    if found is None and "module" not in data:
        found = known_classes().get(name)
    if found is None:
        raise ArgumentError("deserialize", f"the class {name!r} is not known",
                            "expected one of minidl, or of custom_objects",
                            f'Give custom_objects={{"{name}": {name}}}.')
    return found


def _restore(module: Module, data: Mapping[str, Any]) -> None:
    if "input" in data and not module.built:
        with shapes_only(module, False), config.no_grad():
            module(*_stand_ins(data["input"]))
    modules = module.named_modules()
    for path in data.get("frozen", ()):
        modules[path].trainable = False


def _stand_ins(tree: Any) -> Any:
    if isinstance(tree, Mapping) and "dtype" in tree:
        return stand_in(Spec(tuple(tree["shape"]), np.dtype(tree["dtype"])))
    if isinstance(tree, Mapping):
        return {key: _stand_ins(part) for key, part in tree.items()}
    return [_stand_ins(part) for part in tree]
