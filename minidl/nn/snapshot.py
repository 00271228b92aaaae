"""What a recorded call of a model depends on besides its inputs and the values of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor
from ..own import is_own
from . import state

if TYPE_CHECKING:
    from .module import Module


class Snapshot:
    """The layers of a model with their attributes, and where its tensors lie.

    A call that was recorded with these may be replayed as long as they hold. The model may keep a
    snapshot of itself: of modules there are weak references.
    """

    def __init__(self, model: Module) -> None:
        arrays = list[np.ndarray]()
        self._modules = [(ref(module), _copied(vars(module).copy(), arrays))
                         for module in model.modules()]
        self._arrays = [(array, array.tobytes()) for array in arrays]
        self._tensors = [(tensor, _facts(tensor)) for _, tensor in state.tensors(model, Tensor)]

    def holds(self) -> bool:
        """Say whether nothing has changed."""
        try:
            return (all(vars(module()) == was for module, was in self._modules)
                    and all(array.tobytes() == was for array, was in self._arrays)
                    and all(_facts(tensor) == was for tensor, was in self._tensors))
        except (ValueError, TypeError):  # arrays in the place of others, or a module is gone
            return False


def snapshot(model: Module) -> Snapshot | None:
    """Return a snapshot, or None for a model whose calls may differ from one another.

    Those are models with hooks, and with code that is not of minidl in layers, functions or
    regularizers, unless the class of the layer itself has `repeatable = True`.
    """
    modules, parameters = model.modules(), model.parameters()
    same = (all(map(_repeats, modules))
            and all(is_own(p.regularizer) and not p.hooks for p in parameters))
    return Snapshot(model) if same else None


def _repeats(module: Module) -> bool:
    kind = type(module)
    if not kind.repeatable or module._hooks or module._pre_hooks:
        return False
    return "repeatable" in vars(kind) or (
        is_own(kind) and all(is_own(v) for v in vars(module).values() if callable(v)))


def _copied(value: Any, arrays: list[np.ndarray]) -> Any:
    """Return lists, dicts and tuples as copies, also inside others; all else as it is.

    Args:
        arrays: those that are found are noted here.
    """
    if isinstance(value, dict):
        return {key: _copied(part, arrays) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_copied(part, arrays) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, np.ndarray):
        arrays.append(value)
    return value


def _facts(tensor: Tensor) -> tuple[Any, ...]:
    facts = tensor.array, tensor.requires_grad, len(tensor.hooks)
    if isinstance(tensor, Parameter):
        rules = tensor.regularizer, tensor.constraint
        return (*facts, *rules, *[dict(getattr(rule, "__dict__", {})) for rule in rules])
    return facts
