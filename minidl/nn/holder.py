"""What is inside a module: parameters, buffers and other modules, found where they are assigned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .. import config, random
from ..autograd.parameter import Parameter
from ..autograd.tensor import Tensor, TensorLike
from ..backend.arrays import HOST
from ..watch import mode
from . import state
from .configurable import Configurable

if TYPE_CHECKING:
    from .module import Module


class Buffer(Tensor):
    """A tensor that belongs to a layer but is not trained, such as a moving mean."""

    __slots__ = ()

    def __init__(self, data: TensorLike) -> None:
        super().__init__(np.array(data.array if isinstance(data, Tensor) else data))
        self.storage.foreign = False  # the copy above is ours alone


class Holder(Configurable):
    """Finds parameters, buffers and modules in its attributes, and in lists, tuples, dicts there.

    Attributes:
        training: whether dropout, batch normalisation and their like act as in training.
    """

    training = True
    built = False
    _trainable = True
    _child_names: dict[int, tuple[str, Module]] = {}  # noqa: RUF012 (replaced, never changed)
    _without_parts = frozenset({"_given", "_child_names", "_seen"})  # attributes with none inside

    def named_children(self) -> dict[str, Module]:
        """Return the modules directly inside, by attribute name ("blocks/0" in a list)."""
        kind: Any = Holder  # every holder is a module
        return {name: part for name, part in parts_of(self) if isinstance(part, kind)}

    def children(self) -> list[Module]:
        """Return the modules directly inside, each once."""
        return _once(self.named_children().values())

    def named_modules(self) -> dict[str, Module]:
        """Return this module (path "") and all modules inside by path, each once."""
        return dict(walk(self))

    def modules(self) -> list[Module]:
        """Return this module and all modules inside, outer ones first."""
        return list(self.named_modules().values())

    def leaf_modules(self) -> list[Module]:
        """Return the modules inside that hold no others, in order."""
        return [m for m in self.modules() if not m.named_children()]

    def named_parameters(self) -> dict[str, Parameter]:
        """Return all parameters by path ("block1/conv1/kernel"), each once."""
        return state.named_tensors(self, Parameter)

    def parameters(self) -> list[Parameter]:
        """Return all parameters, each once."""
        return list(self.named_parameters().values())

    def trainable_parameters(self) -> list[Parameter]:
        """Return the parameters that training changes."""
        return [p for p in self.parameters() if p.trainable]

    def named_buffers(self) -> dict[str, Buffer]:
        """Return all buffers, such as moving statistics, by path."""
        return state.named_tensors(self, Buffer)

    def count_parameters(self) -> int:
        """Return the number of weights; moving statistics count, as in Keras."""
        return sum(t.size for t in (*self.parameters(), *self.named_buffers().values()))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters and buffers by path.

        Raises:
            ArgumentError: the module makes weights on its first call, and there was none.
        """
        return state.state_dict(self)

    def load_state_dict(self, mapping: Any, strict: bool = True) -> None:
        """Take over the values of all parameters and buffers.

        Args:
            mapping: arrays by path, as `state_dict` returns them.
            strict: raise where names are missing on either side, instead of passing over them.

        Raises:
            CheckpointError: names or shapes differ; nothing was changed then.
        """
        state.load_state_dict(self, mapping, strict)

    # ---- modes ----

    def train(self, mode: bool = True) -> Self:
        """Let all layers inside act as in training; return the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Let all layers inside act as in use: no dropout, moving statistics; return the module."""
        return self.train(False)

    @property
    def trainable(self) -> bool:
        """Whether the weights are trained; setting it holds for all modules inside.

        Where nothing below needs a gradient, backward does not go there. A frozen batch
        normalisation uses its moving statistics, in training too.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for module in self.modules():
            module._trainable = bool(value)
        for parameter in self.parameters():
            parameter.trainable = value

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call a function on every module, inner ones first; return the module."""
        for module in reversed(self.modules()):
            function(module)
        return self

    def astype(self, dtype: str | np.dtype) -> Self:
        """Convert all weights to another floating type; return the module."""
        state.convert(self, np.dtype(dtype))
        return self

    def to(self, device: str) -> Self:
        """Move all weights to a device, "cpu" or "cuda"; return the module.

        Inputs that are arrays follow by themselves, and so does the state of an optimizer.

        Raises:
            DeviceError: there is no such device, or what it needs is missing.
        """
        state.move(self, device)
        return self

    @property
    def device(self) -> str:
        """Where the weights lie, "cpu" where there are none."""
        return next((p.device for _, p in state.tensors(self, Parameter)), HOST)

    def name_of(self, child: Module) -> str:
        """Return a child's name here, also of one that is held where nobody finds it."""
        known = self._child_names.get(id(child))
        if known is None or known[1] is not child:
            self._child_names = {id(c): (n, c) for n, c in self.named_children().items()}
            known = self._child_names.get(id(child))
        return known[0] if known else child.name or child.default_name()


def _once(things: Iterable[Any]) -> list[Any]:
    return list({id(thing): thing for thing in things}.values())


def _children(module: Module) -> Iterable[tuple[str, Module]]:
    return module.named_children().items()


def walk(module: Any, inside: Callable[[Module], Iterable[tuple[str, Module]]] = _children
         ) -> Iterator[tuple[str, Module]]:
    """Yield a module (path "") and all modules inside with their paths, each once.

    Args:
        inside: returns the modules directly inside one, with their names there.
    """
    seen: set[int] = set()
    pending: list[tuple[str, Module]] = [("", module)]
    while pending:
        path, module = pending.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        pending += [(f"{path}/{n}" if path else n, m) for n, m in inside(module)][::-1]


_PLAIN = frozenset({bool, int, float, str, type(None)})


def _all_plain(values: Any) -> bool:
    """Say at a glance whether there are no modules and tensors in a list, tuple or dict."""
    return _PLAIN.issuperset(map(type, values.values() if isinstance(values, dict) else values))


def parts_of(module: Holder) -> Iterator[tuple[str, Any]]:
    """Yield the modules and tensors directly inside a module, with their paths."""
    apart = module._without_parts
    attributes = vars(module).copy()  # another thread may add one
    return _parts_among(item for item in attributes.items() if item[0] not in apart)


def _parts_among(items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the modules and tensors among values, and in lists, tuples and dicts there."""
    for key, value in items:
        if type(value) in _PLAIN:
            continue
        if isinstance(value, (Holder, Tensor)):
            yield str(key), value
        elif isinstance(value, (dict, list, tuple)) and not _all_plain(value):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            yield from ((f"{key}/{k}", v) for k, v in _parts_among(inside))


@contextmanager
def shapes_only(module: Holder, training: bool) -> Iterator[None]:
    """Run a module for its shapes, in training or not; only first weights take random numbers."""
    before = random.default.state if module.built else None
    try:
        with config.shapes_only(), mode(module, training):
            yield
    finally:
        random.default.state = before or random.default.state
