"""What optimizers and schedules share: the ranges of their arguments, and configurations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import ArgumentError


class _Rule(NamedTuple):
    words: str
    type: Callable[[Any], Any]
    fits: Callable[[Any], bool]


_SHARE = _Rule("a number from 0 to below 1", float, lambda v: 0 <= v < 1)
_POSITIVE = _Rule("a number above 0", float, lambda v: 0 < v < math.inf)
_NOT_NEGATIVE = _Rule("a number of at least 0", float, lambda v: 0 <= v < math.inf)
_COUNT = _Rule("an integer of at least 1", int, lambda v: v >= 1)
_SWITCH = _Rule("True or False", bool, lambda v: True)

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("momentum", "rho", "beta_1", "beta_2", "ema"), _SHARE),
    **dict.fromkeys(("clip_norm", "clip_value", "power", "factor"), _POSITIVE),
    **dict.fromkeys(("accumulate", "steps", "every"), _COUNT),
    **dict.fromkeys(("nesterov", "centered", "amsgrad"), _SWITCH),
}


def checked(where: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as plain Python values; raise `ArgumentError` for one out of its range.

    >>> checked("SGD", {"momentum": 0, "nesterov": True})
    {'momentum': 0.0, 'nesterov': True}
    """
    return {name: _checked(where, name, value) for name, value in settings.items()}


def _checked(where: str, name: str, value: Any) -> Any:
    rule = _RULES.get(name, _NOT_NEGATIVE)
    try:
        plain = rule.type(value)
        if plain == value and rule.fits(plain):
            return plain
    except (TypeError, ValueError):
        pass
    raise ArgumentError(where, f"got {name}={value!r}", f"expected {rule.words}",
                        f"Change {name}.")


def serialize(thing: Any) -> dict[str, Any]:
    """Return the class and the arguments of an optimizer or a schedule, as JSON can hold them."""
    return {"class_name": type(thing).__name__, "config": thing.get_config()}


def deserialize(kind: str, value: Mapping[str, Any], known: Mapping[str, type],
                custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return what `serialize` described.

    Raises:
        ArgumentError: no class of that name is known, or its arguments are not what it takes.
    """
    name, config = value.get("class_name"), value.get("config", {})
    classes: dict[Any, Any] = {**known, **(custom_objects or {})}
    if name not in classes:
        raise ArgumentError(kind, f"got class_name {name!r}",
                            f"there are {', '.join(sorted(known))}",
                            "Give a class of your own in custom_objects.")
    try:
        return classes[name].from_config(config, custom_objects)
    except (TypeError, KeyError) as error:
        raise ArgumentError(kind, f"{name} cannot be made from {dict(config)}", str(error),
                            "Check the names of its arguments.") from error
