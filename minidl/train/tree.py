"""Nested dicts and lists with arrays in them, as JSON plus a flat dict of arrays and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import CheckpointError

ARRAY, NUMBER = "$array", "$number"  # {"$array": name of the array}, {"$number": "nan"}


def take_apart(tree: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Return what JSON can hold of a tree, and the arrays by their path in it.

    Raises:
        CheckpointError: the tree holds something else than dicts with text keys, lists, tuples,
            arrays, numbers, texts, booleans and None.

    >>> take_apart({"epoch": 3, "weights": {"kernel": np.zeros(2)}})[0]
    {'epoch': 3, 'weights': {'kernel': {'$array': 'weights/kernel'}}}
    """
    arrays: dict[str, np.ndarray] = {}
    return _take(tree, "", arrays), arrays


def _take(part: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(part, np.ndarray):
        while path in arrays:  # {"a/b": x, "a": {"b": y}}
            path += "_"
        arrays[path] = part
        return {ARRAY: path}
    if isinstance(part, Mapping):
        return {_key(k, path): _take(v, f"{path}/{k}".lstrip("/"), arrays)
                for k, v in part.items()}
    if isinstance(part, (list, tuple)):
        return [_take(v, f"{path}/{i}".lstrip("/"), arrays) for i, v in enumerate(part)]
    return _scalar(part, path)


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise CheckpointError(path or "tree", f"got the key {key!r}", "expected texts as keys",
                              "Convert the keys with str.")
    return key


def _scalar(value: Any, path: str) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return {NUMBER: repr(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CheckpointError(path or "tree", f"got a {type(value).__name__}", "expected arrays, "
                          "numbers, texts, or lists and dicts of them",
                          "Give get_config or state_dict values of these kinds.")


def put_together(skeleton: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the tree that `take_apart` was given; tuples come back as lists.

    >>> put_together([{"$array": "a"}, {"$number": "inf"}], {"a": np.arange(2)})
    [array([0, 1]), inf]
    """
    if isinstance(skeleton, list):
        return [put_together(v, arrays) for v in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    if set(skeleton) == {ARRAY}:
        return arrays[skeleton[ARRAY]]
    if set(skeleton) == {NUMBER}:
        return float(skeleton[NUMBER])
    return {k: put_together(v, arrays) for k, v in skeleton.items()}
