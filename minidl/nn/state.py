"""The values of a module's weights: finding, copying, loading and converting them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import dispatch
from ..autograd.tensor import Tensor
from ..backend import device as devices
from ..backend.arrays import HOST
from ..backend.device import to_host
from ..errors import ArgumentError, CheckpointError, DTypeError
from ..spec import FLOATS

if TYPE_CHECKING:
    from .holder import Holder

T = TypeVar("T", bound=Tensor)


def tensors(module: Holder, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Yield all tensors of a class with their paths, each once."""
    from .holder import parts_of, walk
    seen: set[int] = set()
    for path, part in walk(module):
        for name, tensor in parts_of(part):
            if isinstance(tensor, kind) and id(tensor) not in seen:
                seen.add(id(tensor))
                yield f"{path}/{name}" if path else name, tensor


def named_tensors(module: Holder, kind: type[T]) -> dict[str, T]:
    """Return all tensors of a class by path, each once."""
    return dict(tensors(module, kind))


def _all(module: Holder) -> dict[str, Tensor]:
    return {**module.named_parameters(), **module.named_buffers()}


def state_dict(module: Holder) -> dict[str, np.ndarray]:
    """Return copies of all parameters and buffers by path.

    Raises:
        ArgumentError: the module makes weights on its first call, and there was none.
    """
    if not module.built and (waiting := _without_weights(module)):
        raise ArgumentError("state_dict", f"there are no weights yet in {', '.join(waiting[:3])}",
                            "", "Call the model once, or give it an Input.")
    return {path: to_host(tensor.array).copy() for path, tensor in _all(module).items()}


def load_state_dict(module: Holder, mapping: Mapping[str, Any], strict: bool = True) -> None:
    """Write arrays into the parameters and buffers; see `Module.load_state_dict`."""
    here = _all(module)
    arrays = {path: np.asarray(mapping[path]) for path in here if path in mapping}
    problems = [f"{path} has shape {a.shape}, the model's has {here[path].shape}"
                for path, a in arrays.items() if a.shape != here[path].shape]
    if strict:
        problems += _names("missing", set(here) - set(mapping))
        problems += _names("unexpected", set(mapping) - set(here))
    if problems:
        raise CheckpointError("load_state_dict", "the weights do not fit: " + "; ".join(problems),
                              "", _remedy(module))
    for path, array in arrays.items():
        here[path].assign(array)


def _names(word: str, names: set[str]) -> list[str]:
    return [f"{word} {', '.join(sorted(names))}"] if names else []


def _without_weights(module: Holder) -> list[str]:
    """Return the paths of the modules inside whose weights are made on their first call."""
    from .module import Module
    return [path or "the model" for path, m in module.named_modules().items()
            if not m.built and type(m).build is not Module.build]


def _remedy(module: Holder) -> str:
    if waiting := _without_weights(module):
        return f"No weights yet in {', '.join(waiting[:3])}; call the model once, or give an Input."
    return "Load into the same architecture, or give strict=False to pass over names."


def convert(module: Holder, dtype: np.dtype) -> None:
    """Convert all weights of a module to another floating type."""
    if dtype not in FLOATS:
        raise DTypeError("astype", f"got {dtype}", "expected float32 or float64", "Choose one.")
    for inner in module.modules():
        inner.dtype = dtype.name
    for tensor in _all(module).values():
        if tensor.dtype.kind == "f":
            tensor.array = dispatch.run("copy", tensor.array, dtype=dtype.name)
            _changed(tensor)


def move(module: Holder, device: str) -> None:
    """Let all weights of a module lie on a device."""
    if device != HOST:
        devices.get(device)
    for tensor in _all(module).values():
        if tensor.device != device:
            tensor.array = dispatch.move(tensor.array, device)
            tensor.storage.foreign = False  # a view that NumPy code has is of the array before
            _changed(tensor)


def _changed(tensor: Tensor) -> None:
    tensor.storage.version += 1
    tensor.grad = None
