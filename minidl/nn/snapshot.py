"""What a recorded call of a model depends on besides its inputs and the values of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor

if TYPE_CHECKING:
    from .module import Module

_PACKAGE = f"{__name__.partition('.')[0]}."


class Snapshot:
    """The layers of a model with their attributes, and where its tensors lie.

    A call that was recorded with these may be replayed as long as they hold. The model may keep a
    snapshot of itself: of modules there are weak references.
    """

    def __init__(self, model: Module) -> None:
        self._modules = [(ref(module), _attributes(module)) for module in model.modules()]
        tensors = [*model.parameters(), *model.named_buffers().values()]
        self._tensors = [(tensor, _facts(tensor)) for tensor in tensors]

    def holds(self) -> bool:
        """Say whether nothing has changed."""
        try:
            return (all(vars(module()) == was for module, was in self._modules)
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
            and all(_own(p.regularizer) and not p.hooks for p in parameters))
    return Snapshot(model) if same else None


def _repeats(module: Module) -> bool:
    kind = type(module)
    if not kind.repeatable or module._hooks or module._pre_hooks:
        return False
    return "repeatable" in vars(kind) or (
        _own(kind) and all(_own(v) for v in vars(module).values() if callable(v)))


def _own(thing: Any) -> bool:
    """Say whether a function, a class or an object's class is of minidl; None is, too."""
    place = getattr(thing, "__module__", None) or type(thing).__module__
    return thing is None or place.startswith(_PACKAGE)


def _attributes(module: Module) -> dict[str, Any]:
    """Return the attributes, lists and dicts as copies: a change inside would not be seen."""
    return {name: value.copy() if isinstance(value, (list, dict)) else value
            for name, value in vars(module).items()}


def _facts(tensor: Tensor) -> tuple[Any, ...]:
    facts = tensor.array, tensor.requires_grad, len(tensor.hooks)
    if isinstance(tensor, Parameter):
        rules = tensor.regularizer, tensor.constraint
        return (*facts, *rules, *[dict(getattr(rule, "__dict__", {})) for rule in rules])
    return facts
