"""What an index chooses, axis by axis, as GPU kernels want it; integers and slices stay as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...spec import Shape


class Run(NamedTuple):
    """Places on an axis that are equally far apart: start, start + step... `length` of them.

    Attributes:
        axis: of the array that is indexed, None for a new one of length 1.
    """

    axis: int | None
    start: int
    step: int
    length: int


class Chosen(NamedTuple):
    """What an index chooses.

    Attributes:
        runs: the axes of the result but those that arrays choose, in order.
        at: how many of the runs come before the axes that arrays choose.
        fixed: (axis, place) of integers.
        arrays: (axis, places) of index arrays, not negative, all of one shape.
        shape: of the axes that arrays choose; () without arrays.
    """

    runs: tuple[Run, ...]
    at: int
    fixed: tuple[tuple[int, int], ...]
    arrays: tuple[tuple[int, np.ndarray], ...]
    shape: Shape


def chosen(parts: Sequence[Any], shape: Shape) -> Chosen:
    """Return what an index chooses of an array of a shape, by NumPy's rules.

    Where index arrays and the integers beside them stand next to each other, their axes take their
    place in the result; else they come first.
    """
    runs: list[Run] = []
    fixed: list[tuple[int, int]] = []
    arrays: list[tuple[int | None, np.ndarray]] = []
    seats: list[tuple[int, int]] = []  # of arrays and integers: (place in the index, runs before)
    axis = 0
    for number, part in enumerate(_expanded(parts, len(shape))):
        if part is Ellipsis:  # parts index arrays even where it stands for no axis
            continue
        if isinstance(part, (slice, type(None))):
            run = Run(None, 0, 1, 1) if part is None else _run(axis, part, shape[axis])
            runs.append(run)
            axis += part is not None
            continue
        seats.append((number, len(runs)))
        if isinstance(part, int):
            fixed.append((axis, part % shape[axis]))
            axis += 1
            continue
        for places in _as_places(part):
            known = part.dtype != bool or part.ndim
            arrays.append((axis if known else None, places))
            axis += bool(known)
    numbers = [n for n, _ in seats]
    together = not arrays or numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    at = seats[0][1] if arrays and together else 0
    spread = np.broadcast_arrays(*[places for _, places in arrays]) if arrays else []
    return Chosen(tuple(runs), at, tuple(fixed), tuple(
        [(a, np.where(p < 0, p + shape[a], p).reshape(-1))
         for (a, _), p in zip(arrays, spread, strict=True) if a is not None]),
        spread[0].shape if arrays else ())


def _expanded(parts: Sequence[Any], ndim: int) -> list[Any]:
    """Return the parts with whole slices before the Ellipsis, numbers as int or arrays."""
    plain = [_plain(p) for p in parts]
    used = sum(_consumed(p) for p in plain)
    if not any(p is Ellipsis for p in plain):
        plain.append(Ellipsis)
    at = next(i for i, p in enumerate(plain) if p is Ellipsis)
    return [*plain[:at], *[slice(None)] * (ndim - used), *plain[at:]]


def _plain(part: Any) -> Any:
    if isinstance(part, (bool, np.bool_)):
        return np.array(part)
    if isinstance(part, np.ndarray) and (part.ndim or part.dtype == bool):
        return part
    return part if part is None or part is Ellipsis or isinstance(part, slice) else int(part)


def _consumed(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


def _run(axis: int, part: slice, length: int) -> Run:
    start, stop, step = part.indices(length)
    return Run(axis, start, step, len(range(start, stop, step)))


def _as_places(part: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return an index array as arrays of integers, one per axis that it takes."""
    if part.dtype != bool:
        return (part.astype(np.int64),)
    if not part.ndim:  # a new axis of length 1 or 0
        return (np.zeros(int(part), np.int64),)
    return tuple(part.nonzero())


# ---- addresses -----------------------------------------------------------------------------


def offsets(found: Chosen, strides: Sequence[int]) -> np.ndarray:
    """Return for every place that arrays choose, (prod(found.shape),), how far it lies off."""
    total = np.zeros(int(np.prod(found.shape, dtype=np.int64)), np.int64)
    total += sum(place * strides[axis] for axis, place in found.fixed)
    total += sum(r.start * strides[r.axis] for r in found.runs if r.axis is not None)
    for axis, places in found.arrays:
        total += places * strides[axis]
    return total


def run_strides(found: Chosen, strides: Sequence[int]) -> list[int]:
    """Return the strides of the result's axes that are runs, 0 for new ones."""
    return [0 if r.axis is None else r.step * strides[r.axis] for r in found.runs]
