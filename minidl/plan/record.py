"""Record the calls of a step and replay them on the same buffers.

Kernels only read and write buffers they are handed, and whatever changes from step to step
(learning rate, step count, random counter) is an array, so calling them again in the same order
with new contents in the input buffers computes the step for these contents.

A recording keeps the buffers alive. With a pool of its own (`arena`) it does not: there every
buffer goes back when the step is done with it and the next one takes its place, in a replay as in
the step that was recorded, so replaying needs the memory of one step.

On a GPU the launches of a step are captured as one graph, which one call launches. Copies to the
GPU (the op "to") come before it: their targets lie in no arena, so nothing overwrites them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from .. import config
from ..backend import device as devices
from ..backend.arrays import HOST, address, device_of
from ..backend.device import Graph
from ..backend.memory import HostPool, Pool
from ..dispatch import Call, hook
from ..errors import ArgumentError


class Recording:
    """The calls of one step in order, with the buffers they read and write.

    Args:
        arena: the pool that the step takes its buffers from, if nobody else uses it.

    >>> import numpy as np
    >>> from minidl import dispatch
    >>> x = np.array([1.0, 4.0])
    >>> with record() as step:
    ...     y = dispatch.run("sqrt", x)
    >>> x[:] = 9.0
    >>> step.replay()
    >>> y
    array([3., 3.])
    """

    def __init__(self, arena: Pool | None = None) -> None:
        self.calls: list[Call] = []
        self._graph: Graph | None = None
        self._arena = arena
        self._threads = config.num_threads()  # workspace is there for so many

    def __len__(self) -> int:
        return len(self.calls)

    @property
    def names(self) -> list[str]:
        """Names of the recorded ops, in order."""
        return [call.plan.op.name for call in self.calls]

    @property
    def nbytes(self) -> int:
        """Bytes of all results, saved arrays and workspace that the recording keeps."""
        owned = [a for c in self.calls for a in (*c.out, *c.saved.values(), *c.work.values())]
        return sum({address(a): a.nbytes for a in owned}.values())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Record every call at the waist inside the block, after those recorded before."""
        with hook(self._see):
            yield

    def replay(self, **inputs: tuple[np.ndarray, np.ndarray]) -> None:
        """Run all calls again.

        Args:
            inputs: by name, a pair (buffer, values): the values are copied into the buffer that
                the recorded step read, which must have their shape and type.
        """
        for name, (buffer, values) in inputs.items():
            if buffer.shape != values.shape or buffer.dtype != values.dtype:
                raise ArgumentError(f'replay, "{name}"', f"got {values.shape} {values.dtype}",
                                    f"the step was recorded with {buffer.shape} {buffer.dtype}",
                                    "Record a step for this shape too.")
            np.copyto(buffer, values)
        if self.device != HOST:
            self._launch()
            return
        with config.threads(self._threads):
            for call in self.calls:
                call.compute()

    # ---- on a GPU ----

    @property
    def device(self) -> str:
        """The device that the recorded calls compute on."""
        return next((c.plan.device for c in self.calls if c.plan.device != HOST), HOST)

    @property
    def waits(self) -> list[str]:
        """Names of the recorded ops that need values of the GPU on the CPU, so cannot be replayed.

        These are copies from it, and what the CPU computes in between.
        """
        return [call.plan.op.name for call in self.calls
                if call.plan.device == HOST or call.plan.attrs.get("device") == HOST]

    def _launch(self) -> None:
        """Copy the inputs to the GPU, and launch all the rest as one graph."""
        graph = self._graph or self.capture()
        for call in self._uploads:
            call.compute()
        graph.launch()

    def capture(self) -> Graph:
        """Capture the launches of the recorded calls, and return the graph.

        Raises:
            ArgumentError: a call needs values of the GPU on the CPU.
        """
        if self.waits:
            raise ArgumentError("capture", f"got {', '.join(self.waits[:3])}, computed on the CPU",
                                f"expected calls on {self.device!r} only",
                                "Compute them before or after the step.")
        # A single number that the step copies over is the same in every step.
        self._uploads = [c for c in self.calls if c.plan.op.transfers and c.inputs[0].ndim]  # type: ignore[union-attr]
        with devices.get(self.device).capture() as found:
            for call in self.calls:
                if not call.plan.op.transfers:
                    call.compute()
        self._graph = found[0]
        return self._graph

    def _see(self, call: Call, compute: Callable[[], None]) -> None:
        kept = self._kept
        # The waist lets go of the workspace after the call; the recording keeps it.
        self.calls.append(Call(
            call.plan, tuple([None if a is None else kept(a) for a in call.inputs]),
            tuple(map(kept, call.out)), {k: kept(a) for k, a in call.saved.items()},
            {k: kept(a) for k, a in call.work.items()}))
        compute()

    def _kept(self, array: np.ndarray) -> np.ndarray:
        if self._arena is None or (device_of(array) == HOST) != isinstance(self._arena, HostPool):
            return array
        return self._arena.unowned(array)


@contextmanager
def record() -> Iterator[Recording]:
    """Record every call at the waist inside the block."""
    recording = Recording()
    with recording.listening():
        yield recording
