"""Arrays in text: base64 of little-endian numbers, and JSON that may stand inside HTML."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np


class Packer:
    """Collects the arrays of a page, each content once.

    >>> packer = Packer()
    >>> packer.add(np.zeros(3)) == packer.add(np.zeros((3, 1)))
    True
    """

    def __init__(self) -> None:
        self.arrays: list[dict[str, Any]] = []
        self._known: dict[tuple[str, bytes], int] = {}

    def add(self, array: np.ndarray | None) -> int | None:
        """Return the number of an array as float32, or int32 if it holds integers."""
        if array is None:
            return None
        kind = "i4" if array.dtype.kind in "iub" else "f4"
        return self._keep(kind, 1.0, np.ascontiguousarray(array, f"<{kind}"))

    def add_rough(self, array: np.ndarray | None) -> int | None:
        """Return the number of an array as float16 with a scale: about three digits."""
        if array is None:
            return None
        largest = float(np.abs(array).max(initial=0))
        scale = largest if 0 < largest < float("inf") else 1.0
        return self._keep("f2", scale, np.ascontiguousarray(array / scale, "<f2"))

    def _keep(self, kind: str, scale: float, array: np.ndarray) -> int:
        content = array.tobytes()
        key = f"{kind} {scale!r}", content
        if key not in self._known:
            self._known[key] = len(self.arrays)
            self.arrays.append({"kind": kind, "scale": scale,
                                "data": base64.b64encode(content).decode("ascii")})
        return self._known[key]


def json_for_html(value: Any) -> str:
    r"""Return JSON that cannot end the element it stands in.

    Numbers that are none (infinite, nan) become null.

    >>> json_for_html(["</script>", float("nan")])
    '["\\u003c/script>", null]'
    """
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    for sign in "<\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return value if not isinstance(value, float) or np.isfinite(value) else None
