"""The op table: one record per op, and the registry that everything walks.

Dispatch, gradient checks, error tests, mutation tests, benchmarks and the docs read these records;
`ops/README.md` says how to add one.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..backend.arrays import HOST
from ..errors import ArgumentError
from ..own import is_own
from ..spec import Spec


@dataclass(frozen=True)
class Joint:
    """One gradient rule for several inputs whose gradients share work; it is run once for all.

    Attributes:
        names: the inputs.
        rule: returns a tuple in the order of `names`. It may ask for `wanted`, the names of the
            op's inputs that need a gradient, and give None for the others.
    """

    names: tuple[str, ...]
    rule: Callable[..., Any]


Rule = Callable[..., Any] | Joint
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Inferred:
    """What `infer` says about a call before anything is computed.

    Attributes:
        out: specs of the results, in order.
        saved: specs of the arrays that the kernel keeps for the gradient, by name.
        attrs: the attributes as the kernel gets them, defaults filled in.
    """

    out: tuple[Spec, ...]
    saved: Mapping[str, Spec] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One call that the tests make: inputs as drawing functions or arrays, and attributes.

    Attributes:
        inputs: per input a shape (drawn from a normal distribution), an array, a function
            `rng -> array`, or None for an optional input that is left out.
        attrs: attributes of the call.
        wrt: names of the inputs whose gradient is checked; all differentiable ones by default.
    """

    inputs: tuple[Any, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    wrt: tuple[str, ...] | None = None

    def draw(self, rng: np.random.Generator, dtype: np.dtype) -> list[np.ndarray | None]:
        """Return fresh input arrays; floating ones have the given type."""
        arrays: list[np.ndarray | None] = []
        for given in self.inputs:
            if given is None:
                arrays.append(None)
                continue
            value = given(rng) if callable(given) else (
                rng.standard_normal(given) if isinstance(given, tuple) else np.array(given))
            value = np.asarray(value)
            arrays.append(np.array(value, dtype if value.dtype.kind == "f" else value.dtype))
        return arrays


@dataclass(frozen=True)
class BadCall:
    """A call that must raise an error whose text holds `text`."""

    inputs: tuple[Any, ...]
    attrs: Mapping[str, Any]
    text: str


@dataclass(frozen=True)
class Kernel:
    """One way to compute an op on one device.

    Attributes:
        name: the variant's name, as in `conv2d(..., algorithm="im2col")`.
        place: "module:function", imported on first use, or the function itself.
        accepts: says whether the variant can serve a call; gets specs and attributes.
        pays: says whether it is likely the fastest for a call that it accepts; asked only where
            no algorithm is named.
        workspace: specs of the work arrays by name; gets the same.
        tolerance: factor on the tests' error bounds, for a variant that trades digits for speed.
        pitched: `out` may be a part of the last axis of a wider array (`backend.arrays.pitch`).
    """

    name: str
    place: str | Callable
    device: str = "cpu"
    accepts: Callable[..., bool] | None = None
    pays: Callable[..., bool] | None = None
    workspace: Callable[..., Mapping[str, Spec]] | None = None
    tolerance: float = 1.0
    pitched: bool = False

    @cached_property
    def function(self) -> Callable:
        """The kernel itself."""
        if callable(self.place):
            return self.place
        module, _, name = self.place.partition(":")
        return getattr(importlib.import_module(module), name)


@dataclass(frozen=True, eq=False)
class Op:
    """One record of the op table.

    Attributes:
        name: the op's name, unique.
        inputs: names of the array inputs in order.
        optional: those of them that may be None.
        infer: `infer(*specs, **attrs)` checks the call and returns `Inferred`, or a Spec where the
            op has one result, nothing to save and no attribute to normalise.
        reference: the obvious computation in NumPy float64, `reference(*arrays, **attrs)`; it
            returns what the kernel must write: the result, or a tuple of results.
        gradients: per differentiable input a rule `rule(run, ...)`. A rule's argument names say
            what it needs, and only that is kept: `gy`, inputs, outputs (`y`, or `y0`, `y1`...),
            saved arrays, attributes, `NAME_spec` for the shape of an input, and, where the inputs
            are variadic, `index` for the position and `all_specs`. `gy` belongs to the first
            output; other outputs count as constants. Inputs may share a rule (see `jointly`).
            A rule that asks for `so_far` gets the gradient that its input (of a shared rule, the
            first) has from other uses, or None, and returns the sum.
        kernels: the variants, best first; minidl's own for other devices than the CPU are noted by
            `kernel_for`. `variants` returns all of a device.
        strided: kernels take arrays of any strides, so nothing needs packing.
        view: instead of a kernel, `view(*arrays, **attrs)` returns an array that may share memory.
        may_overwrite: pairs (input index, output index) that may share memory; for a variadic op
            a function of the numbers of inputs and outputs that returns them (see `overwrites`).
        variadic: the last input stands for any number of arrays.
        flops: floating point operations of a call, from specs and attributes.
        tolerance: factor on the tests' error bounds, for ops that lose digits by nature.
        hosted: inputs of a few numbers that may lie on the CPU whatever the device: what changes
            from step to step, as a random key or a learning rate.
        transfers: the result lies on the device that the attribute `device` names.
        elsewhere: returns the variants on a device beside the CPU where none are noted, for an op
            that is computed by the kernels of another one.
    """

    name: str
    inputs: tuple[str, ...]
    infer: Callable[..., Inferred | Spec]
    reference: Callable[..., Any]
    kernels: tuple[Kernel, ...]
    doc: str
    gradients: Mapping[str, Rule] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    samples: Sequence[Sample] = ()
    bad_calls: Sequence[BadCall] = ()
    strided: bool = False
    view: Callable[..., np.ndarray] | None = None
    may_overwrite: Pairs | Callable[[int, int], Pairs] = ()
    variadic: bool = False
    flops: Callable[..., int] | None = None
    tolerance: float = 1.0
    hosted: tuple[str, ...] = ()
    transfers: bool = False
    elsewhere: Callable[[str], Sequence[Kernel]] | None = None

    @cached_property
    def needs(self) -> dict[str, tuple[str, ...]]:
        """Argument names of each gradient rule, without the leading `run`."""
        functions = {name: rule.rule if isinstance(rule, Joint) else rule
                     for name, rule in self.gradients.items()}
        return {name: tuple(inspect.signature(function).parameters)[1:]
                for name, function in functions.items()}

    def overwrites(self, inputs: int, outputs: int) -> Pairs:
        """Return the pairs (input index, output index) that may share memory in a call."""
        pairs = self.may_overwrite
        return pairs(inputs, outputs) if callable(pairs) else pairs

    def gradient(self, index: int) -> str | None:
        """Return the name of the input at `index` if it has a gradient rule."""
        names = self._differentiable
        return names[index] if index < len(names) else names[-1]

    @cached_property
    def accumulating(self) -> int:
        """Position of the input whose gradient rule adds `so_far`, -1 where none does."""
        names = [rule.names[0] if isinstance(rule, Joint) else name
                 for name, rule in self.gradients.items() if "so_far" in self.needs[name]]
        return self.inputs.index(names[0]) if names else -1

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The attributes that `infer` has defaults for; the inputs come before them."""
        parameters = list(inspect.signature(self.infer).parameters.values())
        return {p.name: p.default for i, p in enumerate(parameters) if p.default is not p.empty
                and (p.kind is p.KEYWORD_ONLY or i >= len(self.inputs))}

    @cached_property
    def own_rules(self) -> bool:
        """Whether minidl gives all gradient rules: they compute by `run` and change no array."""
        rules = [r.rule if isinstance(r, Joint) else r for r in self.gradients.values()]
        return all(map(is_own, rules))

    @cached_property
    def _differentiable(self) -> tuple[str | None, ...]:
        return tuple(name if name in self.gradients else None for name in self.inputs)

    def variants(self, device: str) -> Sequence[Kernel]:
        """Return the variants on a device, best first."""
        own = [k for k in self.kernels if k.device == device]
        if device == HOST:
            return own
        noted = _elsewhere(device).get(self.name, ())
        return [*own, *(noted or (self.elsewhere(device) if self.elsewhere else ()))]

    def kernel(self, device: str, specs: Sequence[Spec | None], attrs: Mapping[str, Any],
               algorithm: str | None = None, avoided: Sequence[str] = ()) -> Kernel:
        """Return the best variant for a call, or the named one.

        Args:
            avoided: variants that are chosen only where there is no other.
        """
        names, last = [], None
        for variant in self.variants(device):
            names.append(variant.name)
            if algorithm not in (None, variant.name):
                continue
            if variant.accepts is not None and not variant.accepts(*specs, **attrs):
                continue
            if algorithm or variant.pays is None or variant.pays(*specs, **attrs):
                if algorithm or variant.name not in avoided:
                    return variant
                last = last or variant
        if last is not None:
            return last
        wanted = f"algorithm={algorithm!r}" if algorithm else "this call"
        raise ArgumentError(self.name, f"no kernel on {device!r} accepts {wanted}",
                            f"there are {', '.join(names) or 'none'}", "Choose another one.")


_table: dict[str, Op] = {}
_noted: dict[str, dict[str, list[Kernel]]] = {}  # by device and op, of devices beside the CPU


def kernel_for(*names: str, algorithm: str = "default", device: str = "cuda", **fields: Any
               ) -> Callable[[Callable], Callable]:
    """Decorate a function that is a kernel of these ops on a device beside the CPU.

    Where an op has several, the first one noted is the best.

    Args:
        algorithm: name of the variant.
        fields: the other fields of `Kernel`.
    """
    def note(function: Callable) -> Callable:
        for name in names:
            kernels = _noted.setdefault(device, {}).setdefault(name, [])
            kernels.append(Kernel(algorithm, function, device, **fields))
        return function
    return note


def _elsewhere(device: str) -> Mapping[str, Sequence[Kernel]]:
    """Return the kernels of a device by op; the modules that hold them are imported first."""
    importlib.import_module(f"{__package__}.{device}")
    return _noted[device]


def define(name: str, *, inputs: Sequence[str], infer: Callable, reference: Callable,
           kernel: Callable | str | None = None,
           kernels: Sequence[Kernel] | Callable[[str], Sequence[Kernel]] = (),
           doc: str = "", **fields: Any) -> Op:
    """Add an op to the table and return it.

    Args:
        kernel: the CPU kernel where there is one variant only: a function, "module:function", or
            None for the function of the op's name in `cpu.py` beside the calling file.
        kernels: the variants where there are several; or a function of a device that returns
            them, for an op that is computed by the kernels of another one.
        doc: formula and shapes; the calling module's docstring by default.
        fields: the other fields of `Op`.
    """
    if name in _table:
        raise ArgumentError(name, "an op of this name is defined already", "", "Rename one.")
    if isinstance(inputs, str):
        raise ArgumentError(name, f"got inputs={inputs!r}", "expected a tuple of names",
                            f"Write inputs=({inputs!r},).")
    if not kernels and "view" not in fields:
        caller = sys._getframe(1).f_globals
        package = caller["__name__"].rpartition(".")[0]
        if not (kernel or package):
            raise ArgumentError(name, "got no kernel", "expected a function",
                                "Give kernel=function(*inputs, out, saved, work, **attributes).")
        kernels = (Kernel("default", kernel or f"{package}.cpu:{name}"),)
    if callable(kernels):
        fields, kernels = {**fields, "elsewhere": kernels}, kernels(HOST)
    doc = doc or sys._getframe(1).f_globals.get("__doc__") or ""
    op = Op(name, tuple(inputs), infer, reference, tuple(kernels), doc, **fields)
    _check_rules(op)
    _table[name] = op
    return op


def jointly(*names: str, rule: Callable[..., Any]) -> dict[str, Rule]:
    """Return the entries of `gradients` for inputs that share one rule (see `Joint`).

    >>> sorted(jointly("x", "gamma", rule=lambda run, gy, x, gamma: (gy, x)))
    ['gamma', 'x']
    """
    return dict.fromkeys(names, Joint(names, rule))


def _check_rules(op: Op) -> None:
    unknown = set(op.gradients) - set(op.inputs)
    if unknown:
        raise ArgumentError(op.name, f"gradient rules for {sorted(unknown)}",
                            f"inputs are {op.inputs}", "Name the rules as the inputs.")
    if op.variadic and any(op.inputs[-1] in needs for needs in op.needs.values()):
        raise ArgumentError(op.name, f"a gradient rule asks for {op.inputs[-1]!r}",
                            "arrays of a variadic input are not kept",
                            "Use all_specs and index, or inputs with a name each.")


def get(name: str) -> Op:
    """Return the op of this name."""
    try:
        return _table[name]
    except KeyError:
        raise ArgumentError("op table", f"no op {name!r}", f"there are {', '.join(sorted(_table))}",
                            "Import the module that defines it.") from None


def ops() -> list[Op]:
    """Return all ops, by name."""
    return [_table[name] for name in sorted(_table)]


def forget(name: str) -> None:
    """Take an op out of the table (a custom op that is defined anew, a test's op)."""
    _table.pop(name, None)
