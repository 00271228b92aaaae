"""Checks of how an op computes: its buffers, its memory, the same bits every time."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np

from .. import config, dispatch
from ..backend.device import to_host
from ..dispatch import move
from ..spec import spec_of
from .buffers import fine_ranges, guarded_buffers, side_by_side
from .cases import Arrays, Case, Outcome, grown
from .result_checks import bound, distance

LARGE = 1 << 20          # bytes of the first input of a large call
APART = 1 << 12          # bytes between arrays that lie apart
ALLOWED_BYTES = 3 << 16  # that a call may allocate: lists of ranges, buffers inside NumPy


def buffers(case: Case) -> str:
    """Buffers are written in full and nothing around them is; what they held does not matter."""
    arrays, outcomes = case.draw(), []
    for fill in (0, 0xFF):
        with guarded_buffers(fill, case.device) as handed_out:
            outcomes.append(case.outcome(arrays))
        if handed_out.damaged():
            return f"{handed_out.damaged()} buffers were written to outside their bounds"
    return "" if outcomes[0].same_bits(outcomes[1]) else "reads buffers that it has not written"


def overwrite(case: Case) -> str:
    """Writing a result over an input, where the op declares that, gives the same bits."""
    results = len(case.call(case.draw()).out)
    for i, j in case.op.overwrites(len(case.sample.inputs), results):
        arrays = case.draw()
        given, wanted = arrays[i], case.results(arrays)
        if given is None or spec_of(given) != spec_of(wanted[j]):
            continue
        moved = case.moved(arrays)
        out: Any = [moved[i] if k == j else move(np.empty_like(w), case.device)
               for k, w in enumerate(wanted)]
        got = map(to_host, dispatch.call(case.op, moved, case.sample.attrs, out=out,
                                         algorithm=case.algorithm).out)
        if any(g.tobytes() != w.tobytes() for g, w in zip(got, wanted, strict=True)):
            return f"writing result {j} over input {i} changes the result"
    return ""


def parts(case: Case) -> str:
    """Results may be parts of the last axis of wider arrays, of which nothing else changes."""
    if case.op.view is not None or case.op.transfers:
        return ""
    arrays = case.draw()
    wanted = case.results(arrays)
    wide = [np.full((*w.shape[:-1], w.shape[-1] + 5) if w.ndim else (), 1, w.dtype) for w in wanted]
    out = [w[..., 2:-3] if w.ndim else w for w in wide]
    case.call(arrays, out=out)
    if any(part.tobytes() != w.tobytes() for part, w in zip(out, wanted, strict=True)):
        return "a result written into a part of an array is another one"
    for part in out:
        part[...] = 1
    return "" if all((w == 1).all() for w in wide) else "writes outside of its part of an array"


def allocation(case: Case) -> str:
    """The kernel allocates next to nothing in a large call; bookkeeping of ranges is allowed."""
    large = grown(case, LARGE)
    if large is None or case.op.view is not None:
        return ""
    done = dispatch.call(case.op, large[0], large[1], algorithm=case.algorithm)
    done.work = {name: np.empty(*spec) for name, spec in done.plan.work.items()}
    tracemalloc.start()
    try:
        done.compute()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return f"the kernel allocates {peak:,} bytes" if peak > ALLOWED_BYTES else ""


def repeatable(case: Case) -> str:
    """Two runs give the same bits."""
    arrays = case.draw()
    same = case.outcome(arrays).same_bits(case.outcome(arrays))
    return "" if same else "two runs give different bits"


def placement(case: Case) -> str:
    """Arrays that lie close together give the same bits as those that lie apart."""
    if case.op.view is not None or case.op.transfers:
        return ""
    for attempt in range(3):  # a sum in another order is often the same
        done = case.call(case.draw(attempt))
        wanted = _bits(side_by_side(done, APART))
        if any(_bits(side_by_side(done, 0, backwards)) != wanted for backwards in (False, True)):
            return "the bits depend on where the arrays lie"
    return ""


def _bits(call: dispatch.Call) -> list[bytes]:
    call.compute()
    return [array.tobytes() for array in (*call.out, *call.saved.values())]


def threads(case: Case) -> str:
    """Results have the same bits with 1, 2 and 3 threads, on ranges as they are and cut finely."""
    arrays = case.draw()
    with fine_ranges():
        fine = [_with_threads(case, arrays, n) for n in (1, 2, 3)]
    usual = [_with_threads(case, arrays, n) for n in (1, 3)]
    if not all(o.same_bits(fine[0]) for o in fine) or not usual[0].same_bits(usual[1]):
        return "the number of threads changes the result"
    pairs = zip(fine[0].arrays(), usual[0].arrays(), strict=True)
    error = max((distance(a, b) for a, b in pairs), default=0.0)
    return "" if error <= bound(case) else f"finer ranges give a result {error:.2g} away"


def _with_threads(case: Case, arrays: Arrays, count: int) -> Outcome:
    with config.threads(count):
        return case.outcome(arrays)


def large_calls(case: Case) -> str:
    """A call large enough for several ranges has the same bits with 1, 2 and 3 threads."""
    large = grown(case, LARGE)
    if large is None:
        return ""
    done = []
    for count in (1, 2, 3):
        with config.threads(count):
            done.append(dispatch.call(case.op, *large, algorithm=case.algorithm).out)
    same = all(a.tobytes() == b.tobytes()
               for out in done[1:] for a, b in zip(done[0], out, strict=True))
    return "" if same else "the number of threads changes the result of a large call"
