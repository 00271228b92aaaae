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


COLLECTED = """
import gc
import numba
from minidl.backend import cpu

inside, runs = [], []
gc.callbacks.append(lambda phase, info: runs.append(phase) if inside else None)

@numba.njit
def inner(x):
    return [x, x + 1]

@numba.njit
def outer(x):
    return [inner(x), inner(x + 1)]

gc.set_threshold(1, 1, 1)
for setting in (gc.enable, gc.disable):
    setting()
    before = gc.isenabled()
    inside.append(1)
    runs.clear()
    outer.compile((numba.int64,) if before else (numba.float64,))
    inside.clear()
    assert not runs, runs
    assert gc.isenabled() == before
try:
    numba.njit(lambda x: x.nothing)(1)
except numba.core.errors.TypingError:
    pass
gc.enable()
outer.compile((numba.int32,))
assert gc.isenabled()
"""


def test_the_collector_rests_while_numba_compiles() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECTED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
