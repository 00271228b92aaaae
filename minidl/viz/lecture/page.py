"""The page: what was collected as JSON, and the files of `page/` around it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ...files import replacing
from .formulas import formulas
from .kept import Kept
from .pack import Packer, json_for_html
from .trace import Step, Trace
from .views import Scene, describe

STYLES = ("base.css", "parts.css", "print.css")
SCRIPTS = ("data.js", "activations.js", "windows.js", "others.js", "compute.js", "colour.js",
           "elements.js", "maps.js", "worked.js", "backward.js", "layer.js", "strip.js",
           "check.js", "main.js")
"""Joined in this order; each file uses those before it."""
ROUGH = ("kernel_gradient",)  # about three digits are enough


@dataclass(frozen=True)
class Page:
    """A lecture view as text.

    Attributes:
        html: the whole page; it needs no other file and no network.
        channels: "all", or how many channels of the largest layers it holds.
    """

    html: str = field(repr=False)
    channels: str = "all"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page and return its path; a file of this name is replaced once it is complete.

        Raises:
            CheckpointError: the file cannot be written.
        """
        target = Path(path)
        with replacing(target) as aside:
            aside.write_text(self.html, "utf-8")
        return target

    def _repr_html_(self) -> str:
        return (f'<iframe srcdoc="{escape(self.html)}" style="width:100%;height:48rem;border:0">'
                "</iframe>")


def page_of(data: dict[str, Any], channels: str) -> Page:
    """Return the page of collected data."""
    parts = {"TITLE": escape(str(data["title"])), "STYLE": "\n".join(map(_asset, STYLES)),
             "DATA": json_for_html(data), "SCRIPT": "\n".join(map(_asset, SCRIPTS))}
    html = _asset("page.html")
    for name in ("TITLE", "STYLE", "SCRIPT", "DATA"):  # the data last: nothing in them is replaced
        before, _, after = html.partition(f"<!--{name}-->")
        html = before + parts[name] + after
    return Page(html, channels)


def _asset(name: str) -> str:
    return (files(__package__) / "page" / name).read_text("utf-8")


def data_of(trace: Trace, views: dict[int, str], scene: Scene) -> dict[str, Any]:
    """Return values, steps and arrays as JSON can hold them."""
    packer = Packer()
    makers = {step.output: number for number, step in reversed(list(enumerate(trace.steps)))}
    values = [_value(number, trace, scene.kept, packer) for number in range(len(trace.values))]
    steps: list[dict[str, Any]] = []
    latest: dict[int, int] = {}
    for number, step in enumerate(trace.steps):
        steps.append(_step(step, views[number], scene, packer))
        steps[-1]["from"] = [latest.get(n, makers.get(n, 0)) for n in step.inputs]
        latest[step.output] = number
    return {"values": values, "steps": steps, "arrays": packer.arrays}


def _value(number: int, trace: Trace, kept: Kept, packer: Packer) -> dict[str, Any]:
    value, chosen = trace.values[number], kept[number]
    array, gradient = value.as_map, value.gradient
    if gradient is not None:
        gradient = gradient.reshape(value.map_shape)
    if chosen is not None:
        array = array[..., chosen]
        gradient = None if gradient is None else gradient[..., chosen]
    return {"shape": list(value.array.shape), "map": list(value.map_shape),
            "kept": None if chosen is None else chosen.tolist(), "data": packer.add(array),
            "gradient": packer.add_rough(gradient),
            "gradient_norm": None if gradient is None else _norm(value.gradient)}


def _step(step: Step, view: str, scene: Scene, packer: Packer) -> dict[str, Any]:
    described = describe(step, view, scene)
    activation = described["activation"]
    shown, letters = formulas(view, activation["name"] if activation else None)
    kind = type(step.layer).__name__ if step.layer is not None else "Input"
    if step.layer is None and step.inputs == [] and step.output:
        kind = "(operation)"
    packed = {name: _packed(name, item, packer) for name, item in described.items()}
    return {"name": step.name, "kind": kind, "view": view, "inputs": step.inputs,
            "output": step.output, "formulas": shown, "letters": letters,
            "multiply_adds": step.multiply_adds, "weights": _weights(step), **packed}


def _packed(name: str, item: Any, packer: Packer) -> Any:
    if not isinstance(item, np.ndarray):
        return item
    return {"array": packer.add_rough(item) if name in ROUGH else packer.add(item),
            "shape": list(item.shape)}


def _weights(step: Step) -> list[dict[str, Any]]:
    if step.layer is None:
        return []
    tensors = {**step.layer.named_parameters(), **step.layer.named_buffers()}
    return [{"name": name, "shape": list(t.shape), "count": int(t.size), "norm": _norm(t.array),
             "trained": name in step.gradients,
             "gradient_norm": _norm(step.gradients.get(name))} for name, t in tensors.items()]


def _norm(array: np.ndarray | None) -> float | None:
    return None if array is None else float(np.linalg.norm(np.float64(array).reshape(-1)))
