"""Fire modules: a narrow 1x1 convolution, then a 1x1 and a 3x3 one side by side.

Source: Iandola et al. 2016, section 3.2.
"""

from __future__ import annotations

from ...nn import Symbol
from ...nn.layers import Concatenate, Conv2D
from .modules import named


def fire_module(x: Symbol, squeeze: int, expand: int, name: str | None = None) -> Symbol:
    """Return a squeezed x, expanded by two convolutions side by side, with relu inside all three.

    1x1 of `squeeze` ({name}_squeeze1x1); 1x1 (_expand1x1) and padded 3x3 (_expand3x3) of `expand`
    channels each; both side by side (_concat): 2 expand channels.

    >>> from minidl.nn import Input
    >>> fire_module(Input((56, 56, 64)), 16, 64).shape
    (None, 56, 56, 128)
    """
    def conv(x: Symbol, filters: int, size: int, part: str) -> Symbol:
        return Conv2D(filters, size, padding="same", activation="relu",
                      kernel_initializer="he_normal", name=named(name, f"{part}{size}x{size}"))(x)

    narrow = conv(x, squeeze, 1, "squeeze")
    wide = [conv(narrow, expand, size, "expand") for size in (1, 3)]
    return Concatenate(name=named(name, "concat"))(wide)
