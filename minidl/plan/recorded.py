"""Recorded work whose inputs are others in each replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import config, dispatch
from .inputs import Slot, outside, repeatable
from .record import Recording


@dataclass
class Recorded:
    """A recording, and where it reads what each replay gets anew.

    Attributes:
        recording: its calls.
        slots: where it reads arrays that are handed in.
    """

    recording: Recording
    slots: list[Slot]

    def replay(self, values: Sequence[np.ndarray]) -> None:
        """Compute it again with other arrays in the slots, of the same shapes and types."""
        for slot, array in zip(self.slots, values, strict=True):
            slot.put(array)
        with dispatch.quiet():
            self.recording.replay()

    def repeats(self, before: Recorded) -> bool:
        """Say whether another recording did the same."""
        return repeatable(before.recording, self.recording,
                          *[outside(r.recording, r.slots) for r in (before, self)])


def conditions() -> tuple[Any, ...]:
    """Return what calls depend on besides arrays and attributes; a recording is for one of them."""
    return config.num_threads(), config.avoided(), config.precision_now()
