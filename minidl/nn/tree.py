"""Nested lists, tuples and dicts of tensors, as layers with several inputs or outputs take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def map_tree(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return the same nesting with `function` applied to everything that is no container."""
    if isinstance(tree, (list, tuple)) and not hasattr(tree, "_fields"):
        return type(tree)(map_tree(function, part) for part in tree)
    if isinstance(tree, dict):
        return {key: map_tree(function, part) for key, part in tree.items()}
    return function(tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Yield everything in a nesting that is no container."""
    if isinstance(tree, (list, tuple)) and not hasattr(tree, "_fields"):
        for part in tree:
            yield from leaves(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from leaves(part)
    else:
        yield tree
