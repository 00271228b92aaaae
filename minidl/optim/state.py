"""What an optimizer remembers of each parameter, and how that is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..backend.arrays import device_of
from ..backend.device import to_host
from ..dispatch import move
from ..errors import CheckpointError
from ..spec import spec_of

AVERAGE, TOTAL = "average", "total"  # names beside the slots in a saved state
LOSS_SCALE = "loss_scale"
FIRST_SCALE = 2.0**16  # too large for most networks; some steps bring it down


class State:
    """Arrays by the parameter's position in the list that `step` gets.

    Attributes:
        names: the slots of the update op.
        slots: per parameter its arrays in the order of `names`.
        averages: moving averages of the parameters.
        totals: sums of the gradients that wait for an update.
        loss_scale: what losses are multiplied with, and for how many updates in a row it did; both
            (), where the losses lie; none before it is needed.
        pending: number of calls of `step` that wait for it.
        swapped: whether parameters and averages have changed places.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.slots: dict[int, list[np.ndarray]] = {}
        self.averages: dict[int, np.ndarray] = {}
        self.totals: dict[int, np.ndarray] = {}
        self.loss_scale: list[np.ndarray] = []
        self.pending = 0
        self.swapped = False

    def scale_on(self, device: str) -> list[np.ndarray]:
        """Return `loss_scale` on a device, the first one at first."""
        if not self.loss_scale:
            self.loss_scale = [np.array(FIRST_SCALE, np.float32), np.array(0, np.float32)]
        if device_of(self.loss_scale[0]) != device:
            self.loss_scale = [move(array, device) for array in self.loss_scale]
        return self.loss_scale

    def of(self, parameters: Mapping[int, np.ndarray], initial: Callable[[str], float]
           ) -> list[np.ndarray]:
        """Return the slots of these parameters, slot by slot; new ones start from `initial`."""
        for at, p in parameters.items():
            if at not in self.slots:
                self.slots[at] = [move(np.full(p.shape, initial(n), p.dtype), device_of(p))
                                  for n in self.names]
        return [self.slots[at][k] for k in range(len(self.names)) for at in parameters]

    def follow(self, parameters: Sequence[np.ndarray]) -> None:
        """Let every array lie where its parameter lies."""
        for arrays in (self.averages, self.totals):
            for at, array in arrays.items():
                arrays[at] = move(array, device_of(parameters[at]))
        for at, slots in self.slots.items():
            self.slots[at] = [move(array, device_of(parameters[at])) for array in slots]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays by "position/name"."""
        found = {f"{at}/{name}": array for at, slots in self.slots.items()
                 for name, array in zip(self.names, slots, strict=True)}
        found |= {f"{at}/{AVERAGE}": array for at, array in self.averages.items()}
        return found | {f"{at}/{TOTAL}": array for at, array in self.totals.items()}

    def check(self, parameters: Sequence[np.ndarray]) -> None:
        """Raise unless every array is like the parameter of its position."""
        for key, array in self.arrays().items():
            at = int(key.split("/")[0])
            like = f"there are {len(parameters)} parameters"
            if at < len(parameters):
                like = f"parameter {at} is {spec_of(parameters[at])}"
            if at >= len(parameters) or spec_of(parameters[at]) != spec_of(array):
                raise CheckpointError("optimizer state", f'"{key}" is {spec_of(array)}', like,
                                      "It was saved for another model.")

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return copies of everything as named arrays."""
        counts = {"pending": np.array(self.pending), "swapped": np.array(self.swapped)}
        if self.loss_scale:
            counts[LOSS_SCALE] = np.array([to_host(a).item() for a in self.loss_scale])
        return counts | {key: to_host(array).copy() for key, array in self.arrays().items()}

    @classmethod
    def from_dict(cls, where: str, given: Mapping[str, np.ndarray], names: Sequence[str]) -> State:
        """Return the state that `to_dict` described, with arrays of its own.

        Raises:
            CheckpointError: a name is unknown, or a parameter lacks one of its slots.
        """
        state = cls(names)
        found: dict[str, dict[int, np.ndarray]] = {n: {} for n in (*names, AVERAGE, TOTAL)}
        for key, array in given.items():
            at, _, kind = key.partition("/")
            if kind in found and at.isdecimal():
                found[kind][int(at)] = np.array(array, order="C")
            elif key not in ("pending", "swapped", LOSS_SCALE):
                raise CheckpointError(where, f'got "{key}" in a state',
                                      f"its slots are {', '.join(names) or 'none'}",
                                      "It was saved by another optimizer, or by other settings.")
        state.pending = int(given.get("pending", 0))
        state.swapped = bool(given.get("swapped", False))
        state.loss_scale = [np.array(v, np.float32) for v in given.get(LOSS_SCALE, ())]
        if any(v.shape for v in state.loss_scale) or len(state.loss_scale) not in (0, 2):
            raise CheckpointError(where, f'got "{LOSS_SCALE}" of {spec_of(given[LOSS_SCALE])}',
                                  "expected 2 numbers", "The state is damaged.")
        state.averages, state.totals = found.pop(AVERAGE), found.pop(TOTAL)
        state.slots = _by_parameter(where, found)
        return state


def _by_parameter(where: str, found: Mapping[str, Mapping[int, np.ndarray]]
                  ) -> dict[int, list[np.ndarray]]:
    places = sorted({at for arrays in found.values() for at in arrays})
    for name, arrays in found.items():
        for at in places:
            if at not in arrays:
                raise CheckpointError(where, f'got no "{at}/{name}" in a state',
                                      f"expected {', '.join(found)} of every parameter",
                                      "The state is not complete.")
    return {at: [arrays[at] for arrays in found.values()] for at in places}
