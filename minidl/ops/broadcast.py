"""The gradient of NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..spec import Spec


def unbroadcast(run: Callable, gradient: np.ndarray, spec: Spec) -> np.ndarray:
    """Sum a gradient over the axes along which its input was repeated."""
    if gradient.shape == spec.shape:
        return gradient
    extra = gradient.ndim - len(spec.shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(spec.shape) if n == 1 != gradient.shape[extra + i])
    return run("sum", gradient, axis=axes, keepdims=True).reshape(spec.shape)
