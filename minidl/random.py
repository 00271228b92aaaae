"""Random numbers that depend on a counter alone, so that any run can be repeated or resumed.

Masks on every device come from Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011), keyed by (seed, counter) and the element's index; the state of the whole engine is
one seed and one counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .errors import ArgumentError


class Generator:
    """A seed and a counter; every draw uses up one count.

    >>> Generator(7).key().tolist()
    [7, 0]
    """

    _noted: list[np.ndarray] | None = None

    def __init__(self, seed: int = 0) -> None:
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start the sequence of this seed from its beginning."""
        if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 63:
            raise ArgumentError("seed", f"got {seed!r}", "expected an integer from 0 to 2**63 - 1",
                                "Change the seed.")
        self._seed, self._counter = int(seed), 0

    def key(self) -> np.ndarray:
        """Return the next key for a kernel: uint64 [seed, counter]."""
        self._counter += 1
        key = np.array([self._seed, self._counter - 1], np.uint64)
        if self._noted is not None:
            self._noted.append(key)
        return key

    @contextmanager
    def noting(self, keys: list[np.ndarray]) -> Iterator[None]:
        """Put every key that is drawn inside the block into a list, for who records a step."""
        self._noted = keys
        try:
            yield
        finally:
            self._noted = None

    def numpy(self) -> np.random.Generator:
        """Return a NumPy generator for host-side draws, such as initial weights."""
        return np.random.Generator(np.random.Philox(key=self.key()))

    @property
    def state(self) -> tuple[int, int]:
        """Seed and counter, all that a resumed run needs."""
        return self._seed, self._counter

    @state.setter
    def state(self, state: tuple[int, int]) -> None:
        self._seed, self._counter = int(state[0]), int(state[1])


default = Generator()
"""The generator that layers and initializers use unless they are given another."""


def seed(value: int) -> None:
    """Seed the default generator: initial weights, dropout and everything else random.

    >>> seed(0)
    """
    default.seed(value)
