"""What numba does before and while it compiles, without the parts that kernels do not need.

Kernels from the cache are ready code. Still numba imports SciPy then, to see whether it is there
(16 MB and a third of a second), and compiles the functions that arrays made inside kernels need
(20 MB). Here the first becomes a look for SciPy without importing it, the second waits until
something is compiled. Where numba has changed so that this does not apply, it is left as it is.

A compilation makes a million objects that live until its end. Looking through them again and again
for garbage would take a twentieth of the time, so Python's collector rests meanwhile.
"""

from __future__ import annotations

import gc
from importlib.util import find_spec
from typing import Any

from numba.core import event


class _Later:
    """A library of numba that is compiled when something in it is asked for."""

    def __init__(self, compile_now: Any, context: Any) -> None:
        self._compile = compile_now, context
        self._library: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._library is None:
            function, context = self._compile
            self._library = function(context)
        return getattr(self._library, name)


class _Rest(event.Listener):
    """Lets the collector rest during compilations; numba does one at a time, or one inside another.

    What is loaded from the cache is no compilation.
    """

    def __init__(self) -> None:
        self._depth, self._was_on = 0, False

    def on_start(self, _: Any) -> None:
        if self._depth == 0:
            self._was_on = gc.isenabled()
            gc.disable()
        self._depth += 1

    def on_end(self, _: Any) -> None:
        self._depth -= 1
        if self._depth == 0 and self._was_on:
            gc.enable()


def start_lean() -> None:
    """Let numba get ready for kernels from the cache."""
    _find_scipy()
    _compile_later()
    event.register("numba:compile", _Rest())


def _find_scipy() -> None:
    from numba.np import linalg
    importing = getattr(linalg, "ensure_blas", None)
    if importing is None:
        return

    def look() -> None:
        if find_spec("scipy") is None:
            raise ImportError("scipy")

    linalg.ensure_blas = look
    try:
        from numba.np import arraymath  # noqa: F401 (asks while it is imported)
    finally:
        linalg.ensure_blas = importing


def _compile_later() -> None:
    from numba.core.runtime import nrtdynmod
    compile_now = getattr(nrtdynmod, "compile_nrt_functions", None)
    if compile_now is not None:
        nrtdynmod.compile_nrt_functions = lambda context: _Later(compile_now, context)
