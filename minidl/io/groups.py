"""The two sides of a matching: layers with their weights, and arrays of a file by their layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .layout import Layout, Order, Turn, turn

Shape = tuple[int, ...]

ROLES: dict[str, tuple[str, ...]] = {
    "kernel": ("kernel", "weight", "depthwise_kernel", "w"), "bias": ("bias", "b"),
    "gamma": ("gamma", "weight", "scale"), "beta": ("beta", "bias", "offset"),
    "moving_mean": ("moving_mean", "running_mean", "mean"),
    "moving_variance": ("moving_variance", "running_var", "variance", "var"),
    "embeddings": ("embeddings", "weight")}
"""What the weights of layers are called in files, by what they are called here."""

IGNORED = ("num_batches_tracked",)
"""Arrays that no layer here has: the count of batches is of no use without averages over all."""


@dataclass(frozen=True, eq=False)
class Slot:
    """A weight of the model, to be filled.

    Attributes:
        role: its name in its layer.
        tensor: the parameter or buffer.
        turn: how a file's array is turned for it.
    """

    path: str
    role: str
    tensor: Any
    turn: Turn


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with weights."""

    path: str
    kind: str
    automatic: bool
    slots: list[Slot] = field(default_factory=list)

    @cached_property
    def signature(self) -> tuple[Any, ...]:
        """What decides which arrays fit."""
        return self.kind, tuple((s.role, s.turn.theirs) for s in self.slots)


@dataclass(frozen=True, eq=False)
class Group:
    """Arrays of a file that share a prefix.

    Attributes:
        arrays: full name and shape by the last part of the name.
    """

    prefix: str
    arrays: dict[str, tuple[str, Shape]] = field(default_factory=dict)

    @cached_property
    def signature(self) -> tuple[Any, ...]:
        """What decides which layers fit."""
        return tuple((part, shape) for part, (_, shape) in self.arrays.items())


def layers_of(model: Any, layout: Layout, orders: Mapping[int, Order]) -> list[Layer]:
    """Return the layers with weights in the model's order; each weight occurs once."""
    modules = model.named_modules()
    found = {path: Layer(path, type(m).__name__, not m.named_by_user and _numbered(path, m))
             for path, m in modules.items()}
    for path, tensor in {**model.named_parameters(), **model.named_buffers()}.items():
        owner = path.rpartition("/")[0]
        while owner not in modules:
            owner = owner.rpartition("/")[0]
        layer, role = found[owner], path[len(owner):].lstrip("/")
        turned = turn(layer.kind, role, tensor.shape, layout, orders.get(id(modules[owner])))
        layer.slots.append(Slot(path, role, tensor, turned))
    return [layer for layer in found.values() if layer.slots]


def _numbered(path: str, module: Any) -> bool:
    """Say whether a name is one that minidl gave: the kind, perhaps with a number."""
    last = path.rpartition("/")[2]
    return re.fullmatch(re.escape(module.default_name()) + r"(_\d+)?|\d+|", last) is not None


def groups_of(arrays: Mapping[str, np.ndarray]) -> list[Group]:
    """Return the arrays of a file by prefix, in the file's order; ignored ones are left out."""
    found: dict[str, Group] = {}
    for name, array in arrays.items():
        prefix, part = split(name)
        if part not in IGNORED:
            found.setdefault(prefix, Group(prefix)).arrays[part] = (name, array.shape)
    return list(found.values())


def split(name: str) -> tuple[str, str]:
    """Return the layer and the weight that a name in a file stands for.

    >>> split("layer1.0.conv1.weight"), split("conv1/kernel:0")
    (('layer1.0.conv1', 'weight'), ('conv1', 'kernel'))
    """
    bare = re.sub(r":\d+$", "", name)
    cut = max(bare.rfind("/"), bare.rfind("."))
    return bare[:max(cut, 0)], bare[cut + 1:]


def partners(layer: Layer, group: Group) -> dict[str, str]:
    """Return the part of the group's names for each role of the layer, where there is one.

    Parts that are mere numbers are taken in the layer's order.
    """
    roles = [slot.role for slot in layer.slots]
    if group.arrays and all(part.isdigit() for part in group.arrays):
        return dict(zip(roles, sorted(group.arrays, key=int), strict=False))
    found = {}
    for role in roles:
        known = [part for part in ROLES.get(role, (role,)) if part in group.arrays]
        if known:
            found[role] = known[0]
    return found


FITS, PARTLY, OTHER_SHAPE, NO = 3, 2, 1, 0
"""How well a group fits a layer: whole; its main weight; its kind, not its shape; not at all."""


def level(layer: Layer, group: Group) -> int:
    """Return how well a group fits a layer."""
    parts = partners(layer, group)
    main = layer.slots[0]
    if main.role not in parts or (_is_norm(layer) != _is_norm(group) and len(parts) < 4):
        return NO
    shapes = {role: group.arrays[part][1] for role, part in parts.items()}
    same = [role for role, shape in shapes.items() if shape == _shape_for(layer, role)]
    if main.role not in same:
        return OTHER_SHAPE if len(shapes[main.role]) == len(main.turn.theirs) else NO
    whole = len(same) == len(layer.slots) == len(group.arrays)
    return FITS if whole else PARTLY


def _is_norm(side: Layer | Group) -> bool:
    names: Iterable[str] = ([s.role for s in side.slots] if isinstance(side, Layer)
                            else side.arrays)
    known = {*ROLES["moving_mean"], *ROLES["moving_variance"]}
    return bool(known & set(names))


def _shape_for(layer: Layer, role: str) -> Shape:
    return next(slot.turn.theirs for slot in layer.slots if slot.role == role)
