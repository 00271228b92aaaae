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
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # for editors and type checkers; a test holds it to the table
    from . import config as config
    from . import data as data
    from . import errors as errors
    from . import io as io
    from . import models as models
    from . import nn as nn
    from . import optim as optim
    from . import random as random
    from . import recipes as recipes
    from . import viz as viz
    from .autograd import functional as functional
    from .autograd.parameter import Parameter as Parameter
    from .autograd.tape import apply as apply
    from .autograd.tensor import Tensor as Tensor
    from .autograd.tensor import as_tensor as as_tensor
    from .autograd.tensor import empty as empty
    from .config import enable_grad as enable_grad
    from .config import no_grad as no_grad
    from .config import threads as threads
    from .data import DataLoader as DataLoader
    from .data import datasets as datasets
    from .nn import Input as Input
    from .nn import Model as Model
    from .nn import Module as Module
    from .nn import Sequential as Sequential
    from .nn import layers as layers
    from .nn.load import load_model as load_model
    from .nn.statistics import update_batch_norm as update_batch_norm
    from .ops.registry import define as define_op  # noqa: F401
    from .optim import schedules as schedules
    from .plan.record import record as record
    from .train import callbacks as callbacks
    from .train import losses as losses
    from .train import metrics as metrics
    from .train.crops import ten_crop_predict as ten_crop_predict
    from .train.ensemble import Ensemble as Ensemble
    from .train.ensemble import train_ensemble as train_ensemble
    from .train.finder import find_learning_rate as find_learning_rate
    from .train.inspect import profile as profile
    from .train.inspect import trace_nan as trace_nan

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
    "config": "config",
    "no_grad": "config:no_grad",
    "enable_grad": "config:enable_grad",
    "threads": "config:threads",
    # models
    "Module": "nn:Module",
    "Sequential": "nn:Sequential",
    "Model": "nn:Model",
    "Input": "nn:Input",
    "nn": "nn",
    "layers": "nn.layers",
    "models": "models",
    "load_model": "nn.load:load_model",
    "io": "io",
    # training
    "optim": "optim",
    "schedules": "optim.schedules",
    "losses": "train.losses",
    "metrics": "train.metrics",
    "callbacks": "train.callbacks",
    "find_learning_rate": "train.finder:find_learning_rate",
    "Ensemble": "train.ensemble:Ensemble",
    "train_ensemble": "train.ensemble:train_ensemble",
    "update_batch_norm": "nn.statistics:update_batch_norm",
    "ten_crop_predict": "train.crops:ten_crop_predict",
    "profile": "train.inspect:profile",
    "trace_nan": "train.inspect:trace_nan",
    "record": "plan.record:record",
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
