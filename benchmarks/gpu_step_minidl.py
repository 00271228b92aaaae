"""minidl's side of `bench_step.py --device cuda`: a worker that checks and times training steps.

The step is the one that `fit` runs, captured as one graph. It reads its batch from the GPU, where
the first steps brought it, or with `feed` gets it from the host each time as in `fit`. Learning
rate, random keys and the shares of the samples come from the host in both cases, and outputs and
losses go there for the metrics, beside the next steps.
"""

from __future__ import annotations

import gc
import time as clock
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import step_minidl
from gpu_time import per_step
from networks import Case, case
from workers import attend

DEVICE = "cuda"
MOST_WARM = 8  # steps until one is replayed; the fourth is
HALF = {"bf16": "bfloat16"}


class NotBuiltError(LookupError):
    """minidl cannot compute so."""


def policy(precision: str) -> AbstractContextManager[Any]:
    """Return the block in which minidl computes in a precision: "tf32", its usual one, or "bf16".

    This is the one place that knows how mixed precision is switched on.
    """
    from minidl import config
    if precision not in HALF:
        return nullcontext()
    switch = getattr(config, "precision", None)
    if switch is None:
        raise NotBuiltError(f"config.precision, for {precision}")
    return switch(HALF[precision])


@dataclass
class Made:
    """A network that takes steps.

    Attributes:
        pools: those that its arrays come from.
        steps: what records and replays them, where it is trained.
    """

    case: Case
    step: Callable[[], None]
    precision: str
    pools: list[Any]
    steps: Any = None


_made: list[Made] = []  # the one that is timed


def start(emulated: str = "") -> str:
    """Return the name of the GPU; with a folder for its kernels it is the emulated one."""
    from minidl.backend import device as devices
    if emulated:
        from minidl.testing.host_cuda import HostCuda
        devices.install(HostCuda(Path(emulated)))
    return repr(devices.get(DEVICE))


# ---- steps ---------------------------------------------------------------------------------


def make(network: str, batch: int, precision: str = "tf32", feed: bool = False) -> dict[str, Any]:
    """Build a network and take steps until they are replayed; describe them.

    Where minidl cannot compute in the precision, the answer says so under "missing".
    """
    from minidl.backend import device as devices
    from minidl.errors import MinidlError
    _made.clear()
    gc.collect()
    pool = devices.pool(DEVICE)
    pool.reset_peak()
    try:
        with policy(precision):
            built = case(network, batch=batch)
            built.model.to(DEVICE)
            begun = clock.perf_counter()
            made, told = (training if built.trains else inference)(built, precision, feed)
            devices.get(DEVICE).synchronize()
    except NotBuiltError as error:
        return {"missing": f"not built: {error}"}
    except (MinidlError, TypeError) as error:
        if precision not in HALF:
            raise
        return {"missing": f"failed: {type(error).__name__}: {error}"[:500]}
    _made.append(made)
    return {"batch": len(built.x), "parameters": built.model.count_parameters(),
            "trains": built.trains, "ready_s": clock.perf_counter() - begun, **told}


def training(built: Case, precision: str, feed: bool) -> tuple[Made, dict[str, Any]]:
    """Return a network that `fit` would train, after its first steps."""
    from minidl import losses
    from minidl.backend import device as devices
    from minidl.train.feed import Batch
    from minidl.train.replay import Steps
    from minidl.train.step import Compiled, Tracker

    how = Compiled(built.entry.new_optimizer(), losses.get(built.entry.loss), [])
    built.model.train()
    steps = Steps(built.model, how, Tracker([]), built.model.parameters())
    batch, launches = Batch(built.x, built.y), 0
    for _ in range(MOST_WARM):
        with counted(devices.get(DEVICE)) as count:
            steps(batch)
        launches = count[0] or launches
        if steps.replayed:
            break
    if steps.replayed and not feed:
        keep_inputs(steps)
    made = Made(built, lambda: steps(batch), precision,
                [devices.pool(DEVICE), steps._arena], steps)
    calls = len(steps.recorded.recording) if steps.recorded else None
    return made, {"captured": bool(steps.replayed), "launches": launches, "calls": calls}


def inference(built: Case, precision: str, feed: bool) -> tuple[Made, dict[str, Any]]:
    """Return a network that computes features, after its first step."""
    from minidl import config
    from minidl.backend import device as devices
    from minidl.train.feed import Batch
    from minidl.train.step import inputs_of, kind_of, predict

    built.model.eval()
    x = inputs_of(built.x, *kind_of(built.model.parameters()))

    def resident() -> None:
        with config.no_grad():
            built.model(x)

    def fed() -> None:
        predict(built.model, [Batch(built.x)])

    step = fed if feed else resident
    with counted(devices.get(DEVICE)) as count:
        step()
    return (Made(built, step, precision, [devices.pool(DEVICE)]),
            {"captured": False, "launches": count[0], "calls": None})


def keep_inputs(steps: Any) -> None:
    """Let the replays of a recorded step read the batch that lies on the GPU already.

    The first slots of the recording are those of inputs and labels; what they feed are the copies
    to the GPU.
    """
    recording, slots = steps.recorded.recording, steps.recorded.slots
    batch = {id(recording.calls[number]) for slot in slots[:2] for number, _ in slot.readings}
    recording._uploads = [call for call in recording._uploads if id(call) not in batch]


@contextmanager
def counted(device: Any) -> Iterator[list[int]]:
    """Count the launches of kernels inside the block."""
    plain, count = device.launch, [0]

    def launch(*arguments: Any) -> None:
        count[0] += 1
        plain(*arguments)

    device.launch = launch
    try:
        yield count
    finally:
        del device.launch


# ---- tasks ---------------------------------------------------------------------------------


def time(seconds: float) -> dict[str, Any]:
    """Time steps of the network that was made."""
    from minidl.backend import device as devices
    made = _made[0]
    with policy(made.precision):
        found = per_step(made.step, devices.get(DEVICE), seconds)
    return {"ms": found.ms, "least": found.least, "steps": found.steps}


def memory() -> float:
    """Return the largest size of all arrays on the GPU since the network was built, in MiB."""
    return sum(pool.peak for pool in _made[0].pools) / 2**20


def check(network: str, batch: int, file: str, dtype: str = "float32",
          samples: int | None = None) -> dict[str, Any]:
    """Write loss and gradients with dropout off, or the outputs, and count the operations."""
    _made.clear()
    return step_minidl.check(network, file, dtype, samples, batch, DEVICE)


if __name__ == "__main__":
    attend({"start": start, "make": make, "time": time, "memory": memory, "check": check})
