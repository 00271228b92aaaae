"""Weights for Keras, written without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..errors import FormatError
from ..files import replacing
from ..nn import Model, Sequential
from ..nn.graph import InputLayer
from ..nn.module import Module
from .keras_order import keras_layers, keras_paths

ATTRIBUTE = 64_000  # bytes; what HDF5 keeps in an object's header


def save_keras_weights(model: Any, path: str | Path) -> None:
    """Write the weights of a model for Keras, which loads them into the same architecture.

    The ending decides the layout. `.weights.h5` is that of version 3: `model.load_weights(path)`
    takes the layers by their place in the model, so the network there has to be of the same layers
    in the same graph. Any other `.h5` is that of version 2, which both versions read:
    `load_weights(path)` takes layers in order, `load_weights(path, by_name=True)` by name.

    What is there is replaced when the new file is whole.

    Raises:
        FormatError: the ending is another one, or the model has no weights yet.
        CheckpointError: the file cannot be written.

    >>> from minidl.nn import Input
    >>> from minidl.nn.layers import Dense
    >>> save_keras_weights(Sequential([Input((4,)), Dense(3)]), "small.weights.h5")
    """
    target = Path(path)
    if target.suffix != ".h5":
        raise FormatError(str(path), f"got the ending {target.suffix!r}",
                          "expected .weights.h5 or .h5", "Keras asks for these endings.")
    if any(not part.built for part in model.leaf_modules()) or not model.parameters():
        raise FormatError(str(path), "the model has no weights yet", "",
                          "Call the model once, or put an Input in front.")
    write = _version_3 if target.name.endswith(".weights.h5") else _version_2
    import h5py
    with replacing(target) as aside, h5py.File(aside, "w") as file:
        write(model, file)


def _own(layer: Module) -> dict[str, np.ndarray]:
    """Return the weights directly in a layer, trained ones first, as Keras orders them."""
    tensors = {**layer.named_parameters(), **layer.named_buffers()}
    return {name: tensor.array for name, tensor in tensors.items()
            if "/" not in name and isinstance(getattr(layer, name, None), Tensor)}


def _version_3(model: Any, file: Any) -> None:
    for path, layer in keras_paths(model):
        group = file.create_group(f"{path}/vars" if path else "vars")
        group.attrs["name"] = layer.name or layer.default_name()
        for number, array in enumerate(_own(layer).values()):
            group.create_dataset(str(number), data=array)


# ---- version 2 -----------------------------------------------------------------------------


def _version_2(model: Any, file: Any) -> None:
    if not isinstance(model, (Model, Sequential)):
        raise FormatError(str(file.filename), f"a {type(model).__name__} is no list of layers",
                          "expected a Sequential or a Model", "Write a .weights.h5 file.")
    names = {layer: name for name, layer in model.named_children().items()}
    layers = [(names.get(layer) or layer.name or "input", layer) for layer in keras_layers(model)]
    file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "2.15.0"
    _write_names(file, "layer_names", [name for name, _ in layers])
    for name, layer in layers:
        group = file.create_group(name)
        arrays = {} if isinstance(layer, InputLayer) else {
            f"{name}/{path}:0": tensor.array for path, tensor in
            {**layer.named_parameters(), **layer.named_buffers()}.items()}
        _write_names(group, "weight_names", list(arrays))
        for weight, array in arrays.items():
            group.create_dataset(weight, data=array)


def _write_names(group: Any, key: str, names: list[str]) -> None:
    """Write a list of names, in several attributes if it is too long for one."""
    coded = np.array([name.encode() for name in names] or [], "S")
    pieces = max(1, -(-coded.nbytes // ATTRIBUTE))
    for number, piece in enumerate(np.array_split(coded, pieces)):
        group.attrs[f"{key}{number}" if pieces > 1 else key] = piece
