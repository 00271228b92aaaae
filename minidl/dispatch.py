"""The waist: every computation of the engine passes `run`.

check, pack -> pick a kernel -> take its buffers and workspace -> call -> tell the hooks

Kernels never allocate; the buffers come from the pool of the device. What a call needs besides the
arrays themselves depends on shapes, types and attributes only and is worked out once (`_plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import config
from .backend import device as devices
from .backend.arrays import HOST, device_of, packed, pitch
from .backend.memory import Pool, current, rehearsed
from .errors import ArgumentError, DeviceError, DTypeError, MinidlError
from .ops import registry
from .ops.registry import Inferred, Kernel, Op
from .spec import Spec, halves, spec_of

Array = np.ndarray


@dataclass(frozen=True)
class Plan:
    """What is known of a call from shapes, types, attributes and the device alone."""

    op: Op
    device: str
    kernel: Kernel
    specs: tuple[Spec | None, ...]
    out: tuple[Spec, ...]
    saved: Mapping[str, Spec]
    work: Mapping[str, Spec]
    attrs: Mapping[str, Any]

    @property
    def flops(self) -> int:
        """Floating point operations of the call, by the op's own count."""
        return self.op.flops(*self.specs, **self.attrs) if self.op.flops else 0


@dataclass(slots=True)
class Call:
    """One call at the waist, as hooks and gradients see it."""

    plan: Plan
    inputs: tuple[Array | None, ...]
    out: tuple[Array, ...]
    saved: dict[str, Array]
    work: dict[str, Array]

    def compute(self) -> None:
        """Run the kernel on the buffers of this call; running it again gives the same bits."""
        if not _quiet.get():
            with quiet():
                return self.compute()
        plan = self.plan
        out: Any = self.out[0] if len(self.out) == 1 else self.out
        made = plan.kernel.function(*self.inputs, out=out, saved=self.saved, work=self.work,
                                    **plan.attrs)
        if made is not None and made is not out:
            raise ArgumentError(plan.op.name, f"the kernel {plan.kernel.name} returned a "
                                f"{type(made).__name__}", "a kernel writes its result into out",
                                "Write out[...] = result, and return nothing.")


_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


class quiet:  # noqa: N801 (used as a function)
    """Let NumPy say nothing of what is no number: it goes through, and who looks for it finds it.

    Every call is quiet; around many calls this saves each of them a microsecond.
    """

    def __enter__(self) -> None:
        self._token = _quiet.set(True)
        self._errors = np.errstate(all="ignore")
        self._errors.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._errors.__exit__(*error)
        _quiet.reset(self._token)


Hook = Callable[[Call, Callable[[], None]], None]
_hooks: ContextVar[tuple[Hook, ...]] = ContextVar("hooks", default=())


@contextmanager
def hook(function: Hook) -> Iterator[None]:
    """Let `function(call, compute)` see every call inside the block; it must call `compute()`.

    Profiler, NaN tracer and recorder are such functions. The last hook is the outermost. What other
    threads compute meanwhile is not seen.
    """
    token = _hooks.set((*_hooks.get(), function))
    try:
        yield
    finally:
        _hooks.reset(token)


def hooked() -> bool:
    """Say whether somebody looks at the calls."""
    return bool(_hooks.get())


def run(name: str | Op, *arrays: Array | None, out: Sequence[Array] | None = None,
        algorithm: str | None = None, **attrs: Any) -> Any:
    """Compute an op on arrays and return its result, or a tuple where it has several."""
    result = call(registry.get(name) if isinstance(name, str) else name, arrays, attrs,
                  out=out, algorithm=algorithm).out
    return result[0] if len(result) == 1 else result


def call(op: Op, arrays: Sequence[Array | None], attrs: Mapping[str, Any], *,
         out: Sequence[Array] | None = None, algorithm: str | None = None) -> Call:
    """Compute an op where its arrays lie; the returned `Call` also holds what the kernel saved.

    Args:
        out: buffers to write into instead of fresh ones; they may be inputs where the op's
            `may_overwrite` says so. On the CPU they may be parts of the last axis of wider arrays:
            a kernel that is not `pitched` then writes beside, and its results are copied.

    Raises:
        DeviceError: arrays lie on different devices.
    """
    if op.transfers and len(arrays) == 1 and arrays[0] is not None:
        return _transfer(op, arrays[0], attrs)
    device = _device(op, arrays)
    specs = tuple([None if a is None else spec_of(a) for a in arrays])
    plan = plan_of(op, specs, attrs, algorithm, device)
    if op.view is not None:
        as_they_are = op.strided or (config.only_shapes() and not rehearsed())
        inputs = tuple(arrays) if as_they_are else tuple(map(_contiguous, arrays))
        return Call(plan, inputs, (op.view(*inputs, **plan.attrs),), {}, {})
    if config.only_shapes():
        return _tell(_without_values(plan, arrays, out), lambda: None)
    if device != HOST:
        arrays = [a if a is None or device_of(a) == device else move(a, device) for a in arrays]
    inputs = tuple(arrays) if op.strided else tuple([
        a if a is None or packed(a) else _packed(a) for a in arrays])
    if out is not None and _beside(plan, out):
        return _copied(call(op, arrays, attrs, algorithm=algorithm), out)
    pool = current(device)
    results = (tuple([pool.empty(s.shape, s.dtype) for s in plan.out]) if out is None
               else _checked_out(plan, out))
    done = Call(plan, inputs, results, _buffers(plan.saved, pool) if plan.saved else {},
                _buffers(plan.work, pool) if plan.work else {})
    return _tell(done, done.compute)


def _tell(done: Call, compute: Callable[[], None]) -> Call:
    for function in _hooks.get():
        compute = _wrap(function, done, compute)
    compute()
    if done.work:
        done.work = {}
    return done


def _wrap(function: Hook, done: Call, compute: Callable[[], None]) -> Callable[[], None]:
    return lambda: function(done, compute)


# ---- devices -------------------------------------------------------------------------------

def _device(op: Op, arrays: Sequence[Array | None]) -> str:
    """Return the device of a call: that of all its arrays but single numbers and hosted ones."""
    found = list(dict.fromkeys([device_of(a) for a in arrays if a is not None]))
    if len(found) < 2:
        return found[0] if found else HOST
    for position, array in enumerate(arrays):
        stray = array is not None and device_of(array) == HOST and not _may_stay(
            op, position, array)
        if stray and not config.only_shapes():
            raise DeviceError(op.name, f"got arrays on {found[0]!r} and on {found[1]!r}",
                              "expected one device", f'Move them: x.to("{found[1]}").')
        if stray:
            return found[0]
    return next(name for name in found if name != HOST)


def _may_stay(op: Op, position: int, array: Array) -> bool:
    name = op.inputs[min(position, len(op.inputs) - 1)]
    return not array.ndim or name in op.hosted


def move(array: Array, device: str) -> Array:
    """Return an array on a device: itself if it lies there, else a copy."""
    source = device_of(array)
    return array if source == device else run("to", array, device=device)


def _transfer(op: Op, array: Array, attrs: Mapping[str, Any]) -> Call:
    """Copy an array to another device.

    The copy takes no memory of an arena: a replay makes it before all else.
    """
    array = array if packed(array) else run("copy", array)
    source, target = device_of(array), attrs.get("device", HOST)
    plan = plan_of(op, (spec_of(array),), {**attrs, "source": source}, None,
                   target if source == HOST else source)
    if config.only_shapes():
        return _tell(_without_values(plan, (array,), None), lambda: None)
    done = Call(plan, (array,), (devices.pool(target).empty(array.shape, array.dtype),), {}, {})
    return _tell(done, done.compute)


# ---- plans ---------------------------------------------------------------------------------

_plans: dict[Any, Plan] = {}
MOST_PLANS = 4096
_VIEW = Kernel("view", lambda: None)


def plan_of(op: Op, specs: tuple[Spec | None, ...], attrs: Mapping[str, Any],
            algorithm: str | None = None, device: str = HOST) -> Plan:
    """Check a call and say which kernel and which buffers it takes."""
    key = (op, specs, tuple(attrs.items()), algorithm, device, config.num_threads(),
           config.avoided())
    try:
        known = _plans.get(key)
    except TypeError:  # an attribute that cannot be hashed, such as a list
        return _make_plan(op, specs, attrs, algorithm, device)
    if known is None:
        if len(_plans) >= MOST_PLANS:
            _plans.clear()
        known = _plans[key] = _make_plan(op, specs, attrs, algorithm, device)
    return known


def _make_plan(op: Op, specs: tuple[Spec | None, ...], attrs: Mapping[str, Any],
               algorithm: str | None, device: str) -> Plan:
    _check_inputs(op, specs)
    with halves(device != HOST):
        inferred = _inferred(op, specs, attrs)
        variant = _VIEW if op.view else op.kernel(device, specs, inferred.attrs, algorithm,
                                                  config.avoided())
        work = variant.workspace(*specs, **inferred.attrs) if variant.workspace else {}
    return Plan(op, device, variant, specs, inferred.out, inferred.saved, work, inferred.attrs)


def _inferred(op: Op, specs: tuple[Spec | None, ...], attrs: Mapping[str, Any]) -> Inferred:
    try:
        inferred = op.infer(*specs, **attrs)
    except MinidlError:  # a DTypeError is a TypeError, too
        raise
    except TypeError as error:
        raise ArgumentError(op.name, f"called with {sorted(attrs)}", str(error),
                            "Check the names of the arguments.") from error
    if isinstance(inferred, Spec):
        return Inferred((inferred,), attrs={**op.defaults, **attrs})
    if not isinstance(inferred, Inferred):
        raise ArgumentError(op.name, f"infer returned {inferred!r}", "expected a Spec or Inferred",
                            "A Spec is shape and type: Spec(x.shape, x.dtype), or x itself.")
    return inferred


def _check_inputs(op: Op, specs: tuple[Spec | None, ...]) -> None:
    for spec in specs:
        if spec is not None and not spec.dtype.isnative:
            raise DTypeError(op.name, f"got an array of type {spec.dtype}",
                             "expected this machine's byte order",
                             'Convert it: x.astype(x.dtype.newbyteorder("=")).')
    if op.variadic:
        return
    if len(specs) != len(op.inputs):
        raise ArgumentError(op.name, f"got {len(specs)} arrays", f"expected {len(op.inputs)}",
                            f"Its inputs are {', '.join(op.inputs)}.")
    for name, spec in zip(op.inputs, specs, strict=True):
        if spec is None and name not in op.optional:
            raise ArgumentError(op.name, f"got no {name}", "expected an array", f"Give {name}.")


# ---- buffers -------------------------------------------------------------------------------

def _packed(array: Array | None) -> Array | None:
    """Return a C-contiguous, writable array: numba compiles a kernel anew for any other kind."""
    return array if array is None or packed(array) else run("copy", array)


def _contiguous(array: Array | None) -> Array | None:
    """Return a C-contiguous array; unlike NumPy's own copy, this one passes the waist."""
    return array if array is None or array.flags.c_contiguous else run("copy", array)


def _buffers(specs: Mapping[str, Spec], source: Pool) -> dict[str, Array]:
    return {name: source.empty(s.shape, s.dtype) for name, s in specs.items()}


def _checked_out(plan: Plan, out: Sequence[Array]) -> tuple[Array, ...]:
    for given, wanted in zip(out, plan.out, strict=True):
        if (spec_of(given) != wanted or device_of(given) != plan.device
                or not (_is_part(given) if plan.kernel.pitched else packed(given))):
            raise ArgumentError(plan.op.name, f"got out of {spec_of(given)}",
                                f"expected a writable, C-contiguous array of {wanted}",
                                "Make it with minidl.empty.")
    return tuple(out)


def _is_part(array: Array) -> bool:
    """Say whether an array is one for itself, or a part of the last axis of a wider one."""
    return packed(array) or (array.flags.behaved and pitch(array) is not None)


def _beside(plan: Plan, out: Sequence[Array]) -> bool:
    """Say whether a kernel cannot write into the arrays given, and its results must be copied."""
    return (plan.device == HOST and not plan.kernel.pitched and not all(map(packed, out))
            and [spec_of(a) for a in out] == list(plan.out) and all(map(_is_part, out)))


def _copied(done: Call, out: Sequence[Array]) -> Call:
    """Return a call whose results were copied into arrays."""
    for made, wanted in zip(done.out, out, strict=True):
        run("copy", made, out=[wanted])
    return Call(done.plan, done.inputs, tuple(out), done.saved, done.work)


def _without_values(plan: Plan, arrays: Sequence[Array | None], out: Sequence[Array] | None
                    ) -> Call:
    """Return a call that is not computed; in a rehearsal it takes the buffers that it would."""
    counted = rehearsed()
    if counted is None:
        return Call(plan, tuple(arrays), tuple(map(_no_values, plan.out)),
                    {k: _no_values(s) for k, s in plan.saved.items()}, {})
    inputs = tuple(arrays) if plan.op.strided else tuple(map(_packed, arrays))
    results = tuple([counted.empty(s.shape, s.dtype) for s in plan.out] if out is None else out)
    return Call(plan, inputs, results, _buffers(plan.saved, counted), _buffers(plan.work, counted))


def _no_values(spec: Spec) -> Array:
    """Return an array of the right shape and type that holds one element of memory."""
    return np.broadcast_to(np.zeros((), spec.dtype), spec.shape)
