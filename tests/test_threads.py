"""Kernels shared among threads: every range once, slots apart, errors, forks, sleep and end."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from minidl import config
from minidl.backend import cpu
from minidl.backend.cpu import kernel

ROOT = Path(__file__).parents[1]


def test_which_sources_a_compiled_kernel_depends_on() -> None:
    package = Path(cpu.__file__).parents[1]
    found = {str(path.relative_to(package)) for path in cpu.kernel_sources(package)}
    assert {"backend/cpu.py", "backend/tiles.py", "ops/conv2d/op.py", "ops/conv2d/cpu_direct.py",
            "ops/update/cpu.py", "data/kernels.py"} <= found
    assert not any("cuda" in path for path in found)


@kernel
def _count(start, stop, counts, slow):
    for i in range(start, stop):
        counts[i] += 1
        for _ in range(slow):
            counts[i] = math.sqrt(counts[i] * counts[i])


@kernel
def _note_slot(start, stop, slot, busy, slots, slow):
    busy[slot] += 1
    slots[start:stop] = slot if busy[slot] == 1 else -1
    for _ in range(slow):
        busy[slot] = math.sqrt(busy[slot] * busy[slot])
    busy[slot] -= 1


@kernel
def _need_even(start, stop, places):
    for i in range(start, stop):
        if places[i] % 2:
            raise ValueError("odd")


@cache
def _adding(amount: int) -> Callable:
    @kernel
    def add(start, stop, x):
        for i in range(start, stop):
            x[i] += amount
    return add


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("total", "grain"), [(0, 3), (1, 1), (7, 100), (1000, 3), (64, 1)])
def test_every_range_of_a_kernel_runs_once(total: int, grain: int, threads: int) -> None:
    counts = np.zeros(total)
    with config.threads(threads):
        for _ in range(20):
            cpu.run_ranges(_count, total, grain, counts, 1)
    assert np.all(counts == 20)


@kernel
def _mixed(start, stop, x, bias, double, scale, offsets, y):
    for i in range(start, stop):
        y[i] = x[i] * scale + offsets[0] - offsets[1]
        if bias is not None:
            y[i] += bias[i]
        if double:
            y[i] *= 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_arguments_of_every_kind(dtype: str, double: bool, biased: bool) -> None:
    rng = np.random.default_rng(7)
    x, bias = rng.standard_normal((2, 500)).astype(dtype)
    y, scale = np.empty_like(x), x.dtype.type(0.3)
    with config.threads(3):
        cpu.run_ranges(_mixed, 500, 9, x, bias if biased else None, double, scale, (5, 2.5), y)
    wanted = (x * scale + 2.5 + biased * bias) * (1 + double)
    np.testing.assert_allclose(y, wanted, rtol=1e-6)
    strided = np.empty((500, 2), dtype)[:, 0]  # other types than before: another version
    cpu.run_ranges(_mixed, 500, 9, x[::-1], None, False, scale, (1, 1), strided)
    np.testing.assert_allclose(strided, x[::-1] * scale, rtol=1e-6)


def test_helpers_take_part_and_slots_are_not_shared() -> None:
    busy, slots = np.zeros((4, 8)), np.zeros(200)
    seen: set[float] = set()
    with config.threads(4):
        for _ in range(50):  # a helper may sleep when the first call comes
            cpu.run_slots(_note_slot, cpu.ranges(200, 1), busy[:, 0], slots, 20_000)
            seen.update(slots.tolist())
    assert -1 not in seen and seen <= {0, 1, 2, 3} and len(seen) > 1
    assert not busy.any()


@pytest.mark.parametrize("threads", [1, 3])
def test_error_in_a_kernel_reaches_the_caller(threads: int) -> None:
    places, counts = np.arange(100), np.zeros(100)
    with config.threads(threads), pytest.raises(ValueError, match="odd"):
        cpu.run_ranges(_need_even, 100, 1, places)
    with config.threads(threads):
        cpu.run_ranges(_need_even, 100, 1, places * 2)
        cpu.run_ranges(_count, 100, 1, counts, 1)
    assert np.all(counts == 1)


def test_kernels_that_differ_by_a_constant_alone_are_kept_apart() -> None:
    x = np.zeros(100)
    for amount in (1, 10, 100):
        cpu.run_ranges(_adding(amount), 100, 9, x)
    assert np.all(x == 111)


def test_no_part_is_lost_at_the_end_of_a_call() -> None:
    """A helper may draw the last part just when the caller finds none left."""
    counts, calls = np.zeros(4), 4000
    with config.threads(4):
        for _ in range(calls):
            cpu.run_ranges(_count, 4, 1, counts, 1)
    assert np.all(counts == calls)


def test_kernels_and_python_functions_from_several_threads_and_inside_each_other() -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        def part(start: int, stop: int, slot: int) -> None:
            cpu.run_ranges(_count, 50, 7, counts[start], 10)

        with config.threads(number):
            for _ in range(60):
                counts = np.zeros((6, 50))
                cpu.run_slots(part, cpu.ranges(6, 1))
                cpu.run_ranges(_count, 300, 20, counts.reshape(-1), 10)
                if np.any(counts != 2):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in (2, 3, 4, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(t.is_alive() for t in threads)


def test_helpers_wake_up_again() -> None:
    both = threading.Barrier(2, timeout=60)
    with config.threads(2):
        for _ in range(5):
            cpu.run_slots(lambda a, b, slot: both.wait(), cpu.ranges(2, 1))
            time.sleep(0.05)  # longer than their patience


def test_nothing_of_a_call_is_kept() -> None:
    class Function:
        def __call__(self, start: int, stop: int, slot: int) -> None:
            time.sleep(0.001)

    function, array = Function(), np.zeros(1000)
    gone = [weakref.ref(function), weakref.ref(array)]
    with config.threads(3):
        cpu.run_slots(function, cpu.ranges(20, 1))
        cpu.run_ranges(_count, 1000, 10, array, 1)
    del function, array
    gc.collect()
    assert [r() for r in gone] == [None, None]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_kernels_after_a_fork() -> None:
    counts = np.zeros(1000)
    with config.threads(2):
        cpu.run_ranges(_count, 1000, 10, counts, 100)
        child = os.fork()
        if not child:
            status = 1
            try:
                for _ in range(20):
                    cpu.run_ranges(_count, 1000, 10, counts, 100)
                status = int(not np.all(counts == 21))
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("pause", [0, 0.05])
def test_python_ends_while_helpers_watch_or_sleep(pause: float) -> None:
    code = ("import time, numpy as np; from minidl import config, dispatch; import minidl.ops\n"
            "with config.threads(3):\n"
            "    y = dispatch.run('sum', np.ones((4096, 512), 'float32'), axis=(0,))\n"
            f"time.sleep({pause}); print(y[0])")
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True,
                          text=True, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "4096.0\n", "")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_as_many_threads_as_processors_that_the_process_may_run_on() -> None:
    allowed = min(os.sched_getaffinity(0))
    code = (f"import os; os.sched_setaffinity(0, [{allowed}])\n"
            "from minidl import config; print(config.num_threads())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          timeout=60, check=True)
    assert done.stdout == "1\n"
