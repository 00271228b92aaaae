"""GPU kernels of the pooling ops: a thread takes up to 16 bytes of channels of one pixel.

Backward, a thread of a pixel of gx adds up the windows that it lies in, in their order.
"""

from __future__ import annotations

import numpy as np

from ...backend.arrays import address
from ...backend.device import CTYPES, Source, blocks_for, integers
from ...spec import Pads, Shape
from ..registry import kernel_for

CODE = Source(__file__, "pool.cu")
THREADS = 256
VECTOR = 16  # bytes that a thread loads at once


def _width(*arrays: np.ndarray) -> int:
    """Return how many channels a thread may take at once."""
    channels, width = arrays[0].shape[-1], VECTOR // arrays[0].dtype.itemsize
    while channels % width or any(address(a) % (width * a.dtype.itemsize) for a in arrays):
        width //= 2
    return width


def _launch(kernel: str, arrays: tuple[np.ndarray, ...], images: np.ndarray, results: np.ndarray,
            wide: np.ndarray, window: Shape, stride: Shape, padding: Pads,
            everything: bool = False, place: str = "uint8") -> None:
    """Run a kernel, a thread for WIDTH channels of a pixel of `wide`.

    Args:
        arrays: what the kernel takes, all with the same channels.
        images: those that are pooled, or their gradient (N, H, W, C).
        results: of the pooling, or their gradient (N, P, Q, C).
        place: the type of the places.
    """
    width = _width(*arrays)
    count = wide.size // width
    index = "unsigned" if max(images.size, results.size) < 1 << 32 else "Int"
    shape = integers((*images.shape[1:3], *results.shape[1:3], images.shape[3] // width, *window,
                      *stride, padding[0][0], padding[1][0], everything), 12)
    CODE.launch(kernel, wide.dtype, blocks_for(count, THREADS), THREADS, *arrays, count, shape,
                defines={"PLACE": CTYPES[place], "INDEX": index, "WIDTH": str(width)})


@kernel_for("max_pool2d")
def max_pool2d(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, window: Shape,
               stride: Shape, padding: Pads) -> None:
    """Write the maxima, and their places within the windows."""
    place = saved["place"]
    _launch("max_pool", (x, out, place), x, out, out, window, stride, padding,
            place=place.dtype.name)


@kernel_for("max_pool2d_gradient")
def max_pool2d_gradient(gy: np.ndarray, place: np.ndarray, *, out: np.ndarray, saved: dict,
                        work: dict, size: Shape, window: Shape, stride: Shape, padding: Pads
                        ) -> None:
    """Write gx: each element of gy goes to the place of its maximum."""
    _launch("max_pool_gradient", (gy, place, out), out, gy, out, window, stride, padding,
            place=place.dtype.name)


@kernel_for("average_pool2d")
def average_pool2d(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, window: Shape,
                   stride: Shape, padding: Pads, count_include_pad: bool) -> None:
    """Write the means of the windows."""
    _launch("average_pool", (x, out), x, out, out, window, stride, padding, count_include_pad)


@kernel_for("average_pool2d_gradient")
def average_pool2d_gradient(gy: np.ndarray, *, out: np.ndarray, saved: dict, work: dict,
                            size: Shape, window: Shape, stride: Shape, padding: Pads,
                            count_include_pad: bool) -> None:
    """Write gx: each element of gy is shared by its window."""
    _launch("average_pool_gradient", (gy, out), out, gy, out, window, stride, padding,
            count_include_pad)
