"""Transposed convolution: every element of x is spread over a window of y.

y[n, p*s + i*d - t, q*s + j*d - l, f] += sum over c of x[n, p, q, c] w[i, j, f, c], plus b[f]

x (N, H, W, C), w (KH, KW, F / groups, C), b (F) or None, y (N, P, Q, F); for sequences x (N, L, C),
w (K, F / groups, C), y (N, P, F). It is the gradient of a convolution with respect to its input,
and is computed by the kernel of that; its own gradients are a convolution and the weight gradient
of one. With r = (K - 1) d + 1 the length of y along an axis of length L is, as in Keras 3,

"valid": (L - 1) s + max(r, s); with output_padding o: (L - 1) s + r + o
"same": L s; with output_padding o: (L - 1) s + r % 2 + o
(t, u) cut off before and after, as in PyTorch: (L - 1) s + r - t - u + o
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Pads, Shape, Spec, need_float, need_ndim, padding_pairs, tuple_of
from ..conv2d import op as _conv2d  # noqa: F401 (its kernels do the work)
from ..lift import lifted, lifted_attrs, lifted_kernels
from ..registry import BadCall, Inferred, Kernel, Sample, define, get

Window = int | Sequence[int]

# ---- lengths -------------------------------------------------------------------------------


def _check_kernel(op: str, x: Spec, w: Spec, b: Spec | None, groups: int) -> None:
    need_float(op, x=x, w=w, **({} if b is None else {"b": b}))
    images = op == "conv2d_transpose"
    need_ndim(op, "x", x, 4 if images else 3, "(N, H, W, C)" if images else "(N, L, C)")
    need_ndim(op, "w", w, x.ndim, "(KH, KW, F, C)" if images else "(K, F, C)")
    if x.shape[-1] != w.shape[-1]:
        raise ShapeError(op, f"got x of shape {x.shape}",
                         f"the kernel is {w.shape}, so it expects {w.shape[-1]} input channels",
                         "In a transposed kernel the input channels come last, after the filters.")
    if groups < 1 or w.shape[-1] % groups:
        raise ArgumentError(op, f"got groups={groups}", f"it must divide {w.shape[-1]} input "
                            "channels", "Change groups or the channels.")
    if b is not None and b.shape != (w.shape[-2] * groups,):
        raise ShapeError(op, f"got b of shape {b.shape}", f"expected {(w.shape[-2] * groups,)}",
                         "One bias per output channel.")


def _length(size: int, reach: int, stride: int, padding: str | tuple[int, int],
            extra: int | None) -> tuple[int, tuple[int, int]]:
    """Return the length of y along one axis and what is cut off before and after."""
    whole = (size - 1) * stride + reach
    if isinstance(padding, tuple):
        return whole - sum(padding) + (extra or 0), padding
    if padding == "valid":
        return whole + (max(stride - reach, 0) if extra is None else extra), (0, 0)
    length = size * stride if extra is None else whole - reach + reach % 2 + extra
    cut = max(whole - length, 0)
    return length, (cut // 2, cut - cut // 2)


def infer(op: str, x: Spec, w: Spec, b: Spec | None, stride: Window = 1, padding: Any = "valid",
          output_padding: Window | None = None, dilation: Window = 1, groups: int = 1) -> Inferred:
    """Check a transposed convolution and return the shape of its result."""
    _check_kernel(op, x, w, b, groups)
    sizes, n = x.shape[1:-1], x.ndim - 2
    step, spread = tuple_of(op, "stride", stride, n), tuple_of(op, "dilation", dilation, n)
    extra = ((None,) * n if output_padding is None
             else tuple_of(op, "output_padding", output_padding, n, lowest=0))
    if any(e is not None and e >= s for e, s in zip(extra, step, strict=True)):
        raise ArgumentError(op, f"got output_padding={output_padding!r} with stride {step}",
                            "it must be smaller than the stride", "Use less, or None.")
    reach = tuple((k - 1) * d + 1 for k, d in zip(w.shape[:n], spread, strict=True))
    pads = ((padding,) * n if padding in ("valid", "same")
            else padding_pairs(op, padding, sizes, reach, step, (1,) * n))
    lengths, cuts = zip(*map(_length, sizes, reach, step, pads, extra), strict=True)
    if min(*sizes, *lengths) < 1:
        raise ShapeError(op, f"got x of shape {x.shape} with padding {padding!r}",
                         "nothing would be left", "Use less padding or a larger input.")
    return Inferred((Spec((x.shape[0], *lengths, w.shape[-2] * groups), x.dtype),), attrs={
        "size": lengths, "stride": step, "padding": cuts, "dilation": spread, "groups": groups})


# ---- reference -----------------------------------------------------------------------------


def reference(op: str, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, **given: Any
              ) -> np.ndarray:
    """Spread every element of x over its window, in an array with room for all, and cut."""
    if x.ndim == 3:
        attrs = infer(op, *_specs(x, w, b), **given).attrs
        return _spread(lifted(x), lifted(w, 0), b, **lifted_attrs(attrs))[:, 0]
    return _spread(x, w, b, **infer(op, *_specs(x, w, b), **given).attrs)


def _specs(*arrays: np.ndarray | None) -> Any:
    return (None if a is None else Spec(a.shape, a.dtype) for a in arrays)


def _spread(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, size: Shape, stride: Shape,
            padding: Pads, dilation: Shape, groups: int) -> np.ndarray:
    room = [n + before + after for n, (before, after) in zip(size, padding, strict=True)]
    y = np.zeros((len(x), *room, w.shape[2] * groups))
    c, f = w.shape[3] // groups, w.shape[2]
    for p, q, i, j, g in np.ndindex(*x.shape[1:3], *w.shape[:2], groups):
        at = p * stride[0] + i * dilation[0], q * stride[1] + j * dilation[1]
        y[:, at[0], at[1], g * f:g * f + f] += (
            x[:, p, q, g * c:g * c + c] @ w[i, j, :, g * c:g * c + c].T)
    (top, _), (left, _) = padding
    y = y[:, top:top + size[0], left:left + size[1]]
    return y if b is None else y + b


# ---- gradients and kernels -----------------------------------------------------------------


def _input_rule(run: Callable, gy: np.ndarray, w: np.ndarray, stride: Shape, padding: Pads,
                dilation: Shape, groups: int) -> np.ndarray:
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return run("conv2d" if gy.ndim == 4 else "conv1d", gy, w, None, **attrs)


def _weight_rule(run: Callable, gy: np.ndarray, x: np.ndarray, w_spec: Spec, stride: Shape,
                 padding: Pads, dilation: Shape, groups: int) -> np.ndarray:
    attrs = {"window": w_spec.shape[:-2], "stride": stride, "padding": padding,
             "dilation": dilation, "groups": groups}
    if gy.ndim == 4:
        return run("conv2d_weight_gradient", gy, x, **attrs)
    return run("conv2d_weight_gradient", lifted(gy), lifted(x), **lifted_attrs(attrs))[0]


def _bias_rule(run: Callable, gy: np.ndarray) -> np.ndarray:
    return run("sum", gy, axis=tuple(range(gy.ndim - 1)))


def _kernels(device: str) -> tuple[Kernel, ...]:
    """Return the kernels of conv2d_transpose on a device."""
    return tuple(map(_biased, get("conv2d_input_gradient").variants(device)))


def _biased(kernel: Kernel) -> Kernel:
    """Return a kernel of conv2d_input_gradient as one of conv2d_transpose."""
    def compute(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, **rest: Any) -> None:
        module = import_module(f"{__package__}.{kernel.device}")
        module.conv2d_transpose(x, w, b, by=kernel.function, **rest)

    def ask(question: Callable, x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> Any:
        return question(x, w, **attrs)

    return replace(kernel, place=compute, accepts=kernel.accepts and partial(ask, kernel.accepts),
                   pays=kernel.pays and partial(ask, kernel.pays),
                   workspace=kernel.workspace and partial(ask, kernel.workspace))


# ---- the ops -------------------------------------------------------------------------------


def _flops(x: Spec, w: Spec, b: Spec | None, **attrs: Any) -> int:
    return 2 * x.size * w.size // w.shape[-1]


def _define(name: str, kernels: Callable[[str], tuple[Kernel, ...]], samples: Sequence[Sample],
            bad_calls: Sequence[BadCall]) -> None:
    define(name, inputs=("x", "w", "b"), optional=("b",), infer=partial(infer, name),
           reference=partial(reference, name), kernels=kernels, flops=_flops, samples=samples,
           bad_calls=bad_calls,
           gradients={"x": _input_rule, "w": _weight_rule, "b": _bias_rule})


def _bad_calls(x: Shape, w: Shape, axes: str) -> tuple[BadCall, ...]:
    wrong: tuple[tuple[Shape, Shape, Shape | None, Mapping[str, Any], str], ...] = (
        ((*x, 2), w, None, {}, f"expected {axes}"),
        ((*x[:-1], 5), w, None, {}, f"expects {x[-1]} input channels"),
        (x, w, (7,), {}, "One bias per output channel"),
        (x, w, None, {"groups": 5}, "it must divide"),
        (x, w, None, {"output_padding": 2, "stride": 2}, "smaller than the stride"),
        (x, w, None, {"padding": 9}, "nothing would be left"),
        (x, w, None, {"padding": "full"}, "padding='full'"),
        (x, w, None, {"stride": 0}, "at least 1"))
    return (*(BadCall((a, b, c), attrs, text) for a, b, c, attrs, text in wrong),
            BadCall((np.zeros(x, int), w, None), {}, "expected float"))


_define("conv2d_transpose", _kernels, (
    Sample(((2, 3, 4, 3), (3, 2, 5, 3), (5,))),
    Sample(((2, 3, 4, 3), (3, 3, 4, 3), (4,)), {"stride": 2, "padding": "same"}),
    Sample(((2, 3, 2, 3), (3, 2, 4, 3), None), {"stride": (4, 1)}),
    Sample(((1, 3, 3, 2), (3, 2, 3, 2), (3,)), {
        "stride": 2, "padding": ((1, 0), (1, 2)), "output_padding": 1, "dilation": (1, 2)}),
    Sample(((1, 3, 4, 2), (4, 3, 3, 2), None), {
        "stride": (2, 3), "padding": "same", "output_padding": (1, 2)}),
    Sample(((2, 4, 3, 4), (3, 3, 3, 4), (6,)), {"stride": 2, "groups": 2, "padding": 1}),
    Sample(((2, 4, 3, 5), (3, 3, 1, 5), (5,)), {"stride": 2, "groups": 5, "padding": "same"}),
    Sample(((2, 4, 3, 8), (3, 3, 9, 8), (9,)), {"padding": 1})),
    _bad_calls((1, 3, 4, 3), (3, 3, 4, 3), "(N, H, W, C)"))
_define("conv1d_transpose", lifted_kernels("conv2d_transpose", (1, 0, None)), (
    Sample(((2, 4, 3), (3, 5, 3), (5,))),
    Sample(((2, 4, 3), (4, 5, 3), None), {"stride": 3, "padding": "same"}),
    Sample(((2, 6, 3), (3, 1, 3), None), {"groups": 3}),
    Sample(((3, 4, 4), (2, 3, 4), (6,)), {
        "stride": 3, "padding": ((1, 0),), "output_padding": 2, "groups": 2, "dilation": 2})),
    _bad_calls((1, 5, 3), (3, 4, 3), "(N, L, C)"))
