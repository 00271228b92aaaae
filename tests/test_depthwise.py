"""Depthwise convolutions by their own kernels, where tiles, vectors and windows fit badly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minidl import dispatch
from minidl.ops import registry
from minidl.ops.registry import Op
from minidl.spec import Shape, Spec, spec_of

SHAPES: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "channels of one vector and less": ((2, 7, 9, 5), (3, 3), {"padding": "same"}),
    "channels of two vectors": ((1, 6, 9, 16), (3, 3), {"padding": "same"}),
    "channels of a vector and a bit": ((1, 6, 9, 9), (3, 3), {"padding": 1}),
    "channels of many vectors and a bit": ((1, 6, 9, 67), (3, 3), {"padding": 1, "stride": 2}),
    "rows of less than a tile": ((3, 4, 3, 24), (3, 3), {"padding": "same"}),
    "rows of many segments": ((1, 3, 75, 19), (3, 5), {"padding": "same"}),
    "a window larger than the image": ((2, 3, 2, 11), (5, 7), {"padding": 4}),
    "only padding at the border": ((1, 4, 4, 8), (2, 2), {"padding": 3}),
    "a step over the window": ((2, 11, 13, 8), (2, 2), {"stride": (4, 3)}),
    "step and dilation": ((2, 13, 14, 21), (3, 2), {"stride": (2, 4), "dilation": (3, 2),
                                                    "padding": ((2, 0), (1, 3))}),
    "one pixel": ((5, 4, 4, 33), (1, 1), {}),
}


def _outcome(op: Op, *arrays: np.ndarray | None, **attrs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the result by depthwise kernels, and the reference in float64."""
    exact = [None if a is None else a.astype(np.float64) for a in arrays]
    return (dispatch.run(op, *arrays, algorithm="depthwise", **attrs),
            op.reference(*exact, **attrs))


def _error(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


@pytest.mark.parametrize("case", SHAPES)
def test_depthwise(case: str) -> None:
    shape, window, given = SHAPES[case]
    rng, channels = np.random.default_rng(len(case)), shape[3]
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((*window, 1, channels)).astype(np.float32)
    b = rng.standard_normal(channels).astype(np.float32)
    forward = registry.get("conv2d")
    attrs = forward.infer(*map(spec_of, (x, w, b)), groups=channels, **given).attrs
    y, want = _outcome(forward, x, w, b, **attrs)
    gy = rng.standard_normal(y.shape).astype(np.float32)
    pairs = [(y, want),
             _outcome(registry.get("conv2d_input_gradient"), gy, w, size=shape[1:3], **attrs),
             _outcome(registry.get("conv2d_weight_gradient"), x, gy, window=window, **attrs)]
    assert max(_error(*pair) for pair in pairs) < 1e-6


@pytest.mark.parametrize(("filters", "groups", "chosen"),
                         [(6, 6, "depthwise"), (12, 6, "direct"), (6, 3, "direct")])
def test_depthwise_is_taken_where_every_channel_has_one_filter(filters: int, groups: int,
                                                               chosen: str) -> None:
    dtype = np.dtype(np.float32)
    x, w = Spec((2, 5, 5, 6), dtype), Spec((3, 3, 6 // groups, filters), dtype)
    plan = dispatch.plan_of(registry.get("conv2d"), (x, w, None), {"groups": groups})
    assert plan.kernel.name == chosen


def test_border_pixels_do_not_meet_weights_that_reach_over_the_border() -> None:
    """A weight that is infinite shows in the pixels that have an input for it, and only there."""
    x, w = np.ones((1, 3, 3, 4), np.float32), np.ones((3, 3, 1, 4), np.float32)
    w[0, 0] = np.inf
    y = dispatch.run("conv2d", x, w, None, groups=4, padding="same", algorithm="depthwise")
    assert np.array_equal(np.isinf(y), np.broadcast_to(
        np.array([[0, 0, 0], [0, 1, 1], [0, 1, 1]], bool)[None, :, :, None], y.shape))
    assert not np.isnan(y).any()
