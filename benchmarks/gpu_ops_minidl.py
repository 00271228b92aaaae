"""minidl's side of `gpu_ops.py`: a worker that times kernels of the op table on a GPU.

A call is captured many times into one graph, so that its time is the kernels' and not Python's. The
copies of a call lie apart, as far as that takes, so that they do not find their arrays in the
GPU's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gpu_step_minidl
from gpu_time import per_step
from op_minidl import Seen, description, fresh, makers, matching
from workers import attend

from minidl import dispatch
from minidl.backend import device as devices
from minidl.errors import MinidlError
from minidl.plan import Recording

DEVICE = gpu_step_minidl.DEVICE
CACHE = 200 << 20  # bytes that the copies of a call take at least, if MOST of them do
MOST = 8  # copies

_seen: list[Seen] = []


def find(ops: Sequence[str]) -> dict[str, Any]:
    """Make the calls of ops whose names match; return their descriptions, and what failed."""
    _seen.clear()
    wanted, known, failed = matching(ops), set[Any](), {}
    for name, make in makers(wanted, known, DEVICE):
        try:
            _seen.extend(fresh(make(), wanted, known))
        except (MinidlError, TypeError, ValueError) as error:
            failed[name] = f"{type(error).__name__}: {error}"[:300]
    return {"calls": [described(seen) for seen in _seen], "failed": failed}


def described(seen: Seen) -> dict[str, Any]:
    """Return what `op_torch.py` needs to make its counterpart, and the variants."""
    told = description(seen)
    return {**told, "variants": [kernel.name for kernel in seen.op.variants(DEVICE)
                                 if accepts(kernel, seen)], "copies": copies(told["bytes"])}


def accepts(kernel: Any, seen: Seen) -> bool:
    """Say whether a variant can serve a call."""
    return kernel.accepts is None or kernel.accepts(*seen.plan.specs, **seen.plan.attrs)


def copies(nbytes: int) -> int:
    """Return how many copies of a call there are."""
    return max(1, min(MOST, -(-CACHE // max(nbytes, 1))))


def time(number: int, variant: str, seconds: float, copies: int, repeats: int) -> dict[str, Any]:
    """Time a call with a variant, so often in a graph; the answer has milliseconds and launches."""
    seen, device = _seen[number], devices.get(DEVICE)
    recorded = recording(seen, variant, copies)
    with gpu_step_minidl.counted(device) as count:
        recorded[0].compute()
    with device.capture() as found:
        for i in range(repeats):
            recorded[i % len(recorded)].compute()
    return {"ms": per_step(found[0].launch, device, seconds, warm=1).ms / repeats,
            "launches": count[0]}


def recording(seen: Seen, variant: str, count: int) -> list[dispatch.Call]:
    """Return copies of a call that can be made again; one that writes its inputs has no others."""
    inputs = [seen.inputs]
    if seen.out is None:
        inputs += [copied(seen.inputs) for _ in range(count - 1)]
    made = Recording()
    with made.listening():
        for arrays in inputs:
            dispatch.call(seen.op, arrays, seen.attrs, out=seen.out, algorithm=variant)
    return [call for call in made.calls if call.plan.op is seen.op]


def copied(arrays: Sequence[Any]) -> tuple[Any, ...]:
    """Return copies on the GPU."""
    return tuple(None if a is None else dispatch.run("copy", a) for a in arrays)


TASKS: dict[str, Callable[..., Any]] = {"start": gpu_step_minidl.start, "find": find, "time": time}

if __name__ == "__main__":
    attend(TASKS)
