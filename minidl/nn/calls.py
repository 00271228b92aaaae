"""The chain of calls: which module runs inside which, and so the full name of each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Named(Protocol):
    """What knows the names of the modules inside."""

    def name_of(self, child: Any) -> str:
        """Return a child's name here."""
        ...


class _Chain(threading.local):
    """The modules that run, outermost first, with their paths; each thread has its own."""

    def __init__(self) -> None:
        self.calls: list[tuple[Named, str]] = []


_chain = _Chain()


def outermost() -> bool:
    """Say whether no module is running in this thread."""
    return not _chain.calls


def path_of(module: Any) -> str:
    """Return the path of a module in the model that is running; "" for the model itself."""
    calls = _chain.calls
    if not calls:
        return ""
    parent, path = calls[-1]
    name = parent.name_of(module)
    return f"{path}/{name}" if path else name


def enter(module: Named, path: str) -> None:
    """Note that a module runs now."""
    _chain.calls.append((module, path))


def leave() -> None:
    """Note that the last module that was entered has run."""
    _chain.calls.pop()


class _Above:
    """Stands above a layer that is called alone, and knows its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name_of(self, child: Any) -> str:
        return self._name


@contextmanager
def called_as(name: str) -> Iterator[None]:
    """Let the module that is called inside the block carry this path."""
    enter(_Above(name), "")
    try:
        yield
    finally:
        leave()
