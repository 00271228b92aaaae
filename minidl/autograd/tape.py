"""The tape: which op made which tensor, from what, and what it saved; `backward` walks it back.

Nodes are numbered as they are made, so going through them from the highest number down visits
every node after all that used its result: one iterative walk, no recursion, any depth.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config, dispatch
from ..backend.arrays import device_of, packed, share_memory
from ..errors import AutogradError, MinidlError, ShapeError
from ..ops import registry
from ..spec import Spec, is_float, spec_of
from . import tensor as tensors  # each of the two modules needs the other
from .guard import Saved, Storage
from .precision import at_precision

if TYPE_CHECKING:
    from .tensor import Tensor

Hook = Callable[[np.ndarray], "np.ndarray | None"]
Pending = dict["Node", tuple[np.ndarray, bool]]  # gradients so far; whether ours alone
_numbers = itertools.count()


class Node:
    """One recorded call: its op, where its inputs came from, and what its gradient rules need.

    Attributes:
        parents: by input, the node that made it or the leaf it is. Tensors between are not kept,
            so their memory is free as soon as no rule needs it.
        source: the input tensor itself, where a loss may want it (the logits of a softmax).
    """

    __slots__ = ("hooks", "number", "op", "parents", "place", "plan", "released", "saved", "source")

    def __init__(self, call: dispatch.Call, parents: dict[int, Node | Tensor],
                 saved: dict[str, Saved | None], place: str) -> None:
        self.op = call.plan.op
        self.number = next(_numbers)
        self.plan = call.plan
        self.parents = parents
        self.saved = saved
        self.hooks: list[Hook] = []
        self.released = False
        self.place = place
        self.source: Tensor | None = None

    def gradients(self, gy: np.ndarray, so_far: np.ndarray | None = None
                  ) -> list[tuple[Node | Tensor, np.ndarray]]:
        """Return the gradient of every input that needs one.

        Args:
            so_far: what is to be added to that of the input that `Op.accumulating` says.
        """
        if self.released:
            raise AutogradError(self.place or self.op.name,
                                "backward went through here before and freed what it had saved",
                                "", "Use backward(retain_graph=True) the first time")
        _places.names.append(_joined(self.place, "backward of " + self.op.name))
        try:
            given = {"gy": gy, "so_far": so_far}
            shared: dict[registry.Joint, tuple[np.ndarray, ...]] = {}
            return [(parent, self._gradient(i, given, shared))
                    for i, parent in self.parents.items()]
        finally:
            _places.names.pop()

    def _gradient(self, index: int, given: dict[str, np.ndarray | None],
                  shared: dict[registry.Joint, tuple[np.ndarray, ...]]) -> np.ndarray:
        """Return the gradient of one input; what a joint rule gives is kept in `shared`."""
        name = self.op.inputs[min(index, len(self.op.inputs) - 1)]
        rule = self.op.gradients[name]
        if not isinstance(rule, registry.Joint):
            found = self._follow(rule, name, index, given)
        else:
            if rule not in shared:
                shared[rule] = self._follow(rule.rule, name, index, given)
            found = shared[rule][rule.names.index(name)]
        return found if self.op.own_rules else _checked(found, name, self.plan.specs[index])

    def _follow(self, rule: Callable[..., Any], name: str, index: int,
                given: dict[str, np.ndarray | None]) -> Any:
        return rule(dispatch.run, *[self._value(n, index, given) for n in self.op.needs[name]])

    def _value(self, need: str, index: int, given: dict[str, np.ndarray | None]) -> Any:
        if need in given:
            return given[need]
        if need in self.saved:
            kept = self.saved[need]
            return None if kept is None else kept.get()
        if need in self.plan.attrs:
            return self.plan.attrs[need]
        if need == "index":
            return index
        if need == "wanted":
            return tuple(self.op.inputs[i] for i in self.parents)
        if need == "all_specs":
            return self.plan.specs
        return _spec(self.plan, need, index)

    def accumulated(self) -> Node | None:
        """Return the parent whose gradient a rule adds up, if that is its only use here."""
        parent = self.parents.get(self.op.accumulating)
        if not isinstance(parent, Node):
            return None
        return parent if sum(p is parent for p in self.parents.values()) == 1 else None

    def kept(self) -> list[np.ndarray]:
        """Return the arrays that are saved, which a rule may return as they are."""
        return [kept.array for kept in self.saved.values() if kept is not None]

    def release(self) -> None:
        """Let go of everything saved; memory returns to the pool."""
        self.saved, self.parents, self.source, self.released = {}, {}, None, True


def _checked(found: Any, name: str, wanted: Spec | None) -> np.ndarray:
    """Return what a user's rule gave for an input, or raise unless that can be its gradient."""
    found = np.asarray(found) if isinstance(found, np.generic) else found
    spec = spec_of(found) if hasattr(found, "strides") else None
    if spec != wanted:
        got = f"an array of {spec}" if spec else type(found).__name__
        raise AutogradError(place(), f"the rule for {name} returned {got}", f"expected an array "
                            f"of {wanted}, as {name} is",
                            "Sum over axes that were broadcast; keep the type.")
    return found


def _spec(plan: dispatch.Plan, need: str, index: int) -> Spec | None:
    """Return the spec of an input named "NAME_spec"; of a variadic one, that at `index`."""
    name = need.removesuffix("_spec")
    if name not in plan.op.inputs:
        raise AutogradError(plan.op.name, f"a gradient rule asks for {need!r}", "expected gy, y, "
                            "an input, a saved array, an attribute, or NAME_spec of an input",
                            "Correct the argument's name in the rule")
    at = plan.op.inputs.index(name)
    return plan.specs[index if plan.op.variadic and at == len(plan.op.inputs) - 1 else at]


# ---- recording -----------------------------------------------------------------------------

class _Places(threading.local):
    """The layers that compute just now in this thread, the innermost last."""

    def __init__(self) -> None:
        self.names: list[str] = []


_places = _Places()


@lru_cache(1 << 12)
def _joined(place: str, name: str) -> str:
    return f"{place}, {name}" if place else name


def place() -> str:
    """Return the layer that computes just now, and the op whose gradient it is in backward."""
    return _places.names[-1] if _places.names else ""


class at_place:  # noqa: N801 (used as a function)
    """Name the layer that computes inside the block, for errors and the tape."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        _places.names.append(self._name)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        _places.names.pop()
        if isinstance(error, MinidlError) and not getattr(error, "placed", False):
            placed = error.inside(self._name)
            placed.placed = True  # type: ignore[attr-defined]
            raise placed from error


def record(call: dispatch.Call, inputs: Sequence[Tensor | None],
           storages: Sequence[Storage]) -> Node | None:
    """Return a node for a call if backward will need one; `storages` are those of its outputs."""
    if not config.grad_enabled() or not is_float(call.plan.out[0].dtype):
        return None
    op = call.plan.op
    parents = {i: t if t.node is None else t.node for i, t in enumerate(inputs)
               if t is not None and t.requires_grad and op.gradient(i)}
    if not parents:
        return None
    here = place()
    where, saved = _joined(here, op.name), {}
    for need, kind, at in _needed(op, tuple(parents)):
        if kind == "input":
            array, storage = call.inputs[at], _watched(inputs[at], call.inputs[at])
        elif kind == "output":
            array, storage = call.out[at], storages[at]
        elif need in call.saved:
            array, storage = call.saved[need], None  # nobody else has it
        else:
            continue
        saved[need] = None if array is None else Saved(array, storage, where, need)
    return Node(call, parents, saved, here)


@lru_cache(1 << 12)
def _needed(op: registry.Op, inputs: tuple[int, ...]) -> list[tuple[str, str, int]]:
    """Return what the gradient rules of these inputs ask for, each name once.

    With it "input" or "output" and which one, or "" where it may be an array that the kernel saves.
    """
    rules = [op.gradient(i) or "" for i in inputs]
    names = dict.fromkeys(need for rule in rules for need in op.needs[rule])
    return [(need, *_origin(op, need)) for need in names]


def _origin(op: registry.Op, need: str) -> tuple[str, int]:
    if need in op.inputs:
        return "input", op.inputs.index(need)
    if need == "y" or (need[0] == "y" and need[1:].isdigit()):
        return "output", int(need[1:] or 0)
    return "", 0


def _watched(tensor: Tensor | None, array: np.ndarray | None) -> Storage | None:
    """Return the storage of an input; a packed copy is ours alone."""
    return tensor.storage if tensor is not None and array is tensor.array else None


# ---- walking back --------------------------------------------------------------------------

def backward(root: Tensor, gy: np.ndarray, retain_graph: bool = False) -> None:
    """Add the gradient of `root` to `.grad` of every leaf that it depends on."""
    if root.node is None:
        _accumulate(root, gy, gy)
        return
    pending: Pending = {root.node: (gy, False)}
    heap = [(-root.node.number, root.node)]
    with config.no_grad(), dispatch.quiet():
        while heap:
            node = heapq.heappop(heap)[1]
            _hand_on(node, pending, heap)
            if not retain_graph:
                node.release()


def _hand_on(node: Node, pending: Pending, heap: list[tuple[int, Node]]) -> None:
    """Give the parents of a node their gradients.

    This is a function so that no name holds on to a gradient when the next node is at work.
    """
    gradient, _ = pending.pop(node)
    for hook in node.hooks:
        gradient = _hooked(hook, gradient)
    added = node.accumulated()
    so_far = pending[added][0] if added is not None and added in pending else None
    parts = node.gradients(gradient, so_far)
    for i, (parent, part) in enumerate(parts):
        if not isinstance(parent, Node):
            _accumulate(parent, part, gradient, *_others(parts, i))
        elif parent not in pending:
            pending[parent] = (part, False)
            heapq.heappush(heap, (-parent.number, parent))
        elif parent is added:
            pending[parent] = (part, True)
        else:
            others = (gradient, *_others(parts, i), *node.kept())
            pending[parent] = _add(*pending[parent], part, others)


def _others(parts: Sequence[tuple[Any, np.ndarray]], index: int) -> list[np.ndarray]:
    """Return the gradients of all inputs but one."""
    return [part for i, (_, part) in enumerate(parts) if i != index]


def _add(total: np.ndarray, owned: bool, part: np.ndarray, others: Sequence[np.ndarray]
         ) -> tuple[np.ndarray, bool]:
    """Add a gradient to the sum so far, in place where the sum or the gradient is ours alone."""
    if owned:
        return dispatch.run("add", total, part, out=[total]), True
    if packed(part) and not any(share_memory(part, other) for other in others):
        return dispatch.run("add", part, total, out=[part]), True
    return dispatch.run("add", total, part), True


def _accumulate(leaf: Tensor, gradient: np.ndarray, *others: np.ndarray) -> None:
    """Add to a leaf's gradient; what others may hold is copied.

    That is what shares memory with other gradients, such as the one that it came from, and what a
    hook saw or returned.
    """
    for hook in leaf.hooks:
        gradient = _hooked(hook, gradient)
    gradient = dispatch.move(gradient, device_of(leaf.array))  # a number's, from elsewhere
    if leaf.grad is not None:
        gradient = dispatch.run("add", leaf.grad.array, gradient)
    elif leaf.hooks or not packed(gradient) or any(
            share_memory(gradient, other) for other in others):
        gradient = dispatch.run("copy", gradient)
    leaf.grad = type(leaf).own(gradient)


def _hooked(hook: Hook, gradient: np.ndarray) -> np.ndarray:
    changed = hook(gradient)
    if changed is None:
        return gradient
    if changed.shape != gradient.shape:
        raise ShapeError("hook", f"got a gradient of shape {changed.shape}",
                         f"expected {gradient.shape}", "It has the shape of the tensor.")
    return changed


def apply(name: str | registry.Op, *inputs: Tensor | None, algorithm: str | None = None,
          out: Tensor | None = None, **attrs: Any) -> Any:
    """Compute an op on tensors and record it; return its result, or a tuple of several.

    This is what every function of `functional` and every custom op calls.

    Args:
        out: a tensor to write the result into and return; nothing is recorded then, so no input
            may need a gradient.
    """
    op = registry.get(name) if isinstance(name, str) else name
    if (kind := config.precision_now()) is not None:
        inputs = at_precision(op.name, inputs, kind)
    arrays = [None if t is None else t.array for t in inputs]
    if out is not None:
        _check_untaped(op, inputs)
        dispatch.call(op, arrays, attrs, algorithm=algorithm, out=[out.array])
        out.storage.version += 1
        return out
    call = dispatch.call(op, arrays, attrs, algorithm=algorithm)
    storages = [_storage(op, array, inputs) for array in call.out]
    node = record(call, inputs, storages)
    own = tensors.Tensor.own
    first = own(call.out[0], storages[0], node)
    return first if len(storages) == 1 else (first, *map(own, call.out[1:], storages[1:]))


def _check_untaped(op: registry.Op, inputs: Sequence[Tensor | None]) -> None:
    """Raise if a call that writes into a given tensor would have to be recorded."""
    if config.grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        raise AutogradError(_joined(place(), op.name), "got out= for inputs that need gradients",
                            "a result that is written elsewhere cannot be recorded",
                            "Leave out= away, or compute inside no_grad().")


def _storage(op: registry.Op, array: np.ndarray, inputs: Sequence[Tensor | None]) -> Storage:
    """Views share the storage of what they look at, so that changes are seen through both."""
    source = inputs[0] if op.view is not None else None
    if source is not None and share_memory(array, source.array):
        return source.storage
    return Storage()

