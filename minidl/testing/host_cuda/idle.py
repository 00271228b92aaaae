"""What a run of the ops would launch, found out without running it.

`Idle` launches nothing; what it was asked for says which files must be compiled with which
definitions, and which sample reaches which kernel.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ... import dispatch
from ...errors import MinidlError
from ...ops import registry
from ...spec import FLOATS, Shape
from ..cases import Case, cases, grown
from .compiler import Combination
from .device import HostCuda, emulated

LARGE = 1 << 20  # bytes of the first input of a large call
Kernel = tuple[Path, str]  # a `.cu` file and a name in it


class Idle(HostCuda):
    """An emulated GPU on which no kernel is compiled or run; results are rubbish."""

    note: Callable[[Path, str, Mapping[str, str]], None]

    def function(self, path: Path, name: str, defines: Mapping[str, str]) -> Any:
        """Note what is asked for."""
        self.note(path, name, defines)

    def launch(self, function: Any, blocks: Shape, threads: int, shared: int,
               arguments: Sequence[Any]) -> None:
        """Do nothing."""


@dataclass
class Launches:
    """What the samples of all ops launch.

    Attributes:
        kernels: the first case that reaches each kernel.
        large: of kernels that only a large call reaches, the first case whose large call does.
        by_case: the files and definitions that each case needs.
        by_large: those that the large call of each case needs.
        failed: what went wrong, as an op without a kernel that another one needs.
    """

    kernels: dict[Kernel, Case] = field(default_factory=dict)
    large: dict[Kernel, Case] = field(default_factory=dict)
    by_case: dict[Case, list[Combination]] = field(default_factory=dict)
    by_large: dict[Case, list[Combination]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @cached_property
    def combinations(self) -> list[Combination]:
        """All files and definitions, each once."""
        needed = [c for each in (self.by_case, self.by_large) for some in each.values()
                  for c in some]
        return list({(path, *sorted(defines.items())): (path, defines)
                     for path, defines in needed}.values())


@cache
def launches() -> Launches:
    """Return what the samples of all ops launch, in every variant, in float32 and float64."""
    found = Launches()
    with tempfile.TemporaryDirectory() as folder, emulated(Path(folder), Idle) as device:
        for case in _cases(FLOATS):
            kernels, found.by_case[case] = _asked(case, _small, device, found.failed)
            found.kernels = {**dict.fromkeys(kernels, case), **found.kernels}
        for case in _cases(FLOATS[:1]):
            kernels, found.by_large[case] = _asked(case, _large, device, found.failed)
            new = dict.fromkeys((k for k in kernels if k not in found.kernels), case)
            found.large = {**new, **found.large}
    return found


def _cases(dtypes: Sequence[Any]) -> Iterator[Case]:
    for op in registry.ops():
        if op.view is None and op.variants("cuda"):
            yield from cases(op, dtypes, "cuda")


def _asked(case: Case, run: Callable[[Case], None], device: Idle, failed: list[str]
           ) -> tuple[set[Kernel], list[Combination]]:
    """Return the kernels that a case launches, and the files and definitions that they need."""
    kernels, combinations = set(), {}

    def note(path: Path, name: str, defines: Mapping[str, str]) -> None:
        kernels.add((path, name))
        combinations[path, *defines.items()] = path, defines

    device.note = note
    try:
        run(case)
    except MinidlError as error:
        failed.append(f"{case}: {error}")
    return kernels, list(combinations.values())


def _small(case: Case) -> None:
    case.outcome(case.draw())


def _large(case: Case) -> None:
    if (large := grown(case, LARGE)) is not None:
        dispatch.call(case.op, case.moved(large[0]), large[1], algorithm=case.algorithm)
