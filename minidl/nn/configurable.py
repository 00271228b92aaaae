"""Objects that remember how they were made, so that they can be written down and made again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from ..errors import ArgumentError


class Configurable:
    """Base of everything with a config: it keeps the arguments of its constructor.

    A subclass writes an ordinary `__init__` and does nothing else for it.
    """

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> Self:
        self = super().__new__(cls)
        self.__dict__["_given"] = (args, options)
        return self

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        signature = inspect.signature(cls.__init__)
        without_self = list(signature.parameters.values())[1:]
        cls.__signature__ = signature.replace(parameters=without_self)  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, defaults included, as JSON can hold them."""
        args, options = self._given
        bound = inspect.signature(type(self)).bind(*args, **options)
        bound.apply_defaults()
        values = dict(bound.arguments)
        for parameter in bound.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                values.update(values.pop(parameter.name))
        where = type(self).__name__
        with sharing():
            return {k: encode(v, f"{where}, argument {k!r}") for k, v in values.items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make an object from what `get_config` returned."""
        signature = inspect.signature(cls)
        bound = signature.bind_partial()
        with sharing():
            rest = {key: decode(value) for key, value in config.items()}
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                bound.arguments[name] = rest
            elif name in rest:
                bound.arguments[name] = rest.pop(name)
        return _make(cls, bound, rest)

    def __repr__(self) -> str:
        args, options = self._given
        parts = [repr(a) for a in args] + [f"{k}={v!r}" for k, v in options.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


def accepts(cls: type, argument: str) -> bool:
    """Say whether a constructor takes an argument of this name."""
    parameters = inspect.signature(cls).parameters
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def arguments_of(cls: type) -> list[str]:
    """Return the names of a constructor's arguments, those that it hands on to its base too."""
    names: list[str] = []
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        rest = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        names += [p.name for p in rest if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        if not any(p.kind is p.VAR_KEYWORD for p in rest):
            break
    return list(dict.fromkeys(names))


_shared: ContextVar[dict[Any, Any] | None] = ContextVar("shared", default=None)


@contextmanager
def sharing() -> Iterator[dict[Any, Any]]:
    """Remember, within the outermost block, what was written or read and under which number."""
    known = _shared.get()
    if known is not None:
        yield known
        return
    token = _shared.set({})
    try:
        yield _shared.get()  # type: ignore[misc]
    finally:
        _shared.reset(token)


def _make(cls: Callable, bound: inspect.BoundArguments, rest: dict[str, Any]) -> Any:
    takes_any = any(p.kind is p.VAR_KEYWORD for p in bound.signature.parameters.values())
    if rest and not takes_any:
        raise ArgumentError(cls.__name__, f"got the unknown arguments {sorted(rest)}",
                            f"expected {', '.join(bound.signature.parameters)}",
                            "The config belongs to another class or version.")
    try:
        return cls(*bound.args, **bound.kwargs)
    except TypeError as error:
        raise ArgumentError(cls.__name__, f"the config does not fit: {error}",
                            f"expected {', '.join(bound.signature.parameters)}",
                            "The config belongs to another class or version.") from error


def encode(value: Any, where: str = "config") -> Any:
    """Return a value as JSON can hold it; raise naming `where` if that cannot be."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, (list, tuple)):
        return [encode(v, where) for v in value]
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return {k: encode(v, where) for k, v in value.items()}
    return _encode_object(value, where)


def _encode_object(value: Any, where: str) -> Any:
    from . import activations, serialization
    if isinstance(value, Configurable):
        return serialization.serialize(value)
    name = activations.name_of(value) if callable(value) else None
    if name is None:
        raise ArgumentError(where, f"a {type(value).__name__} cannot be written to a file",
                            "expected numbers, strings, lists of them, or objects of minidl.nn",
                            "Give a name, or write a class with a constructor of plain values.")
    return name


def decode(value: Any) -> Any:
    """Return what `encode` was given, with lists for tuples."""
    if isinstance(value, Mapping):
        if "class" in value or "shared" in value:
            from .serialization import deserialize
            return deserialize(value)
        return {k: decode(v) for k, v in value.items()}
    return [decode(v) for v in value] if isinstance(value, list) else value


def lookup(kind: str, table: Mapping[str, Callable[[], Any]], value: Any) -> Any:
    """Return an object by name from a table, or the object or function itself; None stays None."""
    if value is None or callable(value):
        return value
    if isinstance(value, str) and value in table:
        return table[value]()
    raise ArgumentError(kind, f"got {value!r}", f"expected one of {', '.join(sorted(table))}",
                        f"Give a name, or an object of minidl.nn.{kind}s.")
