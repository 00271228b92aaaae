"""minidl's side of `bench_step.py`: a worker that checks or times one training step."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import peak_mb, reset_peak, resident_mb, serve, timing

SILENT = "Dropout", "SpatialDropout1D", "SpatialDropout2D"
REPLAYED = 4  # the first batch that `predict` replays, as it does those that are timed


def stepper(case: Any) -> Callable[[], None]:
    """Return the step that `fit` does, or for a network that does not train, `predict`'s."""
    from minidl import losses
    from minidl.train.feed import Batch
    from minidl.train.replay import Steps
    from minidl.train.step import Compiled, Tracker, predict

    batch = Batch(case.x, case.y)
    if not case.trains:
        case.model.eval()
        return lambda: predict(case.model, [batch])
    how = Compiled(case.entry.new_optimizer(), losses.get(case.entry.loss), [])
    case.model.train()
    steps = Steps(case.model, how, Tracker([]), case.model.parameters())
    return lambda: steps(batch)


def time(network: str, seconds: float, steps: int = 3, **how: Any) -> dict[str, Any]:
    """Time steps; memory is what this process holds at most, less what it held before the model.

    Before the model there are NumPy and minidl; numba comes with the first kernel, so its size is
    counted. `compiler_mb` says how much that is.

    Args:
        how: `batch` and `predict` of `networks.case`.
    """
    from networks import case
    before = resident_mb()
    from minidl.backend import cpu  # noqa: F401 (loads numba)
    compiler = resident_mb() - before
    made = case(network, **how)
    step = stepper(made)
    gc.collect()
    reset_peak()
    result = timing(step, seconds, steps)
    return {"ms": result.ms, "least": result.least, "steps": result.steps,
            "mb": peak_mb() - before, "compiler_mb": compiler, "batch": len(made.x),
            "parameters": made.model.count_parameters()}


def check(network: str, file: str, dtype: str = "float32", samples: int | None = None,
          batch: int | None = None, device: str = "cpu", predict: bool = False) -> dict[str, Any]:
    """Write loss and gradients with dropout off, or the outputs, and count the operations."""
    from networks import case

    from minidl import dispatch
    made, work = case(network, samples, batch, predict), [0]
    made.model.astype(dtype).to(device)
    for layer in made.model.modules():
        if type(layer).__name__ in SILENT:
            layer.rate = 0.0

    def count(call: Any, compute: Callable[[], None]) -> None:
        compute()
        work[0] += call.plan.flops

    with dispatch.hook(count):
        arrays = gradients(made) if made.trains else outputs(made)
    for _ in range(0 if made.trains else REPLAYED):
        arrays = outputs(made)
    np.savez(file, **arrays)
    return {"flops": work[0]}


def outputs(made: Any) -> dict[str, np.ndarray]:
    """Return the outputs."""
    from minidl.train.feed import Batch
    from minidl.train.step import predict
    return {"y": predict(made.model.eval(), [Batch(made.x, made.y)])}


def gradients(made: Any) -> dict[str, np.ndarray]:
    """Return the loss and the gradients by name."""
    from minidl import losses
    from minidl.train.feed import Batch
    from minidl.train.step import Outcome, inputs_of, kind_of, losses_of, penalty

    parameters = made.model.parameters()
    y = made.model.train()(inputs_of(made.x, *kind_of(parameters)))
    values, shares = losses_of(losses.get(made.entry.loss), Batch(made.x, made.y), y)
    values.backward(shares)
    loss, extra = Outcome(y, values, shares).sent()()[1], penalty(parameters)
    if extra is not None:
        extra.backward()
        loss += extra.item()
    named = made.model.named_parameters()
    return {"loss": np.asarray(loss),
            **{f"gradient {n}": p.grad.numpy() for n, p in named.items() if p.grad is not None}}


if __name__ == "__main__":
    serve({"time": time, "check": check})
