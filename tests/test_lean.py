"""numba starts without what compiled kernels do not need, and has it when somebody else does."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

WORKER = """
import sys
import numpy as np
from minidl import dispatch

x = np.linspace(0, 1, 100_000, dtype=np.float32)
np.testing.assert_array_equal(dispatch.run("relu", x), x)
assert "scipy.linalg" not in sys.modules, "SciPy was imported"

import numba

@numba.njit
def made_inside(count):
    total = np.zeros(count)
    for i in range(count):
        total[:i] += np.ones(i)
    return [total, total[1:]]

assert made_inside(5)[1].tolist() == [3, 2, 1, 0]
if len(sys.argv) > 1:
    product = numba.njit(lambda a, b: np.dot(a, b))
    np.testing.assert_array_equal(product(np.eye(3), np.eye(3)), np.eye(3))
    assert numba.np.arraymath._HAVE_BLAS
"""


@pytest.mark.parametrize("arguments", [
    [], pytest.param(["blas"], marks=pytest.mark.skipif(find_spec("scipy") is None,
                                                        reason="numba's products need SciPy"))])
def test_what_was_put_off_is_there_when_it_is_needed(arguments):
    done = subprocess.run([sys.executable, "-c", WORKER, *arguments], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr


COLLECTOR = """
import gc
import numba
from numba.core import event
from minidl.backend import cpu

on = []

class See(event.Listener):
    def on_start(self, _):
        on.append(gc.isenabled())

    on_end = on_start

event.register("numba:compile", See())

@numba.njit
def inner(x):
    return x + 1

@numba.njit
def outer(x):
    return inner(x) + inner(x + 1)

for was in (True, False):
    gc.enable() if was else gc.disable()
    outer.compile((numba.int64,) if was else (numba.float64,))
    assert on[:3] == [False] * 3, on  # at the start of both, and the end of the inner one
    assert gc.isenabled() == was
    on.clear()
gc.enable()
try:
    numba.njit(lambda x: x.nothing)(1)
except numba.core.errors.TypingError:
    pass
assert on[0] is False and gc.isenabled()
"""


def test_the_collector_rests_while_numba_compiles() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECTOR], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
