"""GPU kernels of the update ops: all parameters, gradients and slots in one pass over memory."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...backend.arrays import address
from ...backend.device import CTYPES
from ...spec import Spec
from ..registry import kernel_for
from .cpu_rows import by_type
from .cuda_rows import CODE, THREADS, Pulls, blocks_of, fields_of, launch
from .formulas import UPDATES

ATTRIBUTES = 8  # numbers that a rule gets, weight decay first


# ---- workspace -----------------------------------------------------------------------------


def _workspace(name: str, hyper: Spec, *arrays: Spec, clip_norm: float | None, if_finite: bool,
               penalties: Pulls, **attrs: Any) -> dict[str, Spec]:
    if clip_norm is None and not if_finite:
        return {}
    parameters = arrays[:len(arrays) // (2 + len(UPDATES[name].present(attrs)))]
    blocks = blocks_of(parameters, fields_of(2, _pulls(penalties)))
    double = np.dtype("float64")
    return {"squares": Spec((blocks,), double), "scale": Spec((1,), double)}


def _update_kernel(name: str) -> Callable[[Callable], Callable]:
    return kernel_for(name, workspace=partial(_workspace, name))


# ---- all parameters ------------------------------------------------------------------------


def _pulls(penalties: Pulls) -> list[tuple[float, float]]:
    """Return l1 and 2 l2 of each parameter, or nothing if all are 0."""
    return [(l1, 2 * l2) for l1, l2 in penalties] if any(map(any, penalties)) else []


def _update(rule: str, hyper: np.ndarray, arrays: Sequence[np.ndarray], out: np.ndarray | tuple,
            present: Sequence[bool], work: dict, numbers: Sequence[float], *, penalties: Pulls,
            clip_norm: float | None, clip_value: float | None, if_finite: bool) -> None:
    """Take a step by a rule, a struct of `update.cu`.

    Args:
        present: which of the rule's slots the call has.
        numbers: weight decay and the rule's own attributes.
    """
    results = out if isinstance(out, tuple) else (out,)
    count = len(arrays) - len(results)
    sources, gradients = (*arrays[:count], *arrays[2 * count:]), arrays[count:2 * count]
    apart = any(address(a) != address(b) for a, b in zip(sources, results, strict=True))
    pulls, groups = _pulls(penalties), by_type(results[:count])
    bits = sum(1 << k for k, there in enumerate(present) if there)
    defines = {"RULE": rule, "PRESENT": str(bits), "PENALTIES": str(int(bool(pulls))),
               "SCALED": str(int(if_finite or clip_norm is not None)),
               "IF_FINITE": str(int(if_finite)),
               "LIMITED": str(int(clip_value is not None)), "APART": str(int(apart)),
               "HYPER": CTYPES[hyper.dtype.name]}
    if if_finite or clip_norm is not None:
        norm = math.inf if clip_norm is None else clip_norm
        _scale(sources[:count], gradients, groups, pulls, norm, defines, work)
    attributes = struct.pack(f"{ATTRIBUTES}d", *numbers, *[0.0] * (ATTRIBUTES - len(numbers)))
    for chosen in groups:
        columns = [*_columns(results, count), gradients,
                   *(_columns(sources, count) if apart else ())]
        launch("update", [[c[i] for i in chosen] for c in columns],
               [pulls[i] for i in chosen] if pulls else (), defines, (hyper,), attributes,
               work.get("scale"), float(clip_value or 0.0))


def _columns(arrays: Sequence[np.ndarray], count: int) -> list[Sequence[np.ndarray]]:
    """Return arrays group by group: parameters, then each of the slots."""
    return [arrays[k:k + count] for k in range(0, len(arrays), count)]


def _scale(parameters: Sequence[np.ndarray], gradients: Sequence[np.ndarray],
           groups: Sequence[Sequence[int]], pulls: Pulls, norm: float, defines: dict[str, str],
           work: dict) -> None:
    """Write the factor that brings the gradients' common L2 norm down to `norm`.

    With "IF_FINITE" it is no number where the norm is not finite.
    """
    done = 0
    for chosen in groups:
        done = launch("squares", [[c[i] for i in chosen] for c in (parameters, gradients)],
                      [pulls[i] for i in chosen] if pulls else (), defines, (),
                      sums=work["squares"], at=done)
    CODE.launch("limit", "float32", 1, THREADS, work["squares"], done, work["scale"], float(norm),
                defines={"IF_FINITE": defines["IF_FINITE"]})


# ---- kernels; `gradient` stands for penalties, clip_norm, clip_value and if_finite -----------


@_update_kernel("sgd")
def sgd(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict,
        momentum: float, nesterov: bool, weight_decay: float, **gradient: Any) -> None:
    """Write a step of gradient descent."""
    weights = (momentum, 1.0) if nesterov else (1.0, 0.0)
    _update("Sgd", hyper, arrays, out, (bool(momentum),), work,
            (weight_decay, momentum, *weights), **gradient)


@_update_kernel("rmsprop")
def rmsprop(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
            work: dict, rho: float, momentum: float, epsilon: float, centered: bool,
            weight_decay: float, **gradient: Any) -> None:
    """Write a step of RMSprop."""
    _update("Rmsprop", hyper, arrays, out, (True, centered, bool(momentum)), work,
            (weight_decay, 1 - rho, momentum, epsilon), **gradient)


@_update_kernel("adam")
def adam(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict,
         beta_1: float, beta_2: float, epsilon: float, amsgrad: bool, weight_decay: float,
         **gradient: Any) -> None:
    """Write a step of Adam."""
    _update("Adam", hyper, arrays, out, (True, True, amsgrad), work,
            (weight_decay, beta_1, beta_2, epsilon), **gradient)


@_update_kernel("nadam")
def nadam(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
          work: dict, beta_1: float, beta_2: float, epsilon: float, weight_decay: float,
          **gradient: Any) -> None:
    """Write a step of Nadam."""
    _update("Nadam", hyper, arrays, out, (True, True), work,
            (weight_decay, beta_1, beta_2, epsilon), **gradient)


@_update_kernel("adagrad")
def adagrad(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
            work: dict, epsilon: float, weight_decay: float, **gradient: Any) -> None:
    """Write a step of Adagrad."""
    _update("Adagrad", hyper, arrays, out, (True,), work, (weight_decay, epsilon), **gradient)


@_update_kernel("adadelta")
def adadelta(hyper: np.ndarray, *arrays: np.ndarray, out: np.ndarray | tuple, saved: dict,
             work: dict, rho: float, epsilon: float, weight_decay: float, **gradient: Any) -> None:
    """Write a step of Adadelta."""
    _update("Adadelta", hyper, arrays, out, (True, True), work,
            (weight_decay, 1 - rho, epsilon), **gradient)
