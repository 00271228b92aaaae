"""Affine warp: y[n, i, j] = x[n] at row u, column v.

u = m[n, 0] i + m[n, 1] j + m[n, 2], v = m[n, 3] i + m[n, 4] j + m[n, 5]

x, y (N, H, W, C); m (N, 6) leads from a pixel of y to its place in x. There `interpolation`
"bilinear" takes the mean of the four pixels around, each by its nearness; "nearest" rounds u and v
to the nearest pixel, floor(u + 1/2). Where that lies beyond the edge, `fill_mode` continues a row
abcd: "nearest" aaaa|abcd|dddd, "reflect" dcba|abcd|dcba, "wrap" abcd|abcd|abcd, "constant"
kkkk|abcd|kkkk with k = `fill_value`. y is linear in x up to k; the gradient is the transposed map,
which adds each gy to the pixels that it was made of.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...spec import Spec, need_float, need_ndim
from ..registry import BadCall, Inferred, Sample, define

Array = np.ndarray
FILL_MODES = ("nearest", "reflect", "wrap", "constant")
INTERPOLATIONS = ("bilinear", "nearest")


def check_fill_mode(where: str, fill_mode: str) -> str:
    """Return the fill mode, or raise naming `where`."""
    if fill_mode not in FILL_MODES:
        raise ArgumentError(where, f"got fill_mode={fill_mode!r}",
                            f"expected {', '.join(FILL_MODES)}", "Choose one of them.")
    return fill_mode


def check_interpolation(where: str, interpolation: str) -> str:
    """Return the interpolation, or raise naming `where`."""
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(where, f"got interpolation={interpolation!r}",
                            f"expected {', '.join(INTERPOLATIONS)}", "Choose one of them.")
    return interpolation


def infer(x: Spec, matrix: Spec, fill_mode: str = "nearest", fill_value: float = 0.0,
          interpolation: str = "bilinear") -> Inferred:
    """Check a warp."""
    need_float("affine_warp", x=x, matrix=matrix)
    need_ndim("affine_warp", "x", x, 4, "(N, H, W, C)")
    if matrix.shape != (x.shape[0], 6):
        raise ShapeError("affine_warp", f"got a matrix of shape {matrix.shape} for x of shape "
                         f"{x.shape}", f"expected {(x.shape[0], 6)}",
                         "Give two rows of three numbers per image, one after the other.")
    return Inferred((x,), attrs={"fill_mode": check_fill_mode("affine_warp", fill_mode),
                                 "fill_value": float(fill_value),
                                 "interpolation": check_interpolation("affine_warp",
                                                                      interpolation)})


# ---- reference -----------------------------------------------------------------------------

_PAD = {"nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}


def _stand_ins(index: Array, size: int, fill_mode: str) -> Array:
    """Return the pixels that stand for pixels beyond an edge, -1 where there is none."""
    margin = max(0, -int(index.min(initial=0)), int(index.max(initial=0)) - size + 1)
    numbers = np.arange(size)
    table = (np.pad(numbers, margin, constant_values=-1) if fill_mode == "constant" else
             np.pad(numbers, margin, _PAD[fill_mode]))  # type: ignore[call-overload]
    return table[index + margin]


def _corners(shape: tuple[int, ...], matrix: Array, fill_mode: str, interpolation: str
             ) -> Iterator[tuple[Array, Array, Array]]:
    """Yield rows, columns and weights (N, H, W) of the four pixels around each place."""
    i, j = np.mgrid[:shape[1], :shape[2]]
    m = matrix[:, :, None, None]
    u, v = (m[:, k] * i + m[:, k + 1] * j + m[:, k + 2] for k in (0, 3))
    if interpolation == "nearest":
        u, v = np.floor(u + 0.5), np.floor(v + 0.5)
    top, left = np.floor(u).astype(int), np.floor(v).astype(int)
    for below in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - below - (u - top)) * np.abs(1 - right - (v - left))
            yield (_stand_ins(top + below, shape[1], fill_mode),
                   _stand_ins(left + right, shape[2], fill_mode), weight)


def _reference(x: Array, matrix: Array, fill_mode: str = "nearest", fill_value: float = 0.0,
               interpolation: str = "bilinear") -> Array:
    sample, y = np.arange(len(x))[:, None, None], np.zeros(x.shape)
    for rows, columns, weight in _corners(x.shape, matrix, fill_mode, interpolation):
        outside = (rows < 0) | (columns < 0)
        pixel = np.where(outside[..., None], fill_value, x[sample, rows, columns])
        y += weight[..., None] * pixel
    return y


def _reference_gradient(gy: Array, matrix: Array, fill_mode: str, interpolation: str) -> Array:
    sample, gx = np.arange(len(gy))[:, None, None], np.zeros(gy.shape)
    for rows, columns, weight in _corners(gy.shape, matrix, fill_mode, interpolation):
        inside = (rows >= 0) & (columns >= 0)
        np.add.at(gx, (sample, rows, columns), (weight * inside)[..., None] * gy)
    return gx


# ---- the records ---------------------------------------------------------------------------

def _flops(x: Spec, *_: Spec, **__: object) -> int:
    return 8 * x.size


def _turns(count: int, size: float) -> object:
    """Return a function that draws matrices near a turn about (size / 2, size / 2)."""
    def draw(rng: np.random.Generator) -> Array:
        matrix = rng.standard_normal((count, 2, 3)) + np.eye(2, 3)
        matrix[..., 2] += size / 2 - matrix[..., :2].sum(-1) * size / 2
        return matrix.reshape(count, 6)

    return draw


NEAREST = {"interpolation": "nearest"}
_SHIFT = np.array([[1.0, 0.0, 1.25, 0.0, 1.0, -2.5]])
define("affine_warp", inputs=("x", "matrix"), hosted=("matrix",), infer=infer,
       reference=_reference, flops=_flops,
       gradients={"x": lambda run, gy, matrix, fill_mode, interpolation: run(
           "affine_warp_gradient", gy, matrix, fill_mode=fill_mode,
           interpolation=interpolation)},
       samples=(*(Sample(((3, 5, 6, channels), _turns(3, 5)), {"fill_mode": mode, **more})
                  for channels, mode, more in (
                      (3, "nearest", {}), (1, "reflect", {}), (2, "wrap", {}), (3, "constant", {}),
                      (1, "constant", {"fill_value": 0.7}),
                      (3, "nearest", NEAREST), (1, "reflect", NEAREST), (2, "wrap", NEAREST),
                      (3, "constant", {"fill_value": 0.7, **NEAREST}))),
                Sample(((1, 7, 4, 3), _SHIFT), NEAREST),
                Sample(((1, 7, 4, 3), _SHIFT))),
       bad_calls=(BadCall(((2, 4, 4), (2, 6)), {}, "expected (N, H, W, C)"),
                  BadCall(((2, 4, 4, 1), (2, 4)), {}, "two rows of three numbers"),
                  BadCall(((2, 4, 4, 1), (1, 6)), {}, "expected (2, 6)"),
                  BadCall(((2, 4, 4, 1), (2, 6)), {"fill_mode": "mirror"}, "nearest, reflect"),
                  BadCall(((2, 4, 4, 1), (2, 6)), {"interpolation": "cubic"}, "bilinear, nearest"),
                  BadCall((np.zeros((2, 4, 4, 1), np.uint8), (2, 6)), {}, "Rescaling(1 / 255)")))
define("affine_warp_gradient", inputs=("gy", "matrix"),
       infer=lambda gy, matrix, fill_mode, interpolation: Inferred(
           (gy,), attrs={"fill_mode": fill_mode, "interpolation": interpolation}),
       reference=_reference_gradient, flops=_flops,
       doc="gx of affine_warp: each gy is added to the pixels that it was made of",
       samples=tuple(Sample(((2, 4, 5, channels), _turns(2, 4)),
                            {"fill_mode": mode, "interpolation": how})
                     for how in INTERPOLATIONS
                     for channels, mode in zip((1, 2, 3, 4), FILL_MODES, strict=True)))
