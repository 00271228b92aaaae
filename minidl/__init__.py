"""minidl: a small deep learning engine for convolutional networks, readable and fast.

>>> import minidl as dl
>>> x = dl.Tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad.numpy()
array([2., 4.], dtype=float32)

Public names are imported when they are first used (PEP 562), so `import minidl` takes no longer
than NumPy does and compiles nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    # tensors
    "Tensor": "autograd.tensor:Tensor",
    "Parameter": "autograd.parameter:Parameter",
    "as_tensor": "autograd.tensor:as_tensor",
    "empty": "autograd.tensor:empty",
    "functional": "autograd.functional",
    "apply": "autograd.tape:apply",
    "define_op": "ops.registry:define",
    # switches
    "no_grad": "config:no_grad",
    "enable_grad": "config:enable_grad",
    "threads": "config:threads",
    # models
    "Module": "nn:Module",
    "Sequential": "nn:Sequential",
    "Model": "nn:Model",
    "Input": "nn:Input",
    "layers": "nn.layers",
    "models": "models",
    "load_model": "nn.load:load_model",
    # training
    "optim": "optim",
    "schedules": "optim.schedules",
    "losses": "train.losses",
    "metrics": "train.metrics",
    "callbacks": "train.callbacks",
    "recipes": "recipes",
    # data and pictures
    "data": "data",
    "DataLoader": "data:DataLoader",
    "datasets": "data.datasets",
    "viz": "viz",
    # the rest
    "errors": "errors",
    "random": "random",
}
"""Where each public name lies: "module", or "module:name"."""

__all__ = [*_PLACES, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _PLACES:
        raise AttributeError(f"module 'minidl' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    found = importlib.import_module(f".{module}", __name__)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
