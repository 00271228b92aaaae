"""Entries in configs of Keras: names, inputs, numbers of layers, and errors that name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import FormatError, MinidlError
from ..nn import Input, Symbol
from ..nn.naming import snake_case
from .keras_graph import damaged
from .keras_values import LARGEST

CALLS_IN_ALL = 10_000  # of layers, those in models in models for every time they are run


def config_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    config = entry.get("config")
    return config if isinstance(config, Mapping) else {}


def name_of(entry: Mapping[str, Any]) -> str:
    name = entry.get("name") or config_of(entry).get("name")
    if not isinstance(name, str) or not 0 < len(name) < 200:
        raise damaged(f"got {str(name)[:60]!r} for a layer's name")
    return name


@contextmanager
def at(name: str, kind: Any) -> Iterator[None]:
    """Put the layer in front of errors; whatever a wrong config leads to is one."""
    try:
        yield
    except MinidlError as error:
        inner = error.where if "layer" in error.where else ""
        where = inner or f'layer "{name}" ({str(kind)[:60]})'
        raise FormatError(where, error.got, error.expected, error.remedy) from error
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError,
            ZeroDivisionError, MemoryError, RecursionError) as error:
        raise FormatError(f'layer "{name}" ({str(kind)[:60]})',
                          f"its config does not fit: {str(error)[:200]}",
                          "expected a config as Keras writes it", "Fetch it again.") from error


def bounded(cost: int) -> int:
    if cost > CALLS_IN_ALL:
        raise damaged(f"a run of it takes more than {CALLS_IN_ALL} calls of layers")
    return cost


def numbered(entries: list[Any], inputs: bool = False) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield entries with the path that version 3 numbers them by, by class."""
    counts: dict[str, int] = {}
    for entry in entries:
        kind = entry.get("class_name")
        if not isinstance(kind, str):
            raise damaged(f"got {str(kind)[:60]!r} for a layer's class")
        if kind == "InputLayer" and not inputs:
            continue
        base = snake_case("Functional" if kind == "Model" else kind)
        if ".ops." not in str(entry.get("module")):
            counts[base] = counts.get(base, -1) + 1
        number = counts.get(base, 0)
        yield entry, f"layers/{base}_{number}" if number else f"layers/{base}"


def input_of(entry: Mapping[str, Any]) -> Symbol:
    config, name = config_of(entry), name_of(entry)
    with at(name, "InputLayer"):
        shape = _shape(config.get("batch_shape") or config.get("batch_input_shape"))
        return Input(shape, name=name, dtype=str(config.get("dtype") or "float32"))


def _shape(batch_shape: Any) -> tuple[int | None, ...]:
    if not isinstance(batch_shape, (list, tuple)) or not all(
            n is None or (isinstance(n, int) and 0 < n <= LARGEST) for n in batch_shape[1:]):
        raise damaged(f"got {str(batch_shape)[:80]} for the shape of an input")
    return tuple(batch_shape[1:])


def first_input(entry: Mapping[str, Any], config: Mapping[str, Any], entries: list[Any]
                 ) -> Symbol | None:
    """Return the input of a Sequential, from wherever its version wrote the shape."""
    if not entries:
        return None
    first = config_of(entries[0])
    if entries[0].get("class_name") == "InputLayer":
        return input_of(entries[0])
    places = (first.get("batch_shape"), first.get("batch_input_shape"),
              config.get("build_input_shape"),
              (entry.get("build_config") or {}).get("input_shape"))
    shape = next((s for s in places if s), None)
    kind = str(first.get("dtype")) if entries[0].get("class_name") == "Embedding" else "float32"
    return None if shape is None else Input(
        _shape(shape), dtype=kind if kind in ("int32", "int64") else "float32")
