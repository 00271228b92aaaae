"""GPU kernels of softmax and cross-entropy: one launch each, threads share rows (rows, classes)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device import CTYPES, Source, blocks_for
from ..registry import kernel_for
from ..rows import launch_rows

CODE = Source(__file__, "softmax_cross_entropy.cu")
THREADS = 128
Array = np.ndarray


def _launch(name: str, like: Array, *arguments: Any, wide: tuple[Array, ...],
            labels: Array | None = None) -> None:
    """Launch a kernel.

    Args:
        like: an array (..., classes).
        arguments: those before `rows` and `classes`, then those after, which are float.
        wide: the arrays that are read or written several classes at a time.
    """
    classes = like.shape[-1]
    rows = like.size // classes
    blocks, threads, defines = launch_rows(rows, classes, *wide)
    if labels is not None and labels.dtype.kind in "iu":
        defines["LABEL"] = CTYPES[labels.dtype.name]
    arrays = [a for a in arguments if not isinstance(a, float)]
    numbers = [a for a in arguments if isinstance(a, float)]
    CODE.launch(name, like.dtype, blocks, threads, *arrays, rows, classes, *numbers,
                defines=defines)


# ---- softmax and its logarithm -------------------------------------------------------------


@kernel_for("softmax")
def softmax(x: Array, *, out: Array, saved: dict, work: dict) -> None:
    """Write the probabilities."""
    _launch("softmax", x, x, out, wide=(x, out))


@kernel_for("softmax_gradient")
def softmax_gradient(gy: Array, y: Array, *, out: Array, saved: dict, work: dict) -> None:
    """Write the input gradient of softmax."""
    _launch("softmax_gradient", y, gy, y, out, wide=(gy, y, out))


@kernel_for("log_softmax")
def log_softmax(x: Array, *, out: Array, saved: dict, work: dict) -> None:
    """Write the logarithms of the probabilities."""
    _launch("log_softmax", x, x, out, wide=(x, out))


@kernel_for("log_softmax_gradient")
def log_softmax_gradient(gy: Array, y: Array, *, out: Array, saved: dict, work: dict) -> None:
    """Write the input gradient of log_softmax."""
    _launch("log_softmax_gradient", y, gy, y, out, wide=(gy, y, out))


# ---- losses --------------------------------------------------------------------------------


@kernel_for("softmax_cross_entropy")
def softmax_cross_entropy(x: Array, t: Array, *, out: Array, saved: dict, work: dict,
                          smoothing: float) -> None:
    """Write the loss of every row."""
    soft = t.dtype.kind == "f"
    _launch("loss_probabilities" if soft else "loss_labels", x, x, t, out, saved["log_sum"],
            smoothing, wide=(x, t) if soft else (x,), labels=t)


@kernel_for("softmax_cross_entropy_gradient")
def softmax_cross_entropy_gradient(gy: Array, x: Array, t: Array, log_sum: Array, *, out: Array,
                                   saved: dict, work: dict, smoothing: float) -> None:
    """Write the gradient of the logits."""
    soft = t.dtype.kind == "f"
    _launch("gradient_probabilities" if soft else "gradient_labels", x, gy, x, t, log_sum, out,
            smoothing, wide=(x, t, out) if soft else (x, out), labels=t)


@kernel_for("nll")
def nll(x: Array, t: Array, *, out: Array, saved: dict, work: dict) -> None:
    """Write minus the log-probability of every label."""
    CODE.launch("nll", x.dtype, blocks_for(t.size, THREADS), THREADS, x, t, out, t.size,
                x.shape[-1], defines={"LABEL": CTYPES[t.dtype.name]})


@kernel_for("nll_gradient")
def nll_gradient(gy: Array, t: Array, *, out: Array, saved: dict, work: dict, classes: int
                 ) -> None:
    """Write -gy at the labels and 0 elsewhere."""
    _launch("nll_gradient", out, gy, t, out, wide=(out,), labels=t)
