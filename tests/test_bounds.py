"""Kernels touch nothing outside their arrays, which lie between forbidden pages here."""

from __future__ import annotations

import ctypes
import json
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidl import dispatch
from minidl.errors import ArgumentError

PAGE = mmap.PAGESIZE
ALGORITHMS = ("direct", "winograd", "depthwise", "im2col")
CASES = 60  # per algorithm


def guarded(array: np.ndarray, at_end: bool) -> np.ndarray:
    """Return a copy that begins right after a forbidden page, or ends right before one."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    room = -(-array.nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, room + 2 * PAGE)
    raw = (ctypes.c_ubyte * len(memory)).from_buffer(memory)
    begin = ctypes.addressof(raw)
    for page in (begin, begin + PAGE + room):
        if protect(page, PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    first = PAGE + (room - array.nbytes if at_end else 0)
    copy = np.frombuffer(raw, array.dtype, array.size, first).reshape(array.shape)
    copy[...] = array
    return copy


def draw(rng: np.random.Generator, algorithm: str) -> tuple[list[int], list[int], int]:
    """Return n, h, w, c, k and window, stride, dilation, padding and groups of a convolution."""
    n, h, w, c, k = (int(rng.choice(some)) for some in (
        (1, 2, 5), (5, 7, 16, 30), (6, 9, 16), (3, 8, 19, 40), (5, 16, 33)))
    window, stride, dilation = (int(rng.choice(some)) for some in ((1, 2, 3, 5), (1, 2, 3), (1, 2)))
    if algorithm == "winograd":
        window, stride, dilation = int(rng.choice((3, 5))), 1, 1
    padding = int(rng.integers(window))
    if (window - 1) * dilation + 1 > min(h, w) + 2 * padding:
        padding = (window - 1) * dilation
    k, groups = (c, c) if algorithm == "depthwise" else (k, 1)
    return [n, h, w, c, k], [window, stride, dilation, padding], groups


def convolve(sizes: list[int], how: list[int], groups: int, algorithm: str, at_end: bool) -> None:
    """Compute a convolution and its gradients on guarded arrays and check the shapes."""
    (n, h, w, c, k), (window, stride, dilation, padding) = sizes, how
    outputs = [(size + 2 * padding - (window - 1) * dilation - 1) // stride + 1 for size in (h, w)]
    x, kernel, gy = (guarded(np.ones(shape, np.float32), at_end) for shape in (
        (n, h, w, c), (window, window, c // groups, k), (n, *outputs, k)))
    attrs = {"stride": (stride,) * 2, "padding": ((padding,) * 2,) * 2,
             "dilation": (dilation,) * 2, "groups": groups, "algorithm": algorithm}
    y, gx, gw = (guarded(np.zeros_like(a), at_end) for a in (gy, x, kernel))
    dispatch.run("conv2d", x, kernel, None, out=[y], **attrs)
    dispatch.run("conv2d_input_gradient", gy, kernel, out=[gx], size=(h, w), **attrs)
    dispatch.run("conv2d_weight_gradient", x, gy, out=[gw], window=(window,) * 2, **attrs)


def work(algorithm: str, file: str) -> None:
    """Compute all cases; the file holds the one that was begun last."""
    rng = np.random.default_rng(0)
    for _ in range(CASES):
        sizes, how, groups = draw(rng, algorithm)
        for at_end in (True, False):
            Path(file).write_text(f"{sizes} {how} groups {groups} at the end: {at_end}")
            try:
                convolve(sizes, how, groups, algorithm, at_end)
            except ArgumentError as error:
                assert "no kernel" in str(error), error
    Path(file).write_text("done")


@pytest.mark.skipif(sys.platform == "win32", reason="pages are guarded by mprotect")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_convolutions_stay_inside(algorithm: str, tmp_path: Path) -> None:
    file = tmp_path / "case"
    done = subprocess.run([sys.executable, __file__, json.dumps([algorithm, str(file)])],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, file.read_text()) == (0, "done"), done.stderr[-2000:]


if __name__ == "__main__":
    work(*json.loads(sys.argv[1]))
