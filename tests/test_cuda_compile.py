"""NVIDIA's compiler takes every `.cu` file, as it stands and with all definitions that ops give it.

No GPU is needed. It is the compiler alone that sees CUDA's own headers and rules: the emulated GPU
of the other tests runs the kernels, but compiles them with g++.
"""

from __future__ import annotations

import configparser
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import minidl
from minidl.errors import DeviceError
from minidl.testing import nvrtc
from minidl.testing.host_cuda.compiler import KERNEL
from minidl.testing.host_cuda.idle import launches
from minidl.testing.nvrtc import Job

PACKAGE = Path(minidl.__file__).parent
FILES = sorted(PACKAGE.rglob("*.cu"))
TYPES = ("float", "double", "__half", "__nv_bfloat16")
TO_THE_END = {"sm_80": ("float", "__half"), "sm_90": TYPES}
"""Types that machine code is made for; for others the form is checked, in a tenth of the time."""
SAMPLED = 2  # combinations of a file that machine code is made for
JOINED = ("pointwise.cu",)  # files of which the form of all is checked at once

pytestmark = pytest.mark.skipif(bool(nvrtc.missing()), reason=nvrtc.missing())


@pytest.fixture(scope="module")
def refused() -> dict[str, str]:
    """What NVRTC says of the files that it refuses; all are compiled at once, on all cores."""
    return nvrtc.problems([*as_they_stand(), *combined()])


def as_they_stand() -> Iterator[Job]:
    for path in FILES:
        for architecture, to_the_end in TO_THE_END.items():
            yield Job(path, architecture)
            for real in TYPES[1:]:  # the first is what a file takes by itself
                yield Job(path, architecture, {"REAL": real}, form_only=real not in to_the_end)


def combined() -> Iterator[Job]:
    """Yield what the samples of all ops ask for, for sm_90."""
    found: dict[Path, list[dict[str, str]]] = defaultdict(list)
    for path, defines in launches().combinations:
        found[path].append(dict(defines))
    for path, combinations in sorted(found.items()):
        combinations.sort(key=lambda defines: sorted(defines.items()))
        if path.name in JOINED:
            for real in sorted({defines["REAL"] for defines in combinations}):
                of_type = [defines for defines in combinations if defines["REAL"] == real]
                yield Job(path, "sm_90", {"REAL": real}, joined(path, of_type), True)
        else:
            step = -(-len(combinations) // SAMPLED)
            yield from (Job(path, "sm_90", defines, form_only=bool(number % step))
                        for number, defines in enumerate(combinations))


def joined(path: Path, combinations: Sequence[Mapping[str, str]]) -> str:
    """Return one text that compiles a file with each of some definitions, kernels renamed."""
    text, parts = path.read_text("utf-8"), ['#include "common.cuh"']
    names = {*re.findall(r"^#define (\w+)", text, re.M), *(k for c in combinations for k in c)}
    for number, defines in enumerate(combinations):
        renamed = {kernel: f"{kernel}_{number}" for kernel, _ in KERNEL.findall(text)}
        own = {**{k: v for k, v in defines.items() if k != "REAL"}, **renamed}
        parts += [*(f"#define {k} {v}" for k, v in own.items()),
                  f"namespace part{number} {{", f'#include "{path.name}"', "}",
                  *(f"#undef {k}" for k in sorted({*names, *own} - {"REAL"}))]
    return "\n".join(parts)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_compiles(path: Path, refused: Mapping[str, str]) -> None:
    of_file = [text for job, text in refused.items() if job.startswith(path.name + " ")]
    assert not of_file, "\n\n".join(of_file)


def test_the_wheel_holds_them() -> None:
    config = configparser.ConfigParser()
    if not config.read(PACKAGE.parent / "setup.cfg"):
        pytest.skip("the package does not lie in its repository")
    patterns = config["options.package_data"]["minidl"].split()
    held = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    sources = {path for end in ("cu", "cuh", "h") for path in PACKAGE.rglob(f"*.{end}")}
    assert sources - held == set()


def test_there_are_files() -> None:
    assert len(FILES) > 1
    assert all(KERNEL.search(path.read_text("utf-8")) for path in FILES)


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "wrong.cu"
    path.write_text('#include "common.cuh"\nKERNEL(wrong)(T* x) { y[0] = x[0]; }\n', "utf-8")
    with pytest.raises(DeviceError, match=r'wrong.cu for sm_90(.|\n)*"y" is undefined'):
        nvrtc.compiled(Job(path, "sm_90"))


def test_each_of_joined_combinations_is_compiled(tmp_path: Path) -> None:
    path = tmp_path / "add.cu"
    path.write_text('#include "common.cuh"\n#ifndef VALUE\n#define VALUE 1\n#endif\n'
                    "KERNEL(add)(T* x) { x[0] += VALUE; }\n", "utf-8")
    text = joined(path, [{"REAL": "float", "VALUE": v} for v in ("2", "x[1]")])
    code = nvrtc.compiled(Job(path, "sm_90", {"REAL": "float"}, text))
    assert b"add_0" in code and b"add_1" in code
    wrong = joined(path, [{"REAL": "float", "VALUE": v} for v in ("2", "nothing")])
    with pytest.raises(DeviceError, match='"nothing" is undefined'):
        nvrtc.compiled(Job(path, "sm_90", text=wrong, form_only=True))
