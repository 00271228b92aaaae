"""Every op on a real GPU; skipped where there is none (`pytest -m gpu` runs these tests alone)."""

from __future__ import annotations

import contextlib
import gc
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minidl import dispatch
from minidl.autograd import functional
from minidl.autograd.tensor import Tensor
from minidl.backend import device as devices
from minidl.backend.device import Device, to_host
from minidl.dispatch import move
from minidl.errors import DeviceError
from minidl.ops import registry
from minidl.ops.registry import Op
from minidl.spec import FLOATS
from minidl.testing.cases import cases, grown
from minidl.testing.host_cuda.compiler import Combination
from minidl.testing.host_cuda.idle import LARGE, launches
from minidl.testing.opcheck import check_on
from minidl.testing.result_checks import distance

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
each_op = pytest.mark.parametrize("op", registry.ops(), ids=lambda op: op.name)


@pytest.fixture(scope="module")
def gpu() -> Device:
    """The GPU, when all that the ops need has been compiled, several files at a time."""
    try:
        device = devices.get("cuda")
    except DeviceError as error:
        if os.environ.get("MINIDL_NEED_GPU"):
            raise
        pytest.skip(str(error))
    found = launches()
    names = dict([*found.kernels, *found.large])

    def compile_(combination: Combination) -> None:
        path, defines = combination
        with contextlib.suppress(Exception):  # the test of the op shows what is wrong
            device.function(path, names[path], defines)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(compile_, found.combinations))
    return device


@each_op
def test_op(op: Op, gpu: Device) -> None:
    problems = check_on("cuda", op)
    assert not problems, "\n".join(problems)


@each_op
def test_large_calls(op: Op, gpu: Device) -> None:
    """A large call agrees with the CPU, and has the same bits twice."""
    if op.view is not None:
        return
    problems = []
    for case in cases(op, FLOATS[:1], "cuda"):
        large = grown(case, LARGE)
        if large is None:
            continue
        on_cpu = dispatch.call(case.op, *large).out
        one, other = ([to_host(a) for a in dispatch.call(
            case.op, case.moved(large[0]), large[1], algorithm=case.algorithm).out]
            for _ in range(2))
        if any(a.tobytes() != b.tobytes() for a, b in zip(one, other, strict=True)):
            problems.append(f"{case}: two runs give different bits")
        error = max(distance(a, b) for a, b in zip(one, on_cpu, strict=True))
        if not error <= 4e-6 * max(case.tolerance(), 1):
            problems.append(f"{case}: {error:.2g} away from the CPU")
    assert not problems, "\n".join(problems)


def test_memory_comes_back(gpu: Device) -> None:
    gc.collect()
    pool = devices.pool("cuda")
    before = pool.taken
    x = Tensor(move(np.ones((64, 32, 32, 8), np.float32), "cuda"), requires_grad=True)
    y = functional.relu(x * 2).reshape(64, -1)
    assert pool.taken >= before + 2 * x.array.nbytes
    del x, y
    gc.collect()
    assert pool.taken == before


def test_capture_equals_eager(gpu: Device) -> None:
    """Launches that were captured compute with what the arrays hold when the graph runs."""
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((100, 33)).astype(np.float32) for _ in range(2))
    x = move(first, "cuda")
    results = [devices.pool("cuda").empty(x.shape, x.dtype) for _ in range(2)]

    def step() -> None:
        dispatch.run("multiply", x, x, out=[results[0]])
        dispatch.run("relu", results[0], out=[results[1]])
        dispatch.run("add", results[0], results[1], out=[results[1]])

    step()  # compiles
    with gpu.capture() as graphs:
        step()
    gpu.upload(second, x)
    graphs[0].launch()
    captured = to_host(results[1])
    step()
    assert captured.tobytes() == to_host(results[1]).tobytes()
    assert distance(captured, 2 * second * second) < 1e-6


def test_kernels_run_on_what_was_copied_before(gpu: Device) -> None:
    """Copies and kernels keep their order, many copies on their way or not."""
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((300, 1000)).astype(np.float32) for _ in range(20)]
    sums = [dispatch.run("add", move(a, "cuda"), move(a, "cuda")) for a in arrays]
    for a, total in zip(arrays, sums, strict=True):
        assert to_host(total).tobytes() == (a + a).tobytes()
