"""Arrays that backward still needs are watched: changing one is an error, never a wrong gradient.

Two ways of changing are told apart. The engine's own in-place changes (`Tensor.assign`, optimizer
steps) count up the version of the storage. Changes from the NumPy side cannot be seen when they
happen, so arrays that NumPy code can reach (made from a user's array, or handed out by `.numpy()`)
are fingerprinted when saved and compared when backward reads them. Arrays that only the engine
has seen, nearly all of them, cost nothing.
"""

from __future__ import annotations

import weakref
import zlib

import numpy as np

from ..backend.device import to_host
from ..backend.memory import lease
from ..errors import SavedArrayChangedError


class Storage:
    """Memory that a tensor and its views share.

    Attributes:
        version: number of in-place changes by the engine.
        foreign: a user's own array; NumPy code may change it at any time.
    """

    __slots__ = ("__weakref__", "_leases", "_saves", "foreign", "version")

    def __init__(self, foreign: bool = False) -> None:
        self.version = 0
        self.foreign = foreign
        self._leases: list[weakref.ref[np.ndarray]] = []
        self._saves: list[weakref.ref[Saved]] = []

    def __reduce__(self) -> tuple[type[Storage], tuple[()]]:
        return Storage, ()  # a copy in another process shares memory with nobody

    @property
    def exposed(self) -> bool:
        """Whether NumPy code may hold a view."""
        return self.foreign or (bool(self._leases) and any(r() is not None for r in self._leases))

    def expose(self, array: np.ndarray) -> np.ndarray:
        """Return a view of `array` for the user, and watch what is saved of this storage."""
        saves, self._saves = self._saves, []
        for saved in [r() for r in saves]:
            if saved is not None:
                saved.take_fingerprint()
        if self.foreign or not array.size:
            return array.view()
        if not array.flags.c_contiguous or not array.flags.writeable:
            self.foreign = True  # a lease needs contiguous memory, so watch this one for good
            return array.view()
        view, owner = lease(array)
        self._leases = [r for r in self._leases if r() is not None] + [weakref.ref(owner)]
        return view

    def watch(self, saved: Saved) -> None:
        """Take the fingerprint of what was saved, now or when a view is handed out."""
        if self.exposed:
            saved.take_fingerprint()
            return
        if len(self._saves) % 64 == 63:  # a parameter is saved at every step: most have gone
            self._saves = [r for r in self._saves if r() is not None]
        self._saves.append(weakref.ref(saved))


class Saved:
    """An array kept for backward, with what is needed to see that it was not changed.

    Args:
        storage: None for an array that nobody else can reach.
        op: layer and op that keep it.
        argument: its name in the op.
    """

    __slots__ = ("__weakref__", "argument", "array", "fingerprint", "op", "storage", "version")

    def __init__(self, array: np.ndarray, storage: Storage | None, op: str, argument: str) -> None:
        self.array, self.storage, self.op, self.argument = array, storage, op, argument
        self.version = 0
        self.fingerprint: int | None = None
        if storage is not None:
            self.version = storage.version
            storage.watch(self)

    def take_fingerprint(self) -> None:
        """Remember the contents by their checksum."""
        if self.fingerprint is None:
            self.fingerprint = checksum(self.array)

    def get(self) -> np.ndarray:
        """Return the array, or raise `SavedArrayChangedError` if it is not what was saved."""
        if self.storage is None:
            return self.array
        changed = self.version != self.storage.version
        if not changed and self.fingerprint is not None:
            changed = checksum(self.array) != self.fingerprint
        if changed:
            raise SavedArrayChangedError(
                self.op, f'argument "{self.argument}" of shape {self.array.shape} was changed '
                "after it was saved for backward", "expected the values of the forward pass",
                "Call backward first, or change a copy (array.copy() or tensor.clone())")
        return self.array


def checksum(array: np.ndarray) -> int:
    """Return the CRC-32 of an array's bytes."""
    array = to_host(array)
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
