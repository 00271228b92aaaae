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
