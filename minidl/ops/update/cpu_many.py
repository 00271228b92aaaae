"""CPU kernels of the ops over all parameters that are no steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.cpu import kernel, run_ranges
from .cpu import in_place
from .cpu_rows import by_type, piece, pieces, table


@kernel
def _blend(start, stop, firsts, rows, like, keep, take):
    # keep and take are float64: in float32 they would not add up to 1
    for row in range(firsts[start], firsts[stop]):
        x, z = piece(rows, row, 1, like), piece(rows, row, 2, like)
        for i in range(x.size):
            x[i] = keep * x[i] + take * z[i]


def blend(*arrays: np.ndarray, out: np.ndarray | tuple, saved: dict, work: dict, keep: float,
          take: float) -> None:
    """Write keep x + take z for all pairs."""
    results = out if isinstance(out, tuple) else (out,)
    others = arrays[len(results):]
    in_place(arrays[:len(results)], results)
    for chosen in by_type(results):
        cut = pieces(tuple([results[i].size for i in chosen]))
        rows = table(cut, [[results[i] for i in chosen], [others[i] for i in chosen]])
        like = np.empty(0, results[chosen[0]].dtype)
        run_ranges(_blend, cut.parts, 1, cut.firsts, rows, like, keep, take)


@kernel
def _penalty(start, stop, firsts, rows, like, factors, sums):
    """Write l1 sum |x| + l2 sum x^2 of every part."""
    for part in range(start, stop):
        total = 0.0
        for row in range(firsts[part], firsts[part + 1]):
            x, lengths, squares = piece(rows, row, 1, like), 0.0, 0.0
            for i in range(x.size):
                value = np.float64(x[i])
                lengths += abs(value)
                squares += value * value
            l1, l2 = factors[row, 0], factors[row, 1]
            total += (l1 * lengths if l1 else 0.0) + (l2 * squares if l2 else 0.0)
        sums[part] = total


def penalty(*xs: np.ndarray, out: np.ndarray, saved: dict, work: dict,
            penalties: Sequence[tuple[float, float]]) -> None:
    """Write the sum of all penalties; parts are added in order."""
    done, sums = 0, work["sums"]
    for chosen in by_type(xs) if penalties else ():
        cut = pieces(tuple([xs[i].size for i in chosen]))
        rows, like = table(cut, [[xs[i] for i in chosen]]), np.empty(0, xs[chosen[0]].dtype)
        factors: Any = np.array([penalties[i] for i in chosen], np.float64)[cut.owners]
        run_ranges(_penalty, cut.parts, 1, cut.firsts, rows, like, factors,
                   sums[done:done + cut.parts])
        done += cut.parts
    out[...] = sums[:done].sum()
