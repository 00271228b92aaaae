"""minidl's side of `bench_ops.py`: a worker that times ops of the op table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from measure import serve, timing
from op_calls import CALLS, ELEMENTS, UPDATES, WEIGHTS, OpCall

import minidl as dl
from minidl import dispatch
from minidl.errors import MinidlError
from minidl.ops import registry
from minidl.ops.registry import Op
from minidl.spec import Spec, spec_of

Array = np.ndarray
FLOAT = np.dtype("float32")
ASIDE = ("copy", "divide", "equal", "mean", "multiply", "subtract", "sum")
"""Ops that gradients run in passing; they are timed on their own."""


@dataclass
class Seen:
    """A call at the waist that can be made again.

    Attributes:
        attrs: as they were given; the plan has them in normal form.
        out: the results' buffers, where they are inputs as well.
        source: "call" for a call of realistic size, "sample" for one that the tests make.
    """

    op: Op
    inputs: tuple[Array | None, ...]
    attrs: dict[str, Any]
    out: tuple[Array, ...] | None
    plan: dispatch.Plan
    source: str = "call"

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells calls apart that take different times."""
        return self.op.name, self.plan.specs, repr(self.plan.attrs)

    def again(self, algorithm: str | None = None) -> None:
        """Make the call."""
        dispatch.call(self.op, self.inputs, self.attrs, out=self.out, algorithm=algorithm)


# ---- which calls ---------------------------------------------------------------------------


Maker = Callable[[], "list[Seen]"]


def calls(wanted: Callable[[str], bool]) -> Iterator[Seen]:
    """Yield a call, or several, of every op that has kernels, each once."""
    known: set[Any] = set()
    for _, make in makers(wanted, known):
        yield from fresh(make(), wanted, known)


def makers(wanted: Callable[[str], bool], known: set[Any], device: str = "cpu"
           ) -> Iterator[tuple[str, Maker]]:
    """Yield ops with functions that make calls of them, and of others that they run.

    Args:
        known: keys of the calls that were made before the next one is asked for.
    """
    families = {op.name.partition("_")[0] for op in registry.ops() if wanted(op.name)}
    for entry in CALLS:
        if entry.op.partition("_")[0] in families:
            yield entry.op, partial(recorded, entry, device)
    for op_name, name in UPDATES.items():
        if op_name in families:
            yield op_name, partial(updates, name, device)
    names = {key[0] for key in known}
    for op in registry.ops():
        if op.variants(device) and op.name not in names and wanted(op.name):
            yield op.name, partial(single, op, device)


def fresh(found: Sequence[Seen], wanted: Callable[[str], bool], known: set[Any]
          ) -> Iterator[Seen]:
    """Yield those calls that are wanted and not known, and note them."""
    for seen in found:
        if seen.key not in known and wanted(seen.op.name):
            known.add(seen.key)
            yield seen


def recorded(entry: OpCall, device: str = "cpu") -> list[Seen]:
    """Return what a call runs, forward and backward."""
    rng = np.random.default_rng(0)
    arrays = [drawn(rng, given) for given in entry.inputs]
    op = registry.get(entry.op)
    tensors = [None if a is None else placed(dl.Tensor(a), op, i, entry.backward, device)
               for i, a in enumerate(arrays)]
    with watched() as found:
        y = dl.apply(entry.op, *tensors, **entry.attrs)
        first = y[0] if isinstance(y, tuple) else y
        if first.requires_grad:
            first.backward(np.ones(first.shape, first.dtype))
    for seen in found:
        if seen.op is op:
            seen.attrs = dict(entry.attrs)  # as a user writes them
    return [seen for seen in found if seen.op is op or seen.op.name not in ASIDE]


def placed(x: dl.Tensor, op: Op, index: int, backward: bool, device: str) -> dl.Tensor:
    """Return an input on a device, one that gets a gradient if it can have one."""
    moved = x.to(device)
    moved.requires_grad = backward and needs(op, index, x.array)
    return moved


def needs(op: Op, index: int, array: Array) -> bool:
    """Say whether an input has a gradient."""
    return array.dtype.kind == "f" and op.gradient(index) is not None


def updates(name: str, device: str = "cpu") -> list[Seen]:
    """Return the update of weights that an optimizer runs."""
    rng = np.random.default_rng(0)
    weights = [dl.Parameter(dispatch.move(drawn(rng, shape), device)) for shape in WEIGHTS]
    for weight in weights:
        weight.grad = dl.Tensor(dispatch.move(drawn(rng, weight.shape), device))
    momentum = {"momentum": 0.9} if name == "SGD" else {}
    with watched() as found:
        getattr(dl.optim, name)(0.01, **momentum).step(weights)
    return found


def drawn(rng: np.random.Generator, given: Any) -> Any:
    """Return an input from its shape or from the function that draws it."""
    if given is None:
        return None
    return given(rng) if callable(given) else rng.standard_normal(given, np.float32)


class watched:  # noqa: N801 (used as a function)
    """Collect the calls at the waist inside the block."""

    def __enter__(self) -> list[Seen]:
        self.found: list[Seen] = []
        self.hook = dispatch.hook(self._see)
        self.hook.__enter__()
        return self.found

    def __exit__(self, *error: Any) -> None:
        self.hook.__exit__(*error)

    def _see(self, call: dispatch.Call, compute: Callable[[], None]) -> None:
        compute()
        given = [a for a in call.inputs if a is not None]
        inside = any(o is a for o in call.out for a in given)
        self.found.append(Seen(call.plan.op, call.inputs, dict(call.plan.attrs),
                               call.out if inside else None, call.plan))


def single(op: Op, device: str = "cpu") -> list[Seen]:
    """Return one call of an op."""
    return [elements(op, device) or sample(op, device)]


def elements(op: Op, device: str = "cpu") -> Seen | None:
    """Return a call on big arrays, where the op works element by element."""
    spec = Spec(ELEMENTS, FLOAT)
    count = 2 if op.variadic else len(op.inputs)
    try:
        plan = dispatch.plan_of(op, (spec,) * count, {}, None, device)
    except (MinidlError, TypeError, AttributeError):
        return None
    if plan.out[0].shape != ELEMENTS:
        return None
    rng = np.random.default_rng(0)
    inputs = tuple(dispatch.move(rng.uniform(0.1, 1, ELEMENTS).astype(np.float32), device)
                   for _ in range(count))
    return Seen(op, inputs, {}, None, plan)


def sample(op: Op, device: str = "cpu") -> Seen:
    """Return the largest call that the tests make."""
    rng = np.random.default_rng(0)
    found = [(s, s.draw(rng, FLOAT)) for s in op.samples]
    chosen, arrays = max(found, key=lambda f: sum(a.size for a in f[1] if a is not None))
    specs = tuple(None if a is None else spec_of(a) for a in arrays)
    plan = dispatch.plan_of(op, specs, chosen.attrs, None, device)
    moved = tuple(None if a is None else dispatch.move(a, device) for a in arrays)
    return Seen(op, moved, dict(chosen.attrs), None, plan, "sample")


# ---- timing --------------------------------------------------------------------------------


def time(ops: Sequence[str], seconds: float) -> list[dict[str, Any]]:
    """Time ops whose names match one of some patterns, all variants of each.

    The answer has what `op_torch.py` needs to make its counterpart.
    """
    return [row(seen, seconds) for seen in calls(matching(ops))]


def matching(ops: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that says whether a name matches one of some patterns, if there are any."""
    patterns = [re.compile(pattern) for pattern in ops]
    return lambda name: not patterns or any(p.fullmatch(name) for p in patterns)


def row(seen: Seen, seconds: float) -> dict[str, Any]:
    """Return a call's description and the time of each variant that accepts it."""
    return {**description(seen), "ms": variants(seen, seconds)}


def description(seen: Seen) -> dict[str, Any]:
    """Return what tells a call, and what it computes and moves."""
    specs = seen.plan.specs
    moved = [*specs, *seen.plan.out, *seen.plan.saved.values()]
    return {"op": seen.op.name, "source": seen.source, "default": seen.plan.kernel.name,
            "shapes": [None if s is None else s.shape for s in specs],
            "dtypes": ["" if s is None else s.dtype.name for s in specs],
            "attrs": {name: plain(value) for name, value in seen.plan.attrs.items()},
            "size": seen.plan.out[0].size, "flops": seen.plan.flops,
            "bytes": sum(s.size * s.dtype.itemsize for s in moved if s is not None)}


def variants(seen: Seen, seconds: float) -> dict[str, Any]:
    """Return the time of each variant, or the error's text where one fails."""
    found: dict[str, Any] = {}
    for kernel in seen.op.kernels:
        if kernel.accepts is not None and not kernel.accepts(*seen.plan.specs, **seen.plan.attrs):
            continue
        try:
            found[kernel.name] = timing(lambda: seen.again(kernel.name), seconds,  # noqa: B023
                                        warm_seconds=0.05).ms
        except (MinidlError, TypeError, ValueError) as error:
            found[kernel.name] = f"{type(error).__name__}: {error}"[:200]
    return found


def plain(value: Any) -> Any:
    """Return an attribute as JSON can hold it."""
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)


if __name__ == "__main__":
    serve({"time": time})
