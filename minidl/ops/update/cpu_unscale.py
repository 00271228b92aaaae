"""CPU kernel of unscale."""

from __future__ import annotations

import math

import numpy as np

from ...backend.cpu import kernel, run_ranges
from .cpu import in_place
from .cpu_rows import by_type, piece, pieces, table


@kernel
def _divide(start, stop, firsts, rows, like, scale, faults):
    """Divide every part in place; note in `faults` how many elements are not finite."""
    for part in range(start, stop):
        found = 0.0
        for row in range(firsts[part], firsts[part + 1]):
            g = piece(rows, row, 1, like)
            for i in range(g.size):
                found += 0.0 if math.isfinite(g[i]) else 1.0
                g[i] = g[i] / scale
        faults[part] = found


def unscale(scale: np.ndarray, streak: np.ndarray, *gradients: np.ndarray, out: tuple, saved: dict,
            work: dict, growth: float, backoff: float, every: int) -> None:
    """Write the gradients divided by the scale, and scale and streak for the next step."""
    done, faults = 0, work["faults"]
    in_place(gradients, out[2:])
    for chosen in by_type(gradients):
        cut = pieces(tuple([gradients[i].size for i in chosen]))
        like = np.empty(0, gradients[chosen[0]].dtype)
        run_ranges(_divide, cut.parts, 1, cut.firsts, table(cut, [[out[2 + i] for i in chosen]]),
                   like, like.dtype.type(scale), faults[done:done + cut.parts])
        done += cut.parts
    finite = not faults[:done].any()
    grows = finite and streak + 1 >= every
    factor = growth if grows else 1.0 if finite else backoff
    following = 0.0 if grows or not finite else streak + 1
    out[0][...], out[1][...] = scale * factor, following
