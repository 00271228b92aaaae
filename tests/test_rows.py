"""Copies of rows on all threads write what NumPy writes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minidl import config
from minidl.backend import rows
from minidl.backend.cpu import POINTWISE_GRAIN

Cut = Callable[[np.ndarray], np.ndarray]

CUTS: dict[str, tuple[tuple[int, ...], Cut]] = {
    "all": ((40, 50, 70), lambda x: x),
    "channels": ((9, 31, 33, 40), lambda x: x[..., 8:24]),
    "channels, odd": ((9, 31, 33, 41), lambda x: x[..., 3:30]),
    "far channels": ((40, 56, 56, 64), lambda x: x[..., 32:]),
    "one channel": ((40, 56, 56, 8), lambda x: x[..., 5]),
    "samples": ((90, 40, 40), lambda x: x[7:80]),
    "every other row": ((600, 400), lambda x: x[::2]),
    "rows and channels": ((20, 31, 33, 40), lambda x: x[:, 2:, :, 8:]),
    "turned": ((500, 600), lambda x: x.T),
    "backwards": ((500, 600), lambda x: x[::-1]),
    "few": ((3, 4, 5), lambda x: x[..., 1:3]),
    "none": ((0, 4), lambda x: x),
}
TYPES = ("float32", "float64", "int64", "uint8", "float16", "bool")


def drawn(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    bits = np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 256, (
        *shape, np.dtype(dtype).itemsize), np.uint8)
    return bits.view(dtype)[..., 0]  # any bits, those of NaNs too


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", CUTS)
def test_copy(name: str, dtype: str, threads: int) -> None:
    shape, cut = CUTS[name]
    whole, other = drawn(shape, dtype, 1), drawn(shape, dtype, 2)
    packed = np.ascontiguousarray(cut(other))
    for source, into, part in ((cut(whole), packed, lambda x: x), (packed, whole, cut),
                               (cut(other), whole, cut)):
        got, wanted = into.copy(), into.copy()
        part(wanted)[...] = source
        with config.threads(threads):
            rows.copy(source, part(got))
        assert got.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("length", [POINTWISE_GRAIN + 1, 3 * POINTWISE_GRAIN - 1, 5 << 20])
def test_the_end_of_a_long_array(length: int) -> None:
    source = np.random.default_rng(3).random(length, np.float32)
    target = np.full(length + 2, np.nan, np.float32)
    rows.copy(source, target[1:-1])
    np.testing.assert_array_equal(target[1:-1], source)
    assert np.isnan(target[[0, -1]]).all()


def test_fields_of_records_that_lie_odd_bytes_apart() -> None:
    records = np.zeros(3 * POINTWISE_GRAIN, [("mark", "int32"), ("value", "float64")])
    records["value"] = np.random.default_rng(4).random(len(records))
    got = np.empty(len(records))
    rows.copy(records["value"], got)
    np.testing.assert_array_equal(got, records["value"])
    rows.copy(got[::-1], records["value"])
    np.testing.assert_array_equal(records["value"], got[::-1])
    assert not records["mark"].any()
