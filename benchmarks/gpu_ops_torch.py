"""PyTorch's side of `gpu_ops.py`: a worker that times the counterparts of ops on a GPU.

A counterpart is captured many times into one CUDA graph, as minidl's kernels are; one that cannot
be captured (an optimizer's step) is launched call by call.
"""

from __future__ import annotations

import gc
from typing import Any

import gpu_step_torch
import torch
from gpu_time import per_step
from op_torch import TABLE
from op_torch_inputs import Inputs, Run
from workers import attend

REPEATS = 16  # calls in a graph
EXPECTED = (RuntimeError, TypeError, KeyError, IndexError, ValueError)


def start(device: str = "cuda") -> str:
    """Return the name of the device, on which all tensors lie from now on."""
    name = gpu_step_torch.start(device)
    torch.set_default_device(device)
    return name


def time(op: str, shapes: list[Any], dtypes: list[str], attrs: dict[str, Any], copies: int,
         seconds: float) -> dict[str, Any]:
    """Time a counterpart in the memory formats that differ, the faster one; nothing without one."""
    if op not in TABLE:
        return {}
    layouts = [torch.channels_last, torch.contiguous_format]
    images = any(shape is not None and len(shape) == 4 for shape in shapes)
    found = []
    for layout in layouts if images else layouts[1:]:
        try:
            with torch.inference_mode():
                runs = [TABLE[op](Inputs(shapes, dtypes, attrs, layout)) for _ in range(copies)]
                found.append({"size": runs[0]().numel(), **fastest(runs, seconds)})
        except EXPECTED as error:
            return {"error": f"{type(error).__name__}: {error}"[:200]}
        finally:
            runs = []
            clean()
    return min(found, key=lambda result: result["ms"])


def clean() -> None:
    """Give memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def fastest(runs: list[Run], seconds: float) -> dict[str, Any]:
    """Return the time of a call in milliseconds, by a graph if that can be captured."""
    for run in runs:
        run()  # cuDNN's trials, and what is made at the first call
    gpu_step_torch.synchronize()
    clock = gpu_step_torch.the_clock()
    try:
        launch, repeats, graph = captured(runs), REPEATS, True
    except RuntimeError:
        launch, repeats, graph = runs[0], 1, False
    return {"ms": per_step(launch, clock, seconds, warm=1).ms / repeats, "graph": graph}


def captured(runs: list[Run]) -> Run:
    """Return the launch of a graph of many calls, whose results lie apart.

    Raises:
        RuntimeError: there is no GPU, or a call cannot be captured.
    """
    graph = torch.cuda.CUDAGraph()
    kept: list[Any] = [None] * len(runs)
    with torch.cuda.graph(graph):
        for i in range(REPEATS):
            kept[i % len(runs)] = runs[i % len(runs)]()
    return graph.replay


if __name__ == "__main__":
    attend({"start": start, "time": time})
