"""PyTorch's side of `bench_step.py --device cuda`: a worker that checks and times training steps.

PyTorch is at its best: cuDNN's trials on, TF32 for convolutions and products, the loss left on the
GPU, the batch there already, or with `feed` copied from page-locked memory on a stream of its own
while the step before it runs. "compile" is `torch.compile(mode="reduce-overhead")` of model and
loss, which captures them as CUDA graphs.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time as clock
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import step_torch
import torch
from gpu_time import Clock, TorchClock, WallClock, per_step
from step_torch import has_flavour, inference, limits_of, load, loss_of, optimizer_of, renormalise
from workers import attend

Step = Callable[[], None]
_held: dict[str, Any] = {}  # the device, and the step that is timed


def start(device: str = "cuda") -> str:
    """Return the name of the device: "cuda", or "cpu" to try the path without a GPU."""
    _held.clear()
    _held["device"] = device
    tf32(True)
    torch.backends.cudnn.benchmark = True
    if device == "cpu":
        return "cpu"
    torch.zeros(1, device=device)  # starts CUDA
    return torch.cuda.get_device_name()


def tf32(allowed: bool) -> None:
    """Let products round what they multiply to TF32, or not."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def the_clock() -> Clock:
    """Return the clock of the device."""
    return WallClock() if _held["device"] == "cpu" else TorchClock()


def synchronize() -> None:
    """Wait for the device."""
    if _held["device"] != "cpu":
        torch.cuda.synchronize()


# ---- a step --------------------------------------------------------------------------------


def stepper(made: dict[str, Any], flavour: str, precision: str, compiled: bool, feed: bool
            ) -> Step:
    """Return the step of a careful user."""
    device = _held["device"]
    cast: Any = torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()
    model, loss_function = made["module"], loss_of(made["head"])
    batches = fed(made, device) if feed else itertools.repeat((made["x"], made["labels"]))
    if not made["trains"]:
        return features(model.eval(), batches, cast, compiled, feed)

    def loss_at(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return loss_function(model(x), y)

    loss_of_batch = torch.compile(loss_at, mode="reduce-overhead") if compiled else loss_at
    optimizer, limits = optimizer_of(made, flavour), limits_of(made)
    total = torch.zeros((), device=device)

    def step() -> None:
        x, y = next(batches)
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad(set_to_none=True)
        with cast:
            loss = loss_of_batch(x, y)
        loss.backward()
        optimizer.step()
        for weight, most, axes in limits:
            renormalise(weight, most, axes)
        total.add_(loss.detach())

    model.train()
    return step


def features(model: Any, batches: Iterator[Any], cast: Any, compiled: bool, feed: bool) -> Step:
    """Return the step of a network that only computes features."""
    module = torch.compile(model, mode="reduce-overhead") if compiled else model

    def step() -> None:
        x, _ = next(batches)
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.inference_mode(), cast:
            y = module(x)
        if feed:
            y.float().cpu()

    return step if compiled or feed else inference(module, next(batches)[0], cast)


def fed(made: dict[str, Any], device: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches that come from the host while the step before them runs."""
    host = [made[name].cpu() for name in ("x", "labels")]
    if device == "cpu":
        while True:
            yield host[0].clone(), host[1].clone()
    pinned = [part.pin_memory() for part in host]
    stream = torch.cuda.Stream()

    def copied() -> list[torch.Tensor]:
        with torch.cuda.stream(stream):
            return [part.to(device, non_blocking=True) for part in pinned]

    coming = copied()
    while True:
        torch.cuda.current_stream().wait_stream(stream)
        for part in coming:
            part.record_stream(torch.cuda.current_stream())
        here, coming = coming, copied()
        yield here[0], here[1]


# ---- tasks ---------------------------------------------------------------------------------


def make(file: str, layout: str, flavour: str, precision: str = "tf32", compiled: bool = False,
         feed: bool = False, warm: int = 3) -> dict[str, Any]:
    """Prepare a step and take the first ones; None where PyTorch has no such optimizer."""
    drop()
    made = load(file, layout, _held["device"])
    if made["trains"] and not has_flavour(made, flavour):
        return {"missing": f"no {flavour} {made['optimizer'][0]}"}
    before = clock.perf_counter()
    step = stepper(made, flavour, precision, compiled, feed)
    for _ in range(warm):
        step()
    synchronize()
    _held["step"] = step
    if _held["device"] != "cpu":
        torch.cuda.reset_peak_memory_stats()  # cuDNN's trials have taken more
    return {"ready_s": clock.perf_counter() - before}


def drop() -> None:
    """Forget the step that was made."""
    _held.pop("step", None)
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    gc.collect()
    if _held["device"] != "cpu":
        torch.cuda.empty_cache()


def time(seconds: float) -> dict[str, Any]:
    """Time steps."""
    found = per_step(_held["step"], the_clock(), seconds)
    return {"ms": found.ms, "least": found.least, "steps": found.steps}


def memory() -> dict[str, float] | None:
    """Return the largest size of all tensors since the first steps in MiB, and what was reserved.

    A captured step's tensors lie in what was reserved.
    """
    if _held["device"] == "cpu":
        return None
    return {"mb": torch.cuda.max_memory_allocated() / 2**20,
            "reserved_mb": torch.cuda.max_memory_reserved() / 2**20}


def launches() -> int | None:
    """Return how many kernels, copies and fills a step runs, by the profiler; None without it."""
    if _held["device"] == "cpu":
        return None
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile
    try:
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            _held["step"]()
            torch.cuda.synchronize()
        return sum(e.device_type == DeviceType.CUDA for e in found.events()) or None
    except RuntimeError:
        return None


def check(file: str, out: str, dtype: str = "float32", samples: int | None = None,
          rounded: bool = False) -> None:
    """Write loss and gradients with dropout off, or the outputs; `rounded` is with TF32."""
    drop()
    tf32(rounded)
    try:
        step_torch.check(file, out, "last", dtype, samples, _held["device"])
    finally:
        tf32(True)


if __name__ == "__main__":
    attend({"start": start, "prepare": step_torch.prepare, "check": check, "make": make,
            "time": time, "memory": memory, "launches": launches})
