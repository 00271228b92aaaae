"""Record the calls of a step and replay them on the same buffers.

Kernels only read and write buffers they are handed, and whatever changes from step to step
(learning rate, step count, random counter) is an array, so calling them again in the same order
with new contents in the input buffers computes the step for these contents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from .. import config
from ..dispatch import Call, hook
from ..errors import ArgumentError


class Recording:
    """The calls of one step in order, with the buffers they read and write kept alive.

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

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._threads = config.num_threads()  # workspace is there for so many

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def names(self) -> list[str]:
        """Names of the recorded ops, in order."""
        return [call.plan.op.name for call in self._calls]

    @property
    def nbytes(self) -> int:
        """Bytes of all results, saved arrays and workspace that the recording keeps."""
        owned = [a for c in self._calls for a in (*c.out, *c.saved.values(), *c.work.values())]
        return sum({a.ctypes.data: a.nbytes for a in owned}.values())

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
        with config.threads(self._threads):
            for call in self._calls:
                call.compute()

    def _see(self, call: Call, compute: Callable[[], None]) -> None:
        # The waist lets go of the workspace after the call; the recording keeps it.
        self._calls.append(Call(call.plan, call.inputs, call.out, call.saved, call.work))
        compute()


@contextmanager
def record() -> Iterator[Recording]:
    """Record every call at the waist inside the block."""
    recording = Recording()
    with hook(recording._see):
        yield recording
