"""The offset tables by which one product kernel serves every convolution and input gradient.

A correlation computes, for outputs u and v of an image and a list of taps (rows e, columns f),

    out[u, v] = sum over taps of in[u * stride + e, v * stride + f] w[tap]

A convolution is one, with e = i * dilation - padding. Its input gradient is one for each phase of
the stride: inputs h with equal (h + padding) mod stride meet the same taps, and gy with step 1.
Kernels see no window, stride or dilation, only offsets: where a pixel's window begins (`pixels`),
where each run of the window begins in it (`runs`), and where the pixel's result goes (`places`).

Work is cut into blocks of whole images or of rows of one image. Where a block's windows reach over
the border, its input is first copied into a slab with zeros around it, which stays in the cache;
elsewhere the kernel reads the input itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from ...spec import Pads, Shape

PIXELS = 192            # of a block: enough to use a panel of weights many times
WEIGHT_PIXELS = 384     # of a block in a weight gradient: its tiles are added to memory after each
SLAB_ELEMENTS = 1 << 16  # of a block's input: a quarter of a megabyte in float32


@dataclass(frozen=True)
class Axis:
    """One axis of a correlation: input length, outputs, step, and each tap's offset."""

    size: int
    count: int
    step: int
    taps: tuple[int, ...]
    origin: int = 0     # output that u = 0 stands for
    spread: int = 1     # outputs from one u to the next
    kept: tuple[int, ...] = ()  # numbers of these taps in the kernel

    @property
    def first(self) -> int:
        """Offset of the first input that output 0 needs."""
        return min(self.taps)

    @property
    def span(self) -> int:
        """Inputs from the first to the last that an output needs."""
        return max(self.taps) - min(self.taps) + 1

    def length(self, count: int) -> int:
        """Return how many inputs neighbouring outputs need."""
        return (count - 1) * self.step + self.span

    @property
    def inside(self) -> bool:
        """Whether all inputs exist."""
        return self.first >= 0 and self.first + self.length(self.count) <= self.size


class Tables(NamedTuple):
    """What kernels get, all of it int64.

    Attributes:
        pixels: where the windows of a block's pixels begin.
        places: where the results of a block's pixels go.
        runs, heights, run: see `Correlation`.
        numbers: see `Correlation.numbers`.
    """

    pixels: np.ndarray
    places: np.ndarray
    runs: np.ndarray
    heights: np.ndarray
    run: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, eq=False)  # one object for equal arguments: see `forward`, `backward`
class Correlation:
    """One correlation of images (N, rows, columns, channels) and its tables.

    Attributes:
        images: number of images; see `flat`.
        channels: of the input; depth: those of them that one group takes.
        filters: of the output, all groups together.
        height: of the output image, as width its row, in pixels.
        most: pixels of a block.
        pitch: elements from one pixel of the output to the next.
    """

    images: int
    rows: Axis
    columns: Axis
    channels: int
    filters: int
    groups: int
    height: int
    width: int
    pitch: int
    most: int = PIXELS

    @property
    def depth(self) -> int:
        """Input channels of a group."""
        return self.channels // self.groups

    @property
    def padded(self) -> bool:
        """Whether windows reach over the border, so that blocks need a slab."""
        return not (self.rows.inside and self.columns.inside)

    @property
    def outputs(self) -> int:
        """Number of results."""
        return self.images * self.rows.count * self.columns.count * self.filters

    @cached_property
    def block(self) -> tuple[int, int]:
        """(images, output rows) of a block."""
        line = self.columns.length(self.columns.count) * self.channels
        image = self.rows.length(self.rows.count) * line
        fits = self.rows.count * self.columns.count <= self.most and image <= SLAB_ELEMENTS
        if fits:
            wanted = min(self.most // (self.rows.count * self.columns.count),
                         SLAB_ELEMENTS // max(image, 1))
            return max(1, min(wanted, self.images)), self.rows.count
        rows = max(1, min(round(self.most / self.columns.count), self.rows.count))
        while rows > 1 and self.rows.length(rows) * line > SLAB_ELEMENTS:
            rows -= 1
        return 1, rows

    @cached_property
    def blocks(self) -> int:
        """Number of blocks."""
        images, rows = self.block
        return -(-self.images // images) * -(-self.rows.count // rows)

    @property
    def block_pixels(self) -> int:
        """Output pixels of a whole block."""
        return self.block[0] * self.block[1] * self.columns.count

    @property
    def line(self) -> int:
        """Elements from one row of the kernel's input to the next: the slab's, or the image's."""
        width = (self.columns.length(self.columns.count) if self.padded else self.columns.size)
        return width * self.channels

    @property
    def image(self) -> int:
        """Elements from one image of the kernel's input to the next."""
        return self.line * (self.rows.length(self.block[1]) if self.padded else self.rows.size)

    @property
    def slab(self) -> int:
        """Elements of a slab; 0 where none is needed."""
        return self.block[0] * self.image if self.padded else 0

    @property
    def taps(self) -> int:
        """Number of taps."""
        return len(self.rows.taps) * len(self.columns.taps)

    @property
    def run(self) -> int:
        """Elements of the input that lie together and meet consecutive weights."""
        columns = self.columns
        together = self.groups == 1 and columns.span == len(columns.taps) and (
            tuple(sorted(columns.taps)) == columns.taps)
        return self.depth * (len(columns.taps) if together else 1)

    @cached_property
    def runs(self) -> np.ndarray:
        """Offset of each run from where a pixel's window begins."""
        step = self.run // self.depth
        return np.array([(e - self.rows.first) * self.line
                         + (f - self.columns.first) * self.channels
                         for e in self.rows.taps for f in self.columns.taps[::step]], np.int64)

    @cached_property
    def heights(self) -> np.ndarray:
        """Row offset of each run, which do not fall."""
        each = len(self.runs) // len(self.rows.taps)
        return np.repeat(np.array(self.rows.taps, np.int64), each)

    def tables(self, multiple: int) -> Tables:
        """Return the tables; those of pixels are padded to a multiple."""
        known = self._tables.get(multiple)
        if known is None:
            step = self.pitch
            pixels = self._table(self.image, self.rows.step * self.line,
                                 self.columns.step * self.channels)
            places = self._table(self.height * self.width * step,
                                 self.rows.spread * self.width * step, self.columns.spread * step)
            known = self._tables[multiple] = Tables(
                _padded(pixels, multiple), _padded(places, multiple), self.runs, self.heights,
                self.run, self.numbers)
        return known

    @cached_property
    def _tables(self) -> dict[int, Tables]:
        return {}

    def _table(self, image: int, row: int, column: int) -> np.ndarray:
        images, rows = self.block
        i, u, v = np.ogrid[:images, :rows, :self.columns.count]
        return (i * image + u * row + v * column).astype(np.int64).reshape(-1)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The integers that kernels get, in the order in which they unpack them."""
        rows, columns = self.rows, self.columns
        return (self.images, rows.size, columns.size, self.channels, rows.count, columns.count,
                *self.block, rows.step, rows.first, columns.first, self.line, self.image,
                int(self.padded), self.groups, self.depth, self.filters // self.groups,
                self.height * self.width * self.pitch, rows.spread * self.width * self.pitch,
                (rows.origin * self.width + columns.origin) * self.pitch)


def _padded(table: np.ndarray, multiple: int) -> np.ndarray:
    missing = -len(table) % multiple
    return np.concatenate([table, np.repeat(table[-1:], missing)]) if missing else table


# ---- making them ---------------------------------------------------------------------------


@lru_cache(1 << 10)
def forward(x: Shape, window: Shape, y: Shape, stride: Shape, padding: Pads, dilation: Shape,
            groups: int, most: int = PIXELS, pitch: int = 0) -> Correlation:
    """Return the correlation of a convolution; a product of matrices where windows are pixels.

    Args:
        most: pixels of a block.
        pitch: elements from one pixel of the output to the next; by default the filters.
    """
    pitch = pitch or y[3]
    if window == (1, 1) and stride == (1, 1) and not any(map(any, padding)):
        return _flat(x[0] * x[1] * x[2], x[3], y[3], groups, pitch, most)
    rows, columns = (
        Axis(x[1 + a], y[1 + a], stride[a],
             tuple(i * dilation[a] - padding[a][0] for i in range(window[a])),
             kept=tuple(range(window[a]))) for a in range(2))
    return Correlation(x[0], rows, columns, x[3], y[3], groups, y[1], y[2], pitch, most)


@lru_cache(1 << 10)
def backward(gy: Shape, window: Shape, gx: Shape, stride: Shape, padding: Pads, dilation: Shape,
             groups: int) -> tuple[Correlation, ...]:
    """Return the correlations of an input gradient, one per phase of the stride that has taps."""
    if window == (1, 1) and stride == (1, 1) and not any(map(any, padding)):
        return (_flat(gy[0] * gy[1] * gy[2], gy[3], gx[3], groups, gx[3]),)
    axes = [_phases(gy[1 + a], window[a], gx[1 + a], stride[a], padding[a][0], dilation[a])
            for a in range(2)]
    return tuple(Correlation(gy[0], rows, columns, gy[3], gx[3], groups, gx[1], gx[2], gx[3])
                 for rows in axes[0] for columns in axes[1])


def _flat(pixels: int, channels: int, filters: int, groups: int, pitch: int, most: int = PIXELS
          ) -> Correlation:
    one = Axis(1, 1, 1, (0,), kept=(0,))
    return Correlation(1, Axis(pixels, pixels, 1, (0,), kept=(0,)), one, channels, filters, groups,
                       pixels, 1, pitch, most)


def _phases(size: int, window: int, length: int, stride: int, before: int, dilation: int
            ) -> list[Axis]:
    """Return, per phase h0 of the inputs h = h0 + stride u, the taps p = u + offset that meet it.

    p * stride + i * dilation - before = h, so tap i has the offset (h0 + before - i dilation) /
    stride where that is whole. Taps are ordered by their offset, so that runs lie together.
    """
    found = []
    for origin in range(min(stride, length)):
        taps = sorted(((origin + before - i * dilation) // stride, i) for i in range(window)
                      if (origin + before - i * dilation) % stride == 0)
        if taps:
            found.append(Axis(size, -(-(length - origin) // stride), 1,
                              tuple(offset for offset, _ in taps), origin, stride,
                              tuple(i for _, i in taps)))
    return found
