"""safetensors files of other libraries: reading, and writing what PyTorch reads."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..files import replacing
from .bfloat16 import widened
from .groups import Layer, layers_of, split
from .layout import LAYOUTS, Layout, orders
from .match import Weights

PathLike = str | os.PathLike[str]

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
         "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
         "BOOL": "?"}
"""Element types of the format, and NumPy's; BF16 is widened to float32."""

FORMATS: dict[str, Layout] = {"pt": "channels_first", "tf": "channels_last",
                              "flax": "channels_last", "mlx": "channels_last"}
"""Layouts by the entry "format" that libraries write into the header."""

_OURS = "minidl"            # entry of files that minidl saved for itself
_LAYOUT, _NAMES = "minidl.layout", "minidl.names"  # entries of files written for others

TORCH_NAMES = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
               "moving_mean": "running_mean", "moving_variance": "running_var",
               "embeddings": "weight"}
"""What PyTorch calls the weights of layers."""


# ---- reading -------------------------------------------------------------------------------


def read_safetensors(path: PathLike, layout: Layout | None = None) -> Weights:
    """Return the arrays of a safetensors file; bfloat16 becomes float32.

    Args:
        layout: how kernels lie, "channels_first" as in PyTorch or "channels_last" as in Keras;
            by default what the header says, or else the names.

    Raises:
        FormatError: the file is missing or damaged, or its layout is not known.
    """
    from safetensors import SafetensorError, deserialize, safe_open
    path = Path(path)
    if layout not in (None, *LAYOUTS):
        raise FormatError("layout", f"got {layout!r}", f"expected one of {', '.join(LAYOUTS)}",
                          "PyTorch's files have the channels first.")
    try:
        with safe_open(path, framework="numpy") as file:
            header: dict[str, str] = file.metadata() or {}
        entries = deserialize(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(str(path), f"cannot be read ({error})", "expected a whole safetensors "
                          "file", "Fetch or save it again.") from error
    if _OURS in header:
        raise FormatError(str(path), "minidl saved it for itself", "expected a file of another "
                          "library", "Use model.load_weights or load_model for it.")
    arrays = {name: _array(path, name, entry) for name, entry in entries}
    ordered, known = _in_order(arrays, header)
    layout, notes = (layout, []) if layout else _layout_of(path, header, arrays)
    return Weights(ordered, layout, f"{path.name} (safetensors)", known, tuple(notes))


def _array(path: Path, name: str, entry: Mapping[str, Any]) -> np.ndarray:
    if entry["dtype"] not in TYPES:
        raise FormatError(str(path), f"{name} holds {entry['dtype']}",
                          f"expected one of {', '.join(TYPES)}",
                          "Save it as float32, float16 or bfloat16.")
    flat = np.frombuffer(entry["data"], TYPES[entry["dtype"]])
    return (widened(flat) if entry["dtype"] == "BF16" else flat).reshape(entry["shape"])


def _in_order(arrays: dict[str, np.ndarray], header: Mapping[str, str]
              ) -> tuple[dict[str, np.ndarray], bool]:
    """Return the arrays in the model's order where the header has it, else by natural order.

    The format sorts by type and name, so that "layer10" comes before "layer2".
    """
    try:
        names = json.loads(header.get(_NAMES, "[]"))
    except ValueError:
        names = []
    if isinstance(names, list) and sorted(arrays) == sorted(map(str, names)):
        return {name: arrays[name] for name in names}, True
    return {name: arrays[name] for name in sorted(arrays, key=_natural)}, False


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(len(part), part) if part.isdigit() else (0, part) for part in parts]


def _layout_of(path: Path, header: Mapping[str, str], arrays: Mapping[str, np.ndarray]
               ) -> tuple[Layout, list[str]]:
    """Return the layout by the header, else by the names of the arrays."""
    said = FORMATS.get(header.get("format", ""))
    said = next((known for known in LAYOUTS if header.get(_LAYOUT) == known), said)
    if said:
        return said, []
    parts = {split(name)[1] for name in arrays}
    if "weight" in parts and "kernel" not in parts:
        return "channels_first", ["the names are PyTorch's: taken as channels first"]
    if "kernel" in parts and "weight" not in parts:
        return "channels_last", ["the names are Keras's: taken as channels last"]
    raise FormatError(str(path), "does not say how its kernels lie", f"expected layout= one of "
                      f"{', '.join(LAYOUTS)}", 'Give layout="channels_first" for PyTorch\'s.')


# ---- writing -------------------------------------------------------------------------------


def save_torch(model: Any, path: PathLike, names: Mapping[str, str] | None = None) -> Path:
    """Write the weights as a safetensors file that PyTorch loads; return its path.

    Names and layout are PyTorch's: "conv1.weight" (O, I, KH, KW), "bn1.running_mean" and so on;
    dense layers after a flattened image take it with its channels first. In PyTorch,
    `module.load_state_dict(safetensors.torch.load_file(path))` reads it, where the module's parts
    have the names of the layers, "/" written as ".".

    Args:
        names: PyTorch's prefix of layers by their path, for those that are called otherwise there;
            `report.names` of a loaded file has them.

    Raises:
        FormatError: two weights would have one name, or the model has no weights yet.
        CheckpointError: the file cannot be written; an older one stays as it was.
    """
    from safetensors.numpy import save_file
    target = Path(path)
    found, _ = orders(model)
    layers = layers_of(model, "channels_first", found)
    if not layers:
        raise FormatError(str(target), "the model has no weights yet", "expected a model that was "
                          "built", "Call the model once, or give it an Input.")
    arrays: dict[str, np.ndarray] = {}
    for layer in layers:
        prefix = (names or {}).get(layer.path, layer.path.replace("/", "."))
        for role, array in _torch_arrays(layer).items():
            name = f"{prefix}.{role}" if prefix else role
            if name in arrays:
                raise FormatError("save_torch", f"two weights would be called {name!r}",
                                  "expected one name each", "Rename a layer, or give names.")
            arrays[name] = array
    header = {"format": "pt", _LAYOUT: "channels_first", _NAMES: json.dumps(list(arrays))}
    with replacing(target) as aside:
        save_file(arrays, aside, header)
    return target


def _torch_arrays(layer: Layer) -> dict[str, np.ndarray]:
    """Return the arrays of a layer by PyTorch's names, in PyTorch's layout."""
    found = {slot.role: np.ascontiguousarray(slot.turn.to_theirs(slot.tensor.array))
             for slot in layer.slots}
    if {"gamma", "beta"} & set(found):  # PyTorch has both or none
        channels = next(iter(found.values()))
        found = {"gamma": np.ones_like(channels), "beta": np.zeros_like(channels), **found}
    named = {TORCH_NAMES.get(role, role.replace("/", ".")): a for role, a in found.items()}
    if "moving_mean" in found:
        named["num_batches_tracked"] = np.zeros((), np.int64)
    return named
