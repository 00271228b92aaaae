"""Ops on sequences (N, L, C), computed by the kernels of ops on images (N, 1, L, C).

A sequence is an image of one row, and a window of K elements one of 1 x K. Only views are made, so
every variant of the image op serves the sequence op too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..spec import Spec
from . import registry
from .registry import Kernel

SQUARE_ONLY = ("winograd",)  # variants for square windows; a sequence's window has one row
_FIRST = {"size": (1,), "window": (1,), "stride": (1,), "dilation": (1,), "padding": ((0, 0),)}


def lifted_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes of a window over sequences as those of one over images.

    >>> lifted_attrs({"window": (3,), "padding": ((1, 0),), "groups": 2})
    {'window': (1, 3), 'padding': ((0, 0), (1, 0)), 'groups': 2}
    """
    return {k: (*_FIRST[k], *v) if k in _FIRST else v for k, v in attrs.items()}


def lifted(array: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return a view with an axis of length 1 more: 1 for sequences, 0 for kernels."""
    return np.expand_dims(array, axis)


def run_lifted(run: Callable, name: str, *arrays: np.ndarray | None, **attrs: Any) -> Any:
    """Run an image op on arrays that are lifted already, with attributes of sequences."""
    return run(name, *arrays, **lifted_attrs(attrs))


def lifted_kernels(name: str, axes: Sequence[int | None]) -> Callable[[str], tuple[Kernel, ...]]:
    """Return a function of a device: the kernels of an image op as those of a sequence op.

    Args:
        axes: per input the axis of length 1 that it gets; None leaves it as it is.
    """
    return partial(_lifted_kernels, name, tuple(axes))


def _lifted_kernels(name: str, axes: Sequence[int | None], device: str) -> tuple[Kernel, ...]:
    return tuple(replace(
        kernel, place=partial(_compute, kernel, axes),
        accepts=kernel.accepts and partial(_ask, kernel.accepts, axes),
        pays=kernel.pays and partial(_ask, kernel.pays, axes),
        workspace=kernel.workspace and partial(_ask, kernel.workspace, axes), pitched=False)
        for kernel in registry.get(name).variants(device) if kernel.name not in SQUARE_ONLY)


def _ask(question: Callable, axes: Sequence[int | None], *specs: Spec | None, **attrs: Any) -> Any:
    wide = (s if s is None or a is None else Spec((*s.shape[:a], 1, *s.shape[a:]), s.dtype)
            for s, a in zip(specs, axes, strict=True))
    return question(*wide, **lifted_attrs(attrs))


def _compute(kernel: Kernel, axes: Sequence[int | None], *arrays: np.ndarray | None,
             out: np.ndarray, saved: Mapping[str, np.ndarray], work: Mapping[str, np.ndarray],
             **attrs: Any) -> None:
    wide = (x if x is None or a is None else lifted(x, a)
            for x, a in zip(arrays, axes, strict=True))
    kernel.function(*wide, out=lifted(out), saved={k: lifted(v) for k, v in saved.items()},
                    work=work, **lifted_attrs(attrs))
