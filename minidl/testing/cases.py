"""What the checks of an op run on: its samples in every type and variant, laid out in every way."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dispatch
from ..autograd import tape
from ..autograd.tensor import Tensor
from ..backend.arrays import HOST
from ..backend.device import to_host
from ..dispatch import move
from ..errors import MinidlError
from ..ops.registry import Op, Sample
from ..spec import FLOATS, Spec, spec_of

Arrays = Sequence[np.ndarray | None]


@dataclass(frozen=True)
class Outcome:
    """Results of a call and the gradients of its inputs, by position."""

    out: tuple[np.ndarray, ...]
    gradients: Mapping[int, np.ndarray]

    def arrays(self) -> list[np.ndarray]:
        """Return results and gradients, in order."""
        return [*self.out, *(self.gradients[i] for i in sorted(self.gradients))]

    def same_bits(self, other: Outcome) -> bool:
        """Say whether every bit agrees."""
        pairs = zip(self.arrays(), other.arrays(), strict=True)
        return all(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
                   for a, b in pairs)


@dataclass(frozen=True)
class Case:
    """One sample of an op in one type, by one variant (None: the one that dispatch takes).

    On another device than the CPU, inputs are moved there first and outcomes back.
    """

    op: Op
    number: int
    dtype: np.dtype
    algorithm: str | None = None
    device: str = HOST

    def __str__(self) -> str:
        by = f" by {self.algorithm}" if self.algorithm else ""
        on = "" if self.device == HOST else f" on {self.device}"
        return f"{self.op.name}, sample {self.number}, {self.dtype}{by}{on}"

    @property
    def sample(self) -> Sample:
        """The sample."""
        return self.op.samples[self.number]

    def tolerance(self, algorithm: str | None = None) -> float:
        """Return the factor on error bounds: for one variant, or for the least exact one."""
        return self.op.tolerance * max((k.tolerance for k in self.op.variants(self.device)
                                        if algorithm in (None, k.name)), default=1.0)

    def rng(self, attempt: int = 0) -> np.random.Generator:
        """Return a generator that depends on op, sample and attempt alone."""
        return np.random.default_rng(zlib.crc32(f"{self.op.name} {self.number} {attempt}".encode()))

    def draw(self, attempt: int = 0) -> list[np.ndarray | None]:
        """Return fresh inputs."""
        return self.sample.draw(self.rng(attempt), self.dtype)

    def wrt(self, arrays: Arrays) -> list[int]:
        """Return the positions of the inputs that get gradients."""
        wanted = self.sample.wrt
        return [i for i, a in enumerate(arrays) if a is not None and a.dtype in FLOATS
                and (name := self.op.gradient(i)) and (wanted is None or name in wanted)]

    def moved(self, arrays: Arrays) -> list[np.ndarray | None]:
        """Return the inputs on the device; those that may stay on the CPU do."""
        return [a if a is None or self._stays(i) else move(a, self.device)
                for i, a in enumerate(arrays)]

    def _stays(self, position: int) -> bool:
        return self.op.inputs[min(position, len(self.op.inputs) - 1)] in self.op.hosted

    def call(self, arrays: Arrays, **options: Any) -> dispatch.Call:
        """Compute the op at the waist."""
        return dispatch.call(self.op, self.moved(arrays), self.sample.attrs,
                             algorithm=self.algorithm, **options)

    def results(self, arrays: Arrays) -> list[np.ndarray]:
        """Compute the op and return its results as arrays of the CPU."""
        return [to_host(a) for a in self.call(arrays).out]

    def apply(self, *tensors: Tensor | None) -> Tensor:
        """Compute the op on tensors and return its first result."""
        y = tape.apply(self.op, *tensors, algorithm=self.algorithm, **self.sample.attrs)
        return y[0] if isinstance(y, tuple) else y

    def tensors(self, arrays: Arrays, wrt: Sequence[int]) -> list[Tensor | None]:
        """Return the inputs as tensors; those at `wrt` require a gradient."""
        return [None if a is None else Tensor(a, requires_grad=i in wrt)
                for i, a in enumerate(self.moved(arrays))]

    def gy(self, y: Tensor) -> np.ndarray:
        """Return a random gradient of the result."""
        return self.rng(99).standard_normal(y.shape).astype(y.dtype)

    def outcome(self, arrays: Arrays) -> Outcome:
        """Compute forward and backward."""
        wrt = self.wrt(arrays)
        tensors = self.tensors(arrays, wrt)
        results = tape.apply(self.op, *tensors, algorithm=self.algorithm, **self.sample.attrs)
        results = results if isinstance(results, tuple) else (results,)
        if wrt:
            results[0].backward(self.gy(results[0]))
        grads = {i: to_host(tensors[i].grad.array) for i in wrt}  # type: ignore[union-attr]
        return Outcome(tuple(to_host(t.array) for t in results), grads)


def cases(op: Op, dtypes: Sequence[np.dtype] = FLOATS, device: str = HOST) -> Iterator[Case]:
    """Yield every sample in every type, by every variant of the device that accepts it."""
    for number, sample in enumerate(op.samples):
        for dtype in dtypes:
            specs = tuple(None if a is None else spec_of(a)
                          for a in sample.draw(np.random.default_rng(0), dtype))
            for algorithm in _variants(op, specs, sample.attrs, device):
                yield Case(op, number, dtype, algorithm, device)


def _variants(op: Op, specs: tuple[Spec | None, ...], attrs: Mapping[str, Any], device: str
              ) -> list[str | None]:
    variants = op.variants(device)
    if len(variants) < 2:
        return [None]
    full = dispatch.plan_of(op, specs, attrs, None, device).attrs
    return [k.name for k in variants if k.accepts is None or k.accepts(*specs, **full)]


# ---- layouts -------------------------------------------------------------------------------


def _sliced(x: np.ndarray) -> np.ndarray:
    whole = np.full((*x.shape[:-1], 2 * x.shape[-1]), _junk(x.dtype), x.dtype)
    whole[..., ::2] = x
    return whole[..., ::2]


def _junk(dtype: np.dtype) -> float:
    return np.nan if dtype.kind == "f" else 1


def _offset(x: np.ndarray) -> np.ndarray:
    whole = np.full(x.size + 2, _junk(x.dtype), x.dtype)
    whole[1:-1] = x.ravel()
    return whole[1:-1].reshape(x.shape)


def _unaligned(x: np.ndarray) -> np.ndarray:
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = np.ndarray(x.shape, x.dtype, buffer=raw, offset=1)
    view[...] = x
    return view


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _turned(x: np.ndarray) -> np.ndarray:
    """Return the same values as a transposed view of an array in another order."""
    return np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(-1 % x.ndim, *range(x.ndim - 1))


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sliced": _sliced, "transposed": _turned, "Fortran order": np.asfortranarray,
    "negative strides": lambda x: np.flip(np.flip(x).copy()), "read-only": _read_only,
    "inside a buffer": _offset, "unaligned": _unaligned}
"""Ways in which equal values may lie in memory."""


def laid_out(arrays: Arrays, layout: str) -> list[np.ndarray | None]:
    """Return the same values in another layout; arrays without axes stay."""
    return [LAYOUTS[layout](a) if a is not None and a.ndim else a for a in arrays]


# ---- strange calls -------------------------------------------------------------------------

_CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "float16": lambda a: a.astype(np.float16),
    "int32": lambda a: a.astype(np.int32),
    "bool": lambda a: a.astype(bool),
    "the other float": lambda a: a.astype("f4" if a.dtype == "f8" else "f8"),
    "the other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "no elements": lambda a: a[:0],
    "an axis more": lambda a: a[None],
    "an axis less": lambda a: a[0],
    "a shorter first axis": lambda a: a[1:],
    "a longer last axis": lambda a: np.concatenate([a, a[..., :1]], axis=-1)}


def strange(case: Case) -> Iterator[tuple[str, list[np.ndarray | None]]]:
    """Yield inputs of which one, or all, have another type or shape than the sample's."""
    arrays = case.draw()
    floats = [i for i, a in enumerate(arrays) if a is not None and a.dtype.kind in "fiu"]
    for name, change in _CHANGES.items():
        for which in [[i] for i in floats] + ([floats] if len(floats) > 1 else []):
            if all(arrays[i].ndim for i in which):  # type: ignore[union-attr]
                with np.errstate(all="ignore"):
                    changed = [change(a) if i in which and a is not None else a
                               for i, a in enumerate(arrays)]
                yield f"{name} in input {', '.join(map(str, which))}", changed


# ---- large calls ---------------------------------------------------------------------------


def grown(case: Case, nbytes: int) -> tuple[list[np.ndarray | None], dict[str, Any]] | None:
    """Return the case's inputs repeated along the first axis, and the attributes to go with them.

    Inputs and tuples among the attributes whose first length is that of the first input grow
    together. None is returned where no such call is one the op takes.
    """
    arrays = case.draw()
    first = next((a for a in arrays if a is not None and a.dtype.kind == "f"), None)
    if first is None or not first.ndim or not first.size or "index" in case.sample.attrs:
        return None
    length, times = len(first), -(-nbytes // first.nbytes)
    for which in (_alike, _first_only):
        large = [np.concatenate([a] * times) if a is not None and which(a, first, length) else a
                 for a in arrays]
        attrs = {k: (v[0] * times, *v[1:]) if k in ("shape", "mask_shape") and v[0] == length else v
                 for k, v in case.sample.attrs.items()}
        try:
            specs = tuple(None if a is None else spec_of(a) for a in large)
            dispatch.plan_of(case.op, specs, attrs, case.algorithm)
            return large, attrs
        except MinidlError:
            continue
    return None


def _alike(a: np.ndarray, first: np.ndarray, length: int) -> bool:
    return a.ndim > 0 and len(a) == length


def _first_only(a: np.ndarray, first: np.ndarray, length: int) -> bool:
    return a is first
