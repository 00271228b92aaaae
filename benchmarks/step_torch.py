"""PyTorch's side of `bench_step.py`: a worker that checks or times one training step.

`prepare` alone needs minidl: it writes the mirror of a network into a file. All other tasks read
it and import nothing but PyTorch.
"""

from __future__ import annotations

import gc
import inspect
import time as clock
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from measure import peak_mb, reset_peak, resident_mb, serve, timing
from torch import nn

FORMATS = {"first": torch.contiguous_format, "last": torch.channels_last}
FLAVOURS: dict[str, dict[str, bool]] = {"default": {}, "foreach": {"foreach": True},
                                        "fused": {"fused": True}}
SLOW = 1.0  # seconds; so long a first step has warmed up enough
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)


def prepare(network: str, file: str, inplace: bool = True, batch: int | None = None,
            predict: bool = False) -> dict[str, Any]:
    """Write a network's mirror, its data and its optimizer."""
    from networks import case
    from torch_mirror import mirror

    made = case(network, batch=batch, predict=predict)
    twin = mirror(made.model, head=made.trains, inplace=inplace)
    optimizer = made.entry.new_optimizer()
    x = torch.from_numpy(made.x)
    torch.save({"module": twin.module, "x": x if x.ndim < 3 else x.movedim(-1, 1).contiguous(),
                "labels": torch.from_numpy(made.numbers if twin.head == "softmax" else made.y),
                "head": twin.head,
                "links": [tuple(vars(k).values()) for k in twin.links], "decay": twin.decay,
                "max_norm": twin.max_norm, "trains": made.trains,
                "optimizer": described(optimizer)}, file)
    return {"images": x.ndim == 4, "trains": made.trains, "code": twin.module.code}


def described(optimizer: Any) -> tuple[str, float, dict[str, Any]]:
    """Return name, first learning rate and settings of an optimizer of minidl."""
    name, config = type(optimizer).__name__, optimizer.get_config()
    extra = [k for k in ("clip_norm", "clip_value", "ema") if config.get(k) is not None]
    if extra or (config["weight_decay"] and name != "AdamW"):
        raise ValueError(f"no counterpart in PyTorch's step for {name} with {config}")
    return name, float(optimizer.learning_rate), config


# ---- a step --------------------------------------------------------------------------------


def load(file: str, layout: str = "first", device: str = "cpu") -> dict[str, Any]:
    """Return what `prepare` wrote, in a memory format, on a device."""
    made: dict[str, Any] = torch.load(file, weights_only=False)
    for name in ("module", "x", "labels"):
        made[name] = made[name].to(device)
    if layout == "last" and made["x"].ndim == 4:
        made["module"] = made["module"].to(memory_format=torch.channels_last)
        made["x"] = made["x"].contiguous(memory_format=torch.channels_last)
    return made


def loss_of(head: str | None) -> Callable[[Any, Any], Any]:
    """Return the loss as a PyTorch user computes it, from logits where the model ended in them.

    The binary cross-entropy of a softmax of two classes is their cross-entropy.
    """
    losses: dict[str | None, Callable[[Any, Any], Any]] = {
        "softmax": nn.functional.cross_entropy, None: nn.functional.mse_loss,
        "sigmoid": nn.functional.binary_cross_entropy_with_logits}
    return losses[head]


OPTIMIZERS: dict[str, tuple[Any, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "SGD": (torch.optim.SGD, lambda c: {"momentum": c["momentum"], "nesterov": c["nesterov"]}),
    "RMSprop": (torch.optim.RMSprop, lambda c: {
        "alpha": c["rho"], "eps": c["epsilon"], "momentum": c["momentum"],
        "centered": c["centered"]}),
    "Adam": (torch.optim.Adam, lambda c: {
        "betas": (c["beta_1"], c["beta_2"]), "eps": c["epsilon"], "amsgrad": c["amsgrad"]}),
    "AdamW": (torch.optim.AdamW, lambda c: {
        "betas": (c["beta_1"], c["beta_2"]), "eps": c["epsilon"],
        "weight_decay": c["weight_decay"]}),
    "Adagrad": (torch.optim.Adagrad, lambda c: {"eps": c["epsilon"]}),
    "Nadam": (torch.optim.NAdam, lambda c: {
        "betas": (c["beta_1"], c["beta_2"]), "eps": c["epsilon"]}),
}


def optimizer_of(made: dict[str, Any], flavour: str) -> torch.optim.Optimizer:
    """Return the optimizer, with a group of parameters for each weight decay."""
    name, rate, config = made["optimizer"]
    kind, options = OPTIMIZERS[name]
    return kind(groups(made), lr=rate, **options(config), **FLAVOURS[flavour])


def has_flavour(made: dict[str, Any], flavour: str) -> bool:
    """Say whether PyTorch has the optimizer in this flavour; there is no fused RMSprop, say."""
    known = inspect.signature(OPTIMIZERS[made["optimizer"][0]][0]).parameters
    return set(FLAVOURS[flavour]) <= set(known)


def groups(made: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters by weight decay.

    Raises:
        ValueError: an L2 penalty with AdamW, whose weight decay is another thing.
    """
    if made["decay"] and made["optimizer"][0] == "AdamW":
        raise ValueError("AdamW with an L2 penalty has no counterpart")
    by_decay: dict[float, list[nn.Parameter]] = {}
    for name, parameter in made["module"].named_parameters():
        if parameter.requires_grad:
            by_decay.setdefault(made["decay"].get(name, 0.0), []).append(parameter)
    plain = set(by_decay) == {0.0}
    return [{"params": found} if plain else {"params": found, "weight_decay": decay}
            for decay, found in by_decay.items()]


def stepper(made: dict[str, Any], flavour: str = "default", autocast: bool = False,
            compiled: bool = False) -> Callable[[], None]:
    """Return the usual step: forward, loss, backward, update, reading the loss."""
    model: Any = torch.compile(made["module"]) if compiled else made["module"]
    x, y, loss_function = made["x"], made["labels"], loss_of(made["head"])
    cast = torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext()
    if not made["trains"]:
        return inference(model.eval(), x, cast)
    optimizer, limits = optimizer_of(made, flavour), limits_of(made)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with cast:
            loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        for weight, most, axes in limits:
            renormalise(weight, most, axes)
        loss.item()

    model.train()
    return step


def inference(model: Any, x: torch.Tensor, cast: Any) -> Callable[[], None]:
    """Return the step of a network that only predicts."""
    def step() -> None:
        with torch.inference_mode(), cast:
            model(x)

    return step


def limits_of(made: dict[str, Any]) -> list[tuple[torch.Tensor, float, tuple[int, ...]]]:
    """Return the weights with a largest norm."""
    named = dict(made["module"].named_parameters())
    return [(named[name], most, axes) for name, (most, axes) in made["max_norm"].items()]


@torch.no_grad()
def renormalise(weight: torch.Tensor, most: float, axes: tuple[int, ...]) -> None:
    """Bring vectors back to a norm of at most `most`."""
    others = [a for a in range(weight.ndim) if a not in axes]
    if len(others) == 1:
        weight.renorm_(2, others[0], most)
        return
    norm = torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
    weight.mul_(norm.clamp(max=most) / (norm + 1e-7))


# ---- tasks ---------------------------------------------------------------------------------


def time(file: str, layout: str, flavours: list[str], seconds: float, steps: int = 3, warm: int = 2,
         autocast: bool = False, compiled: bool = False) -> list[dict[str, Any]]:
    """Time steps with each flavour of the optimizer that PyTorch has."""
    before = resident_mb()
    results = []
    for flavour in flavours:
        made = load(file, layout)
        if not has_flavour(made, flavour):
            continue
        step = stepper(made, flavour, autocast, compiled)
        gc.collect()
        reset_peak()
        start = clock.perf_counter()
        step()
        first = clock.perf_counter() - start
        result = timing(step, seconds, steps, warm if first < SLOW else 0)
        results.append({"flavour": flavour, "ms": result.ms, "least": result.least,
                        "steps": result.steps, "mb": peak_mb() - before, "first_s": first})
        del made, step
    return results


def check(file: str, out: str, layout: str = "first", dtype: str = "float32",
          samples: int | None = None, device: str = "cpu") -> None:
    """Write loss and gradients with dropout off, or the outputs, in minidl's shapes."""
    made = load(file, layout, device)
    kind = getattr(torch, dtype)
    model = made["module"].to(kind)
    for name in ("x", "labels"):
        given = made[name][:samples]
        made[name] = given.to(kind) if given.is_floating_point() else given
    for module in model.modules():
        if isinstance(module, DROPOUTS):
            module.p = 0.0
    arrays: dict[str, Any] = gradients(made) if made["trains"] else outputs(made)
    np.savez(out, **arrays)


def outputs(made: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the outputs, channels last."""
    with torch.inference_mode():
        y = made["module"].eval()(made["x"])
    return {"y": y.movedim(1, -1).cpu().numpy()}


def links_of(made: dict[str, Any]) -> list[Any]:
    """Return where minidl's weights are."""
    from torch_mirror import Link
    return [Link(*values) for values in made["links"]]


def gradients(made: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the loss, weight decay as a penalty included, and the gradients by minidl's names."""
    model = made["module"].train()
    loss = loss_of(made["head"])(model(made["x"]), made["labels"])
    named = dict(model.named_parameters())
    for name, decay in made["decay"].items():
        loss = loss + decay / 2 * named[name].square().sum()
    loss.backward()
    arrays = {f"gradient {k.ours}": k.to_minidl(named[k.theirs].grad.cpu().numpy())
              for k in links_of(made) if k.theirs in named and named[k.theirs].grad is not None}
    return {"loss": loss.detach().cpu().numpy(), **arrays}


if __name__ == "__main__":
    serve({"prepare": prepare, "time": time, "check": check})
