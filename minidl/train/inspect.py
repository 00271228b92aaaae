"""Looking into a run from the waist: where the time goes, and where the first NaN comes from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from .. import dispatch
from ..autograd import tape
from ..dispatch import Call
from ..errors import NotFiniteError


@dataclass
class Row:
    """What one op has cost: number of calls, seconds, floating point operations."""

    calls: int = 0
    seconds: float = 0.0
    flops: int = 0

    @property
    def gflops(self) -> float:
        """Floating point operations a second, in thousand millions."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0


@dataclass
class Profile:
    """Costs by op; printed as a table, the dearest op first.

    Attributes:
        ops: a `Row` per op name.
    """

    ops: dict[str, Row] = field(default_factory=dict)

    def add(self, call: Call, compute: Callable[[], None]) -> None:
        """Run a call and count it; this is the hook."""
        start = time.perf_counter()
        compute()
        row = self.ops.setdefault(call.plan.op.name, Row())
        row.seconds += time.perf_counter() - start
        row.calls += 1
        row.flops += call.plan.flops

    @property
    def seconds(self) -> float:
        """Time in all kernels together."""
        return sum(row.seconds for row in self.ops.values())

    def rows(self) -> list[tuple[str, Row]]:
        """Return names and costs, the dearest first."""
        return sorted(self.ops.items(), key=lambda item: -item[1].seconds)

    def __str__(self) -> str:
        whole = self.seconds or 1.0
        lines = [f"{'op':32} {'calls':>7} {'ms':>10} {'share':>7} {'GFLOP/s':>8}"]
        lines += [f"{name:32} {row.calls:7} {row.seconds * 1e3:10.2f} "
                  f"{row.seconds / whole:7.1%} {row.gflops:8.1f}" for name, row in self.rows()]
        return "\n".join(lines)


@contextmanager
def profile() -> Iterator[Profile]:
    """Measure every op inside the block.

    >>> with profile() as costs:
    ...     _ = dispatch.run("add", np.ones(3), np.ones(3))
    >>> costs.ops["add"].calls
    1
    """
    costs = Profile()
    with dispatch.hook(costs.add):
        yield costs


@contextmanager
def trace_nan() -> Iterator[None]:
    """Raise at the first infinite or undefined result of an op, forward or backward.

    Raises:
        NotFiniteError: names layer and op, and says whether the op made it or was given it.

    >>> with trace_nan():
    ...     _ = dispatch.run("log", np.array([0.0]))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    minidl.errors.NotFiniteError: log: ...
    """
    with dispatch.hook(_check):
        yield


def _check(call: Call, compute: Callable[[], None]) -> None:
    with np.errstate(all="ignore"):  # it is reported here, with its place
        compute()
    bad = next((out for out in call.out if _faults(out)), None)
    if bad is None:
        return
    error = NotFiniteError(_where(call), f"a result of shape {bad.shape} holds {_faults(bad)}",
                           _origin(call), "Look at the data, the learning rate, and logarithms, "
                           "roots and divisions before this op.")
    error.placed = True  # type: ignore[attr-defined]  # the layer is named already
    raise error


def _where(call: Call) -> str:
    name = call.plan.op.name
    return f"{tape.place()}, {name}" if tape.place() else name


def _origin(call: Call) -> str:
    given = [f"{name} holds {_faults(array)}" for name, array in
             zip(call.plan.op.inputs, call.inputs, strict=False)
             if array is not None and _faults(array)]
    return "its input " + ", ".join(given) if given else "its inputs are finite"


def _faults(array: np.ndarray) -> str:
    """Return how many elements are not finite, "" where there are none."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return ""
    undefined = int(np.isnan(array).sum())
    return f"{undefined} NaN and {int(np.isinf(array).sum())} infinite of {array.size}"
