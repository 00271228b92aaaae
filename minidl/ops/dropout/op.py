"""Dropout (Srivastava et al. 2014), inverted: y = x m / (1 - rate), m = 1 with chance 1 - rate.

The mask is not stored: element e of group g is kept if word e % 4 of
philox(counter (e // 4, 0, count, 0), key seed) lies below (1 - rate) 2^32, so backward draws it
again, and any device and any number of threads draw the same. `shared` leading-to-trailing axes of
length 1 in `mask_shape` repeat one draw, such as (N, 1, 1, C) to drop whole channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ... import config
from ...errors import ArgumentError, ShapeError
from ...spec import Spec, need_float
from ..registry import BadCall, Inferred, Kernel, Sample, define

BLOCK = 64  # counters that are drawn at a time


def _infer(x: Spec, key: Spec, rate: float = 0.5, mask_shape: Sequence[int] | None = None
           ) -> Inferred:
    need_float("dropout", x=x)
    if key != Spec((2,), np.dtype("uint64")):
        raise ShapeError("dropout", f"got a key of {key}", "expected (2,) uint64, [seed, count]",
                         "Take it from minidl.random, or make it: np.array([7, 0], \"uint64\").")
    if not 0 <= rate < 1:
        raise ArgumentError("dropout", f"got rate={rate}", "expected 0 <= rate < 1",
                            "It is the share of elements that become 0.")
    shape = tuple(x.shape if mask_shape is None else mask_shape)
    fits = len(shape) == x.ndim and all(m in (1, n) for m, n in zip(shape, x.shape, strict=False))
    if not fits:
        raise ShapeError("dropout", f"got mask_shape={shape} for x of shape {x.shape}",
                         "each length must be that of x, or 1", "Change mask_shape.")
    return Inferred((x,), attrs={"rate": float(rate), "mask_shape": shape})


def philox(counter: np.ndarray, seed: int) -> np.ndarray:
    """Return four random 32-bit words per counter (n, 4), by Philox 4x32-10.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    c = counter.astype(np.uint64).T
    k0, k1, low = seed & 0xFFFFFFFF, seed >> 32, np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = np.stack([(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & low,
                      (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & low])
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c.T.astype(np.uint32)


def threshold(rate: float) -> int:
    """Return the number below which a 32-bit word keeps its element."""
    return min(round((1 - rate) * 2**32), 2**32 - 1)


def _reference(x: np.ndarray, key: np.ndarray, rate: float = 0.5,
               mask_shape: Sequence[int] | None = None) -> np.ndarray:
    shape = tuple(x.shape if mask_shape is None else mask_shape)
    count = int(np.prod(shape, dtype=np.int64))
    counter = np.zeros((-(-count // 4), 4), np.uint64)
    counter[:, 0], counter[:, 2] = np.arange(len(counter)), key[1]
    words = philox(counter, int(key[0])).reshape(-1)[:count]
    return x * (words < threshold(rate)).reshape(shape) / (1 - rate)


def _workspace(x: Spec, key: Spec, rate: float, mask_shape: Sequence[int]) -> dict[str, Spec]:
    mask = Spec(tuple(mask_shape), x.dtype)
    words = {"words": Spec((config.num_threads(), 4 * BLOCK), np.dtype("uint32"))}
    return words if mask == x else {**words, "ones": mask, "mask": mask}


KEY = np.array([12345678901234, 3], np.uint64)
define("dropout", inputs=("x", "key"), hosted=("key",), infer=_infer, reference=_reference,
       kernels=(Kernel("default", f"{__package__}.cpu:dropout", workspace=_workspace),),
       gradients={"x": lambda run, gy, key, rate, mask_shape: run(
           "dropout", gy, key, rate=rate, mask_shape=mask_shape)},
       flops=lambda x, key, **_: x.size,
       samples=(Sample(((3, 5, 7), KEY), {"rate": 0.4}),
                Sample(((3, 5, 4, 6), KEY), {"rate": 0.5, "mask_shape": (3, 1, 1, 6)}),
                Sample(((2, 5), KEY), {"rate": 0.0}), Sample(((70, 9), KEY), {"rate": 0.9}),
                Sample(((3, 5, 4), KEY), {"rate": 0.3, "mask_shape": (1, 5, 1)})),
       bad_calls=(BadCall(((3,), KEY), {"rate": 1.0}, "0 <= rate < 1"),
                  BadCall(((3,), np.zeros(2, int)), {}, "[seed, count]"),
                  BadCall(((3, 4), KEY), {"mask_shape": (2, 4)}, "that of x, or 1")))
