"""Relative errors of the convolution variants at the sizes of real networks, against float64."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from minidl import dispatch
from minidl.backend import simd, tiles
from minidl.ops import registry
from minidl.ops.conv2d.tiling import DEEPEST
from minidl.ops.conv2d.winograd import matrices
from minidl.spec import Spec

BOUNDS = {"winograd": 1e-5, "direct": 1e-6, "im2col": 1e-6}  # norm of the difference over norm
SHAPES = ((2, 16, 256, 64, 3), (3, 14, 33, 47, 3), (2, 13, 96, 40, 5))  # N, H = W, C, K, window
SAME = {"stride": (1, 1), "dilation": (1, 1), "groups": 1}


def three_calls(shape: tuple[int, ...], mean: float) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return forward and both gradients of a convolution, as arguments of `dispatch.run`."""
    n, size, c, k, r = shape
    rng = np.random.default_rng(sum(shape))
    x = rng.standard_normal((n, size, size, c)) + mean
    w, gy = rng.standard_normal((r, r, c, k)), rng.standard_normal((n, size, size, k)) + mean
    attrs = {**SAME, "padding": ((r // 2, r // 2), (r // 2, r // 2))}
    return [("conv2d", (x, w, None), attrs),
            ("conv2d_input_gradient", (gy, w), {**attrs, "size": (size, size)}),
            ("conv2d_weight_gradient", (x, gy), {**attrs, "window": (r, r)})]


def single(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else array.astype(np.float32)


@pytest.mark.parametrize("algorithm", BOUNDS)
@pytest.mark.parametrize("mean", (0.0, 0.5))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_error(shape: tuple[int, ...], mean: float, algorithm: str) -> None:
    for name, arrays, attrs in three_calls(shape, mean):
        wanted = dispatch.run(name, *arrays, **attrs, algorithm="im2col")
        got = dispatch.run(name, *map(single, arrays), **attrs, algorithm=algorithm)
        error = np.linalg.norm(got - wanted) / np.linalg.norm(wanted)
        assert error <= BOUNDS[algorithm], name


@pytest.mark.parametrize("itemsize", (4, 8))
@pytest.mark.parametrize("columns", (1, 10, 16, 33, 96, 1000))
def test_the_chosen_tile_wastes_least(columns: int, itemsize: int) -> None:
    def padded(vectors: int) -> int:
        width = vectors * simd.lanes(itemsize)
        return -(-columns // width) * width

    rows, vectors = tiles.tile_for(columns, itemsize)
    assert (rows, vectors) in tiles.TILES
    assert padded(vectors) == min(padded(v) for _, v in tiles.TILES)


@pytest.mark.parametrize(("m", "r"), [(4, 3), (4, 5), (3, 4), (5, 4), (2, 3), (6, 3), (3, 3)])
def test_winograd_matrices_are_exact(m: int, r: int) -> None:
    rng = np.random.default_rng(m + r)
    d, g = ([Fraction(int(i), 7) for i in rng.integers(-9, 9, count)] for count in (m + r - 1, r))

    def product(name: str, vector: list[Fraction]) -> list[Fraction]:
        return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0))
                for row in matrices(m, r)[name]]

    both = [a * b for a, b in zip(product("G", g), product("B", d), strict=True)]
    assert product("A", both) == [sum(d[i + j] * g[j] for j in range(r)) for i in range(m)]


@pytest.mark.parametrize("r", DEEPEST)
def test_winograd_leaves_too_many_channels_to_others(r: int) -> None:
    def variant(channels: int) -> str:
        x, w = (Spec(shape, np.dtype("float32")) for shape in (
            (8, 32, 32, channels), (r, r, channels, 64)))
        attrs = {**SAME, "padding": ((r // 2, r // 2), (r // 2, r // 2))}
        return registry.get("conv2d").kernel("cpu", (x, w, None), attrs).name

    assert [variant(DEEPEST[r]), variant(DEEPEST[r] + 1)] == ["winograd", "direct"]
