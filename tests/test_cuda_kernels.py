"""Every GPU kernel under the checks of every op, on the emulated GPU.

The very `.cu` files are compiled with g++ and run on the CPU, a thread after the other, in three
orders: a missing barrier shows as another result. One case of each kernel also runs under the
address and undefined-behaviour sanitizers, where each array is an allocation of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import dispatch
from minidl.backend.cpu import user_cache
from minidl.backend.device import Source, to_host
from minidl.ops import registry
from minidl.ops.registry import Op
from minidl.spec import FLOATS
from minidl.testing.cases import grown
from minidl.testing.host_cuda import HostCuda, emulated
from minidl.testing.host_cuda.compiler import KERNEL, Compiler
from minidl.testing.host_cuda.idle import LARGE, launches
from minidl.testing.opcheck import check_on
from minidl.testing.result_checks import distance

FILES = sorted(Path(minidl.__file__).parent.rglob("*.cu"))
KERNELS = [(path, name) for path in FILES for name, _ in KERNEL.findall(path.read_text("utf-8"))]
FOLDER = user_cache() / "host_cuda"

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
each_op = pytest.mark.parametrize("op", registry.ops(), ids=lambda op: op.name)


@pytest.fixture(scope="module")
def compiled() -> None:
    """Compile all that the samples need before the first runs, on all cores."""
    Compiler(FOLDER).prepare(launches().combinations)


@pytest.fixture
def gpu(compiled: None, request: pytest.FixtureRequest) -> Iterator[HostCuda]:
    """The emulated GPU; a parameter says in which order threads take their turns."""
    with emulated(FOLDER, order=getattr(request, "param", 0)) as device:
        yield device


# ---- every op ------------------------------------------------------------------------------


@pytest.mark.slow
@each_op
def test_op(op: Op, gpu: HostCuda) -> None:
    problems = check_on("cuda", op)
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize("gpu", (1, 2), indirect=True, ids=("backwards", "from the middle"))
@each_op
def test_order_of_threads(op: Op, gpu: HostCuda) -> None:
    problems = check_on("cuda", op, checks=("as on the CPU",), dtypes=FLOATS[:1])
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize("order", (0, 1))
def test_kernels_that_large_calls_reach(order: int, compiled: None) -> None:
    """Kernels that no sample reaches, because they serve large arrays, run on one such array."""
    problems = []
    for case in dict.fromkeys(launches().large.values()):
        arrays, attrs = grown(case, LARGE) or ([], {})
        on_cpu = dispatch.call(case.op, arrays, attrs).out
        with emulated(FOLDER, order=order):
            done = dispatch.call(case.op, case.moved(arrays), attrs, algorithm=case.algorithm)
            got = [to_host(a) for a in done.out]
        error = max(distance(a, b) for a, b in zip(got, on_cpu, strict=True))
        if not error <= 4e-6 * case.tolerance():
            problems.append(f"{case}, large: {error:.2g} away from the CPU")
    assert not problems, "\n".join(problems)


# ---- how many ------------------------------------------------------------------------------


def test_every_op_has_a_kernel(record_property: Callable[[str, object], None]) -> None:
    wanted = [op for op in registry.ops() if op.view is None]
    without = [op.name for op in wanted if not op.variants("cuda")]
    record_property("says", f"{len(wanted) - len(without)} of {len(wanted)} ops have a kernel for "
                            "the GPU")
    assert without == []


def test_every_kernel_is_launched(record_property: Callable[[str, object], None]) -> None:
    found = launches()
    reached = {*found.kernels, *found.large}
    missing = [f"{path.name}: {name}" for path, name in KERNELS if (path, name) not in reached]
    record_property("says", f"{len(KERNELS) - len(missing)} of {len(KERNELS)} kernels of the GPU "
                            f"are launched, {len(found.large)} of them by large calls alone")
    assert missing == []
    assert found.failed == []


def test_the_gpu_has_no_variant_twice() -> None:
    for op in registry.ops():
        names = Counter(kernel.name for kernel in op.variants("cuda"))
        assert max(names.values(), default=1) == 1, op.name


# ---- under sanitizers ----------------------------------------------------------------------

SANITIZED = """
import json, sys
import numpy as np
import minidl.ops
from pathlib import Path
from minidl.ops import registry
from minidl.testing.cases import Case
from minidl.testing.host_cuda import emulated
from minidl.testing.result_checks import as_on_the_cpu

with emulated(Path(sys.argv[1]), sanitize=True) as device:
    device.compiler.prepare((Path(path), defines) for path, defines in json.loads(sys.argv[2]))
    for name, number, dtype, algorithm in json.load(sys.stdin):
        case = Case(registry.get(name), number, np.dtype(dtype), algorithm, "cuda")
        print(case, flush=True)
        if problem := as_on_the_cpu(case):
            sys.exit(problem)
print("done")
"""


def sanitized(code: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess:
    """Run Python with the address sanitizer's library loaded before all others."""
    library = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True,
                             text=True, check=True).stdout.strip()
    if not os.path.isabs(library):
        pytest.skip("g++ has no address sanitizer here")
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], input=given, capture_output=True, text=True,
        check=False, env={**os.environ, "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0",
                          "PYTHONPATH": os.pathsep.join(sys.path)})


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MINIDL_SANITIZE"),
                    reason="takes many minutes: set MINIDL_SANITIZE=1")
def test_sanitized() -> None:
    """A case of each kernel: nothing is read or written outside of arrays, nothing overflows."""
    chosen = dict.fromkeys(launches().kernels.values())
    cases = [(c.op.name, c.number, c.dtype.name, c.algorithm) for c in chosen]
    needed = [(str(path), dict(defines)) for case in chosen
              for path, defines in launches().by_case[case]]
    done = sanitized(SANITIZED, str(FOLDER), json.dumps(needed), given=json.dumps(cases))
    assert done.stdout.endswith("done\n"), done.stdout[-200:] + done.stderr[-4000:]
    assert done.returncode == 0, done.stderr[-4000:]


# ---- planted defects -----------------------------------------------------------------------

RUN_PLANTED = """
import sys
import numpy as np
from pathlib import Path
from minidl.backend.device import Source, to_host
from minidl.dispatch import move
from minidl.testing.host_cuda import emulated

with emulated(Path(sys.argv[1]), sanitize=True):
    x, y = (move(np.zeros(64, np.float32), "cuda") for _ in range(2))
    Source(sys.argv[2], "planted.cu").launch(sys.argv[3], "float32", 1, 64, x, y, 64, shared=256)
    print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "said"), [
    ("one_too_far", "heap-buffer-overflow"), ("one_too_far_in_shared", "heap-buffer-overflow"),
    ("overflow", "signed integer overflow"), ("shift", "shift exponent"), ("with_barrier", "")])
def test_the_sanitizer_sees_planted_defects(kernel: str, said: str) -> None:
    done = sanitized(RUN_PLANTED, str(FOLDER), __file__, kernel)
    assert (done.stdout == "done\n") == (not said), done.stderr[-2000:]
    assert said in done.stderr


@pytest.mark.parametrize("kernel", ("no_barrier", "with_barrier"))
def test_a_missing_barrier_shows_in_some_order(kernel: str) -> None:
    planted, x, right = Source(__file__, "planted.cu"), np.arange(64, dtype=np.float32), []
    for order in range(3):
        with emulated(FOLDER, order=order):
            there = dispatch.move(x, "cuda")
            y = dispatch.move(np.zeros_like(x), "cuda")
            planted.launch(kernel, "float32", 1, 64, there, y, 64)
            right.append(np.array_equal(to_host(y), x[::-1]))
    assert all(right) == (kernel == "with_barrier")
