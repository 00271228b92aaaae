"""The few switches of the engine; every one is a context manager, none is read from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

from .errors import ArgumentError

_Switch = AbstractContextManager[None]
_Value = TypeVar("_Value")

_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
_shapes_only: ContextVar[bool] = ContextVar("shapes_only", default=False)
_precision: ContextVar[str | None] = ContextVar("precision", default=None)
_avoided: ContextVar[tuple[str, ...]] = ContextVar("avoided", default=())


def processors() -> int:
    """Give the number of processors that this process may run on: a container may have few."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_threads: ContextVar[int] = ContextVar("threads", default=processors())  # noqa: B039 (an int)


@contextmanager
def _set(variable: ContextVar[_Value], value: _Value) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def grad_enabled() -> bool:
    """Say whether operations are recorded for backward."""
    return _grad_enabled.get()


def no_grad() -> _Switch:
    """Record nothing for backward inside the block.

    >>> with no_grad():
    ...     print(grad_enabled())
    False
    """
    return _set(_grad_enabled, False)


def enable_grad() -> _Switch:
    """Record again inside a `no_grad` block."""
    return _set(_grad_enabled, True)


def shapes_only() -> _Switch:
    """Compute shapes and types inside the block, but no values.

    Results are arrays without memory of their own; summaries and graphs are built so.
    """
    return _set(_shapes_only, True)


def only_shapes() -> bool:
    """Say whether values are left out (see `shapes_only`)."""
    return _shapes_only.get()


def num_threads() -> int:
    """Return how many threads kernels may use; results do not depend on it."""
    return _threads.get()


def threads(count: int) -> _Switch:
    """Let kernels use `count` threads inside the block.

    Like all switches this one holds for the thread that enters the block, not for others.
    """
    if count < 1:
        raise ArgumentError("threads", f"got {count}", "expected at least 1", "Give 1 or more.")
    return _set(_threads, count)


def precision_now() -> str | None:
    """Return the half type that products are computed in (see `precision`), None for none."""
    return _precision.get()


def precision(name: str | None) -> _Switch:
    """Compute products on a GPU in a half type inside the block: mixed precision.

    Convolutions, dense layers and matrix products take their inputs in it and add up in float32;
    what loses digits (losses, softmax, logarithms, powers, variances) is computed in float32; the
    rest in what it gets. Weights stay float32, and so do their gradients and the optimizer's state
    (Micikevicius et al. 2018). What lies on the CPU is computed as ever.
    In float16, call `backward` on `optimizer.scaled(loss)`, as `fit` does.

    Args:
        name: "bfloat16", "float16", or None or "float32" for full precision.

    >>> with precision("bfloat16"):
    ...     print(precision_now())
    bfloat16
    """
    if name not in (None, "float32", "bfloat16", "float16"):
        raise ArgumentError("precision", f"got {name!r}",
                            'expected "float32", "bfloat16" or "float16"', "Name one of them.")
    if name == "bfloat16":
        _need_bfloat16()
    return _set(_precision, None if name == "float32" else name)


def _need_bfloat16() -> None:
    """Let NumPy know the type by its name."""
    try:
        import ml_dtypes  # noqa: F401
    except ImportError as error:
        raise ArgumentError("precision", 'got "bfloat16", which needs the package ml_dtypes',
                            "expected it to be installed",
                            'Install it: pip install "minidl[gpu]".') from error


def avoided() -> tuple[str, ...]:
    """Return the variants of kernels that are not chosen (see `avoid`)."""
    return _avoided.get()


def avoid(*algorithms: str) -> _Switch:
    """Let ops choose other variants inside the block, as far as there are others.

    A call that names its algorithm gets it all the same.

    >>> with avoid("winograd"):
    ...     print(avoided())
    ('winograd',)
    """
    return _set(_avoided, algorithms)
