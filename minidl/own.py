"""Whether code is minidl's own, whose ways are known, or somebody else's, which may do anything."""

from __future__ import annotations

from typing import Any

_PACKAGE = f"{__name__.partition('.')[0]}."


def is_own(thing: Any) -> bool:
    """Say whether a function, a class or an object's class is of minidl; None is, too."""
    place = getattr(thing, "__module__", None) or type(thing).__module__
    return thing is None or place.startswith(_PACKAGE)
